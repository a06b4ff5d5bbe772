"""`taskscan run`: the background job."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.engine import Engine

from indexer.cli import demo_cmd
from indexer.cli.common import Chosen, ConfigOption, choose, err, opened
from indexer.cli.display import follow, summary
from indexer.config import Settings
from indexer.store.database import where

if TYPE_CHECKING:
    from indexer.ingest.run import Job

UntilSynced = Annotated[
    bool, typer.Option("--until-synced", help="Exit with 0 once all that was known at the start is read and enriched.")
]


def run(config: ConfigOption = None, until_synced: UntilSynced = False) -> None:
    """Read everything that is configured into the database, and keep it up to date until Ctrl-C.

    Example: taskscan run --config taskscan.toml --until-synced
    """
    chosen = choose(config)
    with ended_by_signal():
        if chosen.demo:
            demo_cmd.run_demo(until_synced=until_synced)
        else:
            run_configured(chosen, until_synced=until_synced)


@contextlib.contextmanager
def ended_by_signal() -> Iterator[None]:
    """SIGINT and SIGTERM are how a background job ends, also while it still gets ready: no failure."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("stopped before it had begun")


def run_configured(chosen: Chosen, *, until_synced: bool) -> None:
    """`run` with a configuration file."""
    with opened(chosen.settings) as engine:
        err.print(f"database: {where(engine)}")
        start(chosen.settings, engine, until_synced=until_synced)


def start(
    settings: Settings, engine: Engine, *, until_synced: bool, poll_seconds: float | None = None,
    count_tasks: bool = False,
) -> None:  # fmt: skip
    """Run the job in the foreground until it is done, or until SIGINT or SIGTERM; then end cleanly.

    `count_tasks`: show all tasks by status meanwhile, which a large database would answer too slowly.
    """
    asyncio.run(_until_signal(settings, engine, until_synced, poll_seconds, count_tasks))


async def _until_signal(
    settings: Settings, engine: Engine, until_synced: bool, poll_seconds: float | None, count_tasks: bool
) -> None:  # fmt: skip
    from indexer.ingest import run as ingest  # web3 takes a second to import, and only this command needs it

    jobs: list[Job] = []
    work = asyncio.ensure_future(
        ingest.run(
            settings,
            engine,
            until_synced=until_synced,
            watch=jobs.extend,
            poll_seconds=poll_seconds or ingest.POLL_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    display = asyncio.ensure_future(follow(jobs, engine if count_tasks else None))
    try:
        await work
    except asyncio.CancelledError:
        err.print("stopping: what is under way is rolled back, what is written stays")
    finally:
        display.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await display
        summary([job for job in jobs if job.progress.head is not None])
