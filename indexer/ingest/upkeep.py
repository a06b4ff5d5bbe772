"""What a chain's job does beside reading: hold the lease, know its providers, and keep their scoreboard."""

import asyncio
import contextlib
import time
from typing import Any

import sqlalchemy as sa
import structlog

from indexer.errors import TaskscanError
from indexer.ingest.progress import Progress
from indexer.ingest.scan import Scanner
from indexer.rpc.pool import Pool
from indexer.store import providers
from indexer.store.leases import Lease
from indexer.store.store import Store

NOTE_SECONDS = 60.0  # between two writes of the scoreboard

log = structlog.get_logger(__name__)


class Upkeep:
    """Of one chain. `lease`: None where nobody else can write the database."""

    def __init__(self, chain_id: int, pool: Pool, store: Store, progress: Progress, lease: Lease | None) -> None:
        self._chain_id, self._pool, self._store = chain_id, pool, store
        self._progress, self._lease = progress, lease
        self._noted = time.monotonic()

    async def begin(self, scanner: Scanner) -> None:
        """Wait for the lease, check which chain the providers serve, and take over what is known of them.

        Raises TaskscanError.
        """
        if self._lease:
            await self._lease.acquire(self._waiting)
            self._progress.state = "starting"
        await self._pool.admit(self._chain_id)
        caught, profiles = await self._store.run(_known, self._chain_id)
        for name, reason in caught.items():
            self._pool.distrust(name, reason)
        for provider in self._pool.providers:
            if profile := profiles.get(provider.name):
                limits = [profile.get(name) for name in ("range_cap", "result_cap", "batch_cap")]
                scanner.sizer(provider.name).begin_with(*limits)
                provider.max_batch = min(provider.max_batch, profile.get("batch_cap") or provider.max_batch)

    async def poll(self) -> None:
        """With each poll: have the lease again if it was lost, admit who answers by now, write the scoreboard."""
        if self._lease and self._lease.lost.is_set():
            await self._lease.acquire(self._waiting)
        await self._pool.admit(self._chain_id)
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            await self.note()

    async def note(self) -> None:
        """Write the scoreboard, in a transaction of its own. A database that does not answer is no reason to end."""
        self._noted = time.monotonic()
        standings = self._pool.snapshot()
        try:
            await self._store.run(providers.note, self._chain_id, standings)
            self._pool.saved(standings)
        except TaskscanError as error:
            log.warning("scoreboard not written", action="scoreboard_lost", error=str(error))

    async def end(self) -> None:
        """Write the scoreboard a last time and let others have the chain."""
        with contextlib.suppress(TimeoutError):  # behind a long COPY that is about to be cancelled
            await asyncio.wait_for(self.note(), 1.0)
        if self._lease:
            await self._lease.release()

    def guarded(self) -> Store:
        """The store for all that writes the chain: its transactions fail once another process has the lease."""
        return self._store.guarded(self._lease.check) if self._lease else self._store

    def _waiting(self, text: str) -> None:
        self._progress.state = text
        log.warning(text, action="lease_waits", chain=self._progress.chain)


def _known(connection: sa.Connection, chain_id: int) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    return providers.distrusted(connection, chain_id), providers.profiles(connection, chain_id)
