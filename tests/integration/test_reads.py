"""Pages of thousands of tasks: they hold what the whole view holds, and read little of it, whatever they are asked."""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from indexer.query import ask, connect, idle, latencies, near, paying, payments
from indexer.query.asking import Made, Query, Steps, made
from indexer.query.filters import WORDS, condition, parts
from indexer.query.lists import Listing, Page, page_of, rows
from indexer.store import database as db
from schema.analytics import ORDER, VIEWS
from tests.bench.chain import CHAIN_ID, ENGINE
from tests.bench.filling import STEPS, fill, fill_iexec, fold_all, load, tell, watch
from tests.integration.conftest import fresh_database

TASKS = 4_000
MOST = 700  # rows of one table that a page may read
BIG = {"tasks", "solutions", "task_submitted", "solution_submitted", "solution_claimed", "fees_paid"}
MORE = {
    "tasks": {"iexec.tasks", "iexec.orders_matched"},
    "work": {"iexec.contributions"},
    "disputes": {"contestations"},
    "payments": {"votes", "iexec.transfer", "iexec.lock", "iexec.unlock", "iexec.reward", "iexec.seize"},
}
"""What else is large here, of the lists that it stands in."""
FEW = 100  # what is few among so few tasks
# To read a small table whole is cheap: here it is as dear as that of millions. enable_seqscan = off would do, but
# before PostgreSQL 18 its huge costs, which tables without an index have, hide all other differences.
AS_IF_LARGE = "-c jit=off -c seq_page_cost=10 -c random_page_cost=10 -c plan_cache_mode=force_generic_plan"
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
        made = psycopg.ClientCursor(connection)
        (hub,) = connection.execute("SELECT address FROM iexec.lock LIMIT 1").fetchone() or (b"",)
        made.execute(OTHERS, {"n": TASKS // 2, "chain": CHAIN_ID, "engine": bytes.fromhex(ENGINE[2:]), "hub": hub})
        connection.execute("ANALYZE")


OTHERS = """
    -- Tasks whose submission is not read.
    UPDATE arbius.tasks SET blocktime = NULL, submitted_block = NULL, fee = NULL, model = NULL
    WHERE task_id IN (SELECT task_id FROM arbius.tasks ORDER BY task_id LIMIT 5);
    -- Contestations of tasks that are not read, too few votes of which are read to tell who lost.
    INSERT INTO arbius.contestations (chain_id, address, task_id, validator, solver, blocktime, yeas, nays, finished_at,
                                      vote_adder, outcome, finishes, last_block, last_at)
    SELECT %(chain)s, %(engine)s, sha256(int8send(n)), substr(sha256(int8send(n %% 9)), 1, 20),
           substr(sha256(int8send(n %% 11)), 1, 20), at, 1 + n %% 7, 1 + n %% 5, at + interval '1 hour', 0,
           CASE WHEN n %% 7 > n %% 5 THEN 'succeeded' ELSE 'failed' END, 1, n, at
    FROM (SELECT n, to_timestamp(1600000000 + 60 * n) AS at FROM generate_series(1, %(n)s / 2) AS n) AS x;
    -- Deals of iExec, each of one task with one contribution, every tenth of which fails.
    INSERT INTO iexec.orders_matched
        (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, dealid, app_hash,
         dataset_hash, workerpool_hash, request_hash, volume)
    SELECT %(chain)s, n / 4, n %% 4, '', to_timestamp(1600000000 + 60 * (n / 4)), '', 0, %(hub)s,
           sha256(int8send(n)), '', '', '', '', 1
    FROM generate_series(1, %(n)s) AS n;
    INSERT INTO iexec.tasks
        (chain_id, address, taskid, status, dealid, idx, start_time, deal_block, payer, requester, app, fee,
         finalized_at, claimed_at, contribution_count, reopen_count, last_block, timeref)
    SELECT %(chain)s, %(hub)s, sha256(int8send(-n)), CASE WHEN n %% 10 = 0 THEN 4 ELSE 3 END, sha256(int8send(n)), 0,
           at, n / 4, substr(sha256(int8send(n %% 50)), 1, 20), substr(sha256(int8send(n %% 70)), 1, 20),
           substr(sha256(int8send(n %% 20)), 1, 20), 1000 + n %% 500,
           CASE WHEN n %% 10 > 0 THEN at + interval '1 hour' END, CASE WHEN n %% 10 = 0 THEN at + interval '1 day' END,
           1, 0, n / 4 + 15, 3600
    FROM (SELECT n, to_timestamp(1600000000 + 60 * (n / 4)) AS at FROM generate_series(1, %(n)s) AS n) AS x;
    INSERT INTO iexec.contributions
        (chain_id, address, taskid, worker, status, state, contributed_at, settled_at, reward, first_block, last_block)
    SELECT chain_id, address, taskid, payer, 'PROVED', 'accepted', start_time + interval '1 minute',
           coalesce(finalized_at, claimed_at), div(fee, 2), deal_block, last_block
    FROM iexec.tasks
"""


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
    "fee", "slash", "award", "unstake", "withdraw", "transfer", "refund", "reward", "stake", "deposit", "s*",
)  # fmt: skip
EVENTS = ("ContestationVoteFinish", "SolutionClaimed", "TaskRetracted", "Seize", "Transfer", "Nothing", "Contestation*")
AMOUNTS = (
    "=7", f"={STAKE}", f"={LOCKED}", "=500000000000000000", ">6.9e18", ">1e30", "<1000", "<1001", "=1003", "=1003.5",
    "!=1003", "<3", "=333333333333333",
)  # fmt: skip
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
    ("tasks", ("chain_id=7",)),
    ("tasks", ("contract=<nobody>",)),
    ("tasks", ("contract=<engine>", "submitter=<sender>")),
    ("tasks", ("worker=<solver>", "network_status=claimed")),
    *(("work", (f"state={state}",)) for state in ("submitted", "accepted", "rejected", "lost", "expired")),
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
    *(("payments", (f"amount{which}",)) for which in AMOUNTS),
    ("payments", ("amount>=1000", "amount<1002", "kind=reward")),
    ("claimable", ("account=<solver>",)),
    ("stuck", ("reason=forfeited",)),
    ("stuck", ("account=<loser>",)),
    ("disputes", ("against=<loser>",)),
    ("tasks", ("status=succeeded", "submitted_block<100")),
    ("tasks", ("status=failed", "network=arbius", "fee>3900000000000000000")),
    ("tasks", ("status=open", "last_block>990")),
    ("tasks", ("fee>3900000000000000000", "finished_at<2023-11-15")),
    ("tasks", ("submitted_block>=10", "submitted_block<12", "chain_id=42161")),
    ("tasks", ("fee_amount>=1.5", "fee_amount<1.51", "owner!=<sender>")),
    ("work", ("state=accepted", "reward<100000000000000000", "worker=<solver>")),
    ("disputes", ("outcome!=succeeded", "yeas>3", "deadline<2020-09-13T13:00:00")),
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
# Of what every seventh meets here, a small table is sorted rather than walked.
LEFT_OUT = ("worker=", "chain=", "to_address=<loser>", "amount=1003", "amount<1001", "amount>=1000")
AT_ONCE = [(name, filters) for name, filters in ASKED if not any(text.startswith(LEFT_OUT) for text in filters)]


@pytest.mark.parametrize(("name", "filters"), AT_ONCE, ids=[" ".join((name, *filters)) for name, filters in AT_ONCE])
def test_a_page_reads_little(reads: "Reads", accounts: dict[str, str], name: str, filters: tuple[str, ...]) -> None:
    assert reads(_listing(name, filters, accounts, limit=20)) == []


Reads = Callable[[Listing], list[tuple[str, float]]]


@pytest.fixture(scope="module")
def reads(many: str, database: sa.Connection) -> Iterator[Reads]:
    """Tells of which tables a page reads many rows, planned without a look at its values, as it is for readers."""
    with _reading(many, database) as read:
        yield read


@contextmanager
def _reading(url: str, database: sa.Connection) -> Iterator[Reads]:
    with psycopg.connect(url, options=AS_IF_LARGE, autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)

        def read(listing: Listing) -> list[tuple[str, float]]:
            big = BIG | MORE.get(listing.name, set())
            plans = [_planned(cursor, made) for made in _statements(database, listing)]
            return [(table, count) for plan in plans for table, count in _read(plan) if table in big and count > MOST]

        yield read


def _statements(database: sa.Connection, listing: Listing) -> list[Made]:
    """What is asked for a page, one after the other; of tasks all at once, for a worker's come in steps."""
    if listing.name == "tasks":
        return [made(listing.query())]
    found: list[Made] = []

    def steps() -> Steps[Page]:
        asking, rows = page_of(listing).steps(), None
        try:
            while True:
                found.append(_as_made(asking.send(rows)))
                rows = yield found[-1]
        except StopIteration as end:
            return end.value

    ask(database, Query(steps))
    return found


def _as_made(statement: sa.Executable | Made) -> Made:
    return statement if isinstance(statement, Made) else made(statement)


def _planned(cursor: psycopg.ClientCursor[Any], asked: Made) -> dict[str, Any]:
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", numbered, asked.text.decode()).replace("%%", "%")
    cursor.execute("DEALLOCATE ALL")
    values = [asked.values[name] for name in names]
    kinds = ",".join("numeric" if isinstance(value, Decimal) else "unknown" for value in values)
    cursor.execute(f"PREPARE page{f'({kinds})' if kinds else ''} AS {text}".encode())
    execute = b"EXECUTE page" + (b"(" + b",".join([b"%s"] * len(values)) + b")" if values else b"")
    cursor.execute(b"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON, TIMING OFF) " + execute, values)
    ((plan,),) = cursor.fetchone()  # type: ignore[misc]
    return dict(plan["Plan"])


def _read(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if "Relation Name" in node:
        rows_read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield f"{node['Schema']}.{node['Relation Name']}".removeprefix("arbius."), node["Actual Loops"] * rows_read
    for part in node.get("Plans", []):
        yield from _read(part)


PAGED = [
    *[("network=iexec",), ("kind=unstake",), ("to_address=<engine>", "block<=90")],
    *[("from_address<0x5", "kind!=stake"), ("to_address>0xc",), ("task_id=0x1*",)],
]


@pytest.mark.parametrize("filters", PAGED, ids=map(" ".join, PAGED))
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


@pytest.mark.parametrize("how", ["=", "<=", ">="])
def test_pages_of_what_few_or_many_rows_meet_follow_each_other(database: sa.Connection, how: str) -> None:
    """Tasks whose submission is not read, which come last, included."""
    block = database.scalar(sa.text("SELECT max(last_block) FROM arbius.tasks WHERE blocktime IS NULL"))
    listing = Listing(
        "tasks", (f"last_block{how}{block}", "network=arbius"), ("task_id", "submitted_at"), limit=100_000
    )
    together = rows(database, listing)
    assert together[-1]["submitted_at"] is None
    found, page = [], ask(database, page_of(replace(listing, limit=90 if how != "=" else 1)))
    while page.rows:
        found += page.rows
        if page.next is None:
            break
        page = ask(database, page_of(replace(listing, limit=90 if how != "=" else 1, after=page.next)))
    assert found == together


def test_latencies_of_all_times_are_sums_of_what_they_are_of_any_time(database: sa.Connection) -> None:
    found = ask(database, latencies())
    assert found == ask(database, latencies(since=datetime(2000, 1, 1, tzinfo=UTC)))
    assert {row.measure for row in found} == {"submit_to_work", "submit_to_finish"}


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
PAGE = 150  # more than FEW
LARGE = ("tasks", "work", "disputes", "payments")
ABSENT = {"network": "aidbox", "status": "cancelled"}
CASES = ("oldest", "of iexec", "absent", "below", "above", "not oldest", "between", "beginning", "any beginning")
OFTEN = {("subject", "beginning"), ("worker", "beginning")}  # so many meet it that they are looked for by time
EACH = [(name, column.name, case) for name in LARGE for column in VIEWS[name].c for case in CASES]


@pytest.fixture(scope="module")
def whole(database: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows of the large views."""
    return {name: [dict(row) for row in database.execute(sa.select(VIEWS[name])).mappings()] for name in LARGE}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "FEW", FEW)
    monkeypatch.setattr(idle, "FEW", FEW)
    monkeypatch.setattr(payments, "FEW", 3 * FEW)
    monkeypatch.setattr(paying, "FEW", FEW)
    monkeypatch.setattr(paying, "FEW_ACCOUNTS", 5)


@pytest.mark.parametrize(("name", "column", "case"), EACH, ids=[" ".join(case) for case in EACH])
def test_a_filter_that_few_rows_pass_is_served_as_well(
    database: sa.Connection, reads: Reads, whole: dict[str, list[dict[str, Any]]], name: str, column: str, case: str
) -> None:
    if (filters := _filters(whole[name], name, column, case)) is not None:  # else these rows have no such value
        _served(database, reads, whole, name, filters, case)


def _served(
    database: sa.Connection, reads: Reads, whole: dict[str, list[dict[str, Any]]], name: str, filters: tuple[str, ...],
    case: str,
) -> None:  # fmt: skip
    expected = [row for row in whole[name] if all(_passes(row, *parts(text)) for text in filters)]
    found = rows(database, Listing(name, filters, limit=PAGE))
    if len(expected) > PAGE:
        assert {*map(repr, found)} <= {*map(repr, expected)}
        first = ORDER[name][0]
        expected = sorted(expected, key=lambda row: (row[first] is not None, row[first]), reverse=True)[:PAGE]
        assert [row[first] for row in found] == [row[first] for row in expected]
    else:
        assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert found or case not in ("oldest", "of iexec")
    if (parts(filters[0])[0], case) not in OFTEN:
        assert reads(Listing(name, filters, limit=20)) == []


UNCLAIMED = """
    DELETE FROM arbius.solution_claimed; DELETE FROM arbius.fees_paid; DELETE FROM arbius.rewards_paid;
    UPDATE chain.chains SET head_time = (SELECT max(block_time) + interval '1 day' FROM arbius.task_submitted)
"""
KNOWN = """
    UPDATE arbius.solutions SET stake = 100 + get_byte(task_id, 0);
    UPDATE arbius.contestations SET slash_amount = 7 + get_byte(task_id, 0);
    INSERT INTO arbius.parameters (chain_id, address, since_block, since_at, loss_blocks_claims, paused)
    SELECT chain_id, address, 0, '2020-01-01', false, true FROM chain.sources;
    ANALYZE
"""
WAITING = [(name, column.name, case) for name in ("claimable", "stuck") for column in VIEWS[name].c for case in CASES]
SOME = (
    ("claimable", "call_data=0x77286d17*"), ("claimable", "call_data=0x8b4d7b35*"), ("claimable", "call_data=0x*"),
    ("claimable", "call_data=0x77286d17a*"), ("claimable", "call_data=0x7728*"), ("claimable", "call_data=0x12*"),
    ("claimable", "lacks=the engine*"), ("claimable", "lacks!=nothing"), ("claimable", "gain<4000000000000000000"),
    ("claimable", "contract=0x*"), ("stuck", "contract!=0x00"), ("stuck", "since>=2023-11-15T00:00:00+00:00"),
)  # fmt: skip


@pytest.fixture(scope="module")
def unclaimed(server_url: str, template: str) -> Iterator[str]:
    """A database with `TASKS` tasks whose solutions nobody has claimed."""
    with fresh_database(server_url, template) as url:
        engine = db.engine(url)
        watch(engine)
        load(engine, 0, TASKS - 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(UNCLAIMED)
            tell(engine, 0, TASKS - 1)
            fold_all(engine)
            connection.execute(KNOWN)
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def waiting(unclaimed: str) -> Iterator[tuple[sa.Connection, Reads, dict[str, list[dict[str, Any]]]]]:
    with connect(unclaimed) as database, _reading(unclaimed, database) as read:
        names = ("claimable", "stuck")
        every = {n: [dict(row) for row in database.execute(sa.select(VIEWS[n])).mappings()] for n in names}
        assert min(map(len, every.values())) > 3 * MOST
        yield database, read, every


@pytest.mark.parametrize(("name", "column", "case"), WAITING, ids=[" ".join(case) for case in WAITING])
def test_a_filter_that_few_of_what_waits_pass_is_served_as_well(
    waiting: tuple[sa.Connection, Reads, dict[str, list[dict[str, Any]]]], name: str, column: str, case: str
) -> None:
    if (filters := _filters(waiting[2][name], name, column, case)) is not None:
        _served(*waiting, name, filters, case)


@pytest.mark.parametrize(("name", "text"), SOME, ids=[" ".join(case) for case in SOME])
def test_what_waits_by_parts_of_a_call_or_word(
    waiting: tuple[sa.Connection, Reads, dict[str, list[dict[str, Any]]]], name: str, text: str
) -> None:
    _served(*waiting, name, (text,), "")


def _filters(view: Sequence[dict[str, Any]], name: str, column: str, case: str) -> tuple[str, ...] | None:
    of = [row for row in view if row["network"] == ("iexec" if case == "of iexec" else "arbius")]
    known = [row for row in of if row[column] is not None]
    refused = column == "chain" or column in WORDS.get(name, {})
    of_unknown_kind = not known and (case != "absent" or isinstance(VIEWS[name].c[column].type, sa.DateTime))
    if of_unknown_kind or (refused and case == "absent"):
        return None  # a chain or a word that is not there is refused
    first = ORDER[name][0]
    oldest = min(known, key=lambda row: (row[first] is None, row[first]))[column] if known else 0
    values = [row[column] for row in view if row[column] is not None]
    text = str(oldest)
    if case in ("oldest", "of iexec"):
        return (f"{column}={text}",)
    if case == "not oldest":
        return (f"{column}!={text}",)
    if isinstance(oldest, str):
        return _of_text(column, case, oldest, values) if name in LARGE or case == "absent" else None
    step: Any = timedelta(microseconds=1) if isinstance(oldest, datetime) else 1
    if column == "fee_amount":
        step = Decimal("1e-18")
    least, most = min(values, default=oldest), max(values, default=oldest)
    return {
        "absent": (f"{column}={most + step}",),
        "below": (f"{column}<{least}",),
        "above": (f"{column}>{most}",),
        "between": (f"{column}>{oldest}", f"{column}<{oldest + step}"),
    }.get(case)


def _of_text(column: str, case: str, oldest: str, values: Sequence[str]) -> tuple[str, ...] | None:
    if case == "absent":
        return (f"{column}={ABSENT.get(column, NOBODY)}",)
    if not oldest.startswith("0x"):
        return None
    return {
        "below": (f"{column}<{min(values)}",),
        "above": (f"{column}>{max(values)}",),
        "between": (f"{column}>={oldest[:-1]}", f"{column}<={oldest}", f"{column}!={NOBODY}"),
        "beginning": (f"{column}={oldest[:11]}*",),
        "any beginning": (f"{column}=0x*",),
    }[case]


def _passes(row: dict[str, Any], column: str, how: str, text: str) -> bool:
    value = row[column]
    if value is None:
        return False
    if how == "=" and text.endswith("*"):
        return str(value).startswith(text[:-1])
    read = getattr(type(value), "fromisoformat", type(value))
    return COMPARED[how](value, read(text))


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in (*LARGE, "payments")])
def test_every_column_of_a_short_list_is_a_filter(database: sa.Connection, name: str) -> None:
    every = [dict(row) for row in database.execute(sa.select(VIEWS[name])).mappings()]
    for column in VIEWS[name].columns:
        some = next((row[column.name] for row in every if row[column.name] is not None), None)
        for how in () if some is None else ("=",) if isinstance(some, str) else ("=", ">", "<="):
            text = f"{column.name}{how}{some}"
            found = rows(database, Listing(name, (text,), limit=100_000))
            expected = [row for row in every if _passes(row, *parts(text))]
            assert sorted(map(repr, found)) == sorted(map(repr, expected)), text
