"""iExec entities from events that no recording holds: free deals, boost, v3, forged and impossible events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from indexer.networks.iexec import NETWORK
from indexer.networks.iexec.task_ids import deal_id, task_id
from indexer.store import database as db
from indexer.store import ledger, sources
from indexer.store.facts import due
from indexer.store.fold import fold_chain
from indexer.store.sources import Wanted
from schema.chain import groups
from schema.facts import KINDS, callback_facts, deal_facts
from schema.iexec import EVENTS, FOLDS

CHAIN = 77
HUB = bytes.fromhex("11" * 20)
POOL, WORKER, PAYER = (bytes.fromhex(digit * 20) for digit in ("aa", "bb", "cc"))
REQUEST = bytes.fromhex("ee" * 32)
HASHES = {"app_hash": b"\xa1" * 32, "dataset_hash": bytes(32), "workerpool_hash": b"\xa3" * 32}
GENESIS = datetime(2025, 6, 1, tzinfo=UTC)
MAX = 2**256 - 1


class Told:
    """A chain whose events the test tells itself."""

    def __init__(self, connection: sa.Connection, chain_id: int = CHAIN, hub: bytes = HUB) -> None:
        self.connection, self.chain_id, self.hub = connection, chain_id, hub
        self.log_index = 0

    def tell(self, event: str, block: int, address: bytes | None = None, **arguments: object) -> None:
        """An event with the next log index; its columns as the table names them."""
        self.log_index += 1
        place = {"chain_id": self.chain_id, "block_number": block, "log_index": self.log_index, "tx_index": 0}
        facts = {"block_hash": b"", "block_time": GENESIS + timedelta(seconds=block), "tx_hash": bytes([block])}
        row = {**facts, **place, "address": address or self.hub, **arguments}
        self.connection.execute(sa.insert(EVENTS[event]).values(row))

    def match(self, block: int, first: int, volume: int, request: bytes = REQUEST) -> bytes:
        """A deal with the logs before it; its id."""
        dealid = deal_id(request, first)
        for owner in (PAYER, POOL):
            self.tell("transfer", block, **{"from": owner, "to": self.hub, "value": 0})
            self.tell("lock", block, owner=owner, amount=0)
        self.tell("scheduler_notice", block, workerpool=POOL, dealid=dealid)
        self.tell("orders_matched", block, dealid=dealid, request_hash=request, volume=volume, **HASHES)
        return dealid

    def fold(self, upto: int) -> None:
        """All blocks up to `upto` are read now: fold them."""
        (group,) = ledger.load_groups(self.connection, self.chain_id)
        self.connection.execute(sa.text("DELETE FROM chain.coverage"))
        values = {"g": group.group_id, "to": upto}
        self.connection.execute(sa.text("INSERT INTO chain.coverage VALUES (:g, 0, :to, 'head-bound')"), values)
        fold_chain(self.connection, self.chain_id)

    def due(self, facts: sa.Table) -> list[dict[str, Any]]:
        """Keys that enrichment would ask about."""
        asked = due(self.connection, self.chain_id, KINDS["iexec"], 50)
        assert asked is not None
        return [key for kind, keys in asked.parts if kind.facts is facts for key in keys]

    def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        return [dict(row) for row in self.connection.execute(sa.text(query), values).mappings()]


def begin(connection: sa.Connection, chain_id: int, contracts: dict[bytes, str]) -> None:
    sources.settle_chain(connection, chain_id, f"chain {chain_id}", "head", (0, "0x" + "00" * 32))
    wanted = [Wanted("0x" + address.hex(), "iexec", role, 0) for address, role in contracts.items()]
    sources.configure(connection, chain_id, wanted)


@pytest.fixture
def connection(migrated: str) -> Iterator[sa.Connection]:
    engine = db.engine(migrated)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def chain(connection: sa.Connection) -> Told:
    begin(connection, CHAIN, {HUB: "hub"})
    return Told(connection)


def test_a_free_deal_without_bound_lists_ten_thousand_tasks(chain: Told) -> None:
    dealid = chain.match(1, 0, MAX)
    chain.fold(1)
    (deal,) = chain.rows("SELECT * FROM iexec.deals")
    assert (deal["bot_first"], deal["bot_size"], deal["tasks_not_listed"]) == (0, MAX, MAX - 10_000)
    query = "SELECT count(*) AS n, max(idx) AS last, max(status) AS status, max(fee) AS fee FROM iexec.tasks"
    assert chain.rows(query) == [{"n": 10_000, "last": 9_999, "status": 0, "fee": 0}]
    assert chain.rows("SELECT 1 FROM iexec.tasks WHERE taskid = :id", id=task_id(dealid, 9_999))


def test_a_task_beyond_the_list_joins_it_when_it_is_initialized(chain: Told) -> None:
    dealid = chain.match(1, 0, MAX)
    near, far = task_id(dealid, 10_003), task_id(dealid, 10**30)
    chain.fold(1)
    chain.tell("task_initialize", 2, taskid=near, workerpool=POOL)
    chain.tell("task_initialize", 2, taskid=far, workerpool=POOL)
    chain.fold(2)
    found = {row["taskid"]: row for row in chain.rows("SELECT * FROM iexec.tasks WHERE status = 1")}
    assert (found[near]["dealid"], found[near]["idx"]) == (dealid, 10_003)
    assert (found[far]["dealid"], found[far]["workerpool"]) == (None, POOL)
    assert chain.rows("SELECT tasks_not_listed AS n FROM iexec.deals") == [{"n": MAX - 10_001}]


def test_earlier_deals_that_were_not_read_are_searched_for_and_the_bound_is_kept(chain: Told) -> None:
    far = bytes.fromhex("dd" * 32)
    known = [chain.match(5, 700, 3), chain.match(6, 703, 4)]
    unknown = [chain.match(5, 150_000, 3, far), chain.match(6, 150_003, 3, far)]
    chain.fold(6)
    firsts = {row["dealid"]: row["bot_first"] for row in chain.rows("SELECT * FROM iexec.deals")}
    assert firsts == {known[0]: 700, known[1]: 703, unknown[0]: None, unknown[1]: None}
    left = {row["dealid"]: row["tasks_not_listed"] for row in chain.rows("SELECT * FROM iexec.deals")}
    assert left == {known[0]: 0, known[1]: 0, unknown[0]: 3, unknown[1]: 3}
    assert chain.rows("SELECT count(*) AS n FROM iexec.tasks") == [{"n": 7}]


def test_a_deal_that_is_told_twice_is_one_deal(chain: Told) -> None:
    for block in (1, 1, 2):
        chain.match(block, 0, 2)
        chain.fold(block)
    after = chain.match(3, 2, 1)
    chain.fold(3)
    query = "SELECT bot_first, block_number FROM iexec.deals ORDER BY block_number"
    assert chain.rows(query) == [{"bot_first": 0, "block_number": 1}, {"bot_first": 2, "block_number": 3}]
    assert chain.rows("SELECT count(*) AS n FROM iexec.tasks") == [{"n": 3}]
    assert chain.rows("SELECT taskid FROM iexec.tasks WHERE dealid = :id", id=after) == [{"taskid": task_id(after, 2)}]


def test_boost_tasks_count_from_zero_and_are_pushed_in_one_step(chain: Told) -> None:
    first = chain.match(1, 0, 2)
    dealid = deal_id(REQUEST, 2)
    chain.tell("scheduler_notice_boost", 2, workerpool=POOL, deal_id=dealid, app=PAYER, dataset=PAYER, category=0,
               tag=bytes(32), params="{}", beneficiary=PAYER)  # fmt: skip
    chain.tell("orders_matched", 2, dealid=dealid, request_hash=REQUEST, volume=2, **HASHES)
    chain.tell("result_pushed_boost", 3, deal_id=dealid, index=1, results=b"done")
    chain.tell("task_claimed", 4, taskid=task_id(dealid, 0))
    chain.fold(4)
    query = (
        "SELECT taskid, status, idx, results_text, winner_counter FROM iexec.tasks WHERE dealid = :deal ORDER BY idx"
    )
    pushed = {"status": 3, "idx": 1, "results_text": "done", "winner_counter": 0, "taskid": task_id(dealid, 1)}
    claimed = {"status": 4, "idx": 0, "results_text": None, "winner_counter": 0, "taskid": task_id(dealid, 0)}
    assert chain.rows(query, deal=dealid) == [claimed, pushed]
    deals = {row["dealid"]: row for row in chain.rows("SELECT * FROM iexec.deals")}
    assert (deals[dealid]["boost"], deals[dealid]["bot_first"]) == (True, 2)
    assert (deals[dealid]["completed_tasks"], deals[dealid]["claimed_tasks"]) == (1, 1)
    assert deals[first]["boost"] is False
    terms = {key["dealid"]: key["notice"] for key in chain.due(deal_facts)}
    assert terms[first] is None
    assert terms[dealid] == {
        "app": PAYER.hex(), "dataset": PAYER.hex(), "tag": 64 * "0", "beneficiary": PAYER.hex(), "params": "{}",
        "params_raw": None, "category": "0",
    }  # fmt: skip
    assert chain.due(callback_facts) == [], "Boost keeps nothing of what a callback was given"


def test_impossible_orders_of_events_are_shown_as_what_they_are(chain: Told) -> None:
    a, b, c, d = (bytes([n]) * 32 for n in range(4))
    for block in (1, 2):
        chain.tell("task_finalize", block, taskid=a, results=b"\xff")
        chain.tell("task_contribute", block, taskid=d, worker=WORKER, hash=bytes([block]) * 32)
    chain.tell("task_reveal", 1, taskid=b, worker=WORKER, digest=a)
    chain.tell("task_reopen", 2, taskid=c)
    chain.tell("accurate_contribution", 2, taskid=c, worker=WORKER)
    chain.tell("faulty_contribution", 2, taskid=c, worker=POOL)
    chain.tell("deal_sponsored", 2, deal_id=a, sponsor=PAYER)
    chain.fold(2)
    tasks = {row["taskid"]: row for row in chain.rows("SELECT * FROM iexec.tasks")}
    assert {taskid: row["status"] for taskid, row in tasks.items()} == {a: 3, b: 2, c: 1, d: 1}
    assert all(row["winner_counter"] is None and row["contributors"] is None for row in tasks.values())
    assert (tasks[a]["finalized_block"], tasks[a]["results"], tasks[a]["results_text"]) == (1, b"\xff", None)
    work = {(row["taskid"], row["worker"]): row for row in chain.rows("SELECT * FROM iexec.contributions")}
    assert (work[b, WORKER]["status"], work[b, WORKER]["result_hash"]) == ("PROVED", None)
    assert (work[c, WORKER]["status"], work[c, POOL]["state"]) == ("PROVED", "lost")
    assert work[d, WORKER]["result_hash"] == bytes([1]) * 32
    assert chain.rows("SELECT * FROM iexec.deals") == []
    assert chain.rows("SELECT count(*) AS n FROM iexec.v_work") == [{"n": 4}]


def test_amounts_and_times_beyond_measure_stop_no_fold(chain: Told) -> None:
    for block in range(1, 15):
        chain.tell("transfer", block, **{"from": PAYER, "to": WORKER, "value": MAX})
        chain.tell("lock", block, owner=WORKER, amount=MAX)
    chain.match(15, 0, MAX)
    chain.tell("orders_matched", 16, dealid=b"\1" * 32, request_hash=REQUEST, volume=MAX, **HASHES)
    chain.connection.execute(sa.text("UPDATE iexec.orders_matched SET block_time = 'infinity'"))
    chain.fold(16)
    accounts = {row["owner"]: row for row in chain.rows("SELECT * FROM iexec.accounts")}
    assert accounts[WORKER]["stake"] == accounts[WORKER]["locked"] == 14 * MAX
    assert accounts[PAYER]["stake"] == -14 * MAX
    chain.connection.execute(sa.text("UPDATE iexec.tasks SET timeref = :big"), {"big": MAX})
    chain.connection.execute(sa.text("UPDATE chain.chains SET head_time = now()"))
    states = chain.rows("SELECT DISTINCT network_status AS s FROM iexec.v_tasks")
    assert states == [{"s": "UNSET"}]


def test_what_a_rollback_removed_is_forgotten_and_comes_back_elsewhere(chain: Told) -> None:
    kept = chain.match(1, 0, 2)
    moved, gone = chain.match(3, 2, 2), chain.match(3, 4, 1)
    chain.fold(3)
    assert chain.rows("SELECT count(*) AS n FROM iexec.tasks") == [{"n": 5}]
    for event in ("transfer", "lock", "scheduler_notice", "orders_matched"):
        chain.connection.execute(sa.delete(EVENTS[event]).where(EVENTS[event].c.block_number > 1))
    chain.connection.execute(sa.text("DELETE FROM iexec.tasks; DELETE FROM iexec.deals"))
    chain.connection.execute(sa.update(groups).values(folded_to=None))
    assert chain.match(2, 2, 2) == moved
    chain.fold(2)
    ids = {row["taskid"]: row["listed_from"] for row in chain.rows("SELECT * FROM iexec.task_ids")}
    assert ids == {task_id(kept, 0): 1, task_id(kept, 1): 1, task_id(moved, 2): 2, task_id(moved, 3): 2}
    assert task_id(gone, 4) not in ids
    assert {row["taskid"] for row in chain.rows("SELECT * FROM iexec.tasks")} == set(ids)


def test_the_clerk_of_v3_keeps_deals_and_money_of_the_hub(connection: sa.Connection) -> None:
    """Both generations on Ethereum: what belongs together is known from the deployments."""
    here = [deployment for deployment in NETWORK.deployments if deployment.chain_id == 1]
    begin(connection, 1, {bytes.fromhex(c.address[2:]): c.role for d in here for c in d.contracts})
    old = next(d for d in here if d.created_in)
    hub, clerk = (bytes.fromhex(c.address[2:]) for c in old.contracts[:2])
    registry = next(bytes.fromhex(c.address[2:]) for c in old.contracts if c.role == "appregistry")
    chain = Told(connection, 1, clerk)
    dealid, amounts = (
        deal_id(REQUEST, 0),
        (("deposit", 100), ("lock", 40), ("seize", 10), ("unlock", 30), ("withdraw", 7)),
    )
    chain.tell("orders_matched", 1, dealid=dealid, request_hash=REQUEST, volume=1, **HASHES)
    for event, amount in amounts:
        reference = {"ref": bytes(32)} if event == "seize" else {}
        chain.tell(event, 2, owner=PAYER, amount=amount, **reference)
    chain.tell("task_initialize", 3, hub, taskid=task_id(dealid, 0), workerpool=POOL)
    chain.tell("create_app", 3, registry, app_owner=PAYER, app=WORKER)
    chain.fold(3)
    chain.tell("task_finalize", 4, hub, taskid=task_id(dealid, 0), results=b"")
    (task,) = chain.rows("SELECT * FROM iexec.tasks")
    assert (task["address"], task["dealid"], task["status"]) == (hub, dealid, 1)
    (account,) = chain.rows("SELECT * FROM iexec.accounts")
    assert (account["address"], account["stake"], account["locked"]) == (hub, 100 - 40 + 30 - 7, 0)
    (app,) = chain.rows("SELECT * FROM iexec.apps")
    assert (app["address"], app["owner"], app["registry"]) == (hub, PAYER, registry)
    chain.fold(4)
    assert chain.rows("SELECT status, results_callback FROM iexec.tasks") == [{"status": 3, "results_callback": None}]
    assert chain.due(callback_facts) == [], "v3 has no callback results"
    assert [key["emitter"] for key in chain.due(deal_facts)] == [clerk]


def test_functions_are_inlined_so_that_the_planner_sees_the_keys(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        for fold in FOLDS:
            function = sql.Identifier("iexec", f"fold_{fold.table.name}")
            key = sql.SQL("ARRAY[7::numeric]" if fold.key == "catid" else "ARRAY[''::bytea]")
            query = sql.SQL("EXPLAIN SELECT * FROM {}(1, ARRAY[''::bytea], {}, 9)").format(function, key)
            plan = [line for (line,) in connection.execute(query)]
            assert not any(f"Function Scan on fold_{fold.table.name}" in line for line in plan)
