"""What a running job shows: a live table on a terminal, one log line per minute elsewhere."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import structlog
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.engine import Engine

from indexer.cli.common import err
from indexer.query.lists import STATUSES, tasks_by_status

if TYPE_CHECKING:
    from indexer.ingest.progress import Progress
    from indexer.ingest.run import Job

log = structlog.get_logger(__name__)

LINE_SECONDS = 60
NEWEST = 8
Counts = dict[str, dict[str, int]]


async def follow(jobs: list["Job"], counted: Engine | None = None) -> None:
    """Show the progress of `jobs` until cancelled, and the tasks by status in the database `counted`, if given."""
    if err.is_terminal:
        await _live(jobs, counted)
    else:
        await _lines(jobs, counted)


async def _live(jobs: list["Job"], counted: Engine | None) -> None:
    counts: Counts = {}
    with Live(console=err, refresh_per_second=4, transient=True) as live:
        for n in itertools.count():
            if counted and n % 8 == 0:
                counts = await asyncio.to_thread(_count, counted)
            parts = [_table(jobs), Text(), _tasks(counts)] if counts else [_table(jobs)]
            live.update(Group(*parts, Text(), _newest(jobs)))
            await asyncio.sleep(0.25)


async def _lines(jobs: list["Job"], counted: Engine | None) -> None:
    for n in itertools.count():
        await asyncio.sleep(5 if n == 0 else LINE_SECONDS)
        for job in jobs:
            log.info("progress", action="progress", **_facts(job.progress))
        for network, found in (await asyncio.to_thread(_count, counted) if counted else {}).items():
            log.info("tasks", action="tasks", network=network, **found)


def _count(engine: Engine) -> Counts:
    with engine.connect() as connection:
        return tasks_by_status(connection)


def _tasks(counts: Counts) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("tasks")
    seen = [status for status in (*STATUSES, "unknown") if any(status in found for found in counts.values())]
    for status in seen:
        table.add_column(status, justify="right")
    for network, found in sorted(counts.items()):
        table.add_row(network, *(f"{found.get(status, 0):,}" for status in seen))
    return table


def _facts(progress: "Progress") -> dict[str, object]:
    return {
        "chain": progress.chain,
        "state": progress.state,
        "blocks": f"{progress.blocks_done}/{progress.blocks_total}",
        "logs": progress.logs.total(),
        "logs_per_second": round(progress.logs_per_second),
        "eta": _eta(progress),
        "bottleneck": progress.bottleneck,
    }


def _table(jobs: list["Job"]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "head", "blocks read", "logs", "logs/s", "ETA", "bottleneck", "requests", "state"):
        table.add_column(name, justify="left" if name in ("source", "bottleneck", "state") else "right")
    for job in jobs:
        for network in job.progress.networks:
            table.add_row(*_cells(job, network))
    return table


def _cells(job: "Job", network: str) -> list[str]:
    p = job.progress
    # Second looks are among the blocks that are done.
    share = f" ({min(100.0, 100 * p.blocks_done / p.blocks_total):.1f} %)" if p.blocks_total else ""
    return [
        f"{network} @ {p.chain}",
        f"{p.head:,}" if p.head is not None else "-",
        f"{p.blocks_done:,}{share}",
        f"{p.logs[network]:,}",
        f"{p.logs_per_second:,.0f}",
        _eta(p),
        p.bottleneck,
        f"{job.requests():,}",
        p.state,
    ]


def _newest(jobs: list["Job"]) -> Text:
    text = Text()
    for progress in (job.progress for job in jobs):
        for event in list(progress.newest)[-NEWEST:]:
            text.append(f"  {progress.chain} {event.block:>12,}  {event.table}  {event.tx}\n", style="dim")
    return text


def _eta(progress: "Progress") -> str:
    seconds = progress.eta_seconds
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def summary(jobs: list["Job"]) -> None:
    """One line per chain about what the run has done."""
    for job in jobs:
        p = job.progress
        err.print(
            f"{p.chain}: {p.blocks_done:,} blocks and {p.logs.total():,} logs read in {p.seconds:.1f} s "
            f"({p.logs.total() / p.seconds:,.0f} logs/s, {job.requests():,} requests), {p.state}"
        )


@contextlib.contextmanager
def telling(action: str) -> Iterator[Callable[[str], None]]:
    """What long work is told to call with how far it is: a status line on a terminal, one log line per minute else."""
    if err.is_terminal:
        with err.status("") as status:
            yield status.update
        return
    last = time.monotonic()

    def line(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            log.info("progress", action=action, at=text)

    yield line
