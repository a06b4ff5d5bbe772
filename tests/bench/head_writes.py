"""What it costs to write blocks at the head: rows, ledger and folds of each in one transaction, by the code that runs
then. The rows are those of `volume.sql`, taken out of the server as they would come from a codec."""

import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from psycopg import sql

from indexer.chain.ranges import Range
from indexer.chain.window import Block
from indexer.ingest.decode import target
from indexer.networks.arbius import NETWORK
from indexer.store import head, ledger
from indexer.store.copy import Row, Target, place
from indexer.store.database import driver
from indexer.store.write import Batch
from tests.bench.chain import CHAIN_ID
from tests.bench.filling import LOGS_PER_STEP, STEPS, fill, fresh, make, settle
from tests.bench.process import postgres_cpu_seconds

CURVE = (100, 1), (25, 10), (10, 40), (10, 120), (5, 250)  # writes, and blocks in each
WARM = 10  # writes before the clock starts: a connection plans each statement a few times before it keeps the plan
Figures = dict[str, float]
Rows = dict[int, dict[Target, list[Row]]]


def alone(tasks: int) -> list[Figures]:
    """The curve on top of a fresh cluster with so many tasks."""
    with fresh() as (engine, url):
        fill(engine, tasks)
        settle(engine)
        return [curve(engine, url)]


def curve(engine: sa.Engine, url: str) -> Figures:
    """Single blocks, and what a busy chain brings while the last write runs: the follower takes all that is there.

    A chain that brings 5,000 logs a second brings some thousands of them meanwhile. Its blocks are larger than these.
    """
    figures: Figures = {}
    for writes, blocks in CURVE:
        figures |= run(engine, url, writes, blocks)
    return figures


def run(engine: sa.Engine, url: str, writes: int, blocks: int) -> Figures:
    """Write `blocks` blocks of about 20 logs at a time, on top of what is folded: logs per second, and CPU."""
    with engine.begin() as connection:
        top = connection.scalar(sa.text("SELECT max(folded_to) FROM chain.groups"))
        connection.execute(sa.text("DELETE FROM chain.blocks"))
        head.finalize(connection, CHAIN_ID, _block(top))
    first, last = top + 1, top + (WARM + writes) * blocks
    rows = _rows(engine, first, last)
    for n in range(first, first + WARM * blocks, blocks):
        _write(engine, rows, n, blocks)
    began, own, server = time.monotonic(), time.process_time(), postgres_cpu_seconds(url)
    for n in range(first + WARM * blocks, last + 1, blocks):
        _write(engine, rows, n, blocks)
    seconds, own = time.monotonic() - began, time.process_time() - own
    logs = round(blocks * STEPS * LOGS_PER_STEP)
    return {
        f"head_logs_per_s_by_{logs}": writes * logs / seconds,
        f"head_cpu_us_per_log_by_{logs}": 1e6 * own / writes / logs,
        f"head_cpu_us_per_log_of_postgresql_by_{logs}": 1e6 * (postgres_cpu_seconds(url) - server) / writes / logs,
    }


def _write(engine: sa.Engine, rows: Rows, first: int, count: int) -> None:
    held = [_block(n) for n in range(first, first + count)]
    together: dict[Target, list[Row]] = {}
    for block in held:
        for table, lines in rows[block.number].items():
            together.setdefault(table, []).extend(lines)
    logs, last = sum(map(len, together.values())), held[-1]
    with engine.begin() as connection:
        group = ledger.load_groups(connection, CHAIN_ID)[0]
    read = ledger.Read(Range(first, last.number), "bench", datetime.now(UTC), 1, 1, b"", logs, "head-bound",
                       last.number, last.hash)  # fmt: skip
    with engine.begin() as connection:
        batch = Batch(group, [read], together, [], last.number)
        head.extend(connection, CHAIN_ID, _block(first - 1).point, held, [batch])


def _block(number: int) -> Block:
    return Block(number, number.to_bytes(32), (number - 1).to_bytes(32), 1_700_000_000 + 24 * number)


def _rows(engine: sa.Engine, first: int, last: int) -> Rows:
    """The packed rows of these blocks, which are not in the tables afterwards."""
    found: Rows = {number: {} for number in range(first, last + 1)}
    with engine.connect() as connection:
        make(connection, first * STEPS, last * STEPS + STEPS - 1)
        for table in {target(NETWORK.name, codec) for codec in NETWORK.codecs.values()}:
            columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
            query = sql.SQL("COPY (SELECT {} FROM {} WHERE block_number >= {}) TO STDOUT (FORMAT BINARY)")
            name = sql.Identifier(table.schema, table.table)
            with driver(connection).cursor().copy(query.format(columns, name, first)) as copy:
                data = b"".join(map(bytes, copy))
            for row in _split(data):
                found[place(row)[0]].setdefault(table, []).append(row)
        connection.rollback()
    return found


def _split(data: bytes) -> Iterator[Row]:
    """The rows of an answer to COPY in binary format."""
    start = 19
    while (count := struct.unpack_from(">h", data, start)[0]) >= 0:
        end = start + 2
        for _ in range(count):
            end += 4 + max(0, struct.unpack_from(">i", data, end)[0])
        yield data[start:end]
        start = end
