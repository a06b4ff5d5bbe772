"""Bench "volume": many tasks in the tables. What do folds, a rollback, pages, counts and the past cost then?"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from indexer.store import fold
from indexer.store.rollback import rollback
from tests.bench import head_writes
from tests.bench.chain import CHAIN_ID
from tests.bench.filling import LOGS_PER_STEP, Bulk, fold_all, fresh, learn, load, settle, tell
from tests.bench.process import postgres_cpu_seconds
from tests.bench.reads import ask_all

MEASURED = 80_000  # tasks, about 410,000 logs, that are folded at the beginning and at the end under the clock
ROLLED_BLOCKS = 64
TIMES = 5  # of a rollback
Figures = dict[str, float]
Spent = tuple[float, float, int]  # wall seconds, CPU seconds of the server, logs


def run(tasks: int, keep: Path | None = None) -> list[Figures]:
    """Figures of one run on a cluster with production settings: a fresh one that is removed, or that in `keep`.

    What `keep` holds already is not made again: of it only the reads are measured.
    """
    with fresh(keep) as (engine, url):
        with engine.connect() as connection:
            is_filled = connection.scalar(sa.text("SELECT EXISTS (SELECT FROM arbius.tasks)")) is True
        if is_filled:
            learn(engine)
        return [({} if is_filled else _filled(engine, url, tasks)) | ask_all(url)]


def _filled(engine: sa.Engine, url: str, tasks: int) -> Figures:
    """Fill the tables; what folds and a rollback cost at the beginning and at the end."""
    began = time.monotonic()
    load(engine, 0, MEASURED - 1)
    first = list(_folds(engine, url, 0, MEASURED - 1))
    rolled = _rolled(engine)
    bulk = Bulk(engine)
    load(engine, MEASURED, tasks - 1)
    bulk.index(events=True)
    settle(engine)
    tell(engine, MEASURED, tasks - MEASURED - 1)
    fold_all(engine)
    bulk.index(events=False)
    settle(engine)
    filled = time.monotonic() - began
    last = list(_folds(engine, url, tasks - MEASURED, tasks - 1))
    learn(engine)
    head = head_writes.curve(engine, url)
    settle(engine)
    figures = {"logs": tasks * LOGS_PER_STEP, "filling_s": filled} | _folding(first, last) | head
    return figures | {f"{name}_first": value for name, value in rolled.items()} | _rolled(engine)


def _folds(engine: sa.Engine, url: str, first: int, last: int) -> Iterator[Spent]:
    """What each portion of a deep backfill costs to fold."""
    tell(engine, first, last)
    more = True
    while more:
        began, worked = time.monotonic(), postgres_cpu_seconds(url)
        with engine.begin() as connection:
            more = fold.fold_portion(connection, CHAIN_ID)
        if more:
            yield time.monotonic() - began, postgres_cpu_seconds(url) - worked, fold.LOGS_AT_ONCE
    fold_all(engine)


def _rolled(engine: sa.Engine) -> Figures:
    """A rollback of `ROLLED_BLOCKS` blocks that is taken back itself: medians."""
    spent, removed = [], 1
    for _ in range(TIMES):
        with engine.connect() as connection:
            newest = connection.scalar(sa.text("SELECT max(folded_to) FROM chain.groups"))
            began = time.monotonic()
            done = rollback(connection, CHAIN_ID, newest - ROLLED_BLOCKS)
            spent.append(1000 * (time.monotonic() - began))
            removed = done.rows_removed
            connection.rollback()
    median = statistics.median(spent)
    return {"rollback_ms": median, "rollback_us_per_log": 1000 * median / removed, "rollback_logs": removed}


def _folding(first: list[Spent], last: list[Spent]) -> Figures:
    """Microseconds per log at the beginning and at the end: medians of the portions."""
    found = {}
    for name, part in (("first", first), ("last", last)):
        found[f"fold_us_per_log_{name}"] = statistics.median(1e6 * wall / logs for wall, _, logs in part)
        found[f"fold_cpu_us_per_log_{name}"] = statistics.median(1e6 * cpu / logs for _, cpu, logs in part)
    return found
