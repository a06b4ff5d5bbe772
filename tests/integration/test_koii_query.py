"""What the query module tells of Koii tasks and rounds, against the state of the node that was read."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from indexer.devnet.koii import Node, served
from indexer.errors import UsageError
from indexer.query import koii as query
from indexer.query.task import find
from indexer.store import database as db
from schema.koii import STATIC
from tests.integration.test_koii_snapshots import sync


def test_states_and_rounds_from_the_database(migrated: str) -> None:
    node = Node(seed=21, tasks=2)
    node.advance(700)
    with served(node) as url:
        sync(migrated, url)
    engine = db.engine(migrated)
    with engine.connect() as connection:
        for task in node.tasks.values():
            compare(connection, task)
        with pytest.raises(
            UsageError, match=r"^Nothing of round 0 of task \w+ is in the database\. It was missed: The"
        ):
            query.submission_info(connection, task.id, 0)
        with pytest.raises(UsageError, match=r"round 999 .* No snapshot has shown anything of it\.$"):
            query.distribution_info(connection, task.id, 999)
        with pytest.raises(UsageError, match="No Koii task nobody is in the database"):
            query.task_state(connection, "nobody")
        assert find(connection, task.id).task["task_id"] == task.id
    engine.dispose()


def test_days_of_koii_add_up(migrated: str) -> None:
    node = Node(seed=22, tasks=2, slot_seconds=1200)
    node._epoch -= (node._epoch - 600) % 1200  # no slot lies at midnight
    node.advance(600)
    with served(node) as url:
        sync(migrated, url)
    days: dict[date, Counter[str]] = defaultdict(Counter)
    workers: dict[date, set[str]] = defaultdict(set)
    for task in node.tasks.values():
        days[day_of(node, task.tree["starting_slot"])]["tasks"] += 1
        for who, (_, slot) in ((w, e) for entries in task.tree["submissions"].values() for w, e in entries.items()):
            workers[day_of(node, slot)].add(who)
        for _, slot, _ in (a for held in task.tree["submissions_audit_trigger"].values() for a in held.values()):
            days[day_of(node, slot)]["disputed"] += 1
    for day, found in workers.items():
        days[day]["workers"] = len(found)
    engine = db.engine(migrated)
    with engine.connect() as connection:
        told = connection.execute(sa.text("SELECT day, tasks, disputed, workers FROM analytics.daily")).all()
    engine.dispose()
    assert len(days) > 3
    expected = {(day, n["tasks"], n["disputed"], n["workers"]) for day, n in days.items()}
    assert set(told) == expected
    assert sum(n["disputed"] for n in days.values()) > 0


def day_of(node: Node, slot: int) -> date:
    return datetime.fromtimestamp(node._getBlockTime(slot), UTC).date()


def compare(connection: sa.Connection, task: Any) -> None:
    tree = task.tree
    told = query.task_state(connection, task.id)
    own = () if task.kpl else ("stake_pot_seed", "stake_pot_bump", "token_type")
    names = [name for name in STATIC if name in tree and name not in own]
    names += ["stake_list", "available_balances", "ip_address_list", "total_bounty_amount", "total_stake_amount"]
    assert {name: told[name] for name in names} == {name: tree[name] for name in names}
    for number, entries in tree["submissions"].items():
        info = query.submission_info(connection, task.id, number)
        expected = {who: {"submission_value": value, "slot": slot} for who, (value, slot) in entries.items()}
        assert info["submissions"] == {str(number): expected}
        audits = info["submissions_audit_trigger"].get(str(number), {})
        held = tree["submissions_audit_trigger"].get(number, {})
        assert {who: (a["trigger_by"], a["slot"]) for who, a in audits.items()} == {w: a[:2] for w, a in held.items()}
        for who, audit in audits.items():
            cast = {(vote["is_valid"], vote["voter"], vote["slot"]) for vote in audit["votes"]}
            assert cast == set(held[who][2])
    for number, status in tree["distributions_audit_record"].items():
        info = query.distribution_info(connection, task.id, number)
        assert info["distributions_audit_record"] == {str(number): status}
        lists = tree["distribution_rewards_submission"].get(number, {})
        expected = {who: {"submission_value": account, "slot": slot} for who, (account, slot) in lists.items()}
        assert info["distribution_rewards_submission"] == ({str(number): expected} if expected else {})
