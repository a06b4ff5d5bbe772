"""Which logs are stored: the places of all rows of some contracts in some blocks, whatever table holds them."""

from collections.abc import Collection, Sequence
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from indexer.chain.ranges import Range
from schema import arbius, iexec
from schema.chain import unknown_logs

EVENTS = {"arbius": arbius.EVENTS, "iexec": iexec.EVENTS}
"""Network -> event tables by name."""

Place = tuple[int, int, bytes]  # block number, log index, block hash


def tables_of(networks: Collection[str]) -> list[sa.Table]:
    """Every table that can hold a log of these networks."""
    return [unknown_logs, *(table for name in sorted(networks) for table in EVENTS[name].values())]


def places(
    connection: sa.Connection, chain_id: int, addresses: Sequence[bytes], networks: Collection[str], piece: Range
) -> dict[Place, str]:  # fmt: skip
    """Place -> name of its table, of all logs of `addresses` in the blocks `piece`."""
    given = {"chain": chain_id, "addresses": list(addresses), "first": piece.first, "last": piece.last}
    rows = connection.execute(_places(tuple(sorted(networks))), given)
    return {(row.block_number, row.log_index, bytes(row.block_hash)): row.stored_in for row in rows}


def count(
    connection: sa.Connection, chain_id: int, addresses: Sequence[bytes], networks: Collection[str], piece: Range
) -> int:  # fmt: skip
    """How many logs of `addresses` are stored in the blocks `piece`."""
    given = {"chain": chain_id, "addresses": list(addresses), "first": piece.first, "last": piece.last}
    counted = sa.select(sa.func.count()).select_from(_places(tuple(sorted(networks))).subquery())
    return int(connection.execute(counted, given).scalar_one())


@cache
def _places(networks: tuple[str, ...]) -> sa.CompoundSelect[tuple[str, int, int, bytes]]:
    """Made once: to build a query of a hundred tables costs more than to run it."""
    addresses = sa.bindparam("addresses", type_=ARRAY(sa.LargeBinary))
    queries = [
        sa.select(
            sa.literal(str(table), sa.Text()).label("stored_in"), table.c.block_number, table.c.log_index,
            table.c.block_hash,
        ).where(*_in_piece(table), table.c.address == sa.any_(addresses))
        for table in tables_of(networks)
    ]  # fmt: skip
    return sa.union_all(*queries)


def filled(connection: sa.Connection, chain_id: int, piece: Range) -> list[str]:
    """The names of the tables that hold logs of the blocks `piece` of any network."""
    names = sa.cast([str(table) for table in tables_of(EVENTS)], ARRAY(sa.Text))
    return list(connection.scalars(sa.select(sa.func.analytics.filled(names, chain_id, *piece))))


def _in_piece(table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    within = table.c.block_number.between(sa.bindparam("first"), sa.bindparam("last"))
    return table.c.chain_id == sa.bindparam("chain", type_=sa.BigInteger), within
