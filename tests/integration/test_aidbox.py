"""Reading a made-up Aidbox in each of the three ways: what the tables hold is what its ledger says."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from indexer.devnet.aidbox import Node
from indexer.devnet.aidbox_engine import Engine
from indexer.errors import Ambiguous, NotCovered
from indexer.networks.aidbox import LOG, TASK, WORKFLOW
from indexer.query import Change, connect, watch
from indexer.query.lists import Listing, rows
from indexer.query.task import find
from indexer.store import aidbox as store
from indexer.store import database as db
from tests.integration.aidbox_support import (
    STATUS,
    ask,
    incidents,
    job,
    live,
    lived,
    read_log,
    served,
    settings,
    sync,
    tasks,
    true_log,
    true_tasks,
    versions,
)

POLLS = {"awf.task/poll", "awf.task/long-poll"}
READING = {"awf.task/list", "awf.task/status", "awf.workflow/list", "awf.workflow/status"}


def assert_only_read(node: Node) -> None:
    """No request that could change anything was ever sent."""
    assert node.asked
    assert not POLLS & set(node.asked)
    assert {each for each in node.asked if each.startswith("awf.")} <= READING
    assert {each.split()[0] for each in node.asked if each.startswith(("GET", "POST"))} <= {"GET"}


def test_one_run_gives_every_version_that_ever_was(migrated: str) -> None:
    node = lived(130)
    with served(node) as url:
        sync(migrated, url)
        first = ask(migrated, "SELECT resource, mode, version FROM aidbox.cursors ORDER BY 1")
        sync(migrated, url)
    for resource in (TASK, WORKFLOW):
        assert versions(migrated, resource) == {fact for fact in node.engine.ledger if fact.resource == resource}
    assert tasks(migrated) == true_tasks(node)
    assert read_log(migrated) == true_log(node)
    assert any(gone for *_, gone in true_tasks(node).values()), "something was cleaned up"
    assert {status for _, status, *_ in tasks(migrated).values()} >= {"open", "running", "succeeded", "failed"}
    assert {mode for _, mode, _ in first} == {"history"}
    assert ask(migrated, "SELECT resource, mode, version FROM aidbox.cursors ORDER BY 1") == first
    assert incidents(migrated) == []
    assert_only_read(node)


@pytest.mark.parametrize(("seed", "links", "txid"), [(3, True, "after"), (4, False, "after"), (5, False, "none")])
async def test_history_pass_by_pass(migrated: str, seed: int, links: bool, txid: str) -> None:
    """Every version, although each pass reads only what is new; pages of 20 while things go on."""
    node = lived(40, seed, links=links, txid=txid, cap=20)
    async with job(migrated, node) as reader:
        await reader.tick()
        for _ in range(4):
            live(node, 12)
            await reader._read_all(sweep=False)
        asked = reader.requests()
        for _ in range(3):
            await reader._read_all(sweep=False)
        assert reader.requests() - asked <= 3 * 3 * 30
    for resource in (TASK, WORKFLOW):
        assert versions(migrated, resource) == {fact for fact in node.engine.ledger if fact.resource == resource}
    assert tasks(migrated) == true_tasks(node)
    assert read_log(migrated) == true_log(node)
    assert_only_read(node)


@pytest.mark.parametrize("poor", [{"histories": "current"}, {"histories": "refused"}, {"txid": "only"}])
async def test_the_search_where_histories_are_of_no_use(migrated: str, poor: dict[str, Any]) -> None:
    """The last version of each pass; what was cleaned up, although nobody tells."""
    node = lived(50, 11, cap=20, **poor)
    node.engine.told = False
    seen: set[Any] = set()
    async with job(migrated, node) as reader:
        for number in range(5):
            await reader._read_all(sweep=number % 2 == 0)
            seen |= {(each["id"], each["meta"]["versionId"]) for each in node.engine.tables[TASK].values()}
            live(node, 15)
        await reader.tick()
    now = node.engine.tables[TASK]
    seen |= {(each["id"], each["meta"]["versionId"]) for each in now.values()}
    assert {(id, version) for _, id, version, *_ in versions(migrated, TASK)} == seen
    held, truth = tasks(migrated), true_tasks(node)
    assert {id for id, (*_, gone) in held.items() if not gone} == set(now)
    assert {id: row[:3] for id, row in held.items() if id in now} == {id: truth[id][:3] for id in now}
    gone = {id: row for id, row in held.items() if id not in now}
    assert gone
    for id, (network_status, status, version, _) in gone.items():
        assert truth[id][0] == "done", "only what is done is cleaned up"
        if version == truth[id][2]:
            assert (network_status, status) == ("done", truth[id][1])
        else:
            assert (network_status, status) == ("cleaned-up", None)
    lost = any(row[0] == "cleaned-up" for row in gone.values())
    assert ("OutcomeLost" in incidents(migrated)) == lost
    assert "NoHistory" in incidents(migrated)
    assert {mode for (mode,) in ask(migrated, "SELECT mode FROM aidbox.cursors WHERE resource = 'AidboxTask'")} == {
        "updated"
    }
    assert_only_read(node)


async def test_lists_for_a_client_that_may_not_do_more(migrated: str) -> None:
    node = lived(50, 12, search=False, histories="refused")
    node.engine.told = False
    lines: set[Any] = set()
    async with job(migrated, node) as reader:
        for _ in range(5):
            lines |= {(each["id"], each["meta"]["versionId"]) for each in node.engine.tables[LOG].values()}
            await reader._read_all(sweep=False)
            live(node, 12)
        await reader.tick()
    now = node.engine.tables[TASK]
    held, truth = tasks(migrated), true_tasks(node)
    assert {id for id, (*_, gone) in held.items() if not gone} == set(now)
    assert {id: row[:3] for id, row in held.items() if id in now} == {id: truth[id][:3] for id in now}
    there = {(each["id"], each["meta"]["versionId"]) for each in node.engine.tables[LOG].values()}
    assert there <= read_log(migrated) <= lines | there
    flows = ask(migrated, "SELECT workflow_id, version FROM aidbox.workflows WHERE cleaned_up_at IS NULL")
    assert set(flows) == {(id, each["meta"]["versionId"]) for id, each in node.engine.tables[WORKFLOW].items()}
    assert {"awf.task/list", "awf.task/status", "awf.workflow/list"} <= set(node.asked)
    assert_only_read(node)


def test_executions_are_those_of_the_ledger(migrated: str) -> None:
    node = lived(150, 21)
    with served(node) as url:
        sync(migrated, url)
    begun = {(fact.id, fact.exec_id) for fact in node.engine.ledger if fact.resource == TASK and fact.exec_id}
    rows = ask(migrated, "SELECT task_id, exec_id, state, settled_at IS NULL FROM aidbox.executions")
    assert {(task, execution) for task, execution, *_ in rows} == begun
    wanted = true_executions(node)
    assert {(task, execution): state for task, execution, state, _ in rows} == wanted
    assert set(wanted.values()) == {"submitted", "accepted", "rejected", "expired", "lost"}
    assert all((state == "submitted") == still for _, _, state, still in rows)
    work = Counter(ask(migrated, "SELECT task_id, state FROM analytics.work WHERE network = 'aidbox'"))
    assert work == Counter((task, state) for (task, _), state in wanted.items())
    submitted = ask(migrated, "SELECT sum(submitted), sum(accepted) FROM analytics.workers WHERE network = 'aidbox'")
    assert submitted == [(len(begun), sum(state == "accepted" for state in wanted.values()))]


def true_executions(node: Node) -> dict[tuple[str, str], str]:
    """State of each execution, followed along the ledger.

    A try that failed and is followed by another shows no reason, so it counts as rejected, timed out or not.
    """
    found: dict[tuple[str, str], str] = {}
    running: dict[str, str] = {}
    for fact in node.engine.ledger:
        if fact.resource != TASK or fact.deleted:
            continue
        mine = running.get(fact.id)
        if fact.status in ("requested", "in-progress") and fact.exec_id:
            running[fact.id] = fact.exec_id
            found[fact.id, fact.exec_id] = "submitted"
        elif mine:
            del running[fact.id]
            found[fact.id, mine] = ended(node, fact)
    return found


def ended(node: Node, fact: Any) -> str:
    if fact.status == "ready":
        return "expired"
    if fact.status == "waiting":
        return "rejected"
    if fact.outcome != "failed":
        return {"succeeded": "accepted", "canceled": "lost"}[fact.outcome]
    entry = next(e for e in node.engine.past[TASK] if e.resource["meta"]["versionId"] == fact.version)
    return "expired" if "timeout" in entry.resource["outcomeReason"]["type"] else "rejected"


async def test_transactions_that_are_committed_late_are_not_missed(migrated: str) -> None:
    """A number is given when a transaction begins; one that takes a minute is committed below the newest."""
    node = lived(20, 31)
    async with job(migrated, node) as reader:
        await reader.tick()
        with node.lock:
            node.engine.holding = True
            late = node.engine.create("late/short", {})["resource"]["id"]
            node.engine.holding = False
        node.engine.advance(1)
        node.engine.create("in/time", {})
        await reader._read_all(sweep=False)
        assert late not in tasks(migrated)
        node.engine.release()
        await reader._read_all(sweep=False)
        assert late in tasks(migrated)
        with node.lock:
            node.engine.holding = True
            later = node.engine.create("late/long", {})["resource"]["id"]
            node.engine.holding = False
        for _ in range(3):
            node.engine.advance(100)
            node.engine.create("in/time", {})
        await reader._read_all(sweep=False)
        node.engine.release()
        await reader._read_all(sweep=False)
        assert later not in tasks(migrated)
        await reader._read_all(sweep=True)
        assert later in tasks(migrated), "a sweep looks at everything"


def test_killed_in_the_middle_of_a_pass_it_goes_on_where_the_last_whole_one_ended(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    node = lived(60, 41, cap=20)
    real, left = store.write, 3

    def dies(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("killed")
        return real(*arguments)

    for pages in (3, 7, 12):
        left = pages
        with monkeypatch.context() as patch:
            patch.setattr(store, "write", dies)
            with served(node) as url, pytest.raises(RuntimeError, match="killed"):
                sync(migrated, url)
        live(node, 10)
    with served(node) as url:
        sync(migrated, url)
    for resource in (TASK, WORKFLOW):
        assert versions(migrated, resource) == {fact for fact in node.engine.ledger if fact.resource == resource}
    assert tasks(migrated) == true_tasks(node)


async def test_it_keeps_up_while_things_happen(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.ingest import aidbox as ingest
    from indexer.ingest.run import run

    monkeypatch.setattr(ingest, "PASS_SECONDS", 0.05)
    node = Node(Engine(51))
    engine = db.engine(migrated)
    with served(node) as url:
        work = asyncio.ensure_future(
            run(settings(migrated, url), engine, until_synced=False, watch=lambda jobs: None, poll_seconds=0.02)
        )
        for _ in range(6):
            live(node, 8)
            await until(work, lambda: tasks(migrated) == true_tasks(node))
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    engine.dispose()
    assert_only_read(node)


async def until(work: asyncio.Future[Any], done: Any) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(done):
            assert not work.done(), work.exception()
            await asyncio.sleep(0.05)


def test_a_task_with_its_executions_versions_and_log(migrated: str) -> None:
    node = lived(60, 61)
    with served(node) as url:
        sync(migrated, url)
    done = next(fact for fact in node.engine.ledger if fact.resource == TASK and fact.outcome == "succeeded")
    engine = db.engine(migrated)
    with engine.connect() as connection:
        found = find(connection, done.id[:12])
    engine.dispose()
    assert found.task["task_id"] == done.id
    assert [work["state"] for work in found.work][-1] == "accepted"
    told = [event["block"] for event in found.events if event["event"] == "task_versions"]
    ledger = [int(fact.version) for fact in node.engine.ledger if fact.id == done.id]
    assert told == ledger
    assert any(event["event"] == "task_log" for event in found.events)
    lived_through = [at for at in found.timeline if at["log_index"] == 0]
    assert [(at["block"], at["network_status"]) for at in lived_through] == [
        (int(fact.version), fact.status) for fact in node.engine.ledger if fact.id == done.id
    ]
    lines = {at["details"]["log_id"] for at in found.timeline if at["log_index"] == 1}
    query = "SELECT log_id, task_id FROM aidbox.task_log WHERE NOT deleted"
    assert lines == {log for log, task in ask(migrated, query) if task == done.id}
    assert lines
    assert [at["at"] for at in found.timeline] == sorted(at["at"] for at in found.timeline)


def test_the_past_is_what_the_ledger_told_until_then(migrated: str) -> None:
    node = lived(70, 81)
    with served(node) as url:
        sync(migrated, url)
    facts = [fact for fact in node.engine.ledger if fact.resource == TASK]
    times = {e.resource["meta"]["versionId"]: e.resource["meta"]["lastUpdated"] for e in node.engine.past[TASK]}
    with psycopg.connect(migrated) as connection:
        (number,) = connection.execute("SELECT chain_id FROM chain.chains").fetchone() or (0,)
        for fact in facts[::40]:
            wanted = {}
            for each in facts:
                if int(each.version) <= int(fact.version):
                    status = STATUS[(each.outcome if each.status == "done" else each.status) or ""]
                    wanted[each.id] = (each.status, status, int(each.version))
            query = "SELECT task_id, network_status, status, last_block FROM analytics.tasks_at(%s, %s, %s)"
            at_block = connection.execute(query, (number, int(fact.version), None)).fetchall()
            assert {id: rest for id, *rest in at_block} == {id: list(row) for id, row in wanted.items()}
        newest = "SELECT t.* FROM aidbox.cursors c, analytics.tasks_at(c.chain_id, c.version) t"
        latest = connection.execute(newest + " WHERE c.resource = 'AidboxTask'")
        assert set(latest.fetchall()) == set(connection.execute("SELECT * FROM analytics.tasks").fetchall())
    engine = db.engine(migrated)
    with engine.connect() as connection:
        for fact in facts[5::60]:
            then = {row["task_id"]: row["last_block"] for row in rows(connection, Listing(
                "tasks", limit=10_000, as_of=times[fact.version]))}  # fmt: skip
            until = [each for each in facts if times[each.version] <= times[fact.version]]
            assert then == {each.id: int(each.version) for each in until}
            assert find(connection, fact.id, times[fact.version]).task["last_block"] == then[fact.id]
        for outside in ("2001-01-01", "2199-01-01"):
            with pytest.raises(NotCovered, match="is not known: it is read from"):
                rows(connection, Listing("tasks", as_of=outside))
        with pytest.raises(NotCovered, match=r"Version 1 of chain .* is not covered"):
            rows(connection, Listing("tasks", ("chain=clinic",), as_of="1"))
    engine.dispose()


async def test_watch_follows_a_task_from_before_it_was_read(migrated: str) -> None:
    node = lived(10, 91)
    told: list[Change] = []

    async def listen(id: str) -> None:
        async for change in watch(migrated, id, every=0.02):
            told.append(change)

    async with job(migrated, node) as reader:
        await reader.tick()
        with node.lock:
            id = node.engine.create("clinic/x", {})["resource"]["id"]
        listener = asyncio.create_task(listen(id[:20]))  # completed once the task is there
        await reader._read_all(sweep=False)
        await until(listener, lambda: told)
        with node.lock:
            node.engine.cancel(id)
        await reader._read_all(sweep=False)
        await asyncio.wait_for(listener, 20)
    truth = [fact.status for fact in node.engine.ledger if fact.id == id]
    assert [change.network_status for change in told if change.what in truth] == truth
    assert told[-1].status == "cancelled"


def test_a_whole_id_that_begins_another_is_no_beginning(migrated: str) -> None:
    node = lived(10, 92)
    with served(node) as url:
        sync(migrated, url)
    id = next(iter(tasks(migrated)))
    with psycopg.connect(migrated) as connection:
        longer = "(jsonb_populate_record(t, jsonb_build_object('task_id', t.task_id || '-0'))).*"
        copy = psycopg.sql.SQL("INSERT INTO aidbox.tasks SELECT {} FROM aidbox.tasks t WHERE task_id = %s")
        connection.execute(copy.format(psycopg.sql.SQL(longer)), [id])
    with connect(migrated) as connection:
        for text in (id, id + "-"):
            assert find(connection, text).task["task_id"] == (id if text == id else id + "-0")
        with pytest.raises(Ambiguous, match="Several tasks"):
            find(connection, id[:-1])
    with pytest.raises(Ambiguous, match="Several tasks"):
        asyncio.run(first(watch(migrated, id[:-1])))


async def first(changes: AsyncIterator[Change]) -> Change:
    return await anext(changes)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM analytics.tasks WHERE task_id = 'a'", "ix_tasks_task_id"),
        ("SELECT * FROM analytics.tasks WHERE task_id LIKE 'abc%'", "ix_tasks_task_id"),
        ("SELECT * FROM analytics.tasks WHERE subject = 'clinic/x'", "ix_tasks_definition"),
        ("SELECT * FROM analytics.tasks WHERE submitter = 'user-1'", "ix_tasks_requester_id"),
        ("SELECT * FROM analytics.tasks ORDER BY submitted_at DESC LIMIT 50", "ix_tasks_created_at"),
        ("SELECT * FROM analytics.work WHERE worker = 'clinic/x'", "ix_executions_executor"),
        ("SELECT * FROM analytics.work WHERE task_id = 'a'", "ix_executions_task_id"),
        ("SELECT * FROM analytics.work ORDER BY submitted_at DESC LIMIT 50", "ix_executions_requested_at"),
    ],
)
def test_filters_and_pages_use_an_index(migrated: str, query: str, index: str) -> None:
    with psycopg.connect(migrated) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))
    assert index in plan
    if "ORDER BY" in query:
        assert "Merge Append" in plan
        assert "Sort  (" not in plan or "work" in query  # Koii sorts the few rows of a reward


def test_days_add_up(migrated: str) -> None:
    node = lived(60, 71)
    with served(node) as url:
        sync(migrated, url)
    truth = true_tasks(node)
    found = ask(
        migrated, "SELECT sum(tasks), sum(succeeded), sum(failed) FROM analytics.daily WHERE network = 'aidbox'"
    )
    ends = Counter(status for _, status, *_ in truth.values())
    assert found == [(len(truth), ends["succeeded"], ends["failed"])]
    counts = ask(migrated, "SELECT status, tasks FROM analytics.status_counts WHERE network = 'aidbox'")
    assert dict(counts) == dict(ends)
