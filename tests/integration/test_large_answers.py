"""Answers larger than what may be in memory, from a real server: asked for again in pieces, complete, bounded."""

import asyncio

import psycopg

from indexer.chain.sizing import START_BLOCKS
from indexer.ingest import run as ingest
from indexer.store import database as db
from tests.bench.chain import CHAIN_ID, ENGINE
from tests.bench.process import log_server
from tests.support import settings_for

DENSE = 13 * START_BLOCKS  # logs of some 700 bytes: a first answer of 18 MB


def test_an_answer_too_large_to_keep_is_asked_for_again_in_pieces(migrated: str) -> None:
    with log_server("--logs", str(DENSE), "--blocks", str(START_BLOCKS), "--per-block", "13") as served:
        source = {"network": "arbius", "addresses": [ENGINE], "start_block": 0}
        engine = db.engine(migrated)
        try:
            settings = settings_for(migrated, served.url, CHAIN_ID, [source])
            asyncio.run(ingest.run(settings, engine, until_synced=True, watch=lambda jobs: None))
        finally:
            engine.dispose()
        asked = served.get("/stats")["methods"]["eth_getLogs"]
    with psycopg.connect(migrated) as connection:
        found = connection.execute("SELECT sum(logs), max(answer_bytes), count(*) FROM chain.reads").fetchone()
        tasks = connection.execute("SELECT count(*), count(DISTINCT id) FROM arbius.task_submitted").fetchone()
    assert found is not None
    assert tasks is not None
    assert found[0] == DENSE
    assert found[1] <= 16 << 20
    assert asked == found[2] + 1, "one answer was given up, and no other"
    assert tasks[0] == tasks[1] >= DENSE // 7
