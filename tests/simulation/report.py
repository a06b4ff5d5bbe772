"""What seeds did, in words and numbers."""

from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.notice import HARNESS, SAYS
from tests.simulation.run import Outcome
from tests.simulation.words import BATCHES, BLOCKS, RESULTS, Words

ENOUGH = 200  # seeds in which every kind of fault comes by chance
SHOWN, WIDTH = 6, 240  # lines of differences, and characters of each


@dataclass
class Report:
    """The sum of many outcomes."""

    seeds: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    reorgs: Counter[int] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    refusals: Counter[Words] = field(default_factory=Counter)
    restarts: int = 0
    blocks: int = 0
    posts: int = 0
    compared: int = 0
    failed: list[int] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0
    interrupted: bool = False

    def add(self, outcome: Outcome) -> None:
        """Take in one seed."""
        self.seeds += 1
        self.injected += outcome.injected
        self.noticed += outcome.noticed
        self.reorgs += outcome.reorgs
        self.refusals += outcome.refusals
        self.incidents += outcome.incidents
        self.restarts += outcome.restarts
        self.blocks += outcome.blocks
        self.posts += outcome.posts
        self.compared += outcome.compared
        self.slowest = max(self.slowest, (outcome.seconds, outcome.seed))
        if outcome.wrong:
            self.failed.append(outcome.seed)

    @property
    def unnoticed(self) -> list[str]:
        """Kinds of faults that were injected and that nothing told of."""
        return sorted(kind for kind in (*SAYS, *HARNESS) if self.injected[kind] and not self.noticed[kind])

    @property
    def absent(self) -> list[str]:
        """Kinds of faults that should have come by chance and did not."""
        if self.seeds < ENOUGH:
            return []
        unspoken = [f"refusals of {words.who}" for words in (*BLOCKS, *RESULTS, *BATCHES) if not self.refusals[words]]
        kinds = sorted(kind for kind in (*SAYS, *HARNESS) if not self.injected[kind])
        return kinds + (unspoken if self.seeds >= 5 * ENOUGH else [])

    @property
    def good(self) -> bool:
        """No difference, and every kind of fault was injected and noticed."""
        return not (self.failed or self.unnoticed or self.absent or self.interrupted)

    @property
    def line(self) -> str:
        """How far it is."""
        reorgs, faults = self.reorgs.total(), self.injected.total()
        return (
            f"{self.seeds:,} seeds in {self.seconds:.0f} s; {faults:,} faults, {reorgs:,} reorgs, "
            f"{self.restarts:,} restarts, {self.compared:,} rows; {len(self.failed)} with differences"
        )

    def text(self) -> str:
        """The closing lines."""
        lines = [
            f"seeds: {self.seeds} in {self.seconds:.0f} s, the slowest: {self.slowest[1]} in {self.slowest[0]:.1f} s",
            f"blocks: {self.blocks:,}; requests: {self.posts:,}; rows compared: {self.compared:,}",
            f"seeds with differences: {len(self.failed)}" + (f" {sorted(self.failed)}" if self.failed else ""),
            f"restarts: {self.restarts}",
            "reorgs by depth: " + _listed(self.reorgs),
            "faults injected: " + _listed(self.injected),
            "faults noticed:  " + _listed(Counter({kind: self.noticed[kind] for kind in self.injected})),
            f"refusals: {self.refusals.total():,} in the words of {len(self.refusals)} providers",
            "incidents: " + _listed(self.incidents),
        ]
        if self.interrupted:
            lines.append("INTERRUPTED")
        if self.unnoticed:
            lines.append(f"NOT NOTICED: {', '.join(self.unnoticed)}")
        if self.absent:
            lines.append(f"NEVER INJECTED: {', '.join(self.absent)}")
        return "\n".join(lines)


def story(outcome: Outcome) -> str:
    """One seed in a few lines, with the command that repeats it."""
    head = f"seed {outcome.seed}: {'FAILED' if outcome.wrong else 'passed'} in {outcome.seconds:.1f} s"
    lines = [
        f"{head}; {outcome.blocks} blocks, {outcome.posts} requests, {outcome.compared} rows, "
        f"{outcome.restarts} restarts",
        f"  reorgs by depth: {_listed(outcome.reorgs)}",
        f"  injected: {_listed(outcome.injected)}",
        f"  noticed: {_listed(outcome.noticed)}",
        *(f"  {line[:WIDTH]}" for line in outcome.wrong[:SHOWN]),
    ]
    if len(outcome.wrong) > SHOWN:
        lines.append(f"  … and {len(outcome.wrong) - SHOWN} more")
        lines += [f"  last said: {text[:WIDTH]}" for text in outcome.said[-4:]]
    if outcome.wrong:
        lines.append(f"  repeat it: python -m tests.simulation --seed {outcome.seed}")
    return "\n".join(lines)


def _listed(counts: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{key} {counts[key]:,}" for key in sorted(counts, key=str) if counts[key]) or "none"  # type: ignore[call-overload]
