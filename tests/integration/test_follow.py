"""Follow: the moving head of recorded chains, with every kind of reorg, against their truth and an honest index."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql

from indexer.ingest.job import ChainJob
from indexer.ingest.run import run
from indexer.store import database as db
from tests.support import (
    Replay,
    addresses,
    assert_same_logs,
    event_tables,
    needs_recordings,
    open_job,
    replay,
    settings_for,
)

pytestmark = needs_recordings

HUB = addresses("iexec-dev", "iexec-poco-6.1") if needs_recordings.args[0] is False else []
IEXEC = [{"network": "iexec", "addresses": HUB}]
WATCHED = ("iexec-poco-6.1", "iexec-registry", "iexec-workerpool")
Walk = Callable[[ChainJob, Replay], Coroutine[Any, Any, None]]


def follow(
    database: str, chain: Replay, walk: Walk, chain_id: int = 31337, sources: Sequence[dict[str, Any]] = IEXEC
) -> ChainJob:  # fmt: skip
    """Run `walk` with a prepared job."""
    engine = db.engine(database)
    settings = settings_for(database, chain.url, chain_id, sources)

    async def all_of_it() -> ChainJob:
        async with open_job(settings, engine) as job:
            await walk(job, chain)
            return job

    return asyncio.run(all_of_it())


async def step_by_step(job: ChainJob, chain: Replay) -> None:
    """One block at a time to the end."""
    await job.tick()
    for _ in range(400):
        chain.control(advance=1)
        await job.tick()
        if chain.stats()["head"] == 147:
            return
    raise AssertionError("the recording does not end")


async def in_jumps(job: ChainJob, chain: Replay) -> None:
    """Several blocks at a time."""
    for jump in (0, 3, 1, 7, 2, 11, 5, 1, 1, 13, 4, 6, 9, 2, 3, 20, 50, 50):
        chain.control(advance=jump)
        await job.tick()


def reorgs(database: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT ancestor, depth, rows_removed FROM chain.reorgs ORDER BY reorg_id").fetchall()


def entities(database: str) -> dict[str, set[str]]:
    """Every entity and its facts as text, without the marks, which say where a pass over the blocks began and ended,
    and without the block at which a fact was asked for."""
    found = {}
    with psycopg.connect(database) as connection:
        events = set(event_tables(connection))
        tables = connection.execute("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'iexec'")
        for schema, table in tables.fetchall():
            if (schema, table) not in events and not table.endswith("marks"):
                query = sql.SQL("SELECT (to_jsonb(t) - 'enriched_from')::text FROM {} t")
                rows = connection.execute(query.format(sql.Identifier(schema, table))).fetchall()
                found[table] = {row[0] for row in rows}
    return found


@pytest.fixture(scope="module")
def honest(server_url: str, template: str) -> dict[str, set[str]]:
    """The entities of the true chain, read when all of it was final."""
    from tests.integration.conftest import fresh_database

    with fresh_database(server_url, template) as database:
        with replay("iexec-dev") as chain:
            follow(database, chain, lambda job, _: job.tick())
        return entities(database)


CASES = {
    "sibling": ("90:1:0",),
    "one deep": ("90:1",),
    "three deep, head jumps": ("80:3:4",),
    "shorter branch": ("100:6:-2",),
    "several": ("60:2", "80:5:0", "95:1:0", "120:12:3"),
    "deep": ("110:24:1",),
}


@pytest.mark.parametrize(
    ("case", "walk"), [(case, in_jumps) for case in CASES] + [("several", step_by_step), ("sibling", step_by_step)]
)
def test_after_any_reorg_the_tables_are_those_of_the_true_chain(
    migrated: str, honest: dict[str, set[str]], case: str, walk: Walk
) -> None:  # fmt: skip
    options = [part for reorg in CASES[case] for part in ("--reorg-at", reorg)]
    with replay("iexec-dev", "--head", "50", "--finality-lag", "30", *options) as chain:
        follow(migrated, chain, walk)
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    assert entities(migrated) == honest
    if walk is step_by_step:
        assert len(reorgs(migrated)) == len(CASES[case])


def test_what_blocks_of_a_fast_chain_bring_is_asked_for_together(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.ingest.job.ENRICH_EVERY", 3600.0)
    with replay("iexec-dev", "--head", "72", "--finality-lag", "30") as chain:

        async def poll_by_poll(job: ChainJob, chain: Replay) -> None:
            await job.tick()
            before = chain.stats()["methods"]["eth_call"]
            for _ in range(4):
                chain.control(advance=1)
                await job.tick(patient=False)
            assert chain.stats()["methods"]["eth_call"] == before, "deals of these blocks wait for the next time"

        follow(migrated, chain, poll_by_poll)
    with psycopg.connect(migrated) as connection:
        read = connection.execute("SELECT max(block_number), (SELECT count(*) FROM iexec.deals) FROM chain.blocks")
        assert read.fetchall() == [(76, 47)]


async def arrives(database: str, block: int) -> None:
    """Wait until all contracts are read up to `block`."""
    for _ in range(600):
        with psycopg.connect(database) as connection:
            row = connection.execute("SELECT min(read_to) FROM analytics.freshness").fetchone()
        if row and row[0] == block:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"block {block} was not read")


def kept_up(database: str, chain: Replay, heads: tuple[int, ...]) -> None:
    """Move the head while the background job runs, and wait each time until the tables are there."""
    engine = db.engine(database)
    settings = settings_for(database, chain.url, 31337, IEXEC, rpc=[chain.url, chain.url.replace("http", "ws", 1)])

    async def watch() -> None:
        working = asyncio.ensure_future(run(settings, engine, until_synced=False, watch=lambda jobs: None))
        try:
            await arrives(database, 60)
            for head in heads:
                chain.control(head=head)
                await arrives(database, head)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(watch())
    engine.dispose()


def test_a_subscription_alone_brings_new_blocks(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.ingest.wake.MOST", 3600.0)  # no second poll while this test runs
    with replay("iexec-dev", "--head", "60", "--finality-lag", "20") as chain:
        kept_up(migrated, chain, (61, 62, 65))
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED), upto=65)


def test_where_the_subscription_is_silent_polling_goes_on(migrated: str) -> None:
    with replay("iexec-dev", "--head", "60", "--finality-lag", "20", "--fault", "wsmiss=1") as chain:
        kept_up(migrated, chain, (61, 64))
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED), upto=64)
