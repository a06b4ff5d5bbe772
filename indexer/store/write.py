"""One transaction: event rows, unknown logs, new contracts and the ledger rows that say the range is read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psycopg
import sqlalchemy as sa
from psycopg import sql

from indexer.chain.ranges import Range, merge, subtract
from indexer.store import ledger, sources
from indexer.store.copy import FIXED_COLUMNS, FIXED_TYPES, Row, Target, copy_rows, insert_rows, place
from indexer.store.database import driver, lazily
from indexer.store.fold import fold_locked, lock

FEW_ROWS = 250  # up to so many, INSERTs that are sent all at once are faster than one COPY after the other
UNKNOWN_LOGS = Target(
    "chain", "unknown_logs", (*FIXED_COLUMNS, "topics", "data", "reason"), (*FIXED_TYPES, "bytea[]", "bytea", "text")
)


@dataclass
class Batch:
    """What was read of one group: the reads, the rows per table, and the contracts that were born in it.

    `upto`: the block to which the scan reads; when all is read up to it, events are folded in the same transaction.
    -1: nothing is.
    """

    group: ledger.Group
    reads: list[ledger.Read]
    rows: dict[Target, list[Row]] = field(default_factory=dict)
    born: list[sources.Wanted] = field(default_factory=list)
    upto: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of all rows."""
        return sum(len(row) for rows in self.rows.values() for row in rows)

    @property
    def logs(self) -> int:
        """How many rows the batch holds."""
        return sum(map(len, self.rows.values()))


def write(connection: sa.Connection, batch: Batch) -> int:
    """Write the batch; how many rows were new. Blocks that the group has read already are left out.

    Writers of one group wait for each other, so a range is written once whoever reads it; a group that was
    joined with another meanwhile is left alone and its range planned anew.
    """
    group = batch.group
    at_head = _reads_the_rest(batch, ledger.covered_by(connection, group.group_id))
    if at_head:
        lock(connection, group.chain_id)
    else:
        lazily(connection)
    if not ledger.lock_group(connection, group.group_id) or not ledger.knows_all(connection, group):
        return 0
    reads, written = _add(connection, batch, ledger.covered_by(connection, group.group_id))
    if reads and at_head:
        fold_locked(connection, group.chain_id, group.group_id)
    return written


def write_locked(connection: sa.Connection, batch: Batch, found: Sequence[ledger.Group]) -> int:
    """The same where this transaction has locked the folds of the chain and then all its groups, which are `found`."""
    group_id = batch.group.group_id
    now = next((group for group in found if group.group_id == group_id), None)
    if now is None or not batch.group.has_all(member.address for member in now.members):
        return 0
    reads, written = _add(connection, batch, now.covered)
    if reads and _reads_the_rest(batch, now.covered):
        grown = replace(now, covered=tuple(merge([*now.covered, *(read.range for read in reads)])))
        waiting = sum(read.logs for read in reads) if now.read_to == now.folded_to else None
        others = [group for group in found if group is not now]
        fold_locked(connection, now.chain_id, group_id, [*others, grown], waiting)
    return written


def _add(connection: sa.Connection, batch: Batch, covered: Sequence[Range]) -> tuple[list[ledger.Read], int]:
    """The reads of the batch that are not `covered`, which the ledger has now, and how many rows came with them."""
    wanted = subtract([read.range for read in batch.reads], covered)
    if not wanted:
        return [], 0
    reads = [read for read in batch.reads if any(_overlap(read.range, piece) for piece in wanted)]
    whole = sum(piece.blocks for piece in wanted) == sum(read.range.blocks for read in batch.reads)
    rows = batch.rows if whole else {target: _within(rows, wanted) for target, rows in batch.rows.items()}
    _insert(driver(connection), {target: lines for target, lines in rows.items() if lines})
    if batch.born:
        sources.add(connection, batch.group.chain_id, batch.born)
    ledger.record(connection, batch.group, reads)
    return reads, sum(map(len, rows.values()))


def _reads_the_rest(batch: Batch, covered: Sequence[Range]) -> bool:
    """Whether nothing of the group is missing up to `batch.upto` once the batch is written."""
    if batch.group.from_block > batch.upto:
        return False
    wanted = [Range(batch.group.from_block, batch.upto)]
    return not subtract(wanted, [*covered, *(read.range for read in batch.reads)])


def _overlap(a: Range, b: Range) -> bool:
    return a.first <= b.last and b.first <= a.last


def _within(rows: Iterable[Row], pieces: Sequence[Range]) -> list[Row]:
    return [row for row in rows if any(place(row)[0] in piece for piece in pieces)]


def _insert(connection: psycopg.Connection, rows: Mapping[Target, Sequence[Row]]) -> None:
    """COPY into the tables; where rows of these blocks are there already (evidence was raised), add the others."""
    if not rows:
        return
    if sum(map(len, rows.values())) <= FEW_ROWS and all(target.insertion for target in rows):
        insert_rows(connection, rows)
        return
    try:
        with connection.transaction():
            for target, lines in rows.items():
                copy_rows(connection, target, lines)
    except psycopg.errors.UniqueViolation:
        for target, lines in rows.items():
            _insert_missing(connection, target, lines)


def insert_missing(connection: sa.Connection, rows: Mapping[Target, Sequence[Row]]) -> None:
    """Add those of `rows` that are not there yet."""
    for target, lines in rows.items():
        _insert_missing(driver(connection), target, lines)


def _insert_missing(connection: psycopg.Connection, target: Target, rows: Sequence[Row]) -> None:
    staging = Target("pg_temp", "staging", target.columns, target.types)
    names = {"staging": sql.Identifier("pg_temp", "staging"), "table": sql.Identifier(target.schema, target.table)}
    with connection.transaction():
        connection.execute(sql.SQL("CREATE TEMP TABLE staging (LIKE {table}) ON COMMIT DROP").format(**names))
        copy_rows(connection, staging, rows)
        connection.execute(
            sql.SQL("INSERT INTO {table} SELECT * FROM {staging} ON CONFLICT DO NOTHING").format(**names)
        )
        connection.execute(sql.SQL("DROP TABLE {staging}").format(**names))
