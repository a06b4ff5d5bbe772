"""A run with several providers: one that dies, one that is dead from the start, one that fails all the time."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from indexer.config import Settings, build
from indexer.ingest.run import ChainJob, run
from indexer.store import database as db
from tests.acceptance.node import ENGINE, Node, running
from tests.support import Replay, addresses, assert_same_logs, needs_recordings, replay

pytestmark = needs_recordings

ENGINES = addresses("arbius-dev", "arbius-engine") if needs_recordings.args[0] is False else []
NARROW = ("--max-range", "3", "--style", "alchemy", "--max-batch", "2", "--latency", "20")


def settings(database: str, *urls: str) -> Settings:
    tree = {
        "database": {"url": database},
        "chains": [{"name": "test", "chain_id": 42161, "clock": "head", "rpc": list(urls)}],
        "sources": [{"chain": "test", "network": "arbius", "addresses": ENGINES, "start_block": 0}],
    }
    return build(tree, "test")


def ingest(chosen: Settings, meanwhile: Callable[[], bool] | None = None) -> list[ChainJob]:
    """One run until synced; `meanwhile` is called ten times a second until it says True."""
    url = chosen.database.url
    assert url is not None
    engine = db.engine(url.get_secret_value())

    async def both() -> list[ChainJob]:
        going = asyncio.ensure_future(run(chosen, engine, until_synced=True, watch=lambda jobs: None))
        for _ in range(600):
            if going.done() or (meanwhile and meanwhile()):
                break
            await asyncio.sleep(0.1)
        return await going

    try:
        return asyncio.run(both())
    finally:
        engine.dispose()


def log_calls(chain: Replay) -> int:
    return int(chain.stats()["methods"].get("eth_getLogs", 0))


def test_a_provider_that_dies_mid_run_does_not_end_it(migrated: str) -> None:
    with contextlib.ExitStack() as dying, replay("arbius-dev", *NARROW) as other:
        mortal = dying.enter_context(replay("arbius-dev", *NARROW))
        died = False

        def die() -> bool:
            nonlocal died
            if log_calls(mortal) >= 5:
                died = True
                dying.close()
            return died

        began = time.monotonic()
        ingest(settings(migrated, mortal.url, other.url), die)
        assert died
        assert time.monotonic() - began < 90
    assert_same_logs(migrated, "arbius-dev", ENGINES)
    with psycopg.connect(migrated) as connection:
        rows = connection.execute("SELECT provider, errors FROM analytics.providers ORDER BY 1").fetchall()
        readers = {row[0] for row in connection.execute("SELECT DISTINCT provider FROM chain.reads")}
    scores = dict(rows)
    assert set(scores) == readers == {url.removeprefix("http://") for url in (mortal.url, other.url)}
    assert sum(scores[mortal.url.removeprefix("http://")].values()) >= 1, "its failures stand on the scoreboard"


def test_a_provider_that_is_dead_from_the_start_is_done_without(migrated: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    with replay("arbius-dev") as alive:
        (job,) = ingest(settings(migrated, dead, alive.url))
    assert_same_logs(migrated, "arbius-dev", ENGINES)
    assert job.progress.head == 291


class Capped(Node):
    """Answers at most `cap` blocks at a time; a log in every thousandth block."""

    def __init__(self, cap: int) -> None:
        super().__init__(head=60_000)
        self.cap, self.refused = cap, 0

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        wanted = call["params"][0] if call["method"] == "eth_getLogs" else {}
        if "fromBlock" in wanted and int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= self.cap:
            self.refused += 1
            error = {"code": 35, "message": f"ranges over {self.cap} blocks are not supported"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return super().answer(call)

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        return [log for log in super().eth_getLogs(wanted) if int(log["blockNumber"], 16) % 1000 == 0]


def test_each_provider_has_its_own_range_size(migrated: str) -> None:
    with running(Capped(100)) as narrow, running(Capped(3_000)) as wide:
        chosen = settings(migrated, narrow.url, wide.url)
        chosen.sources[0].addresses = [ENGINE]
        ingest(chosen)
    assert max(narrow.refused, wide.refused) <= 4, "each limit is learnt once"
    with psycopg.connect(migrated) as connection:
        query = "SELECT provider, max(to_block - from_block + 1) FROM chain.reads GROUP BY 1"
        largest = dict(connection.execute(query).fetchall())
        logs = connection.execute("SELECT count(*) FROM arbius.task_retracted").fetchone()
    assert largest[narrow.url.removeprefix("http://")] == 100
    assert 2_000 <= largest[wide.url.removeprefix("http://")] <= 3_000
    assert logs == (60,)


def test_who_was_caught_before_is_not_asked_while_another_is_there(migrated: str, tmp_path: Path) -> None:
    with replay("arbius-dev", *NARROW) as liar, replay("arbius-dev", *NARROW) as honest:
        name = liar.url.removeprefix("http://")
        with psycopg.connect(migrated) as connection:
            connection.execute(
                "INSERT INTO chain.providers (chain_id, provider, distrusted_at, distrust_reason)"
                " VALUES (42161, %s, now(), 'left out a log of block 7')", (name,)
            )  # fmt: skip
        ingest(settings(migrated, liar.url, honest.url))
        assert log_calls(liar) == 0, json.dumps(liar.stats()["methods"])
    assert_same_logs(migrated, "arbius-dev", ENGINES)
