"""Jobs that a scheduler starts again and again, and that end before it does.

APScheduler takes the cancellation of a running job for its failure and prints it. So a job runs in a task of our own:
at the end that one is cancelled and waited for, and only what really fails then is a failure.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Periodic:
    """Jobs at their times, in the event loop that it was started in."""

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._running: dict[asyncio.Task[Any], asyncio.Task[None]] = {}  # the scheduler's task -> ours

    def start(self) -> None:
        """Begin to start jobs."""
        self._scheduler.start()

    def every(self, seconds: float, do: Callable[[], Awaitable[None]], *, at_once: bool = False) -> Job:
        """`do` every so often, never twice at a time; the first time now or after that time."""
        first = {"next_run_time": datetime.now(UTC)} if at_once else {}
        return self._scheduler.add_job(
            self._run, "interval", seconds=seconds, args=[do], max_instances=1, coalesce=True, **first
        )

    def once(self, name: str, when: datetime, do: Callable[[], Awaitable[None]]) -> None:
        """`do` at a time, however late; it replaces what waits under the same name."""
        self._scheduler.add_job(
            self._run, "date", run_date=when, args=[do], id=name, replace_existing=True, misfire_grace_time=None
        )

    async def stop(self) -> None:
        """Start nothing more, cancel what runs and wait until it has ended; what fails meanwhile is logged."""
        if not self._scheduler.running:
            return
        self._scheduler.pause()
        while self._running:
            for ours in self._running.values():
                ours.cancel()
            await asyncio.wait(list(self._running))
        self._scheduler.shutdown(wait=False)

    async def _run(self, do: Callable[[], Awaitable[None]]) -> None:
        ours = asyncio.create_task(_awaited(do))
        theirs = asyncio.current_task()
        assert theirs is not None
        self._running[theirs] = ours
        try:
            await asyncio.wait([ours])
            if not ours.cancelled():
                ours.result()
        finally:
            ours.cancel()
            del self._running[theirs]


async def _awaited(do: Callable[[], Awaitable[None]]) -> None:
    await do()
