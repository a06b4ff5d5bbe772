"""Reading Koii from a stand-in of K2: its methods, whole lives of tasks against its own ledger, and what goes wrong."""

import asyncio
import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from indexer.config import Settings, build
from indexer.devnet.koii import Node, Refused, served
from indexer.errors import RpcRefused, WrongChain
from indexer.ingest.job import connect
from indexer.ingest.run import run
from indexer.ingest.snapshot import SnapshotJob
from indexer.ingest.snapshot_schedule import next_read
from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, json_state
from indexer.rpc import k2
from indexer.store import database as db
from indexer.store import koii as store
from indexer.store import named
from indexer.store.store import Store

LAST = "SELECT task_id, max(slot) FROM koii.snapshots WHERE submission GROUP BY 1"


@pytest.fixture
def node() -> Node:
    return Node(seed=5)


@pytest.fixture
def url(node: Node) -> Iterator[str]:
    with served(node) as url:
        yield url


def settings(database: str, url: str, tasks: list[str] | None = None) -> Settings:
    tree = {
        "database": {"url": database},
        "chains": [{"name": "koii", "kind": "k2", "rpc": [url]}],
        "sources": [{"network": "koii", "chain": "koii", "addresses": tasks or []}],
    }
    return build(tree, "test")


def sync(database: str, url: str, tasks: list[str] | None = None) -> None:
    engine = db.engine(database)
    try:
        asyncio.run(run(settings(database, url, tasks), engine, until_synced=True, watch=lambda jobs: None))
    finally:
        engine.dispose()


def ask(database: str, query: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def of_kind(node: Node, *, kpl: bool) -> Any:
    return next(task for task in node.tasks.values() if task.kpl == kpl)


async def test_every_method_of_the_client(node: Node, url: str) -> None:
    node.advance(400)
    task = of_kind(node, kpl=False)
    provider = connect(settings("postgresql://x/y", url).chains[0].http[0])
    try:
        assert await k2.slot(provider) == node.slot
        assert await k2.genesis(provider) == node.genesis
        assert await k2.block_time(provider, node.slot) == node._getBlockTime(node.slot)
        assert await k2.block_time(provider, node.slot + 9) is None
        found = await k2.task_account(provider, task.id, ["stake"])
        state = json_state.read(found.data or b"")
        assert (found.slot, state.stakes, state.submissions) == (node.slot, task.tree["stake_list"], [])
        whole = await k2.account(provider, task.id)
        assert whole.owner == KOII_PROGRAM
        assert (await k2.account(provider, task.id, length=0)).data == b""
        number = max(task.tree["submissions"])
        one = json_state.read((await k2.submission_info(provider, task.id, number)).data or b"")
        assert {s.round for s in one.submissions or ()} == {number}
        everything = json_state.read((await k2.submission_info(provider, task.id)).data or b"")
        assert {s.round for s in everything.submissions or ()} == set(task.tree["submissions"])
        lists = json_state.read((await k2.distribution_info(provider, task.id)).data or b"")
        assert {r.round for r in lists.records or ()} == set(task.tree["distributions_audit_record"])
        with pytest.raises(RpcRefused, match="round 99 not found"):
            await k2.submission_info(provider, task.id, 99)
        who, (value, slot) = next(iter(task.tree["submissions"][number].items()))
        mine = await k2.my_submission_round(provider, task.id, who, number)
        assert mine == {"submission_value": value, "slot": slot}
        staker, stake = next(iter(task.tree["stake_list"].items()))
        assert await k2.my_stake(provider, task.id, staker) == stake
        assert await k2.my_stake(provider, task.id, KPL_PROGRAM) == 0
        with pytest.raises(RpcRefused) as refused:
            await provider.call(k2.Call("getBlocks"), list[int])
        assert k2.is_unknown_method(refused.value)
    finally:
        await provider.disconnect()


def test_one_snapshot_of_all_tasks(node: Node, url: str, migrated: str) -> None:
    node.advance(400)
    sync(migrated, url)
    found = ask(migrated, "SELECT task_id, contract, status, subject FROM analytics.tasks")
    assert sorted(found) == sorted(
        (task.id, KPL_PROGRAM if task.kpl else KOII_PROGRAM, "running", task.tree["task_name"])
        for task in node.tasks.values()
    )
    stakes = defaultdict(dict)
    for task, staker, amount in ask(migrated, "SELECT task_id, staker, amount FROM koii.stakes"):
        stakes[task][staker] = int(amount)
    assert stakes == {task.id: task.tree["stake_list"] for task in node.tasks.values()}
    before = ask(migrated, "SELECT relname, n_live_tup FROM pg_stat_user_tables WHERE schemaname = 'koii'")
    assert before
    sync(migrated, url)
    outcomes = ask(migrated, "SELECT outcome, count(*) FROM koii.snapshots GROUP BY 1 ORDER BY 1")
    assert outcomes == [("read", 4), ("unchanged", 4)]
    ((chain_id, name, kind, head),) = ask(migrated, "SELECT chain_id, name, kind, head_block FROM chain.chains")
    assert (chain_id, name, kind, head) == (-1, "koii", "k2", node.slot)
    assert ask(migrated, "SELECT network, read_to FROM analytics.freshness") == [("koii", node.slot)] * 4


def test_listed_tasks_only_and_what_is_none(node: Node, url: str, migrated: str) -> None:
    task, other = of_kind(node, kpl=True).id, KOII_PROGRAM
    sync(migrated, url, [task, other])
    assert ask(migrated, "SELECT task_id FROM koii.tasks") == [(task,)]
    ((text,),) = ask(migrated, "SELECT message FROM chain.incidents")
    assert text == f"{other} is no task of Koii: there is no account of that id. Correct addresses."


def test_another_chain_behind_the_same_name_is_refused(node: Node, url: str, migrated: str) -> None:
    sync(migrated, url)
    with served(Node(seed=6)) as other, pytest.raises(WrongChain, match="serves another chain than the one that koii"):
        sync(migrated, other)


def test_a_stock_solana_node_will_do(
    node: Node, url: str, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def unknown(*_: object) -> None:
        raise Refused(-32601, "Method not found")

    monkeypatch.setattr(node, "_getTaskAccountInfo", unknown)
    node.advance(200)
    sync(migrated, url)
    assert ask(migrated, "SELECT count(*) FROM koii.tasks") == [(4,)]
    assert Counter(node.calls)["getAccountInfo"] == 4


def test_damaged_accounts_are_kept_and_stop_nobody(
    node: Node, url: str, migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    bad = of_kind(node, kpl=True).id
    real = node._state
    monkeypatch.setattr(node, "_state", lambda task: (lambda s, d: (s, d[:-9] if task == bad else d))(*real(task)))
    node.advance(200)
    sync(migrated, url)
    assert ask(migrated, "SELECT count(*) FROM koii.tasks") == [(3,)]
    ((task, owner, reason, data),) = ask(migrated, "SELECT task_id, owner, reason, data FROM koii.unreadable_states")
    assert (task, owner, data) == (bad, KPL_PROGRAM, real(bad)[1][:-9])
    assert "are too few" in reason
    ((kind, subject),) = ask(migrated, "SELECT kind, subject FROM chain.incidents")
    assert (kind, subject) == ("StateUnreadable", f"koii task {bad}")


async def live_through(database: str, url: str, node: Node, slots: int, migrate_at: int) -> None:
    """Read all tasks at the moments that the schedule names while `slots` slots pass."""
    engine = db.engine(database)
    wanted = settings(database, url)
    writer = Store(engine)
    number = await writer.run(named.chain_number, "koii", "k2", "wall")
    job = SnapshotJob(wanted.chains[0], number, wanted.sources, writer, connect)
    try:
        await job.prepare()
        await job.tick()
        due: dict[str, Any] = {}
        end = node.slot + slots
        while node.slot < end:
            for task in node.tasks:
                if task not in due:
                    if task not in job.tasks:
                        await job.find()
                        await job.read(task, store_sections())
                    due[task] = await plan(writer, number, task, node.slot)
            soonest = min(each.slot for each in due.values())
            node.advance(max(1, min(soonest, end, migrate_at if node.slot < migrate_at else end) - node.slot))
            if node.slot == migrate_at:
                node.migrate()
            for task in [task for task, each in due.items() if each.slot <= node.slot]:
                await job.read(task, due.pop(task).sections)
    finally:
        await job.close()
        writer.close()


def store_sections() -> frozenset[str]:
    return frozenset(store.SECTIONS)


async def plan(writer: Store, number: int, task: str, slot: int) -> Any:
    (row,) = await writer.run(store.known, number, task)
    return next_read(dict(row), max(row["slot"], slot), 0.4)


@pytest.mark.parametrize("stale", [0.0, 0.2])
async def test_whole_lives_against_the_ledger_of_the_node(migrated: str, stale: float) -> None:
    """Rounds, audits, failed and repeated payouts, pruning, migration, stale answers: nothing is missed."""
    node = Node(seed=11, tasks=3, nodes=9, stale=stale)
    with served(node) as url:
        await live_through(migrated, url, node, 60 * 22, node.slot + 60 * 12)
    ledger, last = node.ledger, dict(ask(migrated, LAST))
    found = ask(migrated, "SELECT task_id, round, submitter, value, slot FROM koii.submissions")
    assert set(found) == {row for row in ledger.submissions if row[4] <= last[row[0]]}
    assert len(found) > 300
    votes = ask(migrated, "SELECT task_id, round, subject, voter, slot, is_valid FROM koii.audit_votes")
    assert set(votes) == {row for row in ledger.votes if row[4] <= last[row[0]] + 1}
    assert votes
    lists = ask(migrated, "SELECT task_id, round, node, slot FROM koii.distribution_submissions")
    assert set(lists) == {row for row in ledger.distributions if row[3] <= last[row[0]]}
    paid = ask(migrated, "SELECT task_id, round, status FROM koii.distribution_records WHERE status LIKE 'Payout%'")
    assert set(paid) == {row[:3] for row in ledger.payouts if row[3] <= last[row[0]]}
    assert ask(migrated, "SELECT task_id, migrated_to FROM koii.migrations") == ledger.migrations
    assert ask(migrated, "SELECT 1 FROM koii.missed_rounds") == []
    assert ask(migrated, "SELECT 1 FROM chain.incidents") == []
    if stale:
        assert ask(migrated, "SELECT 1 FROM koii.snapshots WHERE outcome = 'stale'")
    else:
        assert_moves(migrated, node)


def assert_moves(database: str, node: Node) -> None:
    """What balances moved, by kind, from the first snapshot to the last one that showed them.

    What is paid and claimed between two reads cannot be told apart, so a node that has claimed is held to the net.
    """
    spans = "SELECT task_id, min(slot), max(slot) FROM koii.snapshots WHERE balance AND stake GROUP BY 1"
    read = {task: (first, last) for task, first, last in ask(database, spans)}
    wanted: Counter[tuple[str, str, str]] = Counter()
    for task, who, kind, amount, slot in node.ledger.moves:
        if read[task][0] < slot <= read[task][1]:
            wanted[task, who, kind] += amount
    query = "SELECT task_id, staker, kind, sum(amount)::bigint FROM koii.balance_changes GROUP BY 1, 2, 3"
    found = Counter({(task, who, kind): amount for task, who, kind, amount in ask(database, query)})
    claimants = {(task, who) for task, who, kind in wanted if kind == "claim"}
    for moved in (found, wanted):
        for task, who in claimants:
            moved[task, who, "net"] = moved.pop((task, who, "reward"), 0) - moved.pop((task, who, "claim"), 0)
    assert found == wanted
    assert {kind for _, _, kind in found} == {"reward", "slash", "stake", "unstake", "net"}


def fewest(database: str) -> int:
    """Snapshots of the task that has the fewest."""
    counted = Counter(task for (task,) in ask(database, "SELECT task_id FROM koii.snapshots"))
    return min(counted.values(), default=0)


def wait_for_reads(database: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and fewest(database) < 6:
        time.sleep(0.5)


async def test_the_scheduler_reads_twice_in_each_round(migrated: str) -> None:
    node = Node(seed=3, tasks=2, slot_seconds=0.1)
    stop = threading.Event()

    def pass_time() -> None:
        while not stop.wait(0.1):
            node.advance(1)

    clock = threading.Thread(target=pass_time)
    engine = db.engine(migrated)
    with served(node) as url:
        clock.start()
        work = asyncio.ensure_future(run(settings(migrated, url), engine, until_synced=False, watch=lambda jobs: None))
        try:
            await asyncio.to_thread(wait_for_reads, migrated)
        finally:
            stop.set()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            clock.join()
            engine.dispose()
    slots: dict[str, list[int]] = defaultdict(list)
    for task, slot in ask(migrated, "SELECT task_id, slot FROM koii.snapshots ORDER BY slot"):
        slots[task].append(slot)
    assert len(slots) == 2
    for seen in slots.values():
        assert len(seen) >= 6
        gaps = [b - a for a, b in itertools.pairwise(seen)]
        assert max(gaps) <= 66, "no more than a round, and the jitter"
        assert sum(gaps[1:]) / len(gaps[1:]) < 45, "two reads in a round of 60 slots"
    assert json.dumps(ask(migrated, "SELECT message FROM chain.incidents")) == "[]"
