"""Memory over simulated days: a chain of 12-second blocks with light traffic and small reorgs, followed block by block.

Time is simulated, all else is real: the whole job, decoding, enrichment, PostgreSQL. The simulated chain, which grows,
lives in a process of its own, so that the resident memory of this one is the indexer's.
"""

import asyncio
import gc
import json
import logging
import multiprocessing
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

import structlog

from tests.simulation import loop
from tests.simulation.life import Life
from tests.simulation.many import bench, server_of_its_own
from tests.simulation.node import Node, Quirks
from tests.simulation.run import CHAIN, Bench
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

SECONDS = 12.0
FILLED = 3  # hours after which caches are full
MOST_GROWTH = 0.01  # of what is resident, per hour, from then on
SCENARIO = Scenario(0, seconds=SECONDS, enriches=True)


class Held(NamedTuple):
    """Resident megabytes, and thousands of blocks that Python's allocator has given out."""

    resident_mb: float
    blocks_k: float


def run(hours: int) -> list[dict[str, float]]:
    """Live so many hours and print each; what was measured. Raises SystemExit where memory grows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    held: list[Held] = []
    with server_of_its_own() as url, bench(url) as made, _chain() as chain:
        loop.run(_days(made, chain, hours, held))
    first, last = held[min(FILLED, len(held)) - 1], held[-1]
    per_hour = (last.resident_mb / first.resident_mb - 1) / max(1, len(held) - FILLED)
    if per_hour > MOST_GROWTH:
        raise SystemExit(f"memory grows by {per_hour:.1%} an hour")
    return [{f"{name}_{when}": each for when, part in (("first", first), ("last", last))
             for name, each in part._asdict().items()}]  # fmt: skip


async def _days(made: Bench, chain: Connection, hours: int, held: list[Held]) -> None:
    async def post(body: bytes) -> bytes:
        chain.send_bytes(body)
        return chain.recv_bytes()

    life = Life(SCENARIO, CHAIN, {"node.sim": post}, made.engine, made.doom)
    await life.prepare()
    for hour in range(1, hours + 1):
        made.doom.posts = 0
        for _ in range(int(3600 / SECONDS)):
            head = int(await post(b""))
            await life.poll()
            await asyncio.sleep(SECONDS)
        held.append(_held())
        behind = head - made.books.covered_to(CHAIN)
        reorgs, rows = len(made.books.reorgs(CHAIN)), sum(made.books.connection.execute(ROWS, [CHAIN]).fetchone() or ())
        print(
            f"hour {hour:3}: block {head}, {behind} behind, {rows} logs, {reorgs} reorgs; "
            f"{held[-1].resident_mb:.1f} MB resident, {held[-1].blocks_k:.0f} k blocks",
            flush=True,
        )
    await life.end()


ROWS = "SELECT coalesce(sum(logs), 0)::bigint FROM chain.reads WHERE chain_id = %s"


def _held() -> Held:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Held(pages * resource.getpagesize() / 1e6, sys.getallocatedblocks() / 1e3)


@contextmanager
def _chain() -> Iterator[Connection]:
    """A process with the chain and its provider: an empty message adds a block, any other is a request."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=[theirs], daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection) -> None:
    world = World(Random(5), SCENARIO.networks, seconds=SECONDS, busy=0.1, window=40)
    world.mine(50)
    node = Node(world, CHAIN, Quirks())
    while True:
        if body := pipe.recv_bytes():
            request = json.loads(body)
            pipe.send_bytes(node.answer(request, node.view(request)))
            continue
        world.mine()
        if world.deepest > 3 and world.rng.random() < 0.02:
            world.reorg(3, 3)
        node.sync()
        pipe.send_bytes(str(world.head.number).encode())
