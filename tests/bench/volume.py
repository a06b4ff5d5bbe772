"""Bench "volume": many tasks in the tables. Does a fold cost the same at the end, and how fast are pages and counts?"""

import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import sqlalchemy as sa

from indexer.chain.ranges import Range
from indexer.ingest.decode import Decoder
from indexer.query.lists import STATUSES, Listing, rows, tasks_by_status
from indexer.query.task import find
from indexer.rpc.types import Log
from indexer.store import database as db
from indexer.store import fold, ledger, migrate, server, sources
from indexer.store.copy import copy_rows
from indexer.store.database import driver
from tests.bench.chain import CHAIN_ID, ENGINE, busy_blocks
from tests.bench.process import postgres_cpu_seconds

PER_BLOCK = 10
LOGS_PER_TASK = 5.13  # of the mix in `chain`
BLOCKS_AT_ONCE = 2_000
TIMES = 5
Figures = dict[str, float]
Spent = tuple[float, float, int]  # wall seconds, CPU seconds of the server, logs


def run(tasks: int) -> list[Figures]:
    """Figures of one run on a fresh cluster with production settings."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        with server.using(folder / "data") as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            with engine.begin() as connection:
                sources.settle_chain(connection, CHAIN_ID, "bench", "head", (0, "0x" + "00" * 32))
                sources.configure(connection, CHAIN_ID, [sources.Wanted(ENGINE, "arbius", "engine", 0)])
            folds = list(_fill(engine, running.url, round(tasks * LOGS_PER_TASK)))
            figures = _folding(folds) | _asking(engine, running.url)
            engine.dispose()
        return [figures]
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)


def _fill(engine: sa.Engine, url: str, logs: int) -> Iterator[Spent]:
    """Copy all logs, folding as a deep backfill does; what each fold cost."""
    coming, waiting = busy_blocks(logs, logs // PER_BLOCK, PER_BLOCK), 0
    for first in itertools.count(step=BLOCKS_AT_ONCE):
        blocks = list(itertools.islice(coming, BLOCKS_AT_ONCE))
        if not blocks:
            break
        waiting += _write(engine, first, blocks)
        if waiting >= fold.LOGS_AT_ONCE:
            yield _fold(engine, url, waiting)
            waiting = 0
    _fold(engine, url, waiting)
    with engine.begin() as connection:
        newest = sa.text("UPDATE chain.chains SET head_time = (SELECT max(block_time) FROM arbius.task_submitted)")
        connection.execute(newest)


def _write(engine: sa.Engine, first: int, blocks: list[bytes]) -> int:
    """Logs of the blocks from `first` on, as a scan writes them; how many."""
    logs = msgspec.json.decode(b"[" + b"".join(blocks)[:-1] + b"]", type=list[Log])
    with engine.begin() as connection:
        group = ledger.load_groups(connection, CHAIN_ID)[0]
        decoder = Decoder(group)
        decoder.add(logs, {}, "bench")
        for target, lines in decoder.rows.items():
            copy_rows(driver(connection), target, lines)
        piece = Range(first, first + len(blocks) - 1)
        read = ledger.Read(piece, "bench", datetime.now(UTC), 1, 1, b"", len(logs), "head-bound")
        ledger.record(connection, group, [read])
    return len(logs)


def _fold(engine: sa.Engine, url: str, logs: int) -> Spent:
    began, worked = time.monotonic(), postgres_cpu_seconds(url)
    with engine.begin() as connection:
        fold.fold_chain(connection, CHAIN_ID)
    return time.monotonic() - began, postgres_cpu_seconds(url) - worked, logs


def _folding(folds: list[Spent]) -> Figures:
    """Microseconds per log at the beginning and at the end: medians of three folds."""
    found = {"logs": float(sum(logs for *_, logs in folds))}
    for name, part in (("first", folds[1:4]), ("last", folds[-3:])):
        found[f"fold_us_per_log_{name}"] = statistics.median(1e6 * wall / logs for wall, _, logs in part)
        found[f"fold_cpu_us_per_log_{name}"] = statistics.median(1e6 * cpu / logs for _, cpu, logs in part)
    return found


def _asking(engine: sa.Engine, url: str) -> Figures:
    """Milliseconds of counts, of one task, and of a page by each filter: medians."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    with engine.connect() as connection:
        (some,) = rows(connection, Listing("tasks", ("status=succeeded",), limit=1))
        filters = [f"{name}={some[name]}" for name in ("network", "chain", "submitter", "subject")]
        filters += [f"status={status}" for status in STATUSES]
        filters += [f"task_id={some['task_id'][:9]}*", f"submitted_at<{_middle(connection)}"]
        found = {"disk_gb": size[0] / 1e9, "counts_ms": _ms(lambda: tasks_by_status(connection))}
        found["show_ms"] = _ms(lambda: find(connection, some["task_id"]))
        found["page_ms"] = _ms(lambda: rows(connection, Listing("tasks")))
        for text in filters:
            name = text if text.startswith("status") else text.partition("=")[0].partition("<")[0]
            listing = Listing("tasks", (text,))
            found[f"page_by_{name}_ms"] = _ms(lambda listing=listing: rows(connection, listing))  # type: ignore[misc]
        for view in ("work", "payments", "disputes", "workers", "daily"):
            found[f"page_of_{view}_ms"] = _ms(lambda view=view: rows(connection, Listing(view)))  # type: ignore[misc]
    return found


def _middle(connection: sa.Connection) -> str:
    """A time in the middle of what is there."""
    query = "SELECT min(blocktime) + (max(blocktime) - min(blocktime)) / 2 FROM arbius.tasks"
    found: datetime = connection.execute(sa.text(query)).scalar_one()
    return found.isoformat()


def _ms(do: Callable[[], object]) -> float:
    spent = []
    for _ in range(TIMES):
        began = time.monotonic()
        do()
        spent.append(1000 * (time.monotonic() - began))
    return statistics.median(spent)
