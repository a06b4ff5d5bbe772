"""Pages of thousands of tasks: they hold what the whole view holds, and read little of it, whatever they are asked."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from indexer.query import ask, connect, latencies
from indexer.query.asking import Query, made
from indexer.query.filters import condition
from indexer.query.lists import Listing, page_of, rows
from indexer.query.payments import reach_steps
from indexer.store import database as db
from schema.analytics import VIEWS
from tests.bench.chain import ENGINE
from tests.bench.filling import STEPS, fill, fill_iexec, watch
from tests.integration.conftest import fresh_database

TASKS = 4_000
MOST = 700  # rows of one table that a page may read
BIG = {
    "transfer",
    "lock",
    "unlock",
    "reward",
    "seize",
    "tasks",
    "solutions",
    "task_submitted",
    "solution_submitted",
    "solution_claimed",
    "fees_paid",
    "votes",
}
# To read a small table whole is cheap: here it is as dear as that of millions. enable_seqscan = off would do, but
# before PostgreSQL 18 its huge costs, which tables without an index have, hide all other differences.
AS_IF_LARGE = "-c jit=off -c seq_page_cost=10 -c random_page_cost=10"
NOBODY = "0x" + "ab" * 20
STAKE, LOCKED = 7 * 10**18, 3 * 10**18


@pytest.fixture(scope="module")
def many(server_url: str, template: str) -> Iterator[str]:
    """A database with `TASKS` tasks in the mix of the bench "volume". Some stakes are known, too."""
    with fresh_database(server_url, template) as url:
        engine = db.engine(url)
        watch(engine)
        fill(engine, TASKS)
        fill_iexec(engine, TASKS // 2)
        _prepare(url)
        engine.dispose()
        yield url


def _prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE chain.chains SET head_time = (SELECT max(block_time) FROM arbius.task_submitted), final_block = %s",
            [TASKS // STEPS - 20],
        )
        facts = """
            UPDATE arbius.contestations SET slash_amount = %(locked)s WHERE outcome IS NOT NULL;
            UPDATE arbius.solutions SET stake = %(stake)s WHERE outcome IS NOT NULL OR stage = 'solved';
            UPDATE arbius.tasks SET owner = sender;
            INSERT INTO chain.sources SELECT (jsonb_populate_record(s, jsonb_build_object('network', 'iexec', 'role',
                'hub', 'address', (SELECT address::text FROM iexec.lock LIMIT 1)))).* FROM chain.sources s;
            -- What one who lost has not claimed is forfeited.
            UPDATE arbius.tasks SET solution_validator = (
                SELECT c.solver FROM arbius.contestations c WHERE c.outcome = 'succeeded'
                ORDER BY c.finished_at DESC LIMIT 1) WHERE stage = 'solved';
            UPDATE arbius.solutions s SET validator = t.solution_validator
            FROM arbius.tasks t WHERE t.task_id = s.task_id AND s.stage = 'solved'
        """
        psycopg.ClientCursor(connection).execute(facts, {"locked": LOCKED, "stake": STAKE})
        connection.execute("ANALYZE")


@pytest.fixture(scope="module")
def database(many: str) -> Iterator[sa.Connection]:
    with connect(many) as connection:
        yield connection


@pytest.fixture(scope="module")
def accounts(database: sa.Connection) -> dict[str, str]:
    """Accounts in every role."""
    query = """
        SELECT (SELECT to_address FROM arbius.v_payments WHERE kind = 'award' LIMIT 1) AS voter,
               (SELECT analytics.hex(validator) FROM arbius.v_forfeited LIMIT 1) AS loser,
               (SELECT analytics.hex(validator) FROM arbius.solutions WHERE paid_at IS NOT NULL LIMIT 1) AS solver,
               (SELECT analytics.hex(sender) FROM arbius.tasks WHERE stage = 'retracted' LIMIT 1) AS sender,
               (SELECT analytics.hex(owner) FROM iexec.lock WHERE block_number = 500) AS owner,
               (SELECT analytics.hex(address) FROM iexec.lock LIMIT 1) AS hub,
               (SELECT analytics.hex(ref) FROM iexec.reward WHERE block_number = 600) AS iexec_task,
               (SELECT analytics.hex(task_id) FROM arbius.contestations WHERE outcome IS NOT NULL LIMIT 1) AS contested
    """
    (found,) = database.execute(sa.text(query)).mappings()
    return {**found, "engine": ENGINE, "nobody": NOBODY}


STATUS = ("open", "running", "review", "disputed", "claimable", "succeeded", "failed", "cancelled")
NETWORK_STATUS = (
    "open", "retracted", "claimed", "challengeable", "claimable", "forfeited", "voting", "awaiting_finish",
    "contestation_succeeded", "contestation_failed", "ACTIVE", "TIMEOUT", "active", "finished",
)  # fmt: skip
KINDS = (
    "fee", "slash", "award", "unstake", "withdraw", "transfer", "refund", "reward", "stake", "deposit", "gift", "s*",
)  # fmt: skip
EVENTS = ("ContestationVoteFinish", "SolutionClaimed", "TaskRetracted", "Seize", "Transfer", "Nothing", "Contestation*")
ASKED: list[tuple[str, tuple[str, ...]]] = [
    *(("tasks", (f"status={word}",)) for word in STATUS),
    *(("tasks", (f"network_status={word}",)) for word in NETWORK_STATUS),
    ("tasks", ("status=succeeded", "network_status=forfeited")),
    ("tasks", ("status=review", "network_status=challengeable", "submitter=<sender>")),
    ("tasks", ("finality=pending",)),
    ("tasks", ("finality=pending", "status=open")),
    ("tasks", ("finality=pending", "submitter=<sender>")),
    ("tasks", ("chain=bench", "subject=0x*")),
    ("tasks", ("chain=ben*", "status=failed")),
    ("tasks", ("chain=nowhere",)),
    ("tasks", ("chain_id=7",)),
    ("tasks", ("contract=<nobody>",)),
    ("tasks", ("contract=<engine>", "submitter=<sender>")),
    ("tasks", ("worker=<solver>", "network_status=claimed")),
    *(("work", (f"state={state}",)) for state in ("submitted", "accepted", "rejected", "lost", "expired", "other")),
    ("work", ("state=lost", "worker=<loser>")),
    ("work", ("state=rejected", "worker=<loser>", "network=arbius")),
    *(("payments", (f"{side}=<{who}>",)) for side in ("from_address", "to_address")
      for who in ("voter", "loser", "solver", "sender", "engine", "nobody", "owner", "hub")),
    ("payments", ("from_address=<engine>", "to_address=<solver>", "kind=fee")),
    ("payments", ("to_address=<voter>", "kind=award")),
    ("payments", ("from_address=<loser>", "kind=slash")),
    ("payments", ("to_address=<solver>", "kind=reward")),
    ("payments", ("to_address=<solver>", "kind=unstake")),
    ("payments", ("to_address=<owner>", "kind=transfer")),
    ("payments", ("from_address=<owner>", "kind=transfer")),
    ("payments", ("from_address=<sender>", "block_time<2023-11-15T06:00:00Z")),
    ("payments", ("contract=<nobody>",)),
    ("payments", ("network=iexec",)),
    ("payments", ("network=koii",)),
    *(("payments", (f"task_id=<{task}>",)) for task in ("contested", "iexec_task", "nobody")),
    *(("payments", (f"block{which}",)) for which in ("=500", "=0", "<7", "<=20", ">1990", "=-1", "!=500")),
    ("payments", ("block>400", "block<=402", "kind=fee")),
    ("payments", ("block=500", "network=iexec")),
    *(("payments", (f"token={token}",)) for token in ("RLC", "X", "A*")),
    *(("payments", (f"source_event={event}",)) for event in EVENTS),
    *(("payments", (f"kind={kind}",)) for kind in KINDS),
    ("payments", ("kind!=stake", "network=arbius")),
    ("claimable", ("account=<solver>",)),
    ("stuck", ("reason=forfeited",)),
    ("stuck", ("account=<loser>",)),
    ("disputes", ("against=<loser>",)),
    *((name, ()) for name in VIEWS),
]  # fmt: skip
FULL = {("tasks", "network_status=forfeited"), ("work", "state=lost"), ("tasks", "finality=pending"),
        ("payments", "kind=award"), ("payments", "kind=slash"), ("payments", "to_address=<voter>"),
        ("payments", "block=500"), ("payments", "from_address=<owner>", "kind=transfer"),
        ("payments", "task_id=<contested>"), ("payments", "task_id=<iexec_task>"), ("payments", "block<7"),
        ("payments", "to_address=<owner>"), ("payments", "to_address=<hub>"), ("payments", "kind=refund"),
        ("tasks", "network_status=challengeable"), ("stuck", "reason=forfeited")}  # fmt: skip
"""What must not be empty here, or nothing would be compared."""
IDS = [" ".join((name, *filters)) for name, filters in ASKED]


def _listing(name: str, filters: Sequence[str], accounts: dict[str, str], **more: Any) -> Listing:
    texts = list(filters)
    for who, account in accounts.items():
        texts = [text.replace(f"<{who}>", account) for text in texts]
    return Listing(name, tuple(texts), **more)


@pytest.mark.parametrize(("name", "filters"), ASKED, ids=IDS)
def test_a_filtered_list_is_what_the_whole_view_holds(
    database: sa.Connection, accounts: dict[str, str], name: str, filters: tuple[str, ...]
) -> None:
    listing, view = _listing(name, filters, accounts, limit=100_000), VIEWS[name]
    whole = sa.select(view).where(*(condition(view, text) for text in listing.filters))
    expected = [dict(row) for row in database.execute(whole).mappings()]
    found = rows(database, listing)
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert found or (name, *filters) not in FULL


# One of few accounts, most of whose work is not paid, is better not looked for by name here.
LEFT_OUT = "worker=", "chain=", "to_address=<loser>"
AT_ONCE = [(name, filters) for name, filters in ASKED if not any(text.startswith(LEFT_OUT) for text in filters)]


@pytest.mark.parametrize(("name", "filters"), AT_ONCE, ids=[" ".join((name, *filters)) for name, filters in AT_ONCE])
def test_a_page_reads_little(many: str, accounts: dict[str, str], name: str, filters: tuple[str, ...]) -> None:
    listing = _listing(name, filters, accounts, limit=20)
    with connect(many) as database:
        reach = ask(database, Query(lambda: reach_steps(listing.filters))) if name == "payments" else None
    statement = made(listing.query(reach=reach))
    with psycopg.connect(many, options=AS_IF_LARGE) as connection:
        cursor = psycopg.ClientCursor(connection)
        explain = b"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) " + statement.text
        ((plan,),) = cursor.execute(explain, statement.values).fetchone()  # type: ignore[misc]
    assert [(table, count) for table, count in _read(plan["Plan"]) if table in BIG and count > MOST] == [], plan


def _read(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if "Relation Name" in node:
        rows_read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield node["Relation Name"], node["Actual Loops"] * rows_read
    for part in node.get("Plans", []):
        yield from _read(part)


@pytest.mark.parametrize("filters", [("network=iexec",), ("kind=unstake",), ("to_address=<engine>", "block<=90")])
def test_pages_of_payments_hold_each_once_though_some_are_alike(
    database: sa.Connection, accounts: dict[str, str], filters: tuple[str, ...]
) -> None:
    every = rows(database, _listing("payments", filters, accounts, limit=100_000))
    found, after = [], None
    while after is not None or not found:
        page = ask(database, page_of(_listing("payments", filters, accounts, limit=333, after=after)))
        found += page.rows
        after = page.next
    assert found == every
    assert len(found) > 333


def test_latencies_of_all_times_are_sums_of_what_they_are_of_any_time(database: sa.Connection) -> None:
    found = ask(database, latencies())
    assert found == ask(database, latencies(since=datetime(2000, 1, 1, tzinfo=UTC)))
    assert {row.measure for row in found} == {"submit_to_work", "submit_to_finish"}
