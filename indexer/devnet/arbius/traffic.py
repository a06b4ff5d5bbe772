"""The Arbius traffic: which flow acts in which block, first in bulk with time in jumps, then by the wall clock."""

import heapq
import itertools
import random
from collections.abc import Mapping

from indexer.devnet.arbius import plans
from indexer.devnet.arbius.compile import Contract
from indexer.devnet.arbius.engine import deploy
from indexer.devnet.arbius.facts import V5_2, V6, Arbius
from indexer.devnet.arbius.lives import VOTING, claim_stock, crossing, run
from indexer.devnet.arbius.market import LIVELY, MARKET, prepare_v6, set_up
from indexer.devnet.arbius.tasks import SINGLE, Plan
from indexer.devnet.arbius.world import NOVA, ONE, Flow, Last, World, cast, pay_in
from indexer.devnet.chain import Block, Chain, Tx

# Shares of the tasks of a bulk: before the upgrades, after them, and in flight at its end.
BEFORE, RECENT = 0.4, 0.15
ONE_SHARE = 0.6
# In bulk a plan begins every so many seconds, closer together if all would take longer than the span.
PLAN_SECONDS, MOST_SPAN_SECONDS = 20, 2000
MOST_PER_BLOCK = 100
# The last seconds of the bulk: contestations that await their count first, then tasks in flight, open votes last.
RECENT_SECONDS, AWAITING_SECONDS, VOTING_SECONDS = 1200, 200, 700
LIVE_FLOWS, LIVE_SECONDS = 20, 60


class Traffic:
    """Two engines and all who use them. All randomness comes from `seed`: the same seed sends the same transactions."""

    def __init__(self, chain: Chain, contracts: Mapping[str, Contract], *, seed: int) -> None:
        """Deploy both engines on `chain`, let people settle in; `one` is brought to V5_2 at once.

        `arbius` is what was done. Its tasks' `state` is as of the last block that was made here.
        """
        people = cast(seed)
        self.rng = random.Random(f"arbius {seed}")
        self.world = World(self.rng, chain, people)
        self._ready: list[tuple[int, int, Flow]] = []
        self._count = itertools.count()
        chain.fund(address for members in people.values() for address in members)
        self.arbius = Arbius()
        for name in (NOVA, ONE):
            handle = deploy(chain, contracts, name, admin=people["admin"][0], owner=people["owner"][0])
            self.world.engines[name] = handle
            self.arbius.engines[name] = handle.facts
            self._run(pay_in(self.world, handle))
            self._run(set_up(self.world, handle))
        self._run(self._upgrade(ONE, V5_2))

    def history(self, tasks: int) -> None:
        """Most of the `tasks` tasks of a bulk (six at least), with the upgrades between them; about a week."""
        before = int(tasks * BEFORE)
        self._season(before)
        for name, form in ((NOVA, V5_2), (ONE, V6)):
            self._run(crossing(self.world, self.world.engines[name], self._upgrade(name, form)))
        self._run(prepare_v6(self.world, self.world.engines[ONE]))
        self._season(tasks - before - int(tasks * RECENT) - 4)
        self._refresh()

    def recent(self, tasks: int, end_time: int) -> None:
        """The tasks of a bulk of `tasks` that are in flight at its end, shortly before `end_time` (Unix seconds)."""
        begin = max(self.world.chain.head.timestamp + 1, end_time - RECENT_SECONDS)
        count = int(tasks * RECENT)
        contested = max(1, count // 8)
        for i in range(2 * contested):
            name = NOVA if i % 4 == 3 else ONE
            wait = VOTING_SECONDS if i % 2 else AWAITING_SECONDS * i // (2 * contested)
            self.spawn(run(self.world, Plan(name, (VOTING,), SINGLE)), begin + wait)
        for i, plan in enumerate(self._mix(plans.recent, count - 2 * contested)):
            self.spawn(run(self.world, plan), begin + i * VOTING_SECONDS // count)
        self._run_all()
        self._refresh()

    def live_block(self, timestamp: int) -> Block:
        """One block of the live phase: at times a new plan, an old solution claimed, a change of something."""
        soon = timestamp + LIVE_SECONDS
        busy = sum(at <= soon for at, _, _ in self._ready) >= LIVE_FLOWS
        name = ONE if self.rng.random() < ONE_SHARE else NOVA
        if not busy and self.rng.random() < 0.5:
            self.spawn(run(self.world, plans.mixed(self.rng, name)))
        if self.rng.random() < 0.1:
            self.spawn(claim_stock(self.world, self.world.engines[name]))
        if self.rng.random() < 0.03:
            self.spawn(self.rng.choice(LIVELY)(self.world, self.world.engines[name]))
        block = self.step(timestamp)
        self._refresh()
        return block

    def spawn(self, flow: Flow, at: int = 0) -> None:
        """Let a flow act from Unix time `at` on."""
        heapq.heappush(self._ready, (at, next(self._count), flow))

    def step(self, timestamp: int) -> Block:
        """Mine one block at `timestamp` with what the flows that are due want to send."""
        world = self.world
        world.now = timestamp
        txs: list[Tx] = []
        last: list[Tx] = []
        acted: list[Flow] = []
        while self._ready and self._ready[0][0] <= timestamp and len(txs) < MOST_PER_BLOCK:
            flow = heapq.heappop(self._ready)[2]
            wish = next(flow, None)
            if isinstance(wish, int):
                self.spawn(flow, wish)
            elif wish is not None:
                (last if isinstance(wish, Last) else txs).extend(wish)
                acted.append(flow)
            self._adopt()
        block = world.chain.mine(txs + last, timestamp)
        for flow in acted:
            self.spawn(flow, timestamp)
        return block

    def _refresh(self) -> None:
        self.arbius.head, self.arbius.head_timestamp = head = self.world.chain.head
        for engine in self.arbius.engines.values():
            for task in engine.tasks.values():
                task.state = engine.state(task, head.timestamp)

    def _adopt(self) -> None:
        spawned, self.world.spawned = self.world.spawned, []
        for flow in spawned:
            self.spawn(flow, self.world.now)

    def _run(self, flow: Flow) -> None:
        self.spawn(flow)
        self._run_all()

    def _run_all(self) -> None:
        """Step until no flow is left, jumping over the times in which nobody acts."""
        while self._ready:
            soon = self.world.chain.head.timestamp + self.rng.randint(15, 45)
            self.step(max(soon, self._ready[0][0]))

    def _upgrade(self, name: str, form: str) -> Flow:
        handle = self.world.engines[name]
        implementation, create = handle.create(form)
        yield [create]
        yield Last([handle.upgrade(form, implementation)])

    def _season(self, tasks: int) -> None:
        """`tasks` tasks on both engines, and everything else that people do there, to the end of it."""
        begin = self.world.chain.head.timestamp + 1
        mix = self._mix(plans.history, tasks)
        gap = min(PLAN_SECONDS, MOST_SPAN_SECONDS / max(1, len(mix)))
        for i, plan in enumerate(mix):
            self.spawn(run(self.world, plan), begin + int(i * gap))
        for handle in self.world.engines.values():
            for act in MARKET:
                self.spawn(act(self.world, handle), begin + self.rng.randint(0, int(gap * len(mix))))
        self._run_all()

    def _mix(self, make: plans.Maker, tasks: int) -> list[Plan]:
        """Plans for both engines, alternating."""
        mine = int(tasks * ONE_SHARE)
        pair = make(self.rng, ONE, mine), make(self.rng, NOVA, tasks - mine)
        return [plan for both in itertools.zip_longest(*pair) for plan in both if plan]
