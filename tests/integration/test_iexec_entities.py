"""Entities of iExec against the ledger of recorded real contracts, which no indexer made."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from eth_hash.auto import keccak
from psycopg import sql

from indexer.store import database as db
from indexer.store.fold import folded, touched_keys
from schema.iexec import FOLDS
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import HUB, IEXEC, ingest
from tests.support import addresses, held, needs_recordings, recording, replay

pytestmark = needs_recordings

CHAIN = 31337
HEAD = 147
ZERO = bytes(32)
Rows = dict[tuple[Any, ...], dict[str, Any]]


def raw(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def truth(part: str) -> Any:
    return recording("iexec-dev")["truth"][part]


def called(to: str, signature: str, argument: str = "") -> int:
    """What the recorded chain answers, as a number."""
    answer = recording("iexec-dev")["calls"][f"{to}:0x{keccak(signature.encode()).hex()[:8]}{argument}"]
    return int(answer, 16)


def fetch(database: str, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def stored(database: str, only: str | None = None) -> dict[str, Rows]:
    """The entity tables, without what enrichment fills: table -> key -> row."""
    found: dict[str, Rows] = {}
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        for fold in FOLDS:
            if only in (None, fold.table.name):
                names = sql.SQL(", ").join(sql.Identifier(column.name) for column in fold.folded)
                query = sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier("iexec", fold.table.name))
                keys = [column.name for column in fold.table.primary_key]
                found[fold.table.name] = {
                    tuple(row[key] for key in keys): row for row in connection.execute(query)
                }  # fmt: skip
    return found


def as_of(database: str, block: int) -> dict[str, Rows]:
    """All entities folded at `block` from the events, whatever the entity tables hold."""
    engine = db.engine(database)
    watched = [raw(a) for a in addresses("iexec-dev", "iexec-poco-6.1", "iexec-registry", "iexec-workerpool")]
    found: dict[str, Rows] = {}
    with engine.connect() as connection:
        for fold in FOLDS:
            keys = touched_keys(connection, fold, CHAIN, watched, 0, HEAD)
            primary = [column.name for column in fold.table.primary_key]
            rows = [row._asdict() for row in connection.execute(folded(fold, CHAIN, keys, block))]
            found[fold.table.name] = {tuple(row[key] for key in primary): row for row in rows}
            assert len(found[fold.table.name]) == len(rows)
    engine.dispose()
    return found


def up_to(server_url: str, template: str, heads: list[int], *options: str) -> dict[str, Rows]:
    """The entities of an index that was built up to one head after the other."""
    with (
        fresh_database(server_url, template) as database,
        replay("iexec-dev", "--head", str(heads[0]), *options) as chain,
    ):
        for head in heads:
            chain.control(head=head)
            ingest(database, chain.url, IEXEC)
        return stored(database)


@pytest.fixture(scope="module")
def index(server_url: str, template: str) -> Iterator[str]:
    """A database that has read the whole recording. Tests only read it."""
    with fresh_database(server_url, template) as database:
        with replay("iexec-dev") as chain:
            ingest(database, chain.url, IEXEC)
        yield database


def test_every_task_is_as_on_chain(index: str) -> None:
    rows = {row["taskid"]: row for row in fetch(index, "SELECT * FROM iexec.tasks")}
    deals = {deal["dealid"]: deal for deal in truth("deals")}
    assert set(rows) == {raw(task["taskid"]) for task in truth("tasks")}
    for task in truth("tasks"):
        row, deal = rows[raw(task["taskid"])], deals[task["dealid"]]
        assert (row["status"], row["dealid"], row["idx"]) == (task["status"], raw(task["dealid"]), task["idx"])
        assert row["start_time"].timestamp() == deal["startTime"]
        assert row["workerpool"] == raw(deal["workerpool"][0])
        assert row["fee"] == sum(deal[part][2] for part in ("app", "dataset", "workerpool"))
        assert row["contributors"] == [raw(worker) for worker in task.get("contributors", [])]
        assert row["contribution_count"] == len(row["contributors"])
        assert (row["consensus_value"] or ZERO) == raw(task.get("consensusValue", "0x" + "00" * 32))
        assert (row["result_digest"] or ZERO) == raw(task.get("resultDigest", "0x" + "00" * 32))
        assert row["reveal_counter"] == task.get("revealCounter", 0)
        assert row["winner_counter"] == task.get("winnerCounter", 0)
        assert (row["results"] or b"") == raw(task.get("results", "0x"))
        assert (row["finalized_at"] is not None) == (task["status"] == 3)
        assert (row["claimed_at"] is not None) == (task["status"] == 4)
        assert (row["initialized_at"] is not None) == (task["status"] > 0)


def test_results_are_text_where_they_are_valid_text(index: str) -> None:
    rows = fetch(index, "SELECT results, results_text FROM iexec.tasks WHERE results IS NOT NULL")
    broken = [row for row in rows if row["results_text"] is None]
    assert 0 < len(broken) < len(rows)
    for row in broken:
        with pytest.raises(UnicodeDecodeError):
            row["results"].decode()
    assert all(row["results"].decode() == row["results_text"] for row in rows if row not in broken)


def test_every_contribution_is_as_on_chain(index: str) -> None:
    rows = {(row["taskid"], row["worker"]): row for row in fetch(index, "SELECT * FROM iexec.contributions")}
    tasks = {task["taskid"]: task for task in truth("tasks")}
    assert len(rows) == len(truth("contributions"))
    for made in truth("contributions"):
        row, task = rows[raw(made["taskid"]), raw(made["worker"])], tasks[made["taskid"]]
        assert (row["status"], row["result_hash"]) == (made["status"], raw(made["resultHash"]))
        ends = {0: "submitted", 1: "submitted", 2: "submitted", 3: "lost", 4: "expired"}
        states = {"REJECTED": "rejected", "PROVED": "accepted" if task["status"] == 3 else ends[task["status"]]}
        assert row["state"] == states.get(made["status"], ends[task["status"]])
        if row["status"] == "PROVED":
            assert keccak(row["worker"] + row["taskid"] + row["result_digest"]) == raw(made["resultSeal"])
            assert keccak(row["taskid"] + row["result_digest"]) == row["result_hash"]


def test_every_deal_is_as_on_chain(index: str) -> None:
    rows = {row["dealid"]: row for row in fetch(index, "SELECT * FROM iexec.deals")}
    done: dict[tuple[str, int], int] = defaultdict(int)
    for task in truth("tasks"):
        done[task["dealid"], task["status"]] += 1
    assert len(rows) == len(truth("deals"))
    for deal in truth("deals"):
        row = rows[raw(deal["dealid"])]
        assert (row["bot_first"], row["bot_size"]) == (deal["botFirst"], deal["botSize"])
        assert row["start_time"].timestamp() == deal["startTime"]
        assert (row["workerpool"], row["workerpool_owner"]) == tuple(map(raw, deal["workerpool"][:2]))
        assert (row["sponsor"] or row["payer"]) == row["payer"] == raw(deal["sponsor"])
        assert row["price"] == deal["botSize"] * sum(deal[part][2] for part in ("app", "dataset", "workerpool"))
        hashes = [row[f"{kind}_hash"] or ZERO for kind in ("app", "dataset", "workerpool", "request")]
        assert hashes == list(map(raw, deal["hashes"]))
        assert row["completed_tasks"] == done[deal["dealid"], 3]
        assert row["claimed_tasks"] == done[deal["dealid"], 4]
        assert row["tasks_not_listed"] == 0
    assert sum(row["sponsor"] is not None for row in rows.values()) == 19


def test_every_account_and_score_is_as_on_chain(index: str) -> None:
    accounts = {row["owner"]: row for row in fetch(index, "SELECT * FROM iexec.accounts")}
    workers = {row["worker"]: row for row in fetch(index, "SELECT * FROM iexec.workers")}
    assert {raw(account) for account in truth("accounts")} >= set(accounts) | set(workers)
    for account, wanted in truth("accounts").items():
        row = accounts.get(raw(account), {"stake": 0, "locked": 0})
        assert (row["stake"], row["locked"]) == (wanted["stake"], wanted["locked"])
        assert workers.get(raw(account), {"score": 0})["score"] == wanted["score"]
    assert sum(row["faulty"] for row in workers.values()) == 36


def test_every_entry_has_its_owner_and_policy(index: str) -> None:
    found: dict[bytes, dict[str, Any]] = {}
    for kind in ("app", "dataset", "workerpool"):
        found |= {row[kind]: row | {"kind": kind} for row in stored(index, f"{kind}s")[f"{kind}s"].values()}
    assert set(found) == {raw(entry["address"]) for entry in truth("entries")}
    for entry in truth("entries"):
        row = found[raw(entry["address"])]
        assert (row["kind"], row["created_block"]) == (entry["kind"].lower(), entry["created_block"])
        assert int.from_bytes(row["owner"], "big") == called(entry["address"], "owner()")
    for pool in (row for row in found.values() if row["kind"] == "workerpool"):
        address = "0x" + pool["workerpool"].hex()
        assert pool["worker_stake_ratio_policy"] == called(address, "m_workerStakeRatioPolicy()")
        assert pool["scheduler_reward_ratio_policy"] == called(address, "m_schedulerRewardRatioPolicy()")


def test_categories_and_orders_are_as_on_chain(index: str) -> None:
    categories = {row["catid"]: row for row in fetch(index, "SELECT * FROM iexec.categories")}
    assert {n: row["work_clock_time_ref"] for n, row in categories.items()} == {
        0: 300, 1: 1200, 2: 3600, 3: 10800, 4: 36000,
    }  # fmt: skip
    orders = fetch(index, "SELECT * FROM iexec.orders")
    consumed = [key.split(":")[1][10:] for key in recording("iexec-dev")["calls"] if ":0x4b2bec8c" in key]
    assert {row["hash"].hex() for row in orders} == {key for key in consumed if int(key, 16)}
    for row in orders:
        on_chain = called(HUB[0], "viewConsumed(bytes32)", row["hash"].hex())
        assert row["consumed"] in ({None, on_chain} if row["closed_at"] else {on_chain})
        assert (row["signed_at"] is not None) == bool(called(HUB[0], "viewPresigned(bytes32)", row["hash"].hex()))
    assert sum(row["closed_at"] is not None for row in orders) == 12
    assert sum(row["broadcast"] is not None for row in orders) == 21


def test_states_that_time_alone_changes_show_once_the_category_is_known(
    server_url: str, template: str
) -> None:  # fmt: skip
    with fresh_database(server_url, template) as database, replay("iexec-dev") as chain:
        ingest(database, chain.url, IEXEC)
        rows = {row["task_id"]: row for row in fetch(database, "SELECT * FROM iexec.v_tasks")}
        limits = {row["taskid"]: row for row in fetch(database, "SELECT * FROM iexec.deadlines")}
    words = {
        "UNSET": "open", "ACTIVE": "running", "REVEALING": "review", "COMPLETED": "succeeded", "FAILED": "failed",
        "TIMEOUT": "claimable",
    }  # fmt: skip
    deals = {deal["dealid"]: deal for deal in truth("deals")}
    for task in truth("tasks"):
        row, limit = rows[task["taskid"]], limits[raw(task["taskid"])]
        assert (row["network_status"], row["status"]) == (task["derivedStatus"], words[task["derivedStatus"]])
        assert row["requester"] == deals[task["dealid"]]["requester"]
        assert row["finality"] == "final"
        assert limit["final_deadline"].timestamp() == task["dealFinalDeadline"]
        if task["status"]:
            assert limit["contribution_deadline"].timestamp() == task["contributionDeadline"]
            reveal = limit["reveal_deadline"]
            assert (reveal.timestamp() if reveal else 0) == task["revealDeadline"]


def test_payments_add_up(index: str) -> None:
    rows = fetch(index, "SELECT * FROM iexec.v_payments")
    by_task: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        assert row["amount"] > 0
        if row["task_id"]:
            by_task[row["task_id"], row["kind"]] += int(row["amount"])
    sums = held(rows)
    for account, wanted in truth("accounts").items():
        if account != HUB[0]:  # it holds what is locked of all others
            assert sums.get(account, (0, 0)) == (wanted["stake"], wanted["locked"]), account
    deals = {deal["dealid"]: deal for deal in truth("deals")}
    for task in truth("tasks"):
        price = sum(deals[task["dealid"]][part][2] for part in ("app", "dataset", "workerpool"))
        assert by_task[task["taskid"], "fee"] == (price if task["status"] == 3 else 0)
        assert by_task[task["taskid"], "refund"] == (price if task["status"] == 4 else 0)
    tables = {(row["kind"], row["source_event"]) for row in rows}
    assert {kind for kind, _ in tables} == {
        "deposit", "withdraw", "stake", "unstake", "refund", "fee", "slash", "reward", "transfer",
    }  # fmt: skip


def test_rewards_of_work_are_what_workers_got(index: str) -> None:
    """Every Reward goes to a worker, the scheduler, or the owner of app or dataset; nothing counts twice."""
    rows = fetch(index, "SELECT * FROM iexec.v_work")
    owners = {deal["workerpool"][1] for deal in truth("deals")} | {deal["app"][1] for deal in truth("deals")}
    owners |= {deal["dataset"][1] for deal in truth("deals")}
    rewards: dict[tuple[str, str], int] = defaultdict(int)
    for row in fetch(index, "SELECT * FROM iexec.reward"):
        rewards["0x" + row["ref"].hex(), "0x" + row["owner"].hex()] += int(row["amount"])
    assert all((row["reward"] is not None) == (row["state"] == "accepted") for row in rows)
    plain = [row for row in rows if row["worker"] not in owners]
    assert plain
    assert all(int(row["reward"] or 0) == rewards[row["task_id"], row["worker"]] for row in plain)


def test_folded_at_a_block_equals_an_index_built_up_to_it(index: str, server_url: str, template: str) -> None:
    for block in random.Random(3).sample(range(40, HEAD), 3):
        assert as_of(index, block) == up_to(server_url, template, [block]), f"at block {block}"


def test_any_cut_into_ranges_gives_the_same_entities(index: str, server_url: str, template: str) -> None:
    whole = stored(index)
    assert as_of(index, HEAD) == whole
    heads = [*sorted(random.Random(4).sample(range(10, HEAD), 6)), HEAD]
    assert up_to(server_url, template, heads, "--max-range", "9", "--style", "alchemy") == whole


def test_marks_change_nothing_but_the_time_it_takes(server_url: str, template: str) -> None:
    with fresh_database(server_url, template) as database, replay("iexec-dev") as chain:
        ingest(database, chain.url, IEXEC)
        whole = stored(database)
        with psycopg.connect(database, autocommit=True) as connection:
            (marks,) = connection.execute("SELECT count(*) FROM iexec.marks").fetchone() or (0,)
            assert marks > 0
            connection.execute("TRUNCATE iexec.marks, iexec.account_marks, iexec.worker_marks, iexec.order_marks")
            assert as_of(database, HEAD) == whole
            for block in range(0, HEAD, 5):
                connection.execute("SELECT iexec.mark(%s, %s, %s, %s, 1)", (CHAIN, raw(HUB[0]), block - 4, block))
            (marks,) = connection.execute("SELECT count(*) FROM iexec.marks").fetchone() or (0,)
        assert marks > 10
        assert as_of(database, HEAD) == whole
        assert as_of(database, 93) == up_to(server_url, template, [93])


def test_reading_that_begins_later_tells_what_is_known(server_url: str, template: str) -> None:
    start = 102
    source = [IEXEC[0] | {"start_block": start}]
    with fresh_database(server_url, template) as database, replay("iexec-dev") as chain:
        ingest(database, chain.url, source)
        tasks = {row["taskid"]: row for row in fetch(database, "SELECT * FROM iexec.tasks")}
        deals = {row["dealid"]: row for row in fetch(database, "SELECT * FROM iexec.deals")}
        assert fetch(database, "SELECT * FROM iexec.v_work")
        assert as_of(database, HEAD) == stored(database)
    times = recording("iexec-dev")["blocks"]
    begun = int(times[start]["timestamp"], 16)
    later = {raw(deal["dealid"]): deal for deal in truth("deals") if deal["startTime"] >= begun}
    assert set(deals) == set(later)
    assert {dealid: row["bot_first"] for dealid, row in deals.items()} == {
        dealid: deal["botFirst"] for dealid, deal in later.items()
    }
    partly = 0
    for task in truth("tasks"):
        row = tasks.get(raw(task["taskid"]))
        if raw(task["dealid"]) in later:
            assert row is not None
            assert (row["status"], row["idx"]) == (task["status"], task["idx"])
        elif row is not None:
            partly += 1
            assert (row["dealid"], row["fee"], row["status"]) == (None, None, task["status"])
            assert row["winner_counter"] in (None, task["winnerCounter"])
    assert partly > 0


def test_a_lower_start_block_completes_what_was_known(index: str, server_url: str, template: str) -> None:
    with fresh_database(server_url, template) as database, replay("iexec-dev") as chain:
        for start in (90, 0):
            ingest(database, chain.url, [IEXEC[0] | {"start_block": start}])
        assert stored(database) == stored(index)
