"""The drive: which flow acts in which block, in bulk with time in jumps, then live by the wall clock."""

import heapq
import itertools
import random
import time
from pathlib import Path

from indexer.devnet.anvil import Node
from indexer.devnet.chain import Block, Chain, Tx
from indexer.devnet.deals import run_deal
from indexer.devnet.ledger import Ledger
from indexer.devnet.market import MARKET
from indexer.devnet.model import Model
from indexer.devnet.plans import live_plan, settled_plans, unsettled_plans
from indexer.devnet.poco import Poco, deploy
from indexer.devnet.world import ROLES, Flow, World, address_of, new_key, settle_in

# The genesis block lies this far before the end of the bulk: the longest category's tasks take 100 hours.
HISTORY_SECONDS = 30 * 86400
# How long before the end the tasks begin that stay in flight.
RECENT_SECONDS = 1800
IN_FLIGHT_SHARE = 0.08
# In bulk a deal begins every so many seconds of chain time, closer together if all would take longer than the span:
# Anvil's time per block grows with the chain's state, so a large bulk needs full blocks.
DEAL_SECONDS, MOST_SPAN_SECONDS = 10, 1000
# Every third deal begins after the first claims, which fill the kitty that later successes draw on.
WAVE_SECONDS = 4000
MOST_PER_BLOCK = 100
# In the live phase a block brings a new deal this often (Anvil slows down as the state grows);
# none begins while so many flows want to act within so many seconds.
LIVE_DEALS = 0.2
LIVE_FLOWS, LIVE_SECONDS = 25, 60

_CAST = {"deployer": 1, "admin": 1, **ROLES}


class Drive:
    """Runs flows against a chain. All randomness comes from `seed`: the same seed sends the same transactions."""

    def __init__(self, node: Node, package: Path, *, chain_id: int, seed: int, end_time: int) -> None:
        """Deploy the contracts of the npm package and let people settle in.

        `end_time`: Unix seconds at which the bulk shall end; Anvil must have begun HISTORY_SECONDS before.
        """
        self.end_time = end_time
        self.rng = random.Random(seed)
        self._ready: list[tuple[int, int, Flow]] = []
        self._count = itertools.count()
        chain = Chain(node, Ledger(chain_id, seed), end_time - HISTORY_SECONDS)
        keys = {role: [new_key(seed, f"{role} {i}") for i in range(n)] for role, n in _CAST.items()}
        people = {role: [address_of(key) for key in members] for role, members in keys.items()}
        chain.fund(address for members in people.values() for address in members)
        self.poco: Poco = deploy(package, chain, people["deployer"][0])
        model = Model(chain.ledger, self.poco.hub)
        self.world = World(self.rng, seed, chain, self.poco, model, people=people)
        self.world.keys = {address_of(key): key for members in keys.values() for key in members}
        self.spawn(settle_in(self.world))
        self._run_all()

    @property
    def ledger(self) -> Ledger:
        """What was done so far."""
        return self.world.ledger

    def spawn(self, flow: Flow, at: int = 0) -> None:
        """Let a flow act from Unix time `at` on."""
        heapq.heappush(self._ready, (at, next(self._count), flow))

    def bulk(self, tasks: int) -> None:
        """Make `tasks` tasks, most of which come to their end; the others stay in flight."""
        in_flight = int(tasks * IN_FLIGHT_SHARE)
        begin = self.world.chain.head.timestamp
        plans = settled_plans(self.rng, tasks - in_flight)
        span = min(DEAL_SECONDS * len(plans), MOST_SPAN_SECONDS)
        for i, plan in enumerate(plans):
            self.spawn(run_deal(self.world, plan), begin + i * span // len(plans) + WAVE_SECONDS * (i % 3 == 2))
        for flow in MARKET:
            self.spawn(flow(self.world), begin + self.rng.randint(0, span))
        self._run_all()
        self.world.now = max(self.world.chain.head.timestamp, self.end_time - RECENT_SECONDS)
        for plan in unsettled_plans(self.rng, in_flight):
            self.spawn(run_deal(self.world, plan), self.world.now + self.rng.randint(0, RECENT_SECONDS // 4))
        self._run_all()

    def live_block(self) -> Block:
        """One block of the live phase, now: a new deal at times, a few transactions of the flows that are due."""
        now = max(int(time.time()), self.world.chain.head.timestamp)
        awake = sum(at <= now + LIVE_SECONDS for at, _, _ in self._ready)
        if awake < LIVE_FLOWS and self.rng.random() < LIVE_DEALS:
            self.spawn(run_deal(self.world, live_plan(self.rng)))
        if self.rng.random() < 0.05:
            self.spawn(self.rng.choice(MARKET)(self.world))
        return self.step(now)

    def step(self, timestamp: int) -> Block:
        """Mine one block at `timestamp` with what the flows that are due want to send, at most about a hundred."""
        world = self.world
        world.now = timestamp
        txs: list[Tx] = []
        acted: list[Flow] = []
        while self._ready and self._ready[0][0] <= timestamp and len(txs) < MOST_PER_BLOCK:
            flow = heapq.heappop(self._ready)[2]
            wish = next(flow, None)
            if isinstance(wish, int):
                self.spawn(flow, wish)
            elif wish is not None:
                txs += wish
                acted.append(flow)
            self._adopt()
        block = world.chain.mine(txs, timestamp)
        for flow in acted:
            self.spawn(flow, timestamp)
        return block

    def _adopt(self) -> None:
        spawned, self.world.spawned = self.world.spawned, []
        for flow in spawned:
            self.spawn(flow, self.world.now)

    def _run_all(self) -> None:
        """Step until no flow is left, jumping over the times in which nobody acts."""
        while self._ready:
            soon = self.world.chain.head.timestamp + self.rng.randint(10, 50)
            self.step(max(soon, self._ready[0][0]))
