"""What a running job shows: a live table on a terminal, one log line per minute elsewhere."""

import asyncio
import itertools

import structlog
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from indexer.cli.common import err
from indexer.ingest.progress import Progress
from indexer.ingest.run import ChainJob

log = structlog.get_logger(__name__)

LINE_SECONDS = 60
NEWEST = 8


async def follow(jobs: list[ChainJob]) -> None:
    """Show the progress of `jobs` until cancelled."""
    if err.is_terminal:
        await _live(jobs)
    else:
        await _lines(jobs)


async def _live(jobs: list[ChainJob]) -> None:
    with Live(console=err, refresh_per_second=4, transient=True) as live:
        while True:
            live.update(Group(_table(jobs), _newest(jobs)))
            await asyncio.sleep(0.25)


async def _lines(jobs: list[ChainJob]) -> None:
    for n in itertools.count():
        await asyncio.sleep(5 if n == 0 else LINE_SECONDS)
        for job in jobs:
            log.info("progress", action="progress", **_facts(job.progress))


def _facts(progress: Progress) -> dict[str, object]:
    return {
        "chain": progress.chain,
        "state": progress.state,
        "blocks": f"{progress.blocks_done}/{progress.blocks_total}",
        "logs": progress.logs.total(),
        "logs_per_second": round(progress.logs_per_second),
        "eta": _eta(progress),
        "bottleneck": progress.bottleneck,
    }


def _table(jobs: list[ChainJob]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "head", "blocks read", "logs", "logs/s", "ETA", "bottleneck", "requests", "state"):
        table.add_column(name, justify="left" if name in ("source", "bottleneck", "state") else "right")
    for job in jobs:
        for network in job.progress.networks:
            table.add_row(*_cells(job, network))
    return table


def _cells(job: ChainJob, network: str) -> list[str]:
    p = job.progress
    share = f" ({100 * p.blocks_done / p.blocks_total:.1f} %)" if p.blocks_total else ""
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


def _newest(jobs: list[ChainJob]) -> Text:
    text = Text()
    for progress in (job.progress for job in jobs):
        for event in list(progress.newest)[-NEWEST:]:
            text.append(f"  {progress.chain} {event.block:>12,}  {event.table}  {event.tx}\n", style="dim")
    return text


def _eta(progress: Progress) -> str:
    seconds = progress.eta_seconds
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def summary(jobs: list[ChainJob]) -> None:
    """One line per chain about what the run has done."""
    for job in jobs:
        p = job.progress
        err.print(
            f"{p.chain}: {p.blocks_done:,} blocks and {p.logs.total():,} logs read in {p.seconds:.1f} s "
            f"({p.logs_per_second:,.0f} logs/s, {job.requests():,} requests), {p.state}"
        )
