"""The reads of the bench "volume": one task, pages by each filter, counts, sums over whole tables, the past."""

import statistics
import time
from collections.abc import Callable
from datetime import datetime

import psycopg
import sqlalchemy as sa

from indexer.query import connect
from indexer.query.asking import ask
from indexer.query.lists import STATUSES, Listing, page_of, rows, tasks_by_status
from indexer.query.task import find
from schema.analytics import ORDER, VIEWS, tasks, work
from tests.bench.chain import CHAIN_ID

TIMES = 5
NOBODY = "0x" + "ab" * 20
Figures = dict[str, float]

LISTS = (*(name for name in VIEWS if name != "tasks"), "workers")
WORDS = ("claimed", "challengeable", "claimable", "forfeited", "voting", "contestation_failed", "ACTIVE")
STATES = ("submitted", "accepted", "rejected", "lost", "expired")


def ask_all(url: str) -> Figures:
    """Milliseconds or seconds of every read: medians, after a first call."""
    with psycopg.connect(url, autocommit=True) as connection:
        size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert size is not None
    with connect(url) as connection:
        (some,) = rows(connection, Listing("tasks", ("status=succeeded",), limit=1))
        found = {"disk_gb": size[0] / 1e9, "counts_ms": _ms(lambda: tasks_by_status(connection))}
        found["show_ms"] = _ms(lambda: find(connection, some["task_id"]))
        found |= _pages(connection, some)
        return found | _past(connection, some["task_id"]) | _whole(connection)


def _pages(connection: sa.Connection, some: dict[str, str]) -> Figures:
    """Each list, the page in the middle of tasks, and the filters that are asked for most."""
    found = {"page_ms": _ms(lambda: rows(connection, Listing("tasks")))}
    middle = _middle(connection)
    page = ask(connection, page_of(Listing("tasks", (f"submitted_at<{middle}",))))
    found["page_after_ms"] = _ms(lambda: rows(connection, Listing("tasks", after=page.next)))
    (work,) = rows(connection, Listing("work", ("state=accepted",), limit=1))
    listings = {f"page_of_{name}": Listing(name) for name in LISTS}
    for name in ("network", "chain", "submitter", "subject"):
        listings[f"page_by_{name}"] = Listing("tasks", (f"{name}={some[name]}",))
    for status in STATUSES:
        listings[f"page_by_status={status}"] = Listing("tasks", (f"status={status}",))
    for word in WORDS:
        listings[f"page_by_network_status={word}"] = Listing("tasks", (f"network_status={word}",))
    for state in STATES:
        listings[f"page_of_work_by_state={state}"] = Listing("work", (f"state={state}",))
    for name in ("from_address", "to_address"):
        for what, who in (("worker", work["worker"]), ("contract", some["contract"]), ("nobody", NOBODY)):
            listings[f"page_of_payments_{name}_{what}"] = Listing("payments", (f"{name}={who}",))
    for name, further in (
        ("to_address", "kind=reward"),
        ("to_address", "kind=award"),
        ("from_address", f"block_time<{middle}"),
    ):
        listings[f"page_of_payments_{name}_{further}"] = Listing("payments", (f"{name}={work['worker']}", further))
    for word in ("kind=slash", "kind=award", "kind=withdraw", "source_event=TaskRetracted", "token=RLC"):
        listings[f"page_of_payments_{word}"] = Listing("payments", (word,))
    listings["page_by_task_id"] = Listing("tasks", (f"task_id={some['task_id'][:9]}*",))
    listings["page_by_submitted_at"] = Listing("tasks", (f"submitted_at<{middle}",))
    listings["page_by_finality=pending"] = Listing("tasks", ("finality=pending",))
    listings["page_by_worker"] = Listing("tasks", (f"worker={work['worker']}",))
    listings["page_of_worker_record"] = Listing("worker_records", (f"worker={work['worker']}",))
    listings |= _rare(connection)
    for name, listing in listings.items():
        found[f"{name}_ms"] = _ms(lambda listing=listing: rows(connection, listing))  # type: ignore[misc]
    return found


RARE = {
    "tasks": "fee fee_amount finished_at submitted_block last_block",
    "work": "reward settled_at",
    "disputes": "yeas nays deadline settled_at",
    "payments": "amount block task_id from_address to_address",
    "claimable": "gain since",
    "stuck": "since",
}  # columns that few rows share

BEGINNINGS = [(name, "task_id") for name in ("tasks", "work", "payments")]
BEGINNINGS += [("payments", side) for side in ("from_address", "to_address")]


def _rare(connection: sa.Connection) -> dict[str, Listing]:
    """Filters that few rows meet: the oldest one's value, all up to it, more than any has; two together."""
    found = {}
    for name, columns in RARE.items():
        view, began = VIEWS[name], VIEWS[name].c[ORDER[name][0]]
        for column in map(view.c.get, columns.split()):
            assert column is not None
            known = sa.select(column).where(
                view.c.network == sa.text("'arbius'"), began.is_not(None), column.is_not(None)
            )
            oldest = connection.scalar(known.order_by(began).limit(1))
            beyond = (
                "2100-01-01"
                if isinstance(column.type, sa.DateTime)
                else 10**12
                if isinstance(column.type, sa.BigInteger)
                else 10**30
            )
            asked = f"={oldest}", f"<={oldest}", f"!={oldest}", f">{beyond}"
            for how, what in zip(asked, ("=oldest", "<=oldest", "!=oldest", ">any"), strict=True):
                found[f"page_of_{name}_by_{column.name}{what}"] = Listing(name, (f"{column.name}{how}",))
    for name, whose in BEGINNINGS:
        for what, start in (("none", NOBODY[:12]), ("some", "0xab"), ("all", "0x")):
            found[f"page_of_{name}_by_{whose}_of_{what}"] = Listing(name, (f"{whose}={start}*",))
    both = {
        "status_and_submitted_block": ("status=succeeded", "submitted_block<=20"),
        "network_and_fee": ("network=arbius", f"fee>{10**30}"),
        "fee_and_finished_at": (f"fee<{3 * 10**15}", "finished_at<2023-11-15"),
    }
    return found | {f"page_by_{name}": Listing("tasks", filters) for name, filters in both.items()}


def _past(connection: sa.Connection, task_id: str) -> Figures:
    """Milliseconds of one task a little ago, and seconds of all tasks then."""
    block = connection.scalar(sa.text("SELECT max(folded_to) - 100 FROM chain.groups"))
    columns = [sa.column(column.name, column.type) for column in tasks.c]
    then = sa.func.analytics.tasks_at(CHAIN_ID, block).table_valued(*columns).alias("then")
    one = sa.select(then).where(then.c.task_id == task_id)
    every = sa.select(
        sa.func.count(), sa.func.count(then.c.status), sa.func.max(then.c.task_id), sa.func.sum(then.c.fee)
    )
    return {
        "tasks_at_one_ms": _ms(lambda: connection.execute(one).all()),
        "tasks_at_all_s": _ms(lambda: connection.execute(every.select_from(then)).all(), 1) / 1000,
    }


def _whole(connection: sa.Connection) -> Figures:
    """Seconds of sums over whole tables."""
    by_worker = sa.select(work.c.worker, sa.func.count(), sa.func.sum(work.c.reward)).group_by(work.c.worker)
    found = {"work_by_worker_s": _ms(lambda: connection.execute(by_worker).all(), 1) / 1000}
    for name in ("workers", "worker_records", "subjects", "daily", "pool_depth", "latencies"):
        every = Listing(name, limit=1_000_000)
        found[f"{name}_whole_s"] = _ms(lambda every=every: rows(connection, every)) / 1000  # type: ignore[misc]
    return found


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
