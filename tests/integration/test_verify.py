"""`taskscan verify` on recorded chains: silent when all is right, and exact about every wound that SQL can make."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
import sqlalchemy as sa

from indexer.audit import coverage, deals, folds, money, sequences, task_chain
from indexer.audit.findings import Finding, Tally
from indexer.audit.verify import CHECKS, verify
from indexer.ingest.run import run
from indexer.store import database as db
from schema import FOLDS
from tests.acceptance.command import Inside, config, taskscan
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import IEXEC, ingest
from tests.support import addresses, needs_recordings, recording, replay, settings_for

__all__ = ["taskscan"]
pytestmark = needs_recordings

CHAINS = (("arbius", "arbius-engine", 42161), ("iexec", "iexec-poco-6.1", 31337))
LAST = {"arbius": 291, "iexec": 147}
NAMES = [check.name for check in CHECKS]


@pytest.fixture(scope="module")
def engine(server_url: str, template: str) -> Iterator[sa.Engine]:
    """A database with both recordings, read in ranges of 40 blocks. Tests leave it as it is."""
    with fresh_database(server_url, template) as database:
        made = db.engine(database)
        for network, protocol, chain_id in CHAINS:
            name = f"{network}-dev"
            with replay(name, "--max-range", "40", "--style", "alchemy") as chain:
                source = {"network": network, "addresses": addresses(name, protocol)}
                settings = settings_for(database, chain.url, chain_id, [source])
                settings.chains[0].name = settings.sources[0].chain = network
                asyncio.run(run(settings, made, until_synced=True, watch=lambda jobs: None))
        yield made
        made.dispose()


@pytest.fixture
def wounded(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose transaction is rolled back."""
    with engine.connect() as connection:
        yield connection


def ask(connection: sa.Connection, query: str, **values: Any) -> list[Any]:
    return list(connection.execute(sa.text(query), values))


def named(template: str, **names: str) -> str:
    """A statement with the names of tables and columns, all from this file, put in."""
    return template.format(**names)


def wound(connection: sa.Connection, statement: str, **values: Any) -> Any:
    """Run a statement that RETURNs one row; that row."""
    (row,) = ask(connection, statement, **values)
    return row


def found(module: Any, connection: sa.Connection) -> list[Finding]:
    return list(module.check(connection, Tally()))


def holds(finding: Finding, chain: str, block: int) -> bool:
    return finding.chain == chain and finding.first_block <= block <= finding.last_block


def test_all_that_was_read_is_right(engine: sa.Engine) -> None:
    results = {result.check: result for result in verify(engine)}
    assert [result.findings for result in results.values()] == [[]] * len(CHECKS)
    logs = sum(len(ask_all(engine, f"{network}-dev")) for network in LAST)
    assert results["coverage"].counts == {"contracts": 8, "blocks": 292 + 148, "logs": logs}
    truth = recording("iexec-dev")["truth"]
    assert results["deals"].counts["deals"] == len(truth["deals"])
    assert (results["task ids"].counts, results["task ids"].notes) == ({"tasks": 400}, [])
    assert results["folds"].counts["entities"] > 400 + len(truth["tasks"])


def ask_all(engine: sa.Engine, name: str) -> list[Any]:
    """The recorded logs of the contracts that are read."""
    with engine.connect() as connection:
        read = {"0x" + row.address.hex() for row in ask(connection, "SELECT address FROM chain.sources")}
    return [log for log in recording(name)["logs"] if log["address"] in read]


EVENTS = (
    "arbius.task_submitted", "arbius.solution_submitted", "arbius.contestation_vote", "arbius.fees_paid",
    "iexec.orders_matched", "iexec.task_initialize", "iexec.task_contribute", "iexec.transfer", "iexec.lock",
    "iexec.registry_transfer",
)  # fmt: skip


@pytest.mark.parametrize("table", EVENTS)
def test_each_event_that_is_gone_is_missed_where_it_was_read(wounded: sa.Connection, table: str) -> None:
    """`reads` know how many logs there were. The workerpools' reads reach across those of the hub."""
    gone = (
        "DELETE FROM {table} WHERE (chain_id, block_number, log_index) = (SELECT chain_id, block_number, log_index"
        " FROM {table} ORDER BY block_number, log_index OFFSET (SELECT count(*) / 2 FROM {table}) LIMIT 1)"
        " RETURNING block_number"
    )
    block = wound(wounded, named(gone, table=table)).block_number
    (finding,) = found(coverage, wounded)
    assert finding.check == "coverage"
    assert holds(finding, table.split(".")[0], block)
    assert finding.last_block - finding.first_block < 148


def test_an_event_too_many_shows(wounded: sa.Connection) -> None:
    copied = (
        "INSERT INTO arbius.task_retracted SELECT chain_id, block_number, 9999, block_hash, block_time, tx_hash,"
        " tx_index, address, id FROM arbius.task_retracted LIMIT 1 RETURNING block_number"
    )
    block = wound(wounded, copied).block_number
    (finding,) = found(coverage, wounded)
    assert holds(finding, "arbius", block)


def test_blocks_that_are_not_covered_are_named(wounded: sa.Connection) -> None:
    row = wound(wounded, "UPDATE chain.coverage SET from_block = 90 WHERE to_block = 291 RETURNING group_id")
    again = "INSERT INTO chain.coverage SELECT group_id, 0, 79, evidence FROM chain.coverage WHERE group_id = :group_id"
    wounded.execute(sa.text(again), {"group_id": row.group_id})
    findings = found(coverage, wounded)
    assert {(f.chain, f.first_block, f.last_block) for f in findings if f.message == "these blocks are not read"} == {
        ("arbius", 80, 89)
    }
    strays = [finding for finding in findings if "do not count as read" in finding.message]
    assert strays
    assert all(80 <= finding.first_block <= finding.last_block <= 89 for finding in strays)


def test_a_read_that_is_not_recorded_shows(wounded: sa.Connection) -> None:
    gone = "DELETE FROM chain.reads WHERE chain_id = 42161 AND from_block > 100 AND to_block < 200 RETURNING *"
    blocks = [(row.from_block, row.to_block) for row in ask(wounded, gone)]
    assert blocks
    (finding,) = found(coverage, wounded)
    assert (finding.first_block, finding.last_block) == (min(blocks)[0], max(blocks)[1])


def test_contracts_that_were_never_read_show(wounded: sa.Connection) -> None:
    wounded.execute(sa.text("INSERT INTO chain.groups (chain_id, evidence) VALUES (31337, 'head-bound')"))
    moved = (
        "UPDATE chain.sources SET group_id = (SELECT max(group_id) FROM chain.groups) WHERE role = 'workerpool'"
        " RETURNING address, from_block"
    )
    pools = ask(wounded, moved)
    gaps = [finding for finding in found(coverage, wounded) if finding.message == "these blocks are not read"]
    assert [(gap.first_block, gap.last_block) for gap in gaps] == [(min(row.from_block for row in pools), 147)]
    assert gaps[0].subject == f"0x{min(row.address for row in pools).hex()} and 1 more"


LATER = (
    "SELECT m.dealid, m.block_number, m.volume, m.request_hash, n.dealid AS next, n.block_number AS next_block"
    " FROM iexec.orders_matched m JOIN iexec.orders_matched n ON n.request_hash = m.request_hash"
    " AND (n.block_number, n.log_index) > (m.block_number, m.log_index) ORDER BY m.block_number LIMIT 1"
)


def test_a_deal_that_is_gone_leaves_a_hole(wounded: sa.Connection) -> None:
    deal = wound(wounded, LATER)
    for table in ("orders_matched", "scheduler_notice", "deal_starts", "deals", "task_ids"):
        gone = named("DELETE FROM iexec.{table} WHERE dealid = :id", table=table)
        wounded.execute(sa.text(gone), {"id": deal.dealid})
    (finding,) = found(deals, wounded)
    assert (finding.subject, finding.last_block) == ("0x" + deal.next.hex(), deal.next_block)
    assert holds(finding, "iexec", deal.block_number)
    assert f"earlier deals took 0 tasks of request order 0x{deal.request_hash.hex()}" in finding.message
    assert f"botFirst is {deal.volume}," in finding.message


@pytest.mark.parametrize("by", [1, -1])
def test_a_volume_that_is_wrong_shows_in_the_next_deal(wounded: sa.Connection, by: int) -> None:
    deal = wound(wounded, LATER)
    wounded.execute(
        sa.text("UPDATE iexec.orders_matched SET volume = volume + :by WHERE dealid = :id"),
        {"id": deal.dealid, "by": by},
    )
    (finding,) = found(deals, wounded)
    assert (finding.first_block, finding.last_block) == (deal.block_number, deal.next_block)
    assert finding.subject == "0x" + deal.next.hex()


def test_a_deal_id_that_nothing_gives_shows(wounded: sa.Connection) -> None:
    changed = "UPDATE iexec.orders_matched SET dealid = sha256(dealid) WHERE dealid = :id RETURNING block_number"
    block = wound(wounded, changed, id=wound(wounded, LATER).dealid).block_number
    (finding,) = found(deals, wounded)
    assert holds(finding, "iexec", block)
    assert "fits no botFirst" in finding.message


def test_a_stored_bot_first_is_compared(wounded: sa.Connection) -> None:
    changed = "UPDATE iexec.deals SET bot_first = 7 WHERE dealid = :id RETURNING block_number"
    block = wound(wounded, changed, id=wound(wounded, LATER).dealid).block_number
    (finding,) = found(deals, wounded)
    assert holds(finding, "iexec", block)
    assert "iexec.deals says 7" in finding.message


@pytest.mark.parametrize("column", ["stake", "locked"])
def test_an_account_that_was_changed_shows(wounded: sa.Connection, column: str) -> None:
    changed = (
        "UPDATE iexec.accounts SET {column} = {column} + 1 WHERE owner = "
        "(SELECT owner FROM iexec.accounts ORDER BY owner DESC LIMIT 1)"
        " RETURNING owner, last_block"
    )
    row = wound(wounded, named(changed, column=column))
    (finding,) = found(money, wounded)
    assert (finding.subject, finding.last_block) == ("0x" + row.owner.hex(), row.last_block)
    assert holds(finding, "iexec", row.last_block)
    assert finding.message.startswith("iexec.accounts says stake ")


@pytest.mark.parametrize(
    ("table", "owner"), [("transfer", '"to"'), ("lock", "owner"), ("unlock", "owner"), ("seize", "owner")]
)
def test_money_that_never_moved_is_missed(wounded: sa.Connection, table: str, owner: str) -> None:
    gone = (
        "DELETE FROM iexec.{table} WHERE (block_number, log_index) = (SELECT block_number, log_index FROM iexec.{table}"
        " ORDER BY block_number DESC, log_index LIMIT 1) RETURNING block_number, {owner} AS owner"
    )
    row = wound(wounded, named(gone, table=table, owner=owner))
    findings = [finding for finding in found(money, wounded) if finding.subject == "0x" + row.owner.hex()]
    assert findings
    assert all(finding.check == "accounts" for finding in findings)
    assert any(holds(finding, "iexec", row.block_number) for finding in findings)


def test_a_deposit_that_is_missing_makes_a_debt(wounded: sa.Connection) -> None:
    """Also when entity and events agree, because both lack it."""
    minted = (
        "SELECT * FROM iexec.transfer WHERE \"from\" = '\\x0000000000000000000000000000000000000000'"
        " ORDER BY block_number, log_index LIMIT 1"
    )
    row = wound(wounded, minted)
    key = {"block": row.block_number, "log": row.log_index}
    wounded.execute(sa.text("DELETE FROM iexec.transfer WHERE block_number = :block AND log_index = :log"), key)
    settled = "UPDATE iexec.accounts SET stake = stake - :value WHERE owner = :owner"
    wounded.execute(sa.text(settled), {"value": row.value, "owner": row.to})
    findings = found(money, wounded)
    assert findings
    assert all("negative" in finding.message and holds(finding, "iexec", row.block_number) for finding in findings)


@pytest.mark.parametrize(
    ("gone", "key", "by"),
    [
        ("arbius.model_registered", "id", "arbius.task_submitted"),
        ("arbius.task_submitted", "id", "arbius.solution_submitted"),
        ("arbius.solution_submitted", "task", "arbius.solution_claimed"),
        ("arbius.solution_submitted", "task", "arbius.contestation_submitted"),
        ("arbius.contestation_submitted", "task", "arbius.contestation_vote"),
        ("arbius.contestation_submitted", "task", "arbius.contestation_vote_finish"),
        ("arbius.contestation_vote", "task", "arbius.contestation_submitted"),
        ("iexec.orders_matched", "dealid", "iexec.scheduler_notice"),
        ("iexec.scheduler_notice", "dealid", "iexec.orders_matched"),
        ("iexec.task_initialize", "taskid", "iexec.task_contribute"),
        ("iexec.task_contribute", "taskid", "iexec.task_reveal"),
        ("iexec.task_consensus", "taskid", "iexec.task_finalize"),
    ],
)
def test_an_event_without_its_cause_tells_what_is_missing(
    wounded: sa.Connection, gone: str, key: str, by: str
) -> None:  # fmt: skip
    column = {"arbius.task_submitted": "model", "arbius.contestation_vote_finish": "id"}.get(
        by, "task" if by.startswith("arbius") else key
    )
    wounding = (
        "DELETE FROM {gone} WHERE {key} = (SELECT {column} FROM {by} WHERE {column} IN (SELECT {key} FROM {gone})"
        " ORDER BY {column} LIMIT 1) RETURNING {key} AS key, block_number"
    )
    rows = ask(wounded, named(wounding, gone=gone, key=key, by=by, column=column))
    findings = [finding for finding in found(sequences, wounded) if finding.message.startswith(f"{by} without")]
    assert findings
    assert all(finding.check == "order of events" and gone in finding.message for finding in findings)
    network = gone.split(".")[0]
    assert all(any(holds(finding, network, row.block_number) for row in rows) for finding in findings)
    assert any(finding.subject.startswith("0x" + rows[0].key.hex()) for finding in findings)


def with_cids(connection: sa.Connection) -> list[dict[str, Any]]:
    """Fill in the cids, as enrichment will; the recorded tasks of the second engine in their order."""
    engines = recording("arbius-dev")["truth"]["engines"]
    rows = [
        {"id": bytes.fromhex(task["id"][2:]), "cid": bytes.fromhex(task["cid"][2:])}
        for each in engines for task in each["tasks"]
    ]  # fmt: skip
    connection.execute(sa.text("UPDATE arbius.tasks SET cid = :cid WHERE task_id = :id"), rows)
    return sorted(engines[1]["tasks"], key=lambda task: (task["block"], task["log_index"]))


def test_the_hash_chain_of_tasks_holds_and_misses_a_task(wounded: sa.Connection) -> None:
    tasks = with_cids(wounded)
    tally = Tally()
    assert list(task_chain.check(wounded, tally)) == []
    assert (tally.counts["tasks"], tally.notes) == (400, [])
    gone, after = tasks[50], next(task for task in tasks[51:])
    wounded.execute(sa.text("DELETE FROM arbius.task_submitted WHERE id = :id"), {"id": bytes.fromhex(gone["id"][2:])})
    (finding,) = found(task_chain, wounded)
    assert (finding.check, finding.subject, finding.last_block) == ("task ids", after["id"], after["block"])
    assert finding.first_block == tasks[49]["block"]
    assert holds(finding, "arbius", gone["block"])


def test_a_task_that_was_changed_breaks_the_hash_chain(wounded: sa.Connection) -> None:
    task = with_cids(wounded)[70]
    changed = "UPDATE arbius.task_submitted SET fee = fee + 1 WHERE id = :id"
    wounded.execute(sa.text(changed), {"id": bytes.fromhex(task["id"][2:])})
    (finding,) = found(task_chain, wounded)
    assert (finding.subject, finding.last_block) == (task["id"], task["block"])


def test_entities_that_are_not_their_fold_are_named(wounded: sa.Connection) -> None:
    """One pass over many wounds: a changed column, a row that is gone, one that nothing accounts for, an event."""
    changing = (
        "UPDATE {table} SET {change} WHERE {key} = "
        "(SELECT {key} FROM {table} ORDER BY {key} LIMIT 1) RETURNING {key} AS key"
    )
    changes = {
        "arbius.tasks": ("task_id", "fee = fee + 1"),
        "arbius.solutions": ("task_id", "claimed = NOT claimed"),
        "arbius.votes": ("task_id", "yea = NOT yea"),
        "iexec.deals": ("dealid", "price = NULL"),
        "iexec.tasks": ("taskid", "status = 4 - status"),
        "iexec.workers": ("worker", "score = score + 1"),
        "iexec.orders": ("hash", "deals = deals + 1"),
    }
    wanted: set[str] = set()
    for table, (key, change) in changes.items():
        row = ask(wounded, named(changing, table=table, key=key, change=change))[0]
        wanted.add(f"{table} 0x{row.key.hex()}")
    gone = wound(
        wounded,
        "DELETE FROM arbius.models WHERE model_id = "
        "(SELECT model_id FROM arbius.models ORDER BY model_id LIMIT 1) RETURNING *",
    )
    invented = (
        "UPDATE iexec.apps SET app = sha256(app) WHERE app = "
        "(SELECT app FROM iexec.apps ORDER BY app LIMIT 1) RETURNING app"
    )
    app = wound(wounded, invented).app
    found_by = {finding.subject: finding for finding in found(folds, wounded)}
    assert {name.rsplit(" ", 1)[0] if ".votes" in name else name for name in found_by} >= wanted
    assert found_by[f"arbius.models 0x{gone.model_id.hex()}"].message == "its events are there, its row is missing"
    assert found_by[f"iexec.apps 0x{app.hex()}"].message == "its row is there, but no event tells of it"
    assert found_by[next(name for name in found_by if "iexec.deals" in name)].message.startswith("stored price are")
    extra = [name for name in found_by if "iexec.apps" in name]
    assert len(extra) == 2
    assert all(finding.check == "folds" for finding in found_by.values())
    assert all(0 <= f.first_block <= f.last_block <= LAST[f.chain] for f in found_by.values())


def test_an_event_that_is_gone_from_below_its_entities_shows(wounded: sa.Connection) -> None:
    gone = {}
    wounding = (
        "DELETE FROM arbius.{table} WHERE {key} = "
        "(SELECT {key} FROM arbius.{table} ORDER BY {key} DESC LIMIT 1) RETURNING {key} AS key, *"
    )
    for table, key in (("solution_claimed", "task"), ("task_submitted", "id"), ("contestation_vote", "task")):
        row = ask(wounded, named(wounding, table=table, key=key))[0]
        gone[f"arbius.tasks 0x{row.key.hex()}"] = row.block_number
    found_by = {finding.subject: finding for finding in found(folds, wounded)}
    for subject, block in gone.items():
        assert holds(found_by[subject], "arbius", block)


def test_entities_in_parts_are_compared_like_in_one(wounded: sa.Connection) -> None:
    wounded.execute(sa.text("UPDATE arbius.tasks SET fee = 1"))
    tasks = {"arbius": tuple(fold for fold in FOLDS["arbius"] if fold.table.name == "tasks"), "iexec": ()}
    with patch.object(folds, "KEYS_AT_ONCE", 90), patch.object(folds, "FOLDS", tasks):
        parts = found(folds, wounded)
    assert len(parts) == 400
    assert {finding.message for finding in parts} == {"stored fee are not what the events give"}


def test_reading_that_begins_later_or_stops_half_way_is_not_wrong(server_url: str, template: str) -> None:
    """Nothing can be said of events before the first block, and nothing is said of it."""
    with fresh_database(server_url, template) as database, contextlib.ExitStack() as stack:
        chain = stack.enter_context(replay("iexec-dev", "--head", "120"))
        for start, head in ((102, 120), (60, 147)):
            chain.control(head=head)
            ingest(database, chain.url, [IEXEC[0] | {"start_block": start}])
            made = db.engine(database)
            results = list(verify(made))
            made.dispose()
            assert [(result.check, result.findings) for result in results] == [(name, []) for name in NAMES]


def test_the_command_says_one_line_per_check_and_where_it_is_wrong(
    engine: sa.Engine, taskscan: Inside, tmp_path: Path, server_url: str
) -> None:  # fmt: skip
    engine.dispose()
    two = tuple(check for check in CHECKS if check.name in ("coverage", "accounts"))
    with (
        fresh_database(server_url, engine.url.database or "") as database,
        patch("indexer.audit.verify.CHECKS", two),  # the others' words are the same, and cost time
    ):
        path = config(tmp_path, database=database, rpc="http://127.0.0.1:1")
        said = taskscan("verify", "--config", str(path))
        right = "coverage: 8 contracts, 440 blocks, 7,388 logs: right\naccounts: 39 accounts: right\n"
        assert (said.code, said.out) == (0, right), said
        with psycopg.connect(database) as connection:
            row = connection.execute(
                "UPDATE iexec.accounts SET stake = stake + 5 WHERE owner = "
                "(SELECT owner FROM iexec.accounts ORDER BY owner LIMIT 1)"
                " RETURNING owner, last_block"
            ).fetchone()
        assert row is not None
        said = taskscan("verify", "--config", str(path))
        assert said.code == 1
        assert "accounts: 39 accounts: 1 finding\n" in said.out
        assert f"  iexec, blocks 0..{row[1]}: 0x{row[0].hex()}: iexec.accounts says stake" in said.out
        said = taskscan("verify", "--json", "--config", str(path))
        told = json.loads(said.out)
        assert (said.code, told["right"]) == (1, False)
        assert [(each["check"], each["total"]) for each in told["checks"]] == [("coverage", 0), ("accounts", 1)]
        assert told["checks"][1]["findings"][0]["last_block"] == row[1]
