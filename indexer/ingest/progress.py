"""What a scan has done and what holds it up: read by the progress display, the log line per minute and the bench."""

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.errors import Contradiction, OtherBranch, TaskscanError
from indexer.store.copy import Row, Target, place
from indexer.store.ledger import Group
from indexer.store.write import Batch

RECENT = 15.0  # seconds over which rates are taken


class Newest(NamedTuple):
    """An event that was just written, for display."""

    table: str
    block: int
    tx: str

    @classmethod
    def of(cls, target: Target, row: Row) -> "Newest":
        """The event that `row` of `target` tells of."""
        block, tx_hash = place(row)
        return cls(f"{target.schema}.{target.table}", block, "0x" + tx_hash.hex())


@dataclass
class Progress:
    """Of one chain: blocks and logs since the start, and the seconds that each stage was busy.

    `blooms`: whether the chain's blooms proved truthful; `omissions`: logs that a provider was caught leaving out;
    `lies`: at what else one was caught; `suspects`: who contradicted a final block;
    `lagging`: answers that were older than what is known; `repaired`: rows that a second look changed.
    """

    chain: str
    networks: tuple[str, ...] = ()
    blocks_total: int = 0
    blocks_done: int = 0
    head: int | None = None
    logs: Counter[str] = field(default_factory=Counter)
    busy: dict[str, float] = field(default_factory=dict)
    newest: deque[Newest] = field(default_factory=lambda: deque(maxlen=20))
    marks: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=200))
    omissions: Counter[str] = field(default_factory=Counter)
    lies: dict[str, str] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)
    blooms: bool | None = None
    reorgs: int = 0
    repaired: int = 0
    lagging: int = 0
    provider: str = ""
    state: str = "starting"
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time in the block towards the stage `name`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.busy[name] = self.busy.get(name, 0.0) + time.monotonic() - began

    def doubt(self, error: TaskscanError) -> None:
        """Remember who is to be distrusted, or looked at, for an answer about blocks that cannot change any more."""
        name = str(error.facts.get("provider"))
        if isinstance(error, Contradiction):
            self.lies[name] = f"it contradicted itself: {error.facts['message']}"
        elif isinstance(error, OtherBranch):
            self.suspects.add(name)

    def plan(self, groups: Sequence[Group], upto: int) -> None:
        """Take over what is left to read up to block `upto`."""
        left = sum(gap.blocks for group in groups for gap in group.gaps(upto))
        self.blocks_total = self.blocks_done + left
        self.state = "reading" if left else "up to date"

    def note(self, batch: Batch) -> None:
        """Count a written batch."""
        self.marks.append((time.monotonic(), self.blocks_done, self.logs.total()))
        self.blocks_done += sum(read.range.blocks for read in batch.reads)
        for target, rows in batch.rows.items():
            self.logs[target.schema] += len(rows)
            self.newest.extend(Newest.of(target, row) for row in rows[-3:])

    def add(self, blocks: int, logs: Mapping[str, int], busy: Mapping[str, float], provider: str) -> None:
        """Count what a worker has read."""
        self.marks.append((time.monotonic(), self.blocks_done, self.logs.total()))
        self.blocks_done += blocks
        self.logs.update(logs)
        self.provider = provider or self.provider
        for stage, seconds in busy.items():
            self.busy[stage] = self.busy.get(stage, 0.0) + seconds

    @property
    def bottleneck(self) -> str:
        """The stage that took most of the time, in words."""
        if not self.busy:
            return "-"
        stage = max(self.busy, key=self.busy.__getitem__)
        return {"fetch": f"answers of {self.provider}", "decode": "decoding", "write": "PostgreSQL"}.get(stage, stage)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return max(time.monotonic() - self.started, 0.001)

    @property
    def blocks_per_second(self) -> float:
        """Blocks read per second of late."""
        since, blocks, _ = self._mark()
        return (self.blocks_done - blocks) / max(time.monotonic() - since, 0.001)

    @property
    def logs_per_second(self) -> float:
        """Logs written per second of late."""
        since, _, logs = self._mark()
        return (self.logs.total() - logs) / max(time.monotonic() - since, 0.001)

    def _mark(self) -> tuple[float, int, int]:
        """The oldest mark within the last `RECENT` seconds, else the start."""
        now = time.monotonic()
        while len(self.marks) > 1 and now - self.marks[0][0] > RECENT:
            self.marks.popleft()
        return self.marks[0] if self.marks else (self.started, 0, 0)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until all known blocks are read at the present rate; None when that cannot be told."""
        left = self.blocks_total - self.blocks_done
        return left / self.blocks_per_second if left > 0 and self.blocks_done else None
