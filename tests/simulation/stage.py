"""A small world under the hand of a test: one indexer, providers that do as they are told, and the comparison."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.simulation import loop
from tests.simulation.abi import ARBIUS
from tests.simulation.faults import Faults, FaultyNode
from tests.simulation.life import Life
from tests.simulation.lives import ENGINE, PEOPLE, Tx
from tests.simulation.node import Node, Quirks
from tests.simulation.oracle import Oracle
from tests.simulation.run import CHAIN, CLEAN, POLL_SECONDS, Bench
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

FINAL = 12  # what counts as final at the start


class Stage:
    """`world` stands at block 24 with some traffic, 12 blocks of it final; `node` is the first provider."""

    def __init__(
        self, bench: Bench, seconds: float, providers: int = 1, evidence: str = "head-bound",
        networks: tuple[str, ...] = ("arbius",),
    ) -> None:  # fmt: skip
        self.bench, self.rng = bench, Random(1)
        self.scenario = Scenario(0, networks=networks, seconds=seconds, evidence=evidence)
        self.world = World(Random(2), self.scenario.networks, seconds=seconds, busy=0.7, window=1000)
        self.world.mine(2 * FINAL)
        self.world.final = FINAL
        self.nodes = [self._node(n) for n in range(providers)]
        self.life: Life | None = None

    @property
    def node(self) -> FaultyNode:
        """The first provider."""
        return self.nodes[0]

    def _node(self, n: int) -> FaultyNode:
        node = FaultyNode(self.world, CHAIN, Quirks())
        node.name, node.faults = f"node{n}.sim", Faults(Random(n), {}, omits=1)
        return node

    def sync(self) -> None:
        """Every provider sees the world as it is."""
        for node in self.nodes:
            node.sync()

    async def poll(self, times: int = 1) -> None:
        """Let the indexer poll, begin if it does not live, and die as it is doomed to."""
        for _ in range(times):
            await self._live()
            await loop.sleep(POLL_SECONDS)

    async def _live(self) -> None:
        if self.life is None:
            nodes = {node.name: node for node in self.nodes}
            self.life = Life(self.scenario, CHAIN, nodes, self.bench.engine, self.bench.doom)
            await self.life.prepare()
        await self.life.poll()

    async def dies_at(self, turn: int) -> bool:
        """Poll and be killed at that turn of the event loop; False where the poll has ended before it."""
        done, doom = await loop.doomed(self._live(), turn, self.bench.doom), self.bench.doom
        if not doom.dead:
            done.result()
            return False
        await self.end()
        doom.clear()
        return True

    async def end(self) -> None:
        """The process ends."""
        if self.life is not None:
            await self.life.end()
        self.life = None

    async def catch_up(self) -> None:
        """Poll until the head is reached."""
        for _ in range(12):
            self.sync()
            await self.poll()
            if self.behind == 0:
                return
        raise AssertionError(f"{self.behind} blocks behind after 12 polls")

    @property
    def behind(self) -> int:
        """Blocks that are not covered yet."""
        return self.world.head.number - self.bench.books.covered_to(CHAIN)

    async def grow_final(self) -> None:
        """Enough empty blocks to make the indexer ask how far all is final, and it is final to the head."""
        self.world.busy = 0.0
        self.world.mine(int(max(18, 12 / self.world.seconds)))
        self.world.finalize_all()
        await self.catch_up()
        await self.poll(3)

    def differences(self) -> list[str]:
        """Event rows against the brute-force index of the true chain."""
        oracle = Oracle(self.scenario.networks)
        return self.bench.books.events(oracle.rows(self.world.chain, CHAIN), CHAIN)

    async def check(self) -> None:
        """Events and entities are exactly those of the true chain."""
        assert self.differences() == []
        clean = Life(self.scenario, CLEAN, {"clean.sim": Node(self.world, CLEAN, Quirks())}, self.bench.engine,
                     self.bench.doom)  # fmt: skip
        await clean.prepare()
        while self.bench.books.covered_to(CLEAN) < self.world.head.number:
            await clean.poll()
            await loop.sleep(POLL_SECONDS)
        await clean.end()
        assert self.bench.books.entities(CHAIN, CLEAN) == []
        assert self.bench.books.compared > 5

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query about the chain, whose number is `%s`."""
        return self.bench.books.connection.execute(query.encode(), [CHAIN]).fetchall()

    def reorgs(self) -> list[int]:
        """Depths of the reorgs that the indexer saw."""
        return [row[0] for row in self.ask("SELECT depth FROM chain.reorgs WHERE chain_id = %s ORDER BY reorg_id")]

    def incidents(self) -> set[str]:
        """Kinds of incidents that were written down."""
        return {row[0] for row in self.ask("SELECT kind FROM chain.incidents WHERE chain_id = %s")}

    def tx(self, logs: int = 1) -> Tx:
        """A transaction that writes this many logs of the engine, of different validators."""
        entries = [
            (ENGINE, *ARBIUS["ValidatorDeposit"].encode(PEOPLE[n % 9], PEOPLE[(n + 1) % 9], 10**n)) for n in range(logs)
        ]
        return Tx(self.rng.randbytes(32), tuple(entries))


Scene = Callable[[Stage], Awaitable[None]]


def act(bench: Bench, scene: Scene, seconds: float, **options: Any) -> None:
    """Play `scene` on a fresh stage."""

    async def play() -> None:
        stage = Stage(bench, seconds, **options)
        try:
            await scene(stage)
        finally:
            bench.doom.clear()
            await stage.end()

    bench.reset()
    loop.run(play())
