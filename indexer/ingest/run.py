"""The background job: every configured chain, brought up to its newest block and kept there."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.engine import Engine

from indexer.config import Chain, Settings, Source
from indexer.errors import LeaseLost
from indexer.ingest.aidbox import AidboxJob
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob, connect
from indexer.ingest.periodic import Periodic
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.ingest.snapshot import SnapshotJob
from indexer.store.leases import Lease
from indexer.store.named import chain_number
from indexer.store.store import Store

POLL_SECONDS = 0.25  # how often it is considered whether a chain is due

Job = ChainJob | SnapshotJob | AidboxJob
"""What reads one chain: by ranges of blocks, by snapshots, or by versions of resources."""

__all__ = ["ChainJob", "Job", "run"]


async def run(
    settings: Settings, engine: Engine, *, until_synced: bool, watch: Callable[[list[Job]], None],
    poll_seconds: float = POLL_SECONDS,
) -> list[Job]:  # fmt: skip
    """Read all chains of `settings`; with `until_synced` return once all that is final at the start is read.

    `watch` is called once with the jobs, before they begin, so that a display can follow them. Raises the first
    TaskscanError that concerns the whole, and, when every chain has stopped, the error of the first.
    """
    store, budget = Store(engine), Budget(IN_FLIGHT_BYTES)
    jobs: list[Job] = []
    try:
        for chain in settings.chains:
            if wanted := [source for source in settings.sources if source.chain == chain.name]:
                jobs.append(await _job(chain, wanted, store, budget))
        watch(jobs)
        if until_synced:
            await asyncio.gather(*(_sync(job) for job in jobs))
        else:
            await _keep_up(jobs, poll_seconds)
        return jobs
    finally:
        await asyncio.gather(*(job.close() for job in jobs), return_exceptions=True)
        store.close()


async def _job(chain: Chain, wanted: Sequence[Source], store: Store, budget: Budget) -> Job:
    if chain.kind == "evm":
        return ChainJob(chain, wanted, store, budget, lease=Lease(store.engine, chain.chain_id))
    number = await store.run(chain_number, chain.name, chain.kind, chain.clock)
    lease = Lease(store.engine, number)
    if chain.kind == "aidbox":
        return AidboxJob(chain, number, wanted, store, lease)
    return SnapshotJob(chain, number, wanted, store, connect, lease=lease)


async def _sync(job: Job) -> None:
    await job.prepare()
    while True:
        try:
            return await job.tick()
        except LeaseLost:
            continue  # `tick` waits until it has it again


async def _keep_up(jobs: list[Job], poll_seconds: float) -> None:
    """Poll each chain from the moment that it is prepared: one that another process writes keeps no other waiting."""
    periodic = Periodic()

    async def begin(job: Job) -> None:
        await job.prepare()
        poll = periodic.every(poll_seconds, job.keep_up, at_once=True)
        job.listen(lambda: poll.modify(next_run_time=datetime.now(UTC)))

    periodic.start()
    try:
        await asyncio.gather(*(begin(job) for job in jobs))
        await asyncio.gather(*(job.ended.wait() for job in jobs))
        raise next(job.stopped for job in jobs if job.stopped)
    finally:
        await periodic.stop()
