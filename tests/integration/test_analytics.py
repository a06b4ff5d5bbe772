"""The views of `analytics` against the truth of the recordings, and what they promise to SQL users."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from indexer.errors import UsageError
from indexer.query.lists import Listing, rows
from indexer.query.task import find
from indexer.store import database as db
from schema.analytics import VIEWS
from tests.support import needs_recordings, recording

pytestmark = needs_recordings

STATUS = {
    "open": "open", "committed": "open", "retracted": "cancelled", "challengeable": "review",
    "claimable": "claimable", "claimed": "succeeded", "forfeited": "succeeded", "voting": "disputed",
    "awaiting_finish": "disputed", "contestation_succeeded": "failed", "contestation_failed": "succeeded",
}  # fmt: skip
IEXEC_STATUS = {
    "UNSET": "open", "ACTIVE": "running", "REVEALING": "review", "COMPLETED": "succeeded", "FAILED": "failed",
    "TIMEOUT": "claimable",
}  # fmt: skip


def ask(database: str, query: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def arbius_tasks() -> list[dict[str, Any]]:
    return [task for engine in recording("arbius-dev")["truth"]["engines"] for task in engine["tasks"]]


def test_status_of_every_arbius_task(filled: str) -> None:
    found = dict(ask(filled, "SELECT task_id, status FROM analytics.tasks WHERE network = 'arbius'"))
    assert found == {task["id"]: STATUS[task["state"]] for task in arbius_tasks()}


def test_status_of_every_iexec_task(filled: str) -> None:
    """Enrichment has told the categories, without which no deadline is known."""
    found = dict(ask(filled, "SELECT task_id, status FROM analytics.tasks WHERE network = 'iexec'"))
    truth = recording("iexec-dev")["truth"]["tasks"]
    assert found == {task["taskid"]: IEXEC_STATUS[task["derivedStatus"]] for task in truth}


def test_terms_of_every_arbius_task(filled: str) -> None:
    query = (
        "SELECT task_id, submitter, subject, fee::text, submitted_at, submitted_block, contract FROM analytics.tasks"
        " WHERE network = 'arbius'"
    )
    engines = recording("arbius-dev")["truth"]["engines"]
    wanted = {
        (
            task["id"], task["sender"].lower(), task["model"], str(task["fee"]),
            datetime.fromtimestamp(task["blocktime"], UTC), task["block"], engine["engine"].lower(),
        )
        for engine in engines for task in engine["tasks"]
    }  # fmt: skip
    assert set(ask(filled, query)) == wanted


def test_work_is_every_solution_and_contribution(filled: str) -> None:
    found = Counter(ask(filled, "SELECT network, worker, task_id FROM analytics.work"))
    wanted = Counter(
        ("arbius", task["solution"]["validator"].lower(), task["id"]) for task in arbius_tasks() if task["solution"]
    )
    contributions = recording("iexec-dev")["truth"]["contributions"]
    wanted.update(("iexec", each["worker"], each["taskid"]) for each in contributions)
    assert found == wanted


def test_disputes_are_the_contestations(filled: str) -> None:
    query = "SELECT task_id, opened_by, yeas, nays FROM analytics.disputes"
    wanted = set()
    for task in arbius_tasks():
        if contested := task["contestation"]:
            votes = [yea for _, yea, *_ in contested["votes"]]
            wanted.add((task["id"], contested["contester"].lower(), sum(votes), len(votes) - sum(votes)))
    assert set(ask(filled, query)) == wanted


def test_daily_counts_what_the_other_views_list(filled: str) -> None:
    tasks = Counter(datetime.fromtimestamp(task["blocktime"], UTC).date() for task in arbius_tasks())
    found = dict(ask(filled, "SELECT day, tasks FROM analytics.daily WHERE network = 'arbius' AND tasks > 0"))
    assert found == tasks


def test_workers_count_their_work(filled: str) -> None:
    solved = Counter(task["solution"]["validator"].lower() for task in arbius_tasks() if task["solution"])
    found = dict(ask(filled, "SELECT worker, submitted FROM analytics.workers WHERE network = 'arbius'"))
    assert found == solved


def test_views_have_the_columns_that_the_contract_names(filled: str) -> None:
    query = """
        SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'analytics' GROUP BY 1
    """
    found = dict(ask(filled, query))
    assert {name: found[name] for name in VIEWS} == {name: " ".join(view.c.keys()) for name, view in VIEWS.items()}


@pytest.mark.parametrize(
    "where",
    ["task_id = '0x7217a90c'", "task_id LIKE '0x7217a90c%'", "submitter = '0xab'", "subject = '0xab'"],
)
def test_filters_on_hex_use_an_index(filled: str, where: str) -> None:
    view = "EXPLAIN SELECT * FROM analytics.tasks WHERE network = 'arbius' AND "
    query = view + where + " ORDER BY submitted_at LIMIT 9"
    with psycopg.connect(filled) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(query.encode()))
    assert "_hex on tasks" in plan
    assert "Seq Scan on tasks" not in plan


def test_pages_over_all_networks_merge_by_index(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("SET enable_seqscan = off")
        query = "EXPLAIN SELECT * FROM analytics.tasks ORDER BY submitted_at DESC LIMIT 50"
        plan = "\n".join(row[0] for row in connection.execute(query))
    assert "Merge Append" in plan
    assert "Sort  (" not in plan


def test_the_read_only_role_reads_and_nothing_else(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("SET ROLE taskscan_read")
        assert connection.execute("SELECT count(*) FROM analytics.tasks").fetchone() == (650,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM arbius.tasks")


def test_lists_filter_and_say_what_they_do_not_know(filled: str) -> None:
    engine = db.engine(filled)
    with engine.connect() as connection:
        found = rows(connection, Listing("tasks", ("status=claimable", "network=arbius"), ("task_id",), 1000))
        assert len(found) == sum(task["state"] == "claimable" for task in arbius_tasks())
        prefix = rows(connection, Listing("tasks", ("task_id=0x7217*",), ("task_id",)))
        assert [row["task_id"][:6] for row in prefix] == ["0x7217"]
        for name, filters, columns in (
            ("taks", (), ()), ("tasks", ("stauts=open",), ()), ("tasks", ("status=opne",), ()),
            ("tasks", (), ("task",)), ("tasks", ("submitted_at>soon",), ()), ("tasks", ("status",), ()),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=r"did you mean|no value|no filter"):
                rows(connection, Listing(name, filters, columns))
    engine.dispose()


def test_one_task_by_prefix_with_all_its_events(filled: str) -> None:
    task = next(task for task in arbius_tasks() if task["state"] == "contestation_failed")
    engine = db.engine(filled)
    with engine.connect() as connection:
        found = find(connection, task["id"][:20])
        assert found.task["task_id"] == task["id"]
        assert [event["event"] for event in found.events][:2] == ["task_submitted", "solution_submitted"]
        assert len(found.disputes) == len(found.work) == 1
        for text, said in (("0x", "no task id"), ("0xzz", "no task id"), ("0x" + "f" * 64, "No task")):
            with pytest.raises(UsageError, match=said):
                find(connection, text)
        with pytest.raises(UsageError, match="Several tasks"):
            find(connection, "0x7")
    engine.dispose()
    assert json.dumps(found.events, default=str)
