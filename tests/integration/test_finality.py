"""What was final and is not any more: one chain stops and says what to do, the others go on."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from indexer.config import build
from indexer.errors import FinalityBroken
from indexer.ingest.run import Job, run
from indexer.store import database as db
from tests.acceptance.node import ENGINE, running
from tests.bench.head_node import Counted

HEAD = 100


def read_to(database: str, chain: str) -> int:
    with psycopg.connect(database) as connection:
        query = "SELECT coalesce(min(read_to), -1) FROM analytics.freshness WHERE chain = %s"
        row = connection.execute(query, [chain]).fetchone()
    return int(row[0]) if row else -1


async def until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize("pace", [12.0, 0.25], ids=["slow", "fast"])
def test_a_chain_that_went_back_on_a_final_block_stops_and_the_others_go_on(migrated: str, pace: float) -> None:
    busy = set(range(0, 200, 5))
    with running(Counted(HEAD, pace, busy)) as broken, running(Counted(HEAD, pace, busy)) as sound:
        sound.chain_id = 42170
        chains = [
            {"name": name, "chain_id": node.chain_id, "clock": "head", "rpc": [node.url]}
            for name, node in (("broken", broken), ("sound", sound))
        ]
        sources = [
            {"network": "arbius", "chain": chain["name"], "addresses": [ENGINE], "start_block": 3} for chain in chains
        ]
        settings = build({"database": {"url": migrated}, "chains": chains, "sources": sources}, "test")
        jobs: list[Job] = []

        async def play() -> None:
            engine = db.engine(migrated)
            working = asyncio.ensure_future(run(settings, engine, until_synced=False, watch=jobs.extend))
            try:
                await until(lambda: read_to(migrated, "broken") >= HEAD <= read_to(migrated, "sound"))
                broken.salt = "other"
                broken.head, sound.head = HEAD + 5, HEAD + 5
                await until(lambda: jobs[0].stopped is not None)
                sound.head = HEAD + 10
                await until(lambda: read_to(migrated, "sound") == HEAD + 10)
                assert not working.done()
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
                engine.dispose()

        asyncio.run(play())
        assert isinstance(jobs[0].stopped, FinalityBroken)
        assert jobs[1].stopped is None
        true = {number for number in busy if 3 <= number <= HEAD}
    with psycopg.connect(migrated) as connection:
        stored = connection.execute("SELECT block_number FROM arbius.task_retracted WHERE chain_id = 42161").fetchall()
        incidents = connection.execute("SELECT chain, kind, message FROM analytics.incidents").fetchall()
    assert {row[0] for row in stored} == true, "nothing was changed"
    (incident,) = incidents
    assert incident[:2] == ("broken", "FinalityBroken")
    assert "Compare block" in incident[2]
    assert "remove the provider that is wrong" in incident[2]
