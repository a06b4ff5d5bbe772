"""One Aidbox: its tasks, workflows and log are read pass by pass, and all of it anew from time to time.

A pass writes page by page, and remembers how far it is only when it has ended: killed at any moment, the next one
begins where the last whole one did. The installation is only ever read: its executors get every task.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from indexer.config import Chain, Source
from indexer.errors import AccessDenied, ClockSkew, Inconsistent, LeaseLost, RateLimited, RpcRefused, TaskscanError
from indexer.ingest import aidbox_read as reading
from indexer.ingest.keeper import Keeper
from indexer.ingest.progress import Progress
from indexer.networks.aidbox import LOG, RESOURCES, TASK, WORKFLOW
from indexer.rpc import aidbox as questions
from indexer.rpc.rest import Rest
from indexer.rpc.retry import with_retries
from indexer.store import aidbox as store
from indexer.store import named
from indexer.store.aidbox import HISTORY, LIST, UPDATED, Cursor
from indexer.store.leases import Lease
from indexer.store.store import Store

log = structlog.get_logger(__name__)

PASS_SECONDS = 2.0  # from one pass to the next
REST_SHARE = 4  # times as long as a pass takes, at the least: where there are only lists, each gives everything
LONGEST_REST = 300.0  # after passes that failed
SWEEP_SECONDS = 600.0  # after which all is read anew, at the least
SWEEP_SHARE = 100  # … and at least this many times as long as that takes
SKEW_SECONDS = 60.0  # by which clocks may differ
AT_ONCE = 50  # ids of one question


class AidboxJob:
    """Reads one installation. `chain_id`: its number in the database; `lease`: None where nobody else writes."""

    def __init__(
        self, chain: Chain, chain_id: int, wanted: Sequence[Source], plain: Store, lease: Lease | None = None
    ) -> None:  # fmt: skip
        assert chain.url is not None
        self.chain, self.chain_id = chain, chain_id
        self.progress = Progress(chain.name, networks=tuple(sorted({source.network for source in wanted})))
        self.stopped: TaskscanError | None = None
        self.ended = asyncio.Event()
        self.rest = Rest(chain.url.get_secret_value(), chain.client_id, chain.client_secret.get_secret_value())
        self._keeper = Keeper(chain_id, plain, lease, self.progress)
        self._store = self._keeper.store
        self._ways: dict[str, str] = {}
        self._due = self._sweep_due = 0.0
        self._failures = 0

    async def prepare(self) -> None:
        """Have the lease, and find out which way of reading is open. Raises TaskscanError."""
        await self._keeper.begin()
        self.progress.provider = self.rest.name
        await self._find_ways()

    async def tick(self) -> None:
        """Read everything once. Raises TaskscanError."""
        await self._keeper.hold()
        await self._read_all(sweep=True)

    def listen(self, wake: Callable[[], object]) -> None:
        """Nobody tells of changes: `keep_up` looks for itself."""

    async def keep_up(self) -> None:
        """A pass when it is time. What fails is written down and tried again later, also what the user must mend."""
        if (began := time.monotonic()) < self._due:
            return
        try:
            await self._keeper.hold()
            await self._read_all(sweep=time.monotonic() >= self._sweep_due)
        except LeaseLost as error:
            log.warning("lease lost", action="lease_lost", chain=self.chain.name, error=str(error))
        except TaskscanError as error:
            await self._failed(error)
        else:
            self._failures = 0
            self._due = time.monotonic() + max(PASS_SECONDS, REST_SHARE * (time.monotonic() - began))

    def requests(self) -> int:
        """Requests sent so far."""
        return self.rest.calls

    async def close(self) -> None:
        """Let go of the connections and the lease."""
        await self.rest.close()
        await self._keeper.release()

    async def _failed(self, error: TaskscanError) -> None:
        self._failures += 1
        asked = error.retry_after or 0.0 if isinstance(error, RateLimited) else 0.0
        self._due = time.monotonic() + max(asked, min(LONGEST_REST, PASS_SECONDS * 2.0**self._failures))
        self.progress.state = f"{type(error).__name__}: {error}"
        log.error("pass failed", action="read_failed", chain=self.chain.name, error=str(error))
        await self._keeper.write_down(type(error).__name__, self.rest.name, str(error))

    async def _find_ways(self) -> None:
        """Which way each type of resource is to be read. Tasks must be readable; of the others it is only noted."""
        for resource in RESOURCES:
            try:
                way, reasons = await reading.find_way(self.rest, resource)
            except RpcRefused as error:
                if resource == TASK or error.facts.get("code") == 401:
                    raise
                self._ways.pop(resource, None)
                await self._keeper.write_down(type(error).__name__, resource, str(error))
                continue
            self._ways[resource] = way
            if reasons:
                text = f"{resource} is read by {way}, for there is no better way. {' '.join(reasons)}"
                await self._keeper.write_down("NoHistory", resource, text)

    async def _read_all(self, *, sweep: bool) -> None:
        began = time.monotonic()
        sweep = await self._clock_went_back() or sweep
        if sweep:
            await self._find_ways()
        changed: dict[str, set[str]] = {}
        for resource in RESOURCES:
            if resource in self._ways:
                changed[resource] = await self._read(resource, changed, sweep=sweep)
        await self._check_clock()
        if sweep:
            self._sweep_due = time.monotonic() + max(SWEEP_SECONDS, SWEEP_SHARE * (time.monotonic() - began))
        ways = ", ".join(sorted(set(self._ways.values())))
        self.progress.state = f"up to date, read by {ways}"

    async def _read(self, resource: str, changed: dict[str, set[str]], *, sweep: bool) -> set[str]:
        """One pass over a type of resource; the ids of those that have a new version."""
        cursor = await self._store.run(store.cursor, self.chain_id, resource)
        way = self._ways[resource]
        if cursor is None or cursor.mode != way:
            cursor = Cursor(way, datetime.now(UTC))
        cursor = replace(cursor, read_at=datetime.now(UTC))
        new: set[str] = set()
        async for page in self._pages(resource, way, cursor, changed, sweep=sweep):
            new |= await self._write(resource, page)
        if sweep and resource != LOG and way != LIST:
            new |= await self._sweep(resource)
        then = await self._store.run(store.finish, self.chain_id, resource, cursor, swept=sweep)
        await self._note_head(then)
        return new

    def _pages(
        self, resource: str, way: str, cursor: Cursor, changed: dict[str, set[str]], *, sweep: bool
    ) -> AsyncIterator[reading.Page]:  # fmt: skip
        if way == HISTORY:
            # A sweep begins where the last one did: a transaction that was open for long is late.
            floor = cursor.swept_version if sweep else cursor.floor_version
            return reading.history(self.rest, resource, floor)
        if way == UPDATED:
            return reading.updated(self.rest, resource, None if sweep else cursor.floor_at)
        return self._log_pages(changed, sweep=sweep) if resource == LOG else self._list_pages(resource)

    async def _list_pages(self, resource: str) -> AsyncIterator[reading.Page]:
        before = await self._store.run(store.standing, self.chain_id, resource)
        page = await reading.listed(self.rest, resource)
        yield page
        listed = {version.id for version in page.versions}
        missing = {id: version for id, version in before.items() if id not in listed}
        gone = {id: version for id, version in missing.items() if not (await self._log_of(resource, id))[0]}
        await self._store.run(store.write_absent, self.chain_id, resource, gone, datetime.now(UTC))

    async def _log_pages(self, changed: dict[str, set[str]], *, sweep: bool) -> AsyncIterator[reading.Page]:
        """The log of each task that has changed, of all of them in a sweep: they may have changed without us."""
        for resource in (TASK, WORKFLOW):
            ids = changed.get(resource, set())
            if sweep and resource in changed:
                ids = ids | (await self._store.run(store.standing, self.chain_id, resource)).keys()
            for id in sorted(ids):
                yield (await self._log_of(resource, id))[1]

    async def _log_of(self, resource: str, id: str) -> tuple[bool, reading.Page]:
        return await reading.log_of(self.rest, resource, id)

    async def _sweep(self, resource: str) -> set[str]:
        """Look at every resource there is: some may have been missed, and others are there no longer."""
        before = await self._store.run(store.standing, self.chain_id, resource)
        seen: set[str] = set()
        new: set[str] = set()
        try:
            async for page in reading.updated(self.rest, resource, None):
                seen |= {version.id for version in page.versions}
                new |= await self._write(resource, page)
            missing = {id: version for id, version in before.items() if id not in seen}
            for ids in _parts(sorted(missing)):
                there = await with_retries(lambda ids=ids: questions.present(self.rest, resource, ids))  # type: ignore[misc]
                gone = {id: missing[id] for id in ids if id not in there}
                await self._store.run(store.write_absent, self.chain_id, resource, gone, datetime.now(UTC))
        except (AccessDenied, Inconsistent) as error:
            text = f"What is cleaned up cannot be seen: {error}"
            await self._keeper.write_down(type(error).__name__, resource, text)
        return new

    async def _write(self, resource: str, page: reading.Page) -> set[str]:
        now = datetime.now(UTC)
        with self.progress.stage("write"):
            new = set(await self._store.run(store.write, self.chain_id, page.versions, now))
            for reason, data in page.bad:
                await self._store.run(store.keep_unreadable, self.chain_id, resource, reason, data, now)
        self.progress.logs["aidbox"] += len(new)
        return new

    async def _note_head(self, cursor: Cursor) -> None:
        """The newest version of all is how far the installation is; 0 where there is none."""
        version, at = cursor.version or 0, cursor.updated_at or cursor.read_at
        await self._store.run(named.note_slot, self.chain_id, version, at)
        self.progress.head = max(self.progress.head or 0, version)

    async def _clock_went_back(self) -> bool:
        """Whether the server's clock stands before the newest version that it has made: then times are no guide."""
        cursor = await self._store.run(store.cursor, self.chain_id, TASK)
        if cursor is None or cursor.updated_at is None or self.rest.skew is None or cursor.mode == HISTORY:
            return False
        return time.time() + self.rest.skew < cursor.updated_at.timestamp() - store.OVERLAP.total_seconds()

    async def _check_clock(self) -> None:
        skew = self.rest.skew
        if skew is not None and abs(skew) > SKEW_SECONDS:
            text = str(ClockSkew(provider=self.rest.name, seconds=round(skew, -1)))
            await self._keeper.write_down("ClockSkew", self.rest.name, text)


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[n : n + AT_ONCE] for n in range(0, len(ids), AT_ONCE)]
