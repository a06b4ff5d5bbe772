"""One chain with its providers: what is done for it with every poll."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa
import structlog

from indexer.chain.ranges import Range
from indexer.chain.window import Point
from indexer.config import Chain, Rpc, Source
from indexer.errors import LeaseLost, TaskscanError, Terminal
from indexer.ingest.budget import Budget
from indexer.ingest.enrich import enrich_all
from indexer.ingest.follow import Follower
from indexer.ingest.head import FINAL_SECONDS, ends, older_than
from indexer.ingest.progress import Progress
from indexer.ingest.proof import calibrate
from indexer.ingest.scan import Scanner
from indexer.ingest.settle import Settler
from indexer.ingest.setup import wanted_contracts
from indexer.ingest.upkeep import Upkeep
from indexer.ingest.wake import Wake
from indexer.rpc.endpoint import Endpoint, name_of
from indexer.rpc.heads import listen
from indexer.rpc.identify import first_block
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header
from indexer.store import incidents, sources
from indexer.store.head import note_blooms
from indexer.store.leases import Lease
from indexer.store.ledger import load_groups
from indexer.store.store import Store

log = structlog.get_logger(__name__)

FINAL_EVERY = 16  # blocks after which it is worth asking anew how far the chain is final
FINAL_EVERY_SECONDS = 10.0  # … or as many blocks as come in this time
ENRICH_EVERY = 2.0  # seconds: what several blocks of a fast chain bring is asked for together
LONG_SCAN = 1.0  # seconds that a poll waits for the scan of final blocks; after that the two go on side by side


def connect(rpc: Rpc) -> Provider:
    """The provider behind a configured endpoint."""
    headers = {name: value.get_secret_value() for name, value in rpc.headers.items()}
    return Provider(Endpoint(rpc.url.get_secret_value(), headers, rpc.max_rps))


class ChainJob:
    """One chain with its providers, and what is to be read of it."""

    def __init__(
        self, chain: Chain, wanted: Sequence[Source], store: Store, budget: Budget,
        connect: Callable[[Rpc], Provider] = connect, lease: Lease | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.chain = chain
        self.progress = Progress(chain.name, networks=tuple(sorted({source.network for source in wanted})))
        self.stopped: TaskscanError | None = None
        self.ended = asyncio.Event()
        self._wanted = wanted
        self._plain = store
        self._providers = [connect(rpc) for rpc in chain.http]
        self._pool = Pool(self._providers, clock=clock)
        self._upkeep = Upkeep(chain.chain_id, self._pool, store, self.progress, lease)
        self._store = store = self._upkeep.guarded()
        self._scanner = Scanner(chain.chain_id, self._pool, store, self.progress, budget)
        parts = (chain.chain_id, chain.name, self._pool, store, self.progress, self._scanner)
        self._follower = Follower(*parts)
        self._settler = Settler(*parts)
        self._scan: asyncio.Task[None] | None = None
        self._enrichment: asyncio.Task[None] | None = None
        self._enriched_at = -math.inf
        self._asked_final_at: int | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._wake = Wake()

    async def prepare(self) -> None:
        """Check providers and database against the configuration and settle what is read. Raises TaskscanError."""
        chain, store = self.chain, self._store
        await self._upkeep.begin(self._scanner)
        provider = self._pool.pick()
        first = await first_block(provider)
        await store.run(sources.settle_chain, chain.chain_id, chain.name, chain.clock, first)
        newest, _ = await with_retries(lambda: ends(provider))
        await self._note(newest)
        known = await store.run(_known, chain.chain_id)
        wanted = await wanted_contracts(provider, chain, self._wanted, int(newest.number, 16), known)
        await store.run(sources.configure, chain.chain_id, wanted)

    async def final(self) -> Point:
        """The newest final block, asked for anew. Raises TaskscanError."""
        await self._upkeep.poll()
        await self._pool.run(lambda provider: self._take_final(provider, None))
        return self._follower.window.final

    async def complete(self, final: Point) -> None:
        """Read and fold all that is still missing up to the block `final`. Raises TaskscanError."""
        await self._scanner.converge(final)

    @property
    def store(self) -> Store:
        """The database, for who writes this chain: under its lease."""
        return self._store

    async def tick(self, newest: Header | None = None, *, patient: bool = True) -> None:
        """Bring everything up to the newest block: what became final by ranges, the rest block by block.

        `newest`: what a subscription told. Not `patient`: a long scan of final blocks goes on beside, and the head
        is followed meanwhile for what is read already. Raises TaskscanError.
        """
        await self._upkeep.poll()
        await self._pool.run(lambda provider: self._tick(provider, newest, patient))
        await self._enrich(patient)

    async def _tick(self, provider: Provider, newest: Header | None, patient: bool) -> None:
        if patient or self._final_is_due(newest):
            newest = await self._take_final(provider, newest)
        await self._scan_final(patient)
        newest = await self._follower.poll(provider, newest)
        await self._note(newest)
        self._wake.saw(newest, self._follower.pace, wall=self.chain.clock == "wall")
        await self._settler.settle(self._follower.window.final, all_of_it=patient)

    async def look_again(self, pieces: Sequence[Range]) -> None:
        """Settle final blocks about which two answers differ, by a proof. After `tick`. Raises TaskscanError."""
        for piece in pieces:
            await self._settler.look_at(piece)

    def listen(self, wake: Callable[[], object]) -> None:
        """Subscribe to new heads where an endpoint can tell them; `wake` is called with each."""

        def hear(header: Header) -> None:
            self._wake.hear(header)
            wake()

        for rpc in self.chain.websockets:
            headers = {name: value.get_secret_value() for name, value in rpc.headers.items()}
            url = rpc.url.get_secret_value()
            self._listeners.append(asyncio.create_task(listen(name_of(url), url, headers, hear)))

    async def keep_up(self) -> None:
        """`tick` when it is time, with its errors written down instead of raised; a Terminal one stops this chain."""
        if self.stopped or not self._wake.due(self._follower.pace):
            return
        await self.poll()
        while self._wake.told and not self.stopped:
            await self.poll()

    async def poll(self) -> None:
        """One `tick` beside a long scan, with its errors written down."""
        try:
            await self.tick(self._wake.take(), patient=False)
        except LeaseLost as error:
            self._wake.failed()
            log.warning("lease lost", action="lease_lost", chain=self.chain.name, error=str(error))
        except TaskscanError as error:
            self._wake.failed()
            self.progress.state = f"{type(error).__name__}: {error}"
            log.error("chain failed", action="chain_failed", chain=self.chain.name, error=str(error))
            if isinstance(error, Terminal):
                self.stopped = error
                self.ended.set()
            await self._write_down(error)

    def requests(self) -> int:
        """JSON-RPC calls sent so far."""
        return sum(provider.calls for provider in self._providers)

    async def close(self) -> None:
        """Let go of connections and threads."""
        beside = [task for task in (self._scan, self._enrichment, *self._listeners) if task]
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self._scanner.close()
        await self._upkeep.end()
        for provider in self._providers:
            await provider.disconnect()

    def _final_is_due(self, newest: Header | None) -> bool:
        if self._asked_final_at is None or not self._follower.is_open:
            return True
        number = int(newest.number, 16) if newest else self.progress.head or 0
        return number - self._asked_final_at >= max(FINAL_EVERY, FINAL_EVERY_SECONDS / self._follower.pace)

    async def _take_final(self, provider: Provider, newest: Header | None) -> Header:
        head, final = await with_retries(lambda: ends(provider, newest))
        follower = self._follower
        if final is None and follower.is_open:
            final = follower.held_for(FINAL_SECONDS, head)
        elif final is None:
            final = await with_retries(lambda: older_than(provider, head))
        if final is not None:
            await follower.open(final)
            await follower.advance(provider, final)
        if self.progress.blooms is None and (blooms := await calibrate(provider, head)) is not None:
            self.progress.blooms = blooms
            await self._store.run(note_blooms, self.chain.chain_id, blooms)
        self._asked_final_at = int(head.number, 16)
        return head

    async def _scan_final(self, patient: bool) -> None:
        """Read what is final and not read yet."""
        if self._scan is None:
            self._scan = asyncio.create_task(self._scanner.converge(self._follower.window.final))
        await asyncio.wait([self._scan], timeout=None if patient else LONG_SCAN)
        if self._scan.done():
            scan, self._scan = self._scan, None
            await scan

    async def _enrich(self, patient: bool) -> None:
        """Learn what no event carries; beside all else and not too often, unless `patient`."""
        now = asyncio.get_running_loop().time()
        rest = 0.0 if patient else max(0.0, self._enriched_at + ENRICH_EVERY - now)
        if self._enrichment is None:
            self._enrichment = asyncio.create_task(self._enrich_after(rest))
        await asyncio.wait([self._enrichment], timeout=None if patient else 0 if rest else LONG_SCAN)
        if self._enrichment.done():
            done, self._enrichment = self._enrichment, None
            await done

    async def _enrich_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._enriched_at = asyncio.get_running_loop().time()
        await enrich_all(self.chain.chain_id, self._pool, self._store, self.progress)

    async def _note(self, newest: Header) -> None:
        self.progress.head = int(newest.number, 16)
        await self._store.run(sources.note_head, self.chain.chain_id, newest)

    async def _write_down(self, error: TaskscanError) -> None:
        try:
            kind = type(error).__name__
            await self._plain.run(incidents.note, self.chain.chain_id, kind, self.chain.name, str(error))
        except TaskscanError as second:
            log.error("incident not written", action="incident_lost", error=str(second))


def _known(connection: sa.Connection, chain_id: int) -> dict[str, int]:
    return {m.address: m.from_block for group in load_groups(connection, chain_id) for m in group.members}
