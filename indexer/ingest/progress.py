"""What a scan has done and what holds it up: read by the progress display, the log line per minute and the bench."""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.store.copy import Target
from indexer.store.ledger import Group
from indexer.store.write import Batch, Row


class Newest(NamedTuple):
    """An event that was just written, for display."""

    table: str
    block: int
    tx: str

    @classmethod
    def of(cls, target: Target, row: Row) -> "Newest":
        """The event that `row` of `target` tells of."""
        block, tx = row[1], row[5]
        return cls(f"{target.schema}.{target.table}", int(str(block)), "0x" + tx.hex() if isinstance(tx, bytes) else "")


@dataclass
class Progress:
    """Of one chain: blocks and logs since the start, and the seconds that each stage was busy."""

    chain: str
    networks: tuple[str, ...] = ()
    blocks_total: int = 0
    blocks_done: int = 0
    head: int | None = None
    logs: Counter[str] = field(default_factory=Counter)
    busy: dict[str, float] = field(default_factory=dict)
    newest: deque[Newest] = field(default_factory=lambda: deque(maxlen=20))
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

    def plan(self, groups: Sequence[Group], upto: int) -> None:
        """Take over what is left to read up to block `upto`."""
        left = sum(gap.blocks for group in groups for gap in group.gaps(upto))
        self.blocks_total = self.blocks_done + left
        self.state = "reading" if left else "up to date"

    def note(self, batch: Batch) -> None:
        """Count a written batch."""
        self.blocks_done += sum(read.range.blocks for read in batch.reads)
        for target, rows in batch.rows.items():
            self.logs[target.schema] += len(rows)
            self.newest.extend(Newest.of(target, row) for row in rows[-3:])

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
        """Blocks read per second since the start."""
        return self.blocks_done / self.seconds

    @property
    def logs_per_second(self) -> float:
        """Logs written per second since the start."""
        return self.logs.total() / self.seconds

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until all known blocks are read at the present rate; None when that cannot be told."""
        left = self.blocks_total - self.blocks_done
        return left / self.blocks_per_second if left > 0 and self.blocks_done else None
