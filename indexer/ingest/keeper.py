"""What a job that reads without blocks needs beside reading: the lease of its chain, and to write down what failed."""

import structlog

from indexer.errors import TaskscanError
from indexer.ingest.progress import Progress
from indexer.store import incidents
from indexer.store.leases import Lease
from indexer.store.store import Store

log = structlog.get_logger(__name__)


class Keeper:
    """Of one chain. `lease`: None where nobody else writes. `store`: fails once another process has the lease."""

    def __init__(self, chain_id: int, store: Store, lease: Lease | None, progress: Progress) -> None:
        self._chain_id, self._plain, self._lease, self._progress = chain_id, store, lease, progress
        self.store = store.guarded(lease.check) if lease else store

    async def begin(self) -> None:
        """Wait for the lease. Raises TaskscanError."""
        if self._lease:
            await self._lease.acquire(self._waiting)
        self._progress.state = "starting"

    async def hold(self) -> None:
        """Have the lease again if it was lost. Raises TaskscanError."""
        if self._lease and self._lease.lost.is_set():
            await self._lease.acquire(self._waiting)

    async def write_down(self, kind: str, subject: str, text: str) -> None:
        """An incident, in a transaction of its own. A database that does not answer is no reason to end."""
        try:
            await self._plain.run(incidents.note, self._chain_id, kind, subject, text)
        except TaskscanError as error:
            log.error("incident not written", action="incident_lost", error=str(error))

    async def release(self) -> None:
        """Let others have the chain."""
        if self._lease:
            await self._lease.release()

    def _waiting(self, text: str) -> None:
        self._progress.state = text
        log.warning(text, action="lease_waits", chain=self._progress.chain)
