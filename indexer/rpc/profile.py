"""What was found out about a provider, and what that means for reading from it, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["good", "usable", "unusable"]

NARROW = 1_000  # blocks: with smaller ranges a backfill becomes long
FEW_RESULTS = 1_000  # logs
SHORT_BATCH = 10  # calls
SLOW_MS = 1_500.0  # milliseconds for a small question
BEHIND_SECONDS = 30.0  # more than that behind the newest head of all is a lagging provider


@dataclass
class Profile:
    """Of one provider, as `examine` found it; None is what could not be found out.

    `range_cap`: most blocks that one eth_getLogs takes (0: no such limit was met); `range_tried`: most that were
    answered. `result_cap`: most logs of an answer that it names (0: none was met); `results_tried`: most that came.
    `batch_cap`: most calls that one batch takes (0: no limit was met); `state_depth`: blocks below the head of which
    it still has the state (all: as many as the chain has); `old_logs`: it has the logs of the chain's beginning.
    `finalized_lag`: blocks between the newest and the finalised one, None where that tag does not move. `behind`:
    blocks and `behind_seconds` seconds that its head lay behind the newest head of all providers. `receipts`: whether
    it gives those of a block so that they prove its logs: by block, one by one, none. `block_seconds`: seconds between
    blocks. `latency_ms`: milliseconds for a small question, the median. `calls`: what this cost.
    """

    provider: str
    chain_id: int
    problem: str = ""
    head: int | None = None
    head_time: int | None = None
    block_seconds: float | None = None
    latency_ms: float | None = None
    range_cap: int | None = None
    range_tried: int = 0
    result_cap: int | None = None
    results_tried: int = 0
    batch_cap: int | None = None
    state_depth: int | None = None
    all_state: bool | None = None
    old_logs: bool | None = None
    block_timestamp: bool | None = None
    finalized_lag: int | None = None
    blooms_truthful: bool | None = None
    receipts: str | None = None
    behind: int = 0
    behind_seconds: float = 0.0
    calls: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """`unusable`: nothing can be read from it; `usable`: but see `advice`."""
        if self.problem:
            return "unusable"
        return "usable" if self.advice else "good"

    @property
    def advice(self) -> list[str]:
        """What to know or to do about it, one sentence each."""
        if self.problem:
            return [self.problem]
        return [text for text in (*_of_history(self), *_of_head(self), *_of_limits(self), *self.notes) if text]


def _of_history(p: Profile) -> Sequence[str]:
    found = []
    if p.range_cap and p.range_cap < NARROW:
        calls = 1_000_000 / p.range_cap
        found.append(
            f"It answers at most {p.range_cap:,} blocks at a time: {calls:,.0f} requests for a million blocks. Use "
            "another provider for the past, and this one for the head."
        )
    if p.result_cap and p.result_cap < FEW_RESULTS:
        found.append(f"It answers at most {p.result_cap:,} logs at a time: busy contracts take many requests.")
    if p.old_logs is False:
        found.append("It has not got the logs of the chain's beginning: it cannot be read from the start alone.")
    if p.state_depth is not None and not p.all_state:
        depth = f"the last {p.state_depth:,} blocks" if p.state_depth else "the newest block"
        found.append(f"It keeps the state of {depth} only: set `start_block`, it cannot be searched for.")
    return found


def _of_head(p: Profile) -> Sequence[str]:
    found = []
    if p.finalized_lag is None:
        found.append("Its `finalized` tag does not move: blocks count as final by their age.")
    if p.behind and p.behind_seconds > BEHIND_SECONDS:
        found.append(f"Its newest block lies {p.behind:,} blocks ({p.behind_seconds:,.0f} s) behind: it lags.")
    if p.latency_ms is not None and p.latency_ms > SLOW_MS:
        found.append(f"It takes {p.latency_ms:,.0f} ms for a small question: events will be seen late.")
    if p.receipts == "none":
        found.append("It gives no receipts that fit its headers: `evidence` can be bloom at most.")
    if p.receipts == "one by one":
        found.append('It gives receipts one by one only: `evidence = "receipts"` costs a call per transaction.')
    if p.blooms_truthful is False:
        found.append("The blooms in its headers do not fit its logs: nothing can be proved by them.")
    return found


def _of_limits(p: Profile) -> Sequence[str]:
    found = []
    if p.batch_cap == 1:
        found.append(
            "It takes no batches: each call goes alone, and ranges more than 128 blocks below the final one are bound "
            "to no header. If it may lag that far, set `evidence` to bloom or receipts."
        )
    elif p.batch_cap and p.batch_cap < SHORT_BATCH:
        found.append(f"It takes at most {p.batch_cap} calls in one batch.")
    if p.block_timestamp is False:
        found.append("Its logs carry no `blockTimestamp`: one header more for each block that has logs.")
    return found
