"""Bench "volume": many tasks in the tables. What do folds, a rollback, pages, counts and the past cost then?"""

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import psycopg
import sqlalchemy as sa

from indexer.query import connect
from indexer.query.lists import STATUSES, Listing, rows, tasks_by_status
from indexer.query.task import find
from indexer.store import fold
from indexer.store.rollback import rollback
from schema.analytics import tasks, work
from tests.bench import head_writes
from tests.bench.chain import CHAIN_ID
from tests.bench.filling import LOGS_PER_STEP, Bulk, fold_all, fresh, load, settle, tell
from tests.bench.process import postgres_cpu_seconds

MEASURED = 80_000  # tasks, about 410,000 logs, that are folded at the beginning and at the end under the clock
ROLLED_BLOCKS = 64
TIMES = 5
Figures = dict[str, float]
Spent = tuple[float, float, int]  # wall seconds, CPU seconds of the server, logs


def run(tasks: int) -> list[Figures]:
    """Figures of one run on a fresh cluster with production settings."""
    with fresh() as (engine, url):
        return [_filled(engine, url, tasks) | _asking(url)]


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


def _asking(url: str) -> Figures:
    """Milliseconds of counts, of one task, and of a page by each filter: medians, after a first call."""
    with psycopg.connect(url, autocommit=True) as connection:
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    with connect(url) as connection:
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
        for view in (
            "work",
            "payments",
            "disputes",
            "workers",
            "daily",
            "claimable",
            "stuck",
            "expiring",
            "open_disputes",
        ):
            found[f"page_of_{view}_ms"] = _ms(lambda view=view: rows(connection, Listing(view)))  # type: ignore[misc]
        return found | _past(connection, some["task_id"])


def _past(connection: sa.Connection, task_id: str) -> Figures:
    """Milliseconds of one task a little ago, and seconds of all tasks then, and of sums over a whole table."""
    block = connection.scalar(sa.text("SELECT max(folded_to) - 100 FROM chain.groups"))
    columns = [sa.column(column.name, column.type) for column in tasks.c]
    then = sa.func.analytics.tasks_at(CHAIN_ID, block).table_valued(*columns).alias("then")
    one = sa.select(then).where(then.c.task_id == task_id)
    every = sa.select(
        sa.func.count(), sa.func.count(then.c.status), sa.func.max(then.c.task_id), sa.func.sum(then.c.fee)
    )
    whole = sa.select(work.c.worker, sa.func.count(), sa.func.sum(work.c.reward)).group_by(work.c.worker)
    return {
        "tasks_at_one_ms": _ms(lambda: connection.execute(one).all()),
        "tasks_at_all_s": _ms(lambda: connection.execute(every.select_from(then)).all(), 1) / 1000,
        "workers_whole_s": _ms(lambda: rows(connection, Listing("workers", limit=1_000_000))) / 1000,
        "daily_whole_s": _ms(lambda: rows(connection, Listing("daily", limit=1_000_000))) / 1000,
        "work_by_worker_s": _ms(lambda: connection.execute(whole).all(), 1) / 1000,
    }


def _middle(connection: sa.Connection) -> str:
    """A time in the middle of what is there."""
    query = "SELECT min(blocktime) + (max(blocktime) - min(blocktime)) / 2 FROM arbius.tasks"
    found: datetime = connection.execute(sa.text(query)).scalar_one()
    return found.isoformat()


def _ms(do: Callable[[], object], times: int = TIMES) -> float:
    spent = []
    if times > 1:
        do()  # the first call plans
    for _ in range(times):
        began = time.monotonic()
        do()
        spent.append(1000 * (time.monotonic() - began))
    return statistics.median(spent)
