"""Rows of another answer against the tables, column by column."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from psycopg import sql

from indexer.chain.ranges import Range
from indexer.networks import NETWORKS
from indexer.store.copy import Row, Target, copy_rows
from indexer.store.database import driver
from indexer.store.stored import places, tables_of
from indexer.store.write import Batch

_COUNT = sql.SQL(
    """
    WITH stored AS (
        SELECT * FROM {table}
        WHERE chain_id = {chain_id} AND block_number BETWEEN {first} AND {last} AND address = ANY ({addresses})
    )
    SELECT block_number, sum(stored), sum(given)
    FROM (
        SELECT block_number, 1 AS stored, 0 AS given FROM (TABLE stored EXCEPT TABLE pg_temp.staging) AS lacking
        UNION ALL
        SELECT block_number, 0, 1 FROM (TABLE pg_temp.staging EXCEPT TABLE stored) AS more
    ) AS differing
    GROUP BY block_number
    """
)


class Differences(NamedTuple):
    """By block: rows that only the tables hold, and rows that only the answer gives. `compared`: rows of the answer."""

    compared: int
    stored: Counter[int]
    given: Counter[int]

    @property
    def blocks(self) -> list[int]:
        """The blocks in which they differ."""
        return sorted(self.stored.keys() | self.given.keys())


def differences(connection: sa.Connection, batch: Batch, piece: Range) -> Differences:
    """How the rows of `batch`, which tells all of the blocks `piece` of its group, differ from the stored ones.

    Makes temporary tables: roll the caller's transaction back.
    """
    group = batch.group
    networks = sorted({member.network for member in group.members} & NETWORKS.keys())
    addresses = [bytes.fromhex(member.address[2:]) for member in group.members]
    full = set(places(connection, group.chain_id, addresses, networks, piece).values())
    given: dict[str, list[tuple[Target, Sequence[Row]]]] = {}
    for target, rows in batch.rows.items():
        given.setdefault(f"{target.schema}.{target.table}", []).append((target, rows))
    found = Differences(batch.logs, Counter(), Counter())
    values = {"chain_id": group.chain_id, "first": piece.first, "last": piece.last, "addresses": addresses}
    for table in tables_of(networks):
        if str(table) in full | given.keys():
            for block, stored, more in _count(connection, table, given.get(str(table), ()), values):
                found.stored.update({block: stored} if stored else {})
                found.given.update({block: more} if more else {})
    return found


def _count(
    connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[Target, Sequence[Row]]], values: dict[str, object]
) -> list[tuple[int, int, int]]:  # fmt: skip
    """Block, rows that only the table holds, rows that only `rows` has."""
    name = sql.Identifier(str(table.schema), table.name)
    plain = driver(connection)
    plain.execute(sql.SQL("CREATE TEMP TABLE staging (LIKE {})").format(name))
    for target, lines in rows:
        copy_rows(plain, Target("pg_temp", "staging", target.columns, target.types), lines)
    literals = {key: sql.Literal(value) for key, value in values.items()}
    found = plain.execute(_COUNT.format(table=name, **literals)).fetchall()
    plain.execute("DROP TABLE pg_temp.staging")
    return [(int(block), int(stored), int(given)) for block, stored, given in found]
