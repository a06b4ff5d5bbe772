"""Memory over simulated days: a chain of 12-second blocks with light traffic and small reorgs, followed block by block.

Time is simulated, all else is real: the whole job, decoding, PostgreSQL. The simulated chain lives in the same process,
so beside the resident memory it is told what Python holds for anything but that chain.
"""

import asyncio
import gc
import logging
import resource
import tracemalloc
from pathlib import Path
from random import Random

import structlog

from tests.simulation import loop
from tests.simulation.life import Life
from tests.simulation.many import bench, server_of_its_own
from tests.simulation.node import Node, Quirks
from tests.simulation.run import CHAIN, Bench
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

SECONDS = 12.0
SETTLED_AFTER = 3  # hours in which caches fill
MOST_GROWTH = 0.02  # of what is held, per hour, from then on
CHAIN_FILES = ("*/tests/simulation/*", "*/random.py", "*/tracemalloc.py")


def run(hours: int) -> list[dict[str, float]]:
    """Live so many hours and print each; what was measured. Raises SystemExit where memory grows."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    held: list[tuple[float, float]] = []
    with server_of_its_own() as url, bench(url) as made:
        tracemalloc.start()
        try:
            loop.run(_days(made, hours, held))
        finally:
            tracemalloc.stop()
    first, last = held[min(SETTLED_AFTER, len(held) - 1)], held[-1]
    per_hour = (last[0] - first[0]) / first[0] / max(1, len(held) - 1 - SETTLED_AFTER)
    if per_hour > MOST_GROWTH:
        raise SystemExit(f"memory grows by {per_hour:.1%} an hour")
    return [{"held_mb_first": first[0], "held_mb_last": last[0], "rss_mb_first": first[1], "rss_mb_last": last[1]}]


async def _days(made: Bench, hours: int, held: list[tuple[float, float]]) -> None:
    scenario = Scenario(0, seconds=SECONDS, enriches=True)
    world = World(Random(5), scenario.networks, seconds=SECONDS, busy=0.1, window=40)
    world.mine(50)
    node = Node(world, CHAIN, Quirks())
    life = Life(scenario, CHAIN, {"node.sim": node}, made.engine, made.doom)
    await life.prepare()
    for hour in range(1, hours + 1):
        made.doom.posts = 0
        for _ in range(int(3600 / SECONDS)):
            await _block(world, node, life)
        held.append(_held())
        behind = world.head.number - made.books.covered_to(CHAIN)
        print(
            f"hour {hour:3}: block {world.head.number:6}, {behind} behind, {world.reorgs.total()} reorgs; "
            f"held {held[-1][0]:.2f} MB, resident {held[-1][1]:.1f} MB",
            flush=True,
        )
    await life.end()


async def _block(world: World, node: Node, life: Life) -> None:
    """One more block, at times after a reorg. States of old blocks are of no use to anybody."""
    world.mine()
    if world.deepest > 3 and world.rng.random() < 0.02:
        world.reorg(3, 3)
    for block in world.chain[max(0, world.final - 60) : max(0, world.final - 2)]:
        block.state = {}
    node.sync()
    await life.poll()
    await asyncio.sleep(SECONDS)


def _held() -> tuple[float, float]:
    """Megabytes that Python holds for all but the simulated chain, and resident ones."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    ours = snapshot.filter_traces([tracemalloc.Filter(False, pattern) for pattern in CHAIN_FILES])
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return sum(trace.size for trace in ours.traces) / 1e6, pages * resource.getpagesize() / 1e6
