"""One seed: a world is driven block by block, the indexer polls, dies and comes back; then all heals, and it must be
exact."""

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import structlog
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs

from indexer.errors import FinalityBroken, TaskscanError, Terminal, WrongChain
from indexer.store import database as db
from tests.simulation import loop
from tests.simulation.faults import LIES, LISTS, Faults, FaultyNode
from tests.simulation.life import Crash, Doom, Endless, Life, doom_commits
from tests.simulation.node import Node, Quirks
from tests.simulation.notice import CERTAIN, Notices
from tests.simulation.oracle import Books, Oracle
from tests.simulation.scenario import Scenario, draw
from tests.simulation.words import Words
from tests.simulation.world import World

CHAIN, CLEAN = 1001, 2002
POLL_SECONDS = 5.0
BLAMED = (*LISTS, *LIES)  # faults that are lies about the chain
HEALING = 60  # polls within which a healed world must be indexed


@dataclass
class Outcome:
    """What a seed did. `wrong`: one line for each difference or other failure; empty is a pass."""

    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    reorgs: Counter[int] = field(default_factory=Counter)
    refusals: Counter[Words] = field(default_factory=Counter)
    restarts: int = 0
    blocks: int = 0
    posts: int = 0
    compared: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    incidents: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)


class Bench:
    """A migrated database to run seeds in, one after the other."""

    def __init__(self, url: str) -> None:
        self.engine = db.engine(url)
        gc.collect()
        gc.freeze()  # what is loaded stays: no seed needs to look at it again
        self.doom = Doom()
        doom_commits(self.engine, self.doom)
        self.books = Books(url)

    def reset(self) -> None:
        """Empty tables, and nothing that threatens."""
        self.books.empty()
        self.books.compared = 0
        self.doom.clear()
        self.doom.posts = self.doom.commits = 0

    def run(self, scenario: Scenario) -> Outcome:
        """Run one scenario."""
        began = time.perf_counter()
        self.reset()
        gc.collect()
        gc.disable()
        outcome = Outcome(scenario.seed)
        with _logged() as entries:
            random.seed(scenario.seed)
            try:
                loop.run(Drama(scenario, self.engine, self.doom, self.books, outcome).play())
            except Exception as error:
                outcome.wrong.append(f"{type(error).__name__}: {error}")
        self._judge(outcome, entries)
        gc.enable()
        outcome.compared = self.books.compared
        outcome.seconds = time.perf_counter() - began
        return outcome

    def _judge(self, outcome: Outcome, entries: list[dict[str, object]]) -> None:
        """What of the injected faults was noticed, in log lines, incidents and counters."""
        notices = Notices()
        notices.logs(entries)
        for kind, message, times in self.books.incidents(CHAIN):
            outcome.incidents[kind] += times
            notices.text(f"{kind} {message}", times)
        notices.counted(self.books.provider_errors(CHAIN))
        notices.counted(outcome.counters)
        outcome.noticed += notices.kinds
        outcome.wrong += _false_blame(outcome)
        outcome.said = [f"{entry.get('action')}: {entry['error']}" for entry in entries if "error" in entry][-20:]
        told = not outcome.injected["crash"]  # a dying process takes what it has noticed with it
        missed = [kind for kind in CERTAIN if told and outcome.injected[kind] and not notices.kinds[kind]]
        outcome.wrong += [f"{outcome.injected[kind]} faults of kind {kind}: none was noticed" for kind in missed]

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
        self.books.close()


class Drama:
    """A scenario while it is played."""

    def __init__(self, scenario: Scenario, engine: Engine, doom: Doom, books: Books, outcome: Outcome) -> None:
        self.scenario, self.engine, self.doom, self.books, self.outcome = scenario, engine, doom, books, outcome
        self.rng = Random(f"drama {scenario.seed}")
        self.world = World(
            Random(f"world {scenario.seed}"), scenario.networks, seconds=scenario.seconds, busy=scenario.busy,
            window=scenario.window, bloomless=scenario.bloomless,
        )  # fmt: skip
        self.world.mine(scenario.history + 1)
        self.nodes = [self._node(n) for n in range(len(scenario.backends))]
        self.life: Life | None = None
        self.shift = 0.0  # seconds that the clock of the machine is ahead of the loop's
        self.crashed = False
        self.turn: int | None = None  # of the loop in the next poll, at which the process dies
        doom.cut = self._cut

    def _cut(self) -> None:
        self.books.cut_connections()
        self.outcome.injected["disconnect"] += 1

    def _node(self, n: int) -> FaultyNode:
        scenario = self.scenario
        node = FaultyNode(self.world, CHAIN, scenario.quirks[n], scenario.backends[n])
        node.name, node.omits_final = f"node{n}.sim", scenario.evidence == "bloom"
        node.faults = Faults(Random(f"faults {scenario.seed} {n}"), scenario.rates[n])
        return node

    async def play(self) -> None:
        """Raises what no indexer should raise."""
        scenario, world = self.scenario, self.world
        for step in range(scenario.steps):
            world.stalled = scenario.stall and scenario.steps // 3 < step < 2 * scenario.steps // 3
            self._move()
            for node in self.nodes:
                node.sync(1.0 - scenario.lag, scenario.lag)
            self._tell()
            self._threaten()
            await self._poll()
            await asyncio.sleep(POLL_SECONDS)
        await self._heal()
        await self._last_sibling()
        await self._compare()

    def _move(self) -> None:
        """The world goes on: blocks, and at times another branch."""
        scenario, rng, world = self.scenario, self.rng, self.world
        world.mine(rng.choice((0, scenario.blocks, scenario.blocks, 2 * scenario.blocks)))
        if scenario.reorgs and world.deepest and rng.random() < 0.12:
            world.sibling()
            return
        if rng.random() >= scenario.reorgs or not world.deepest:
            return
        if rng.random() < 0.15 and world.flip_back():
            return
        depth = world.deepest if rng.random() < 0.08 else min(world.deepest, 1 + int(rng.expovariate(0.6)))
        length = rng.choice((depth, depth, depth + 1, depth + rng.randrange(1, 5), max(1, depth - 1)))
        world.reorg(depth, length)

    def _tell(self) -> None:
        """A subscription tells of the head that one of the backends sees, or is silent."""
        if not self.scenario.subscribed or self.life is None:
            return
        if self.rng.random() < 0.4:
            self.outcome.injected["silence"] += 1
            return
        node = self.rng.choice(self.nodes)
        view = self.rng.choice(node.views)
        self.life.hear(node.block(view.block(view.height)))

    def _threaten(self) -> None:
        """Decide whether the process dies in the next poll, or the database goes."""
        scenario, rng, doom, loop_ = self.scenario, self.rng, self.doom, asyncio.get_running_loop()
        if rng.random() < scenario.crashes:
            way = rng.random()
            if way < 0.3:
                doom.at_post = doom.posts + rng.randrange(1, 12)
            elif way < 0.55:
                self.turn = rng.randrange(1, 40)
            else:
                doom.at_rows, doom.before = rng.random() < 0.7, rng.random() < 0.6
                later = rng.randrange(1, 3 if doom.at_rows else 6)
                doom.at_commit = doom.commits + (1 if doom.at_rows else later)  # rows come seldom: the first ones count
        if rng.random() < scenario.cuts:
            doom.cut_at, doom.cut_before = doom.commits + rng.randrange(1, 5), rng.random() < 0.6
        if rng.random() < scenario.clocks:
            if rng.random() < 0.5:
                loop_.jump = rng.choice((60.0, 7200.0))  # type: ignore[attr-defined]
            elif self.life is not None:
                self.shift -= rng.choice((60.0, 7200.0))
                self.outcome.injected["clock"] += 1

    async def _poll(self) -> None:
        """One poll of the living process, or the start of another one."""
        turn, self.turn = self.turn, None
        task = await loop.doomed(self._live(), turn, self.doom)
        if task.cancelled():
            await self._bury(Crash())
        elif error := task.exception():
            if not self.doom.dead and not _crashed(error):
                raise error
            await self._bury(error)

    async def _live(self) -> None:
        if self.life is None:
            await self._begin()
        if self.life is not None:
            await self.life.keep_up()
            if isinstance(self.life.stopped, Terminal):
                await self._restart_after(self.life.stopped)

    def _wall(self) -> float:
        return asyncio.get_running_loop().time() + self.shift

    async def _begin(self) -> None:
        nodes = {node.name: node for node in self.nodes}
        life = Life(self.scenario, CHAIN, nodes, self.engine, self.doom, self._wall)
        try:
            await life.prepare()
        except TaskscanError as error:
            await life.end()
            self._allow(error)
            return
        except BaseException:
            await life.end()
            raise
        self.life = life
        if self.crashed:
            self.crashed, self.outcome.noticed["crash"] = False, self.outcome.noticed["crash"] + 1

    async def _restart_after(self, error: TaskscanError) -> None:
        self._allow(error)
        await self._end()

    def _allow(self, error: TaskscanError) -> None:
        """An operator would see this and start again; some errors must never come."""
        log = structlog.get_logger(__name__)
        log.warning("stopped", action="stopped", error=str(error))
        self.outcome.restarts += 1
        lied = any(node.faults.injected["chain_id"] for node in self.nodes)
        if isinstance(error, FinalityBroken) or (isinstance(error, WrongChain) and not lied):
            raise error

    async def _bury(self, error: BaseException) -> None:
        """Only a Crash may be among what a dying process raises."""
        self.outcome.restarts += 1
        self.outcome.injected["crash"] += 1
        self.crashed = True
        await self._end()
        self.doom.clear()
        if isinstance(error, Endless):
            raise error

    async def _end(self) -> None:
        life, self.life = self.life, None
        if life is not None:
            self.outcome.counters["lagging"] += life.job.progress.lagging
            await life.end()

    async def _heal(self) -> None:
        """Nothing goes wrong any more, and the chain stands still. The index must come to rest at its head."""
        world, rng = self.world, self.rng
        self.doom.clear()
        world.stalled = False
        world.busy = 0.0
        world.mine(1)
        if self.scenario.settled:
            world.mine(int(max(18, 12 / self.scenario.seconds)))  # so many that it pays to ask how far all is final
            world.finalize_all()
        for node in self.nodes:
            node.faults.on = False
            node.sync()
            self.outcome.injected += node.faults.injected
            self.outcome.injected["cap"] += node.refusals.total()
            self.outcome.refusals += node.refusals
        quiet = 0
        for _ in range(HEALING):
            posts = self.doom.posts
            await self._poll()
            await asyncio.sleep(rng.uniform(1.0, 90.0))
            rests = 0 < self.doom.posts - posts <= 4 * len(self.nodes)
            quiet = quiet + 1 if rests and self._behind() == 0 else 0
            if quiet == 1 + self.scenario.settled:
                return
        self.outcome.wrong.append(f"{self._behind()} blocks behind after {HEALING} polls of a healed world")

    async def _last_sibling(self) -> None:
        """At times the last word is a block in the place of the head, and none comes after it."""
        if self.scenario.settled or not self.world.deepest or self.rng.random() < 0.3:
            return
        self.world.sibling()
        for node in self.nodes:
            node.sync()
        polls = 0
        for _ in range(HEALING):
            posts = self.doom.posts
            await self._poll()
            await asyncio.sleep(POLL_SECONDS)
            polls += self.doom.posts > posts
            if polls == 4:
                return

    def _behind(self) -> int:
        return self.target - self.books.covered_to(CHAIN)

    @property
    def target(self) -> int:
        """The block up to which all must be there."""
        return self.world.head.number

    async def _compare(self) -> None:
        """Event rows against the brute-force index, entities against a clean one."""
        outcome, world = self.outcome, self.world
        await self._end()
        outcome.reorgs, outcome.blocks, outcome.posts = world.reorgs, len(world.by_hash), self.doom.posts
        outcome.wrong += self._false_reorgs() + self._false_window()
        oracle, branch = Oracle(self.scenario.networks), world.chain[: self.target + 1]
        outcome.wrong += self.books.events(oracle.rows(branch, CHAIN), CHAIN)
        honest = Node(world, CLEAN, Quirks())
        clean = Life(self.scenario, CLEAN, {"honest.sim": honest}, self.engine, self.doom)
        try:
            await clean.prepare()
            for _ in range(HEALING):
                await clean.poll()
                await asyncio.sleep(POLL_SECONDS)
                if self.books.covered_to(CLEAN) == self.target:
                    break
        finally:
            await clean.end()
        outcome.wrong += self.books.events(oracle.rows(branch, CLEAN), CLEAN)
        outcome.wrong += self.books.entities(CHAIN, CLEAN)

    def _false_reorgs(self) -> list[str]:
        """Reorgs that the indexer believes in and that cannot be: to a block of the very same branch, or on a chain
        that had none."""
        wrong, seen = [], self.books.reorgs(CHAIN)
        self.outcome.injected["reorg"], self.outcome.noticed["reorg"] = sum(self.world.reorgs.values()), len(seen)
        if seen and not self.world.reorgs:
            wrong.append(f"{len(seen)} reorgs were seen on a chain that had none")
        for old, new in seen:
            block = self.world.by_hash.get(old)
            while block is not None and block.hash != new:
                block = self.world.by_hash.get(block.parent)
            if block is not None:
                wrong.append(f"the lower head {block.number} was taken for a reorg")
        return wrong

    def _false_window(self) -> list[str]:
        """Blocks that the indexer holds and that are not those of the true chain; it must end at the true head."""
        chain, held = self.world.chain, self.books.window(CHAIN)
        wrong = [f"block {number} in the window is {hash_.hex()[:8]}, not the chain's"
                 for number, hash_, _ in held if number >= len(chain) or chain[number].hash != hash_]  # fmt: skip
        if held and not self.scenario.fast and held[-1][0] != self.target:
            wrong.append(f"the window ends at block {held[-1][0]}, not at {self.target}")
        return wrong


@contextmanager
def _logged() -> Iterator[list[dict[str, object]]]:
    """Every log line, down to debug."""
    config = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0), cache_logger_on_first_use=False)
    try:
        with capture_logs() as entries:
            yield entries  # type: ignore[misc]
    finally:
        structlog.configure(**config)


def _false_blame(outcome: Outcome) -> list[str]:
    """Incidents that call a provider a liar where none has lied. Whoever loses rows of his own believes that, too."""
    if any(outcome.injected[kind] for kind in BLAMED):
        return []
    return [f"no provider lied, and {kind} was told {outcome.incidents[kind]} times"
            for kind in ("Repaired", "Distrusted", "ProvidersDiffer") if outcome.incidents[kind]]  # fmt: skip


def _crashed(error: BaseException) -> bool:
    """Whether a Crash is told late: a scan that went on beside died before the world was healed."""
    return isinstance(error, Crash) or (isinstance(error, BaseExceptionGroup) and error.subgroup(Crash) is not None)


def run_seed(bench: Bench, seed: int) -> Outcome:
    """Run the scenario that `seed` draws."""
    return bench.run(draw(seed))
