"""What was true at a past block equals an index that was built only up to there."""

import bisect
import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from indexer.errors import UsageError
from indexer.query.lists import Listing, rows
from indexer.query.task import find
from indexer.store import database as db
from tests.integration.conftest import fresh_database
from tests.integration.test_enrich import ARBIUS, IEXEC, enriched, fetch
from tests.integration.test_scan import ingest
from tests.support import addresses, needs_recordings, recording, replay

pytestmark = needs_recordings

WATCHED = ("arbius-engine", "iexec-poco-6.1", "iexec-registry", "iexec-workerpool")
CASES = {
    "iexec-dev": ("iexec", IEXEC, "iexec-poco-6.1", 60),
    "arbius-dev": ("arbius", ARBIUS, "arbius-engine", 30),
}


def build(database: str, name: str, *heads: int) -> None:
    network, chain_id, protocol, _ = CASES[name]
    with replay(name, "--head", str(heads[0])) as chain:
        for head in heads:
            chain.control(head=head)
            ingest(database, chain.url, [{"network": network, "addresses": addresses(name, protocol)}], chain_id)
            enriched(database, chain.url, chain_id, network)


@pytest.fixture(scope="module", params=CASES)
def whole(request: pytest.FixtureRequest, server_url: str, template: str) -> Iterator[tuple[str, str]]:
    """The name of a recording and a database that holds all of it."""
    with fresh_database(server_url, template) as database:
        build(database, request.param, recording(request.param)["head"])
        yield request.param, database


def shown(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By task id, without what does not depend on the past: what is final is final now."""
    return {row["task_id"]: {k: v for k, v in row.items() if k != "finality"} for row in found}


def block_time(name: str, block: int) -> int:
    return int(recording(name)["blocks"][block]["timestamp"], 16)


def test_the_past_equals_an_index_that_ends_there(whole: tuple[str, str], server_url: str, template: str) -> None:
    name, database = whole
    _, chain_id, _, first = CASES[name]
    heads = sorted(random.Random(7).sample(range(first, recording(name)["head"]), 12))
    at = "SELECT * FROM analytics.tasks_at(%s, %s, to_timestamp(%s))"
    with fresh_database(server_url, template) as index:
        for head in heads:
            build(index, name, head)
            then = shown(fetch(database, at, chain_id, head, block_time(name, head)))
            now = shown(fetch(index, "SELECT * FROM analytics.tasks"))
            assert then.keys() == now.keys(), head
            assert [(head, task, then[task], row) for task, row in now.items() if then[task] != row] == []


def test_the_time_of_a_block_with_events_is_known(whole: tuple[str, str]) -> None:
    name, database = whole
    _, chain_id, protocol, first = CASES[name]
    watched = addresses(name, protocol)
    blocks = {int(log["blockNumber"], 16) for log in recording(name)["logs"] if log["address"] in watched}
    for block in random.Random(3).sample(sorted(n for n in blocks if n >= first), 10):
        known = fetch(database, "SELECT * FROM analytics.known_time(%s, %s)", chain_id, block)
        assert [(row["block_number"], row["block_time"].timestamp()) for row in known] == [
            (block, block_time(name, block))
        ]  # fmt: skip
        given = "SELECT * FROM analytics.tasks_at(%s, %s, to_timestamp(%s)) ORDER BY task_id"
        exact = fetch(database, given, chain_id, block, block_time(name, block))
        assert fetch(database, "SELECT * FROM analytics.tasks_at(%s, %s) ORDER BY task_id", chain_id, block) == exact


@pytest.mark.parametrize("block", [-1, 10**9])
def test_blocks_that_are_not_covered_are_refused(whole: tuple[str, str], block: int) -> None:
    name, database = whole
    with psycopg.connect(database) as connection, pytest.raises(psycopg.errors.NoDataFound, match="is not covered"):
        connection.execute("SELECT * FROM analytics.tasks_at(%s, %s)", (CASES[name][1], block))


def test_one_task_is_found_by_its_index(whole: tuple[str, str]) -> None:
    name, database = whole
    query = "EXPLAIN SELECT * FROM analytics.tasks_at(%s, %s, now()) WHERE task_id = '0xab12'"
    with psycopg.connect(database) as connection:
        connection.execute("SET enable_seqscan = off")
        cursor = psycopg.ClientCursor(connection)
        plan = "\n".join(row[0] for row in cursor.execute(query, (CASES[name][1], recording(name)["head"])).fetchall())
    assert "ix_tasks_task_id_hex" in plan
    assert "ix_tasks_taskid_hex" in plan


def test_a_block_of_a_time_holds_what_had_happened_by_then(whole: tuple[str, str]) -> None:
    name, database = whole
    times = [int(block["timestamp"], 16) for block in recording(name)["blocks"]]
    for block in random.Random(9).sample(range(30, recording(name)["head"]), 12):
        for moment in (times[block], times[block] + 1, times[block + 1] - 1):
            (row,) = fetch(database, "SELECT analytics.block_at(%s, to_timestamp(%s)) AS n", CASES[name][1], moment)
            logs = [log for log in recording(name)["logs"] if log["address"] in addresses(name, *WATCHED)]
            between = {int(log["blockNumber"], 16) for log in logs}
            newest = bisect.bisect_right(times, moment) - 1
            assert [n for n in between if min(row["n"], newest) < n <= max(row["n"], newest)] == []


def test_lists_and_tasks_are_shown_as_of_a_block_and_a_time(whole: tuple[str, str]) -> None:
    name, database = whole
    block, moment = 120, datetime.fromtimestamp(block_time(name, 120), UTC).isoformat()
    engine = db.engine(database)
    with contextlib.ExitStack() as end:
        end.callback(engine.dispose)
        connection = end.enter_context(engine.connect())
        by_block = rows(connection, Listing("tasks", ("chain=test",), limit=500, as_of=str(block)))
        by_time = rows(connection, Listing("tasks", limit=500, as_of=moment))
        given = "SELECT * FROM analytics.tasks_at(%s, %s, to_timestamp(%s))"
        wanted = fetch(database, given, CASES[name][1], block, block_time(name, block))
        assert shown(by_time) == shown(wanted)
        assert by_block[0].keys() == by_time[0].keys()
        for row in by_time[::40]:
            task = find(connection, row["task_id"], moment)
            assert task.task == row
            assert all(event["block"] <= block for event in task.events)
        young = fetch(database, "SELECT task_id FROM analytics.tasks WHERE submitted_block > 120 LIMIT 1")
        for ask, words in (
            (lambda: rows(connection, Listing("tasks", as_of="99999999999999999999")), "out of range|not covered"),
            (lambda: rows(connection, Listing("tasks", as_of="9999999")), "is not covered"),
            (lambda: rows(connection, Listing("tasks", as_of="2099-01-01")), "is not known"),
            (lambda: rows(connection, Listing("tasks", as_of="yesterday")), "neither a block number nor a time"),
            (lambda: rows(connection, Listing("work", as_of="120")), "Only tasks"),
            (lambda: rows(connection, Listing("tasks", ("chain=none",), as_of="120")), "There is no chain"),
            (lambda: rows(connection, Listing("workers", ("chain=none",))), "There is no chain 'none' in the database"),
            (lambda: find(connection, young[0]["task_id"], "120"), "did not exist"),
        ):
            with pytest.raises(UsageError, match=words):
                ask()
