"""LISTEN on the channel on which the database tells that a job became ready, whichever server was asked for it."""

import asyncio
import contextlib

import psycopg
import structlog
from sqlalchemy.engine import Engine

CHANNEL = "taskscan_jobs"
AGAIN_SECONDS = 1.0  # between two tries to reach a database that is down

log = structlog.get_logger(__name__)


class Bell:
    """Rings for all who wait. While the database is down nobody rings, and long polls look by themselves."""

    def __init__(self, engine: Engine) -> None:
        url = engine.url.set(drivername="postgresql")
        self._url = url.render_as_string(hide_password=False)
        self._next: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    def next(self) -> "asyncio.Future[None]":
        """Done at the next ring. Take it before looking whether there is something: what comes in between rings."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def open(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening and let go of all who wait."""
        self.closed = True
        self._ring()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _ring(self) -> None:
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._hear()
            log.warning("the queue's database cannot be heard", action="bell_silent")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hear(self) -> None:
        options = {"connect_timeout": 10, "application_name": "taskscan queue"}
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, **options)  # type: ignore[arg-type]
        async with connection:
            await connection.execute("LISTEN taskscan_jobs")
            async for _ in connection.notifies():
                self._ring()
