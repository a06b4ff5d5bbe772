"""Which logs are stored: the places of all rows of some contracts in some blocks, whatever table holds them."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

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
    queries = [
        sa.select(
            sa.literal(str(table), sa.Text()).label("stored_in"), table.c.block_number, table.c.log_index,
            table.c.block_hash,
        ).where(table.c.chain_id == chain_id, table.c.block_number.between(*piece), table.c.address.in_(addresses))
        for table in tables_of(networks)
    ]  # fmt: skip
    rows = connection.execute(sa.union_all(*queries))
    return {(row.block_number, row.log_index, bytes(row.block_hash)): row.stored_in for row in rows}
