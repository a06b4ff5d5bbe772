"""The background job: every configured chain, brought up to its final block and kept there."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.engine import Engine

from indexer.config import Chain, Rpc, Settings, Source
from indexer.errors import TaskscanError, Terminal
from indexer.ingest.budget import Budget
from indexer.ingest.head import final_block
from indexer.ingest.progress import Progress
from indexer.ingest.scan import IN_FLIGHT_BYTES, Scanner
from indexer.ingest.setup import wanted_contracts
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.identify import check_chain, first_block
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.store import incidents, sources
from indexer.store.ledger import load_groups
from indexer.store.store import Store

log = structlog.get_logger(__name__)

POLL_SECONDS = 5.0


class ChainJob:
    """One chain with its providers, and what is to be read of it."""

    def __init__(self, chain: Chain, wanted: Sequence[Source], store: Store, budget: Budget) -> None:
        self.chain = chain
        self.progress = Progress(chain.name, networks=tuple(sorted({source.network for source in wanted})))
        self.stopped: TaskscanError | None = None
        self.ended = asyncio.Event()
        self._wanted = wanted
        self._store = store
        self._providers = [Provider(_endpoint(rpc)) for rpc in chain.http]
        self._pool = Pool(self._providers)
        self._scanner = Scanner(chain.chain_id, self._pool, store, self.progress, budget)

    async def prepare(self) -> None:
        """Check providers and database against the configuration and settle what is read. Raises TaskscanError."""
        chain, store = self.chain, self._store
        for provider in self._providers:
            await with_retries(lambda provider=provider: check_chain(provider, chain.chain_id))  # type: ignore[misc]
        provider = self._pool.pick()
        first = await first_block(provider)
        await store.run(sources.settle_chain, chain.chain_id, chain.name, chain.clock, first)
        newest, final = await with_retries(lambda: final_block(provider))
        await store.run(sources.note_head, chain.chain_id, newest, final)
        known = await store.run(_known, chain.chain_id)
        wanted = await wanted_contracts(provider, chain, self._wanted, int(newest.number, 16), known)
        await store.run(sources.configure, chain.chain_id, wanted)

    async def tick(self) -> None:
        """Read what has become final since the last tick. Raises TaskscanError."""
        newest, final = await with_retries(lambda: final_block(self._pool.pick()))
        await self._store.run(sources.note_head, self.chain.chain_id, newest, final)
        self.progress.head = int(newest.number, 16)
        await self._scanner.converge(final)

    async def keep_up(self) -> None:
        """`tick`, with its errors written down instead of raised; a Terminal one stops this chain."""
        if self.stopped:
            return
        try:
            await self.tick()
        except asyncio.CancelledError:
            return  # the scheduler shuts down; it would log the cancellation as a crash of the job
        except TaskscanError as error:
            self.progress.state = f"{type(error).__name__}: {error}"
            log.error("chain failed", action="chain_failed", chain=self.chain.name, error=str(error))
            if isinstance(error, Terminal):
                self.stopped = error
                self.ended.set()
            await self._write_down(error)

    async def _write_down(self, error: TaskscanError) -> None:
        try:
            kind = type(error).__name__
            await self._store.run(incidents.note, self.chain.chain_id, kind, self.chain.name, str(error))
        except TaskscanError as second:
            log.error("incident not written", action="incident_lost", error=str(second))

    def requests(self) -> int:
        """JSON-RPC calls sent so far."""
        return sum(provider.calls for provider in self._providers)

    async def close(self) -> None:
        """Let go of connections and threads."""
        self._scanner.close()
        for provider in self._providers:
            await provider.disconnect()


async def run(
    settings: Settings, engine: Engine, *, until_synced: bool, watch: Callable[[list[ChainJob]], None],
    poll_seconds: float = POLL_SECONDS,
) -> list[ChainJob]:  # fmt: skip
    """Read all chains of `settings`; with `until_synced` return once all that is final at the start is read.

    `watch` is called once with the jobs, before they begin, so that a display can follow them. Raises the first
    TaskscanError that concerns the whole, and, when every chain has stopped, the error of the first.
    """
    store, budget = Store(engine), Budget(IN_FLIGHT_BYTES)
    jobs = [
        ChainJob(chain, [source for source in settings.sources if source.chain == chain.name], store, budget)
        for chain in settings.chains
    ]
    jobs = [job for job in jobs if job.progress.networks]
    try:
        watch(jobs)
        await asyncio.gather(*(job.prepare() for job in jobs))
        if until_synced:
            await asyncio.gather(*(job.tick() for job in jobs))
        else:
            await _keep_up(jobs, poll_seconds)
        return jobs
    finally:
        await asyncio.gather(*(job.close() for job in jobs), return_exceptions=True)
        store.close()


async def _keep_up(jobs: list[ChainJob], poll_seconds: float) -> None:
    scheduler = AsyncIOScheduler(timezone="UTC")
    for job in jobs:
        scheduler.add_job(
            job.keep_up,
            "interval",
            seconds=poll_seconds,
            next_run_time=datetime.now(UTC),
            max_instances=1,
            coalesce=True,
        )
    scheduler.start()
    try:
        await asyncio.gather(*(job.ended.wait() for job in jobs))
        raise next(job.stopped for job in jobs if job.stopped)
    finally:
        scheduler.shutdown(wait=False)


def _endpoint(rpc: Rpc) -> Endpoint:
    headers = {name: value.get_secret_value() for name, value in rpc.headers.items()}
    return Endpoint(rpc.url.get_secret_value(), headers, rpc.max_rps)


def _known(connection: sa.Connection, chain_id: int) -> dict[str, int]:
    return {m.address: m.from_block for group in load_groups(connection, chain_id) for m in group.members}
