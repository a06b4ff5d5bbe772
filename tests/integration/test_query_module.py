"""How `indexer.query` asks: both ways alike, page by page, by indexes, and what it says to what cannot be asked."""

import asyncio
import inspect
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from indexer import errors
from indexer.cli.query_cmd import _connected
from indexer.query import (
    Query,
    as_arrow,
    as_pandas,
    ask,
    ask_async,
    claimable,
    connect_async,
    finalize,
    questions,
    rows,
)
from indexer.query.asking import connect
from indexer.query.lists import Listing, page_of
from indexer.query.task import find_steps
from schema.analytics import VIEWS, latencies, timeline
from tests.support import needs_recordings

pytestmark = needs_recordings

TYPED = {
    "tasks": rows.TaskRow, "work": rows.WorkRow, "payments": rows.PaymentRow, "disputes": rows.DisputeRow,
    "daily": rows.DayRow, "claimable": rows.Claimable, "stuck": rows.Stuck, "expiring": rows.Expiring,
    "open_disputes": rows.OpenDispute, "worker_records": rows.WorkerRecord, "subjects": rows.Subject,
    "pool_depth": rows.PoolDepth, "latencies": rows.Latency, "parameter_history": rows.Parameter,
}  # fmt: skip


@pytest.fixture(scope="module")
def database(filled: str) -> Any:
    with connect(filled) as connection:
        yield connection


def test_typed_rows_are_the_rows_of_the_views() -> None:
    for name, kind in TYPED.items():
        assert kind._fields == tuple(VIEWS[name].c.keys()), name
    assert rows.Moment._fields == tuple(timeline.c.keys())
    assert set(VIEWS) - set(TYPED) == {"workers"}


@pytest.mark.parametrize("name", VIEWS)
def test_pages_one_after_the_other_are_the_whole_list(database: sa.Connection, name: str) -> None:
    whole = ask(database, page_of(Listing(name, limit=10_000)))
    size = max(5, len(whole.rows) // 12)
    found, after = [], None
    while True:
        page = ask(database, page_of(Listing(name, limit=size, after=after)))
        found += page.rows
        if page.next is None:
            break
        after = page.next
    assert found == whole.rows
    assert found
    assert whole.next is None


QUERIES: dict[str, Callable[[], Query[Any]]] = {
    "claimable": lambda: questions.claimable(network="iexec", limit=500),
    "expiring": questions.expiring,
    "latencies": questions.latencies,
    "past": lambda: questions.tasks(chain="arbius", as_of="2025-06-10", status="claimable", limit=500),
    "page": lambda: page_of(Listing("tasks", ("status=failed", "submitted_at>2025-06-03"), limit=7)),
    "task": lambda: Query(lambda: find_steps("0x7217a90c")),
    "task then": lambda: Query(lambda: find_steps("0x7217a90c", "50")),
}


@pytest.mark.parametrize("name", QUERIES)
def test_both_ways_give_the_same(database: sa.Connection, filled: str, name: str) -> None:
    async def asked() -> Any:
        async with connect_async(filled) as connection:
            return await ask_async(connection, QUERIES[name]())

    found = asyncio.run(asked())
    assert found == ask(database, QUERIES[name]())
    assert found


def test_all_that_a_command_shows_is_of_one_moment(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    chain = '[[chains]]\nname = "arbius"\nchain_id = 42161\nrpc = ["http://127.0.0.1:1"]\n'
    file.write_text(f'[database]\nurl = "{filled}"\n{chain}[[sources]]\nnetwork = "arbius"\nchain = "arbius"\n')
    now = sa.text("SELECT pg_current_snapshot()::text")
    with _connected(file, steady=True) as connection, psycopg.connect(filled, autocommit=True) as writer:
        first = connection.scalar(now)
        writer.execute("SELECT pg_current_xact_id()")
        assert connection.scalar(now) == first


def test_answers_as_tables(database: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask(database, claimable(network="iexec")).rows
    table = as_arrow(found)
    assert table.column_names == list(rows.Claimable._fields)
    assert [Decimal(text) for text in table["gain"].to_pylist()] == [row.gain for row in found]
    monkeypatch.setitem(sys.modules, "pandas", None)  # what Python does for a module that must not be found
    with pytest.raises(errors.UsageError, match="pip install pandas"):
        as_pandas(found)


REFUSED: list[tuple[str, Callable[[], Query[Any]], type[errors.UsageError], str]] = [
    ("no id", lambda: questions.task_by_id("0x"), errors.UsageError, "no task id"),
    ("not hex", lambda: questions.task_by_id("0xzz"), errors.UsageError, "no task id"),
    ("too long", lambda: questions.task_by_id("0x" + "a" * 65), errors.UsageError, "no task id"),
    ("unknown", lambda: questions.task_by_id("0x" + "f" * 64), errors.NotFound, "No task 0xfff"),
    ("several", lambda: questions.task_by_id("0x7"), errors.Ambiguous, "Several tasks begin with 0x7"),
    ("query", lambda: page_of(Listing("claimble")), errors.UsageError, "did you mean claimable.*parameter_history"),
    ("column", lambda: page_of(Listing("stuck", (), ("stakes",))), errors.UsageError, "did you mean stake"),
    ("filter", lambda: page_of(Listing("stuck", ("acount=1",))), errors.UsageError, "did you mean account"),
    ("sign", lambda: page_of(Listing("stuck", ("account",))), errors.UsageError, "no filter"),
    ("status", lambda: questions.tasks(status="opne"), errors.UsageError, "did you mean open"),
    ("kind", lambda: page_of(Listing("payments", ("kind=fees",))), errors.UsageError, "did you mean fee"),
    ("state", lambda: page_of(Listing("work", ("state!=won",))), errors.UsageError, "no state 'won'"),
    ("network", lambda: questions.tasks(network="iexce"), errors.UsageError, "did you mean iexec"),
    ("time", lambda: questions.tasks(since="soon"), errors.UsageError, "no value for submitted_at"),
    ("number", lambda: page_of(Listing("tasks", ("last_block>9e99",))), errors.UsageError, "holds numbers"),
    ("large", lambda: page_of(Listing("tasks", (f"last_block>{2**64}",))), errors.UsageError, "holds numbers"),
    ("nul", lambda: page_of(Listing("tasks", ("subject=a\0",))), errors.UsageError, "NUL"),
    ("no hex", lambda: page_of(Listing("tasks", ("owner=0xzz",))), errors.UsageError, "'0xzz' is no value"),
    ("no hex begins", lambda: page_of(Listing("work", ("worker=0Xg*",))), errors.UsageError, "only hexadecimal digits"),
    ("no hex above", lambda: page_of(Listing("payments", ("to_address>=0x1 ",))), errors.UsageError, "hexadecimal"),
    ("no hex worker", lambda: page_of(Listing("tasks", ("worker=0xab**",))), errors.UsageError, "hexadecimal"),
    ("before all", lambda: page_of(Listing("tasks", known_at="2020-01-01")), errors.NotCovered, "was read at 2020"),
    ("prefix", lambda: page_of(Listing("tasks", ("fee=1*",))), errors.UsageError, "no beginning"),
    ("cursor", lambda: questions.tasks(after="elsewhere"), errors.UsageError, "not where a page"),
    ("foreign cursor", lambda: questions.tasks(after="WyJ4Il0="), errors.UsageError, "not where a page"),
    ("block", lambda: questions.tasks(as_of="99999999", chain="iexec"), errors.NotCovered, "is not covered"),
    ("huge block", lambda: questions.tasks(as_of="9" * 30, chain="iexec"), errors.NotCovered, "out of range"),
    ("later", lambda: questions.tasks(as_of="2099-01-01"), errors.NotCovered, "is not known"),
    ("chain", lambda: questions.tasks(as_of="3", chain="moon"), errors.NotFound, "no chain 'moon'"),
    ("which chain", lambda: questions.tasks(as_of="3"), errors.UsageError, "add the filter chain=NAME"),
]
STATUS = {errors.UsageError: 400, errors.NotFound: 404, errors.Ambiguous: 409, errors.NotCovered: 422}


@pytest.mark.parametrize(("query", "kind", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_asked_is_told_in_words(
    database: sa.Connection, query: Callable[[], Query[Any]], kind: type[errors.UsageError], words: str
) -> None:
    with pytest.raises(errors.UsageError, match=words) as told:
        ask(database, query())
    assert type(told.value) is kind
    assert (told.value.exit_code, told.value.http_status) == (2, STATUS[kind])
    assert database.scalar(sa.text("SELECT 1")) == 1, "the connection can be asked on"
    if isinstance(told.value, errors.Ambiguous):
        assert len(told.value.candidates) == 10


def test_every_error_says_how_http_answers_it() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TaskscanError)]
    assert all(kind.http_status in (400, 404, 409, 422, 500, 503) for kind in kinds)
    assert errors.DatabaseDown.http_status == 503


def test_only_what_is_to_be_finalized_is(database: sa.Connection) -> None:
    (row, *_) = ask(database, claimable(network="iexec")).rows
    with pytest.raises(errors.UsageError, match="not to be finalized"):
        finalize(row, b"")


# What solutions are read by depends on how many there are: test_reads.py counts rows instead.
LISTS = [
    ("claimable", ("account=0xab",), ("ix_tasks_live_requester", "ix_contributions_open_by")),
    ("stuck", ("account=0xab",), ("ix_tasks_live_payer", "ix_contributions_open_by")),
    (
        "claimable",
        (),
        ("ix_tasks_live ", "ix_contributions_open ", "ix_contestations_unsettled"),
    ),
    ("expiring", (), ("ix_tasks_stage ", "ix_tasks_live ")),
    ("open_disputes", (), ("ix_tasks_stage ",)),
    ("tasks", ("worker=0xab",), ("ix_contributions_worker_hex", "ix_tasks_task_id_hex")),
    ("tasks", ("owner=0xab*",), ("ix_tasks_owner_hex", "ix_tasks_requester_hex")),
    ("tasks", ("status=disputed",), ("ix_tasks_stage ",)),
    ("tasks", ("status=claimable",), ("ix_tasks_stage ", "ix_tasks_status ")),
    ("disputes", ("task_id=0xab",), ("ix_contestations_task_id_hex",)),
    ("disputes", ("against=0xab",), ("ix_contestations_solver_hex",)),
    ("claimable", ("action=settle", "account=0xab"), ("ix_votes_voter_hex",)),
    ("claimable", ("action=settle",), ("ix_contestations_unsettled",)),
    ("subjects", (), ("pk_task_sums",)),
    ("worker_records", (), ("pk_task_sums",)),
]
SMALL = {"sources", "chains", "groups", "withdraw_requests", "categories", "parameters", "worker_counts", "workerpools"}


@pytest.mark.parametrize(("name", "filters", "indexes"), LISTS)
def test_lists_read_indexes_and_no_whole_table(
    filled: str, name: str, filters: tuple[str, ...], indexes: tuple[str, ...]
) -> None:
    dialect = sa.dialects.postgresql.psycopg.dialect()
    made = Listing(name, filters).query().compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    with psycopg.connect(filled) as connection:
        connection.execute("ANALYZE")
        connection.execute("SET enable_seqscan = off")
        cursor = psycopg.ClientCursor(connection).execute(f"EXPLAIN {made.string}".encode(), made.params)
        plan = [row[0] for row in cursor]
    scans = [line.split(" on ")[1].split()[0] for line in plan if "Seq Scan" in line]
    assert set(scans) - SMALL - {"available_balances", "tasks"} == set(), plan
    for index in indexes:
        assert any(f"using {index}" in line or f"on {index}" in line for line in plan), (index, plan)


def test_pages_of_what_is_claimable_merge_by_index(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("ANALYZE")
        connection.execute("SET enable_seqscan = off")
        query = "EXPLAIN SELECT * FROM analytics.claimable WHERE begun_at IS NOT NULL ORDER BY begun_at DESC LIMIT 50"
        plan = "\n".join(row[0] for row in connection.execute(query))
    assert "Merge Append" in plan
    assert not re.search("Seq Scan on (solutions|contestations|contributions|votes) ", plan), plan


def test_pages_of_payments_merge_by_index_though_no_stake_was_ever_locked(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("ANALYZE")
        connection.execute("SET enable_seqscan = off")
        query = "EXPLAIN SELECT * FROM arbius.v_payments WHERE {} ORDER BY block_time DESC LIMIT 50"
        plans = {
            where: "\n".join(row[0] for row in connection.execute(query.format(where).encode()))
            for where in ("block_time IS NOT NULL", "kind = 'refund'", "task_id = '0xab'")
        }
    page, refunds, of_task = plans.values()
    assert "Merge Append" in page
    assert "Seq Scan on solutions" not in page
    assert "on solutions" not in refunds
    assert "using ix_solutions_task_id_hex on" in of_task


def test_a_stage_is_found_by_its_index_in_the_view_of_all_networks(filled: str) -> None:
    query = (
        "EXPLAIN SELECT * FROM analytics.tasks_by_stage WHERE stage = 'contested' ORDER BY submitted_at DESC LIMIT 9"
    )
    with psycopg.connect(filled) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(query))
    assert "Index Scan Backward using ix_tasks_stage on" in plan


def test_every_view_and_column_is_documented_for_the_reader(filled: str) -> None:
    query = """
        SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
          AND obj_description(c.oid, 'pg_class') IS NULL
        UNION ALL
        SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'analytics'::regnamespace
          AND obj_description(p.oid, 'pg_proc') IS NULL
    """
    with psycopg.connect(filled) as connection:
        assert connection.execute(query).fetchall() == []
        connection.execute("SET ROLE taskscan_read")
        for name in (*VIEWS, latencies.name):
            connection.execute(
                psycopg.sql.SQL("SELECT * FROM analytics.{} LIMIT 1").format(psycopg.sql.Identifier(name))
            )
        connection.execute("SELECT * FROM analytics.timeline('0xab')")
