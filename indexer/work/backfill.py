"""Backfill: the gaps of the ledger as jobs in a queue, and what comes of them.

Holds the lease of each chain, so `run` waits meanwhile. The queue only spreads the work: whether it is done is read
from the ledger, and what no job has read, for whatever reason, is planned again.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from sqlalchemy.engine import Engine

from indexer.chain.window import Point
from indexer.config import Settings
from indexer.errors import LeaseLost, TaskRefused, TaskscanError, Terminal, Transient, ungrouped
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.store import fences, ledger
from indexer.store.fold import fold_portion
from indexer.store.leases import Lease
from indexer.store.store import Store
from indexer.work.client import Call, QueueClient
from indexer.work.jobs import SCAN
from indexer.work.planner import Piece, left, pieces, request

log = structlog.get_logger(__name__)

AT_ONCE = 50  # requests in one body
OPEN = ("waiting", "ready", "requested", "in-progress")
CANCEL_SECONDS = 5.0  # that taking back the jobs may take at the end; a later backfill takes back the others
LOOK_SECONDS = 1.0  # between two looks at the ledger and the queue
QUIET_LOOKS = 10  # after which jobs that are still open, but have nothing left to read, are let go
FAILURES, LONGEST_PAUSE = 10, 30.0  # in a row that it survives, and seconds between two tries at most
ROUNDS = 3  # in a row in which nothing was read, after which it is given up


async def backfill(
    settings: Settings, engine: Engine, queue: QueueClient, *, blocks: int | None,
    watch: Callable[[list[ChainJob]], None],
) -> list[ChainJob]:  # fmt: skip
    """Read all that is final now of every EVM chain of `settings`, by whoever works for `queue`; then fold it.

    `blocks`: of one job; None finds a size. `watch` is called once with the chains, for a display.
    Raises TaskscanError.
    """
    store, budget = Store(engine), Budget(IN_FLIGHT_BYTES)
    chains: list[ChainJob] = []
    for chain in settings.chains:
        wanted = [source for source in settings.sources if source.chain == chain.name]
        if wanted and chain.kind == "evm":
            chains.append(ChainJob(chain, wanted, store, budget, lease=Lease(store.engine, chain.chain_id)))
    watch(chains)
    try:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                for each in chains:
                    tasks.create_task(_Filling(each, queue, blocks).until_done())
        return chains
    finally:
        await asyncio.gather(*(each.close() for each in chains), return_exceptions=True)
        store.close()


class _Filling:
    """The backfill of one chain."""

    def __init__(self, chain: ChainJob, queue: QueueClient, size: int | None) -> None:
        self._chain, self._queue, self._size = chain, queue, size
        self._id, self._name = chain.chain.chain_id, chain.chain.name
        self._open: set[str] = set()

    async def until_done(self) -> None:
        """Plan, wait and plan again until the ledger has no gap; then fold."""
        failures, done = 0, 0
        while True:
            try:
                return await self._fill()
            except (LeaseLost, Transient) as error:  # `prepare` waits until it has the lease again
                failures = failures + 1 if self._chain.progress.blocks_done == done else 1
                done = self._chain.progress.blocks_done
                if failures > FAILURES:
                    raise
                log.warning("backfill begins again", action="backfill_failed", chain=self._name, error=str(error))
                await asyncio.sleep(min(LONGEST_PAUSE, 2.0**failures / 2))
            finally:
                with contextlib.suppress(TaskscanError, TimeoutError):
                    await asyncio.wait_for(self._cancel(self._open), CANCEL_SECONDS)

    async def _fill(self) -> None:
        await self._chain.prepare()
        final = await self._chain.final()
        await self._cancel(await self._left_over())
        idle = 0
        while wanted := await self._plan(final):
            before = self._chain.progress.blocks_done
            await self._enqueue(wanted)
            why = await self._wait(wanted)
            idle = 0 if self._chain.progress.blocks_done > before else idle + 1
            if idle >= ROUNDS:
                raise Terminal(f"No worker could read {self._name}, blocks {wanted[0].blocks} first: {why}")
        self._chain.progress.state = "folding"
        await self._chain.complete(final)
        await self._chain.store.run(fences.forget, self._id)

    async def _plan(self, final: Point) -> list[Piece]:
        await self._chain.store.run(ledger.join_unread, self._id)
        groups = await self._chain.store.run(ledger.load_groups, self._id)
        self._chain.progress.plan(groups, final.number)
        return pieces(groups, final.number, self._size)

    async def _enqueue(self, wanted: list[Piece]) -> None:
        named = {f"scan-{self._id}-{uuid.uuid4()}": piece for piece in wanted}
        self._open = set(named)
        self._chain.progress.state = f"{len(named):,} jobs"
        calls = [
            ("awf.task/create-and-execute", request(key, self._id, self._name, piece)) for key, piece in named.items()
        ]
        for answer in await self._ask(calls):
            if isinstance(answer, TaskRefused) and answer.kind != "task-already-exists":  # it was told twice
                raise answer

    async def _wait(self, wanted: list[Piece]) -> str:
        """Follow the jobs until all are over, or nothing of `wanted` has been missing for a while.

        Why the last one failed, if one did.
        """
        missing, why = sum(piece.blocks.blocks for piece in wanted), "no worker took its jobs"
        folding: asyncio.Task[None] | None = None
        quiet = 0
        try:
            while self._open and quiet < QUIET_LOOKS:
                await asyncio.sleep(LOOK_SECONDS)
                groups = await self._chain.store.run(ledger.load_groups, self._id)
                now = left(groups, wanted)
                self._chain.progress.add(missing - now, {}, {}, "")
                missing, quiet = now, 0 if now else quiet + 1
                why = await self._look(why)
                if folding is None or folding.done():
                    folding = asyncio.create_task(self._fold())
            return why
        finally:
            if folding:
                await asyncio.gather(folding, return_exceptions=True)

    async def _look(self, why: str) -> str:
        """Learn from the queue which jobs are over, and from their results what they cost."""
        found = await self._ask([("awf.task/list", _wanted(status)) for status in OPEN])
        lists = [answer["resources"] for answer in found if isinstance(answer, dict)]
        if len(lists) < len(OPEN):
            return why
        still = {task["id"] for tasks in lists for task in tasks}
        over, self._open = self._open - still, self._open & still
        self._chain.progress.state = f"{len(self._open):,} jobs"
        for answer in await self._ask([("awf.task/status", {"id": key}) for key in over]):
            task = answer.get("resource", {}) if isinstance(answer, dict) else {}
            if task.get("outcome") == "failed":
                why = str((task.get("error") or task.get("outcomeReason") or {}).get("message", "it failed"))
                log.warning("job failed", action="job_failed", job=task.get("id"), error=why)
            elif isinstance(result := task.get("result"), dict):
                self._note(result)
        return why

    def _note(self, result: dict[str, Any]) -> None:
        with contextlib.suppress(TypeError, ValueError, AttributeError):  # of a worker of another version
            logs = {str(name): int(n) for name, n in result.get("logs", {}).items()}
            busy = {str(stage): float(seconds) for stage, seconds in result.get("busy", {}).items()}
            self._chain.progress.add(0, logs, busy, str(result.get("provider", "")))

    async def _fold(self) -> None:
        while await self._chain.store.beside(fold_portion, self._id):
            pass

    async def _left_over(self) -> set[str]:
        """Open jobs of this chain from a backfill that is gone: we hold the lease, so there is no other."""
        found = await self._ask([("awf.task/list", _wanted(status)) for status in OPEN])
        tasks = [task for answer in found if isinstance(answer, dict) for task in answer["resources"]]
        return {task["id"] for task in tasks if (task.get("params") or {}).get("chainId") == self._id}

    async def _cancel(self, jobs: Iterable[str]) -> None:
        await self._ask([("awf.task/cancel", {"id": key}) for key in jobs])

    async def _ask(self, calls: list[Call]) -> list[Any]:
        """The answers to any number of requests, each tried again while the queue cannot be asked."""
        answers: list[Any] = []
        for n in range(0, len(calls), AT_ONCE):
            answers += await self._queue.patiently(calls[n : n + AT_ONCE])
        return answers


def _wanted(status: str) -> dict[str, Any]:
    return {"filter": {"includeDefinitions": [SCAN], "status": status}}
