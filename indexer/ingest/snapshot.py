"""One chain of Koii tasks with its providers: each task read when its own times say so, all of it once at the start."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog

from indexer.config import Chain, Rpc, Source
from indexer.errors import LeaseLost, StateUnreadable, TaskscanError, Terminal
from indexer.ingest import snapshot_read
from indexer.ingest.keeper import Keeper
from indexer.ingest.periodic import Periodic
from indexer.ingest.progress import Progress
from indexer.ingest.snapshot_schedule import ALL, next_read, wait
from indexer.networks.koii import PROGRAMS, SMALLEST_TASK, base58, read_state
from indexer.networks.koii.rules import SlotClock
from indexer.rpc import k2
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.store import koii, named
from indexer.store.leases import Lease
from indexer.store.store import Store

T = TypeVar("T")
log = structlog.get_logger(__name__)

AT_ONCE = 4  # tasks that are read at the same time
HEAD_SECONDS = 10.0  # between two looks at the newest slot
FIND_SECONDS = 900.0  # between two looks for new tasks, as the desktop node has it
LEARN_SLOTS = 20  # after which their pace is taken from our own clock
RETRY_SECONDS = 30.0  # after a read that failed


class SnapshotJob:
    """Reads the tasks of one chain. `chain_id`: its number in the database; `lease`: None where nobody else writes."""

    def __init__(
        self, chain: Chain, chain_id: int, wanted: Sequence[Source], store: Store, connect: Callable[[Rpc], Provider],
        lease: Lease | None = None, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self.chain, self.chain_id = chain, chain_id
        self.progress = Progress(chain.name, networks=tuple(sorted({source.network for source in wanted})))
        self.stopped: TaskscanError | None = None
        self.ended = asyncio.Event()
        self._listed = [task for source in wanted for task in source.addresses]
        self._finds = any(not source.addresses for source in wanted)
        self._keeper, self._chance = Keeper(chain_id, store, lease, self.progress), chance
        self._store = self._keeper.store
        self._pool = Pool([connect(rpc) for rpc in chain.http])
        self.tasks: dict[str, str] = {}
        self._no_tasks: set[str] = set()
        self._known: set[str] = set()
        self._gaps: dict[str, str] = {}
        self._clock: SlotClock | None = None
        self._seen: list[tuple[int, float]] = []  # first and newest slot that was seen, and when
        self._pace: float | None = None
        self._looked = 0.0
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._periodic = Periodic()

    async def prepare(self) -> None:
        """Have the lease, check that the providers serve the chain of the database, and find the tasks.

        Raises TaskscanError.
        """
        await self._keeper.begin()
        await self._look()
        await self.find()

    async def tick(self) -> None:
        """Read every task once. Raises the first TaskscanError; tasks that can be read are read all the same."""
        await self._keeper.hold()
        done = await asyncio.gather(*(self.read(task, ALL) for task in self.tasks), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error
        self._tell()

    def listen(self, wake: Callable[[], object]) -> None:
        """Begin to read each task at its own times, and to look for new ones."""
        self._periodic.start()
        for task in self.tasks:
            self._at(task, ALL, 0.0)
        self._periodic.every(FIND_SECONDS, self._find_new)

    async def keep_up(self) -> None:
        """Look at the newest slot when it is time, and take the lease again if it was lost."""
        if self.stopped or time.monotonic() - self._looked < HEAD_SECONDS * min(1.0, (self._pace or 1.0) / 0.4):
            return
        await self._guarded("head", self._look_again)

    def requests(self) -> int:
        """JSON-RPC calls sent so far."""
        return sum(provider.calls for provider in self._pool.providers)

    async def close(self) -> None:
        """Let go of the scheduler, the connections and the lease."""
        await self._periodic.stop()
        await self._pool.close()
        await self._keeper.release()

    async def _look_again(self) -> None:
        await self._keeper.hold()
        await self._look()

    async def _look(self) -> None:
        """The newest slot and its time, from a provider of the right chain."""
        self._looked = time.monotonic()
        clock = await self._ask(snapshot_read.measure)
        if self._clock is not None and clock.slot <= self._clock.slot:
            return
        self._saw(clock.slot)
        self._clock, self.progress.head = clock, clock.slot
        await self._store.run(named.note_slot, self.chain_id, clock.slot, clock.at)

    async def _ask(self, do: Callable[[Provider], Awaitable[T]]) -> T:
        async def checked(provider: Provider) -> T:
            if provider.name not in self._known:
                first = base58.decode(await k2.genesis(provider))
                await self._store.run(named.settle_identity, self.chain_id, provider.name, first)
                self._known.add(provider.name)
            return await do(provider)

        return await with_retries(lambda: self._pool.run(checked))

    async def find(self) -> list[str]:
        """Take over the tasks that are to be read; the new ones."""
        found = await self._ask(lambda provider: snapshot_read.programs_of(provider, self._listed))
        if self._finds:
            found |= await self._ask(snapshot_read.find_tasks)
        new = []
        for task, program in found.items():
            if program in PROGRAMS and task not in self._no_tasks and task not in self.tasks:
                self.tasks[task] = program
                new.append(task)
            elif program not in PROGRAMS and task not in self.tasks and task not in self._no_tasks:
                self._no_tasks.add(task)
                what = f"its owner is {program}" if program else "there is no account of that id"
                await self._keeper.write_down("NoTask", task, f"{task} is no task of Koii: {what}. Correct addresses.")
        return new

    async def _find_new(self) -> None:
        async def find() -> None:
            for task in await self.find():
                self._at(task, ALL, 0.0)

        await self._guarded("new tasks", find)

    def _at(self, task: str, sections: frozenset[str], seconds: float) -> None:
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        self._periodic.once(task, when, lambda: self._due(task, sections))

    async def _due(self, task: str, sections: frozenset[str]) -> None:
        """A task's read at its time, and when the next one is."""
        if self.stopped:
            return
        if not await self._guarded(task, lambda: self.read(task, sections)):
            self._at(task, ALL, min(RETRY_SECONDS, RETRY_SECONDS * self._seconds() / 0.4))
        elif task in self.tasks:
            await self._guarded(task, lambda: self._plan(task))
        self._tell()

    async def _plan(self, task: str) -> None:
        rows = await self._store.run(koii.known, self.chain_id, task)
        now = self._now()
        slot = rows[0]["slot"] if rows else now
        state = dict(rows[0]) if rows else {"status": "active"}
        due = next_read(state, max(slot or now, now), self._seconds())
        self._at(task, due.sections, wait(state, due, now, self._seconds(), self._chance()))

    async def read(self, task: str, sections: frozenset[str]) -> None:
        """Read and write one task. Raises TaskscanError."""
        async with self._turn:
            program = self.tasks[task]
            snapshot: koii.Snapshot = await self._ask(lambda p: snapshot_read.read(p, task, program, sections))
            assert self._clock is not None
            if snapshot.data is None:
                await self._store.run(koii.write_deleted, self.chain_id, snapshot, self._clock)
            elif len(snapshot.data) < SMALLEST_TASK and self._finds and task not in self._listed:
                self._no_tasks.add(task)
                del self.tasks[task]
            elif not await self._store.run(koii.unchanged, self.chain_id, snapshot):
                await self._write(snapshot)
            self._saw(snapshot.slot)
            self._gaps.pop(task, None)
            self.progress.logs["koii"] += 1
            self.progress.provider = snapshot.provider

    async def _write(self, snapshot: koii.Snapshot) -> None:
        assert self._clock is not None
        try:
            with self.progress.stage("decode"):
                state = await asyncio.to_thread(read_state, snapshot.program, snapshot.data or b"")
        except StateUnreadable as error:
            reason = str(error.facts["message"])
            await self._store.run(koii.write_unreadable, self.chain_id, snapshot, reason, self._clock)
            await self._keeper.write_down("StateUnreadable", f"koii task {snapshot.task_id}", str(error))
            return
        gap = self._gaps.get(snapshot.task_id)
        with self.progress.stage("write"):
            await self._store.run(koii.write, self.chain_id, snapshot, state, self._clock, gap)

    async def _guarded(self, what: str, do: Callable[[], Any]) -> bool:
        """Whether `do` went well; its errors are written down instead of raised, and a Terminal one stops the chain."""
        try:
            await do()
        except LeaseLost as error:
            log.warning("lease lost", action="lease_lost", chain=self.chain.name, error=str(error))
        except TaskscanError as error:
            self.progress.state = f"{type(error).__name__}: {error}"
            self._gaps[what] = f"The last read failed: {error}"
            log.error("read failed", action="read_failed", chain=self.chain.name, subject=what, error=str(error))
            if isinstance(error, Terminal) and what == "head":
                self.stopped = error
                self.ended.set()
            await self._keeper.write_down(type(error).__name__, what, str(error))
        else:
            return True
        return False

    def _saw(self, slot: int) -> None:
        """Learn from a slot that a provider told how fast they go."""
        now = time.monotonic()
        if not self._seen or slot > self._seen[-1][0]:
            self._seen = [*self._seen[:1], (slot, now)]
            first = self._seen[0]
            if slot - first[0] >= LEARN_SLOTS:
                self._pace = (now - first[1]) / (slot - first[0])

    def _now(self) -> int:
        """The slot of this moment, reckoned from the newest one that was seen."""
        slot, at = self._seen[-1]
        return slot + int((time.monotonic() - at) / self._seconds())

    def _seconds(self) -> float:
        """Of the wall clock per slot."""
        return self._pace or (self._clock.seconds if self._clock else 0.4)

    def _tell(self) -> None:
        self.progress.state = f"{len(self.tasks):,} tasks, {self.progress.logs['koii']:,} snapshots"
