"""From a seed to a scenario: what chain, which providers, what goes wrong and how often."""

from dataclasses import dataclass, field
from random import Random

from tests.simulation.faults import KINDS, LIES, LISTS
from tests.simulation.node import Quirks

SELDOM = (*LISTS, *LIES)  # there are fewer places where these can strike
NETWORKS = (("arbius",), ("arbius",), ("iexec",), ("iexec",), ("arbius", "iexec"))


@dataclass
class Scenario:
    """`history`: blocks before the job starts; `steps`: polls while the world moves; `blocks`: per step, about.

    `rates`: faults of the providers. `reorgs`, `crashes`, `cuts` (of database connections): chances per step.
    `stall`: finality stands still in the middle. `settled`: everything is final before the tables are compared.
    `enriches`: facts are asked for, too. `subscribed`: heads are told as well as polled, unless the socket is silent.
    """

    seed: int
    networks: tuple[str, ...] = ("arbius", "iexec")
    seconds: float = 12.0
    busy: float = 0.8
    window: int = 16
    history: int = 60
    steps: int = 14
    blocks: int = 1
    reorgs: float = 0.25
    crashes: float = 0.0
    cuts: float = 0.0
    clocks: float = 0.0
    lag: float = 0.0
    stall: bool = False
    bloomless: bool = False
    evidence: str = "head-bound"
    settled: bool = True
    enriches: bool = False
    subscribed: bool = False
    start_block: int | None = 0
    backends: list[int] = field(default_factory=lambda: [1])
    quirks: list[Quirks] = field(default_factory=lambda: [Quirks()])
    rates: list[dict[str, float]] = field(default_factory=lambda: [{}])

    @property
    def fast(self) -> bool:
        """Several blocks per second."""
        return self.seconds < 1


def draw(seed: int) -> Scenario:
    """The scenario of `seed`."""
    rng = Random(f"scenario {seed}")
    fast = rng.random() < 0.3
    providers = rng.choice((1, 1, 1, 2, 2, 3))
    rates = [_rates(rng) for _ in range(providers)]
    proving = rng.random() < 0.15
    return Scenario(
        seed=seed,
        networks=rng.choice(NETWORKS),
        seconds=0.25 if fast else rng.choice((12.0, 12.0, 2.0)),
        busy=rng.uniform(0.03, 0.15) if fast else rng.uniform(0.3, 1.6),
        window=rng.randrange(30, 160) if fast else rng.randrange(4, 28),
        history=rng.randrange(0, 400) if fast else rng.randrange(0, 60),
        steps=rng.randrange(4, 9),
        blocks=rng.choice((4, 12, 20)) if fast else rng.choice((1, 1, 2, 4)),
        reorgs=rng.choice((0.0, 0.2, 0.35, 0.6)),
        crashes=rng.choice((0.0, 0.0, 0.15, 0.3)),
        cuts=rng.choice((0.0, 0.0, 0.15)),
        clocks=rng.choice((0.0, 0.1)),
        lag=rng.choice((0.0, 0.0, 0.3, 0.6)),
        stall=rng.random() < 0.15,
        bloomless=not proving and rng.random() < (0.4 if any("omit" in kinds for kinds in rates) else 0.08),
        evidence="bloom" if proving else "head-bound",
        settled=rng.random() < 0.4 or any("omit" in kinds for kinds in rates),
        enriches=rng.random() < 0.08,
        subscribed=rng.random() < 0.25,
        start_block=rng.choice((0, None)),
        backends=[rng.choice((1, 1, 2, 3)) for _ in range(providers)],
        quirks=[_quirks(rng, fast) for _ in range(providers)],
        rates=rates,
    )


def _quirks(rng: Random, fast: bool) -> Quirks:
    return Quirks(
        cap_blocks=rng.choice((None, None, rng.choice((5, 20, 100)) * (4 if fast else 1))),
        cap_results=rng.choice((None, None, rng.randrange(5, 60))),
        max_batch=rng.choice((1000, 1000, 10, 3, 1)),
        block_timestamps=rng.random() < 0.7,
        receipts=rng.random() < 0.7,
        clips=rng.random() < 0.6,
        words=rng.randrange(1000),
    )


def _rates(rng: Random) -> dict[str, float]:
    """Some kinds of faults, from rare to frequent; one provider in five is honest."""
    if rng.random() < 0.2:
        return {}
    kinds = rng.sample([kind for kind in KINDS if kind != "lag"], rng.randrange(1, 7))
    strength = rng.choice((0.02, 0.06, 0.12))
    return {kind: strength * rng.uniform(0.3, 1.0) * (4 if kind in SELDOM else 1) for kind in kinds}
