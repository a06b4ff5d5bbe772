"""Recorded traffic of the real contracts behind one provider that does everything wrong at once, while the chain
reorganises: the tables are those of the true chain, and those of an index that nothing ever went wrong for.

`make hostile SEEDS=20` runs more seeds.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from indexer.errors import FinalityBroken, TaskscanError
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.run import run
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.store import database as db
from indexer.store.store import Store
from tests.integration.conftest import fresh_database
from tests.support import (
    Replay,
    addresses,
    assert_same_logs,
    event_tables,
    needs_recordings,
    recorded_logs,
    recording,
    replay,
    settings_for,
)

pytestmark = needs_recordings

SEEDS = range(1, 1 + int(os.environ.get("TASKSCAN_HOSTILE", "1")))
WINDOW = 30  # blocks that are not final
START = 40
MILD = ("--fault", "429=0.005", "--hang", "0.2")  # what costs seconds comes less often
ASKED = ["asked_at", "block_number", "reorg_id", "enriched_from"]  # how a fact was come by, not what it is
LIES = ("--fault", "omit=0.25")  # few answers at the head hold logs at all
NETWORKS = {"arbius-dev": ("arbius", "arbius-engine"), "iexec-dev": ("iexec", "iexec-poco-6.1")}
WATCHED = {"arbius-dev": ("arbius-engine",), "iexec-dev": ("iexec-poco-6.1", "iexec-registry", "iexec-workerpool")}


def reorgs(rng: Random, last: int) -> list[tuple[int, int, int]]:
    """Where the head turns to another branch: height, depth, and how much higher the new head is. Some are siblings."""
    found, height = list[tuple[int, int, int]](), START
    while True:
        depth = rng.choice((1, 1, 2, 3, 5, 8, WINDOW - 6))
        after = rng.choice((-2, 0, 0, 1, 1, 4)) if depth > 2 else rng.choice((0, 1))
        height += depth + rng.randrange(1, 25)
        if height + after >= last:
            return found
        found.append((height, depth, after))
        height += max(after, 0)


def settings(database: str, url: str, name: str, evidence: str) -> Any:
    network, root = NETWORKS[name]
    source = {"network": network, "addresses": addresses(name, root), "evidence": evidence}
    return settings_for(database, url, recording(name)["chain_id"], [source])


async def live(make: Callable[[], ChainJob], chain: Replay, rng: Random, last: int) -> int:
    """Follow the head to the end in steps of all sizes; a process that stops is started again. How often that was."""
    begun, job = 0, None
    for _ in range(600):
        try:
            if job is None:
                begun, job = begun + 1, make()
                await job.prepare()
            if chain.stats()["head"] < last:
                chain.control(advance=rng.choice((0, 1, 1, 1, 2, 3, 7)))
            await job.poll()
            stopped = job.stopped
        except TaskscanError as error:
            stopped = error
        assert not isinstance(stopped, FinalityBroken), str(stopped)
        done = job is not None and chain.stats()["head"] == last and job.progress.state == "up to date"
        if job is not None and (stopped or done):
            await job.close()
            job = None
        if done and not stopped:
            return begun
    raise AssertionError("the end was not reached")


def entities(database: str, network: str) -> dict[str, Counter[str]]:
    """Every entity, fact and rollup as text, without the marks, and without when and at which block a fact was asked
    for; see `test_follow.entities`."""
    found = {}
    with psycopg.connect(database) as connection:
        events = set(event_tables(connection))
        tables = connection.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = %s", [network])
        for schema, table in tables.fetchall():
            if (schema, table) not in events and not table.endswith("marks"):
                query = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t")
                dropped = ASKED if table.endswith("_facts") else ["enriched_from"]
                rows = connection.execute(query.format(sql.Identifier(schema, table)), [dropped]).fetchall()
                found[table] = Counter(row[0] for row in rows)
    return found


def read_all(database: str, chain: Replay, name: str, evidence: str) -> None:
    engine = db.engine(database)
    asyncio.run(run(settings(database, chain.url, name, evidence), engine, until_synced=True, watch=lambda jobs: None))
    engine.dispose()


@pytest.fixture(scope="module", params=list(NETWORKS))
def honest(request: pytest.FixtureRequest, server_url: str, template: str) -> tuple[str, dict[str, Counter[str]]]:
    """A recording, and its entities as an honest provider gives them."""
    name = request.param
    with fresh_database(server_url, template) as database, replay(name) as chain:
        read_all(database, chain, name, "head-bound")
        return name, entities(database, NETWORKS[name][0])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hostile_provider_and_reorgs_leave_the_true_tables(
    migrated: str, honest: tuple[str, dict[str, Counter[str]]], seed: int
) -> None:  # fmt: skip
    name, wanted = honest
    last, rng = recording(name)["head"], Random(f"{name} {seed}")
    turns = reorgs(rng, last)
    options = [part for turn in turns for part in ("--reorg-at", ":".join(map(str, turn)))]
    options += ["--head", str(START), "--finality-lag", str(WINDOW), "--alt-seed", str(seed), "--hostile", str(seed)]
    with replay(name, *options, *MILD, *LIES) as chain:
        engine = db.engine(migrated)
        given = settings(migrated, chain.url, name, "bloom")
        store = Store(engine)
        make = partial(ChainJob, given.chains[0], given.sources, store, Budget(IN_FLIGHT_BYTES))
        begun = asyncio.run(live(make, chain, rng, last))
        stats = chain.stats()
        store.close()
    with psycopg.connect(migrated) as connection:
        rolled = connection.execute("SELECT count(*), max(depth) FROM chain.reorgs").fetchone()
        incidents = connection.execute("SELECT kind, count(*) FROM chain.incidents GROUP BY 1").fetchall()
    noticed = {kind for kind, _ in incidents}
    print(f"{name} {seed}: {len(turns)} reorgs, rolled back {rolled}, {begun} starts, {stats['faults']}")
    assert all(turn["fired"] for turn in stats["reorgs"])
    assert rolled
    assert rolled[0] > 0
    assert stats["faults"]["omit"] > 0
    assert "Distrusted" in noticed
    with psycopg.connect(migrated) as connection:  # null answers are retried later: as if that had come
        connection.execute("UPDATE chain.fact_retries SET next_at = now()")
    with replay(name) as chain:  # all of it is final at last, and nobody lies any more
        read_all(migrated, chain, name, "bloom")
    assert_same_logs(migrated, name, addresses(name, *WATCHED[name]))
    found = entities(migrated, NETWORKS[name][0])
    logs = len(recorded_logs(name, addresses(name, *WATCHED[name])))
    print(f"{logs:,} logs and {sum(map(Counter.total, wanted.values())):,} rows compared")
    assert wanted.keys() == found.keys()
    for table, rows in wanted.items():  # what an engine answered in passing is kept
        unlike = rows - found[table] if table == "parameter_facts" else (rows - found[table]) + (found[table] - rows)
        assert not unlike, table
