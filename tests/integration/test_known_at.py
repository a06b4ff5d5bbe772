"""What `tasks` showed at a wall time, told after reorgs have changed it, equals what it did show."""

from datetime import datetime
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row

from indexer.errors import NotCovered, NotFound, UsageError
from indexer.ingest.job import ChainJob
from indexer.query import connect
from indexer.query.lists import Listing, rows
from indexer.query.task import find
from tests.integration.test_as_of import CASES
from tests.integration.test_follow import follow
from tests.support import Replay, addresses, needs_recordings, replay

pytestmark = needs_recordings

LATER = ("finality", "requester", "subject")  # of now, or learned later
KNOWN = "SELECT * FROM analytics.tasks_known_at(%s, %s, %s)"


class Moment(NamedTuple):
    """What `tasks` showed at a wall time, and the chain's time then."""

    at: datetime
    chain_time: datetime
    shown: dict[str, dict[str, Any]]


def fetch(database: str, query: str, *values: object) -> list[dict[str, Any]]:
    with psycopg.connect(database, row_factory=dict_row) as connection:
        return connection.execute(query.encode(), values).fetchall()


def plain(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["task_id"]: {k: v for k, v in row.items() if k not in LATER} for row in rows}


def look(database: str) -> Moment:
    shown = plain(fetch(database, "SELECT * FROM analytics.tasks"))
    (now,) = fetch(database, "SELECT clock_timestamp() AS at, head_time FROM chain.chains")
    return Moment(now["at"], now["head_time"], shown)


def read_with_reorgs(database: str, name: str, *options: str) -> list[Moment]:
    """Follow a recorded chain through reorgs, and look at the tasks after each step."""
    moments: list[Moment] = []

    async def walk(job: ChainJob, chain: Replay) -> None:
        for head in HEADS[name]:
            chain.control(head=head)
            await job.tick()
            moments.append(look(database))

    network, chain_id, protocol, _ = CASES[name]
    source = {"network": network, "addresses": addresses(name, protocol)}
    with replay(name, *options) as chain:
        follow(database, chain, walk, chain_id, [source])
    return moments


HEADS = {
    "iexec-dev": (50, 57, 59, 62, 66, 73, 76, 85, 94, 97, 110, 147),
    "arbius-dev": (60, 69, 74, 77, 90, 99, 104, 113, 124, 127, 150),
}
REORGS = {"iexec-dev": ("60:2", "74:5:0", "95:9:1"), "arbius-dev": ("75:4", "100:9:0", "125:12:2")}
"""Name -> reorgs: height, depth, how much longer the new branch is at once."""


@pytest.mark.parametrize("name", CASES)
def test_what_was_shown_then_is_told_after_reorgs(migrated: str, name: str) -> None:
    chain_id = CASES[name][1]
    forks = [part for fork in REORGS[name] for part in ("--reorg-at", fork)]
    options = ("--head", str(HEADS[name][0]), "--finality-lag", "30", *forks)
    moments = read_with_reorgs(migrated, name, *options)
    reorgs = fetch(migrated, "SELECT at, rows_removed FROM chain.reorgs ORDER BY reorg_id")
    assert len([reorg for reorg in reorgs if reorg["rows_removed"]]) >= 2
    assert sum(fetch(migrated, "SELECT count(*) AS n FROM chain.reads WHERE joined_to IS NOT NULL")[0].values()) > 0
    before = fetch(migrated, "SELECT * FROM analytics.tasks ORDER BY 1, 2, 3, 4, 5")
    wrong = {}
    for n, moment in enumerate(moments):
        told = plain(fetch(migrated, KNOWN, chain_id, moment.at, moment.chain_time))
        if told != moment.shown:
            keys = told.keys() | moment.shown.keys()
            wrong[n] = [(told.get(k), moment.shown.get(k)) for k in keys if told.get(k) != moment.shown.get(k)][:2]
    assert wrong == {}
    orphans = "SELECT count(*) AS n FROM analytics.orphans_known_at(%s, %s)"
    seen = [fetch(migrated, orphans, chain_id, moment.at)[0]["n"] for moment in moments]
    assert sum(1 for n in seen if n) >= 2, "of some moments rows were removed later"
    assert fetch(migrated, "SELECT * FROM analytics.tasks ORDER BY 1, 2, 3, 4, 5") == before, "asking changes nothing"
    _one_task(migrated, chain_id, moments[-1])
    _by_name(migrated, moments)
    _refused(migrated, chain_id, moments)


def _one_task(database: str, chain_id: int, moment: Moment) -> None:
    task = sorted(moment.shown)[0]
    query = "SELECT * FROM analytics.tasks_known_at(%s, %s, %s, %s)"
    assert plain(fetch(database, query, chain_id, moment.at, moment.chain_time, task)) == {task: moment.shown[task]}
    with psycopg.connect(database) as connection:  # who may only read may ask, too
        connection.execute("SET ROLE taskscan_read")
        rows = connection.execute(query.encode(), (chain_id, moment.at, moment.chain_time, task)).fetchall()
        assert len(rows) == 1


def _by_name(database: str, moments: list[Moment]) -> None:
    """`query tasks --known-at` and `show --known-at`, tasks that a reorg has removed included."""
    now = {row["task_id"] for row in fetch(database, "SELECT task_id FROM analytics.tasks")}
    with connect(database) as connection:
        for moment in moments:
            listing = Listing("tasks", known_at=moment.at.isoformat(), limit=10_000)
            assert {row["task_id"] for row in rows(connection, listing)} == moment.shown.keys()
        gone = [(moment, task) for moment in moments for task in moment.shown.keys() - now]
        for moment, task in gone[:3] or [(moments[-1], min(moments[-1].shown))]:
            found = find(connection, task[:20], known_at=moment.at.isoformat())
            assert found.task["submitted_block"] == moment.shown[task]["submitted_block"]
        with pytest.raises(NotFound, match="was known at"):
            find(connection, f"0x{7:064x}", known_at=moments[-1].at.isoformat())
        with pytest.raises(NotCovered, match="lies in the future"):
            rows(connection, Listing("tasks", known_at="2200-01-01"))
        with pytest.raises(UsageError, match="give one of them"):
            find(connection, "0x12", as_of="1", known_at="2026-01-01")
        with pytest.raises(UsageError, match="Only tasks"):
            rows(connection, Listing("work", known_at="2026-01-01"))


LOSE_ORPHANS = """
    DELETE FROM chain.orphaned_logs WHERE reorg_id = (SELECT max(reorg_id) FROM chain.orphaned_logs)
"""
LOSE_READS = "DELETE FROM chain.reads WHERE written_at <= (SELECT min(at) FROM chain.reorgs)"
REPAIRED = """
    INSERT INTO chain.incidents (chain_id, kind, subject, message)
    SELECT chain_id, 'Repaired', 'blocks 1 to 2', '' FROM chain.chains
"""


def _refused(database: str, chain_id: int, moments: list[Moment]) -> None:
    """What is not kept is refused in words, and nothing guessed."""
    newest, oldest = moments[-1].at, moments[0].at
    wounds = [
        ("SELECT 1", "lies in the future", newest.replace(year=2200)),
        ("SELECT 1", "nothing of chain .* was read at .*: it is read since 2", oldest.replace(year=2000)),
        (LOSE_ORPHANS, "are gone", oldest),
        (REPAIRED, "blocks 1 to 2 were repaired", newest),
        (LOSE_READS, "is noted since", oldest),
        ("UPDATE chain.reads SET written_at = NULL", "is noted since never", newest),
    ]
    for wound, words, at in wounds:
        with psycopg.connect(database) as connection:
            connection.execute(wound.encode())
            with pytest.raises(psycopg.errors.NoDataFound, match=words):
                connection.execute(KNOWN, (chain_id, at, None))
            connection.rollback()
