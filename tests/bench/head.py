"""Bench "head": what keeping up costs in requests, and how soon an event is in the database on a local chain."""

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg

from indexer.config import build
from indexer.devnet.anvil import Anvil
from indexer.devnet.tools import install
from indexer.ingest.job import ChainJob
from indexer.ingest.run import run
from indexer.store import database as db
from indexer.store import migrate, server
from tests.acceptance.node import ENGINE, running
from tests.bench.head_node import Counted
from tests.integration.test_reorg_anvil import Chain as LocalChain
from tests.support import open_job

Figures = dict[str, float]

BLOCKS = 48  # that a walk at the head adds
EVERY = 8  # one of so many holds a log
EVENTS = 60  # of which the latency is taken
PAUSE = 0.05  # seconds between a block and the next, at least


def walk(database: str, node: Counted, steps: Callable[[ChainJob], Awaitable[None]]) -> None:
    """Let a job read `node` up to its head, and go on with `steps`."""
    engine = db.engine(database)
    source = {"network": "arbius", "chain": "head", "addresses": [ENGINE], "start_block": 3}
    chain = {"name": "head", "chain_id": node.chain_id, "clock": "head", "rpc": [node.url]}
    settings = build({"database": {"url": database}, "chains": [chain], "sources": [source]}, "bench")

    async def all_of_it() -> None:
        async with open_job(settings, engine) as job:
            await job.tick()
            await job.poll()
            await steps(job)

    asyncio.run(all_of_it())


def calls_per_poll(database: str, pace: float, each: int = 1) -> dict[int, int]:
    """Block that came last -> calls of the poll that brought it, and `each` blocks in all. Nothing is final anew."""
    found: dict[int, int] = {}
    busy = set(range(0, 4000, EVERY))

    async def steps(job: ChainJob) -> None:
        for _ in range(BLOCKS // 4):
            if pace > 1:
                node.head += each
            else:
                node.grows = each
            before = node.calls
            await job.poll()
            found[node.head] = node.calls - before

    with running(Counted(4 * EVERY + 1, pace, busy)) as node:
        walk(database, node, steps)
    return found


def keeping_up(database: str, pace: float, each: int, blocks: int = BLOCKS) -> float:
    """Calls per poll in the long run: with finality, second looks and samples."""
    counted: list[int] = []

    async def steps(job: ChainJob) -> None:
        before = node.calls
        for _ in range(blocks):
            node.head += each if pace > 1 else 0
            node.grows = each if pace < 1 else 0
            await job.poll()
        counted.append(node.calls - before)

    with running(Counted(40, pace, set())) as node:
        walk(database, node, steps)
    return counted[0] / blocks


def second_looks(database: str, polls: int = 150) -> tuple[int, int]:
    """Calls that a scan behind a cap costs with the polls after it, and those of its second looks: logs and header."""
    counted: list[int] = []

    async def steps(job: ChainJob) -> None:
        for _ in range(polls):
            await job.poll()
        counted.extend((node.calls, 2 * node.again))

    with running(Counted(20_000, 0.25, set(range(0, 20_000, 500)), cap=50)) as node:
        walk(database, node, steps)
    return counted[0], counted[1]


def latencies(database: str) -> list[float]:
    """Seconds from a block of a local chain to its event in the database, one by one."""
    found: list[float] = []
    with Anvil(install().anvil, chain_id=31337, timestamp=int(time.time())) as anvil:
        chain = LocalChain(anvil)
        chain.mine(1, 0, 1)
        thread = threading.Thread(target=_mine, args=(database, chain, found))
        asyncio.run(_follow(database, chain.url, thread))
    return found


async def _follow(database: str, url: str, thread: threading.Thread) -> None:
    source = {"network": "arbius", "chain": "local", "addresses": ["0x" + "e1" * 20], "start_block": 0}
    rpc = [url, url.replace("http", "ws", 1)]
    chain = {"name": "local", "chain_id": 31337, "rpc": rpc}
    settings = build({"database": {"url": database}, "chains": [chain], "sources": [source]}, "bench")
    engine = db.engine(database)
    working = asyncio.ensure_future(run(settings, engine, until_synced=False, watch=lambda jobs: None))
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.2)
        if working.done():
            working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    engine.dispose()


def _mine(database: str, chain: LocalChain, found: list[float]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        _wait(connection, 2)
        for count in range(3, 3 + EVENTS):
            chain.mine(1)
            began = time.monotonic()
            _wait(connection, count)
            found.append(time.monotonic() - began)
            time.sleep(PAUSE)


def _wait(connection: psycopg.Connection[Any], count: int) -> None:
    for _ in range(6000):
        row = connection.execute("SELECT count(*) FROM arbius.validator_deposit").fetchone()
        if row and row[0] >= count:
            return
        time.sleep(0.005)
    raise SystemExit("an event did not come within 30 seconds")


def run_once() -> Figures:
    """All figures, on an embedded database of their own."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        with server.using(folder / "data") as running_server:
            return _figures(running_server.url)
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)


def _figures(url: str) -> Figures:
    found: Figures = {}
    engine = db.engine(url)
    migrate.upgrade(engine)
    for name, pace, each in (("slow", 12.0, 1), ("fast", 0.25, 3)):
        polls = calls_per_poll(url, pace, each)
        quiet = [
            calls for block, calls in polls.items() if not any(n % EVERY == 0 for n in range(block - each, block + 1))
        ]
        found[f"calls_per_quiet_poll_{name}"] = max(quiet)
        _clear(url)
        found[f"calls_per_poll_kept_up_{name}"] = keeping_up(url, pace, each)
        _clear(url)
    calls, again = second_looks(url)
    found["second_looks_percent"] = 100 * again / calls
    _clear(url)
    waited = sorted(latencies(url))
    for share in (50, 95, 100):
        found[f"latency_ms_p{share}"] = 1000 * waited[min(len(waited) - 1, len(waited) * share // 100)]
    engine.dispose()
    return found


def _clear(url: str) -> None:
    """An empty database again."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('chain', 'arbius', 'iexec', 'koii')"
        ).fetchall()
        connection.execute(("TRUNCATE " + ", ".join(name for (name,) in names) + " CASCADE").encode())
