"""Follow: the unfinalised head of one chain, read as it grows and rolled back where it changes.

Start with `Follower.poll`. What a header means is decided by `chain.window`; here its decisions are carried out.
Slow chains are held densely: every header, logs by block hash. Fast ones (several blocks per second) are held at the
heights that were polled, and the logs in between come as one range bound to the header above them.
"""

from collections.abc import Sequence
from contextlib import suppress

from indexer.chain.age import aged
from indexer.chain.window import (
    BelowFinality,
    Block,
    Extends,
    Finalized,
    Gap,
    Known,
    Lagging,
    OtherBranch,
    Point,
    Recheck,
    WentBack,
    Window,
)
from indexer.errors import Inconsistent, TooLarge
from indexer.ingest.branches import Branches, block_of
from indexer.ingest.by_hash import BATCH
from indexer.ingest.head_reads import AT_ONCE, HeadReader, header_of
from indexer.ingest.linked import built_upon
from indexer.ingest.progress import Progress
from indexer.ingest.scan import Scanner
from indexer.rpc import identify
from indexer.rpc.identify import header_at, headers
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header
from indexer.store import head
from indexer.store.store import Store
from indexer.store.write import Batch

FAST = 1.0  # seconds per block; below it a chain is held sparsely
STEPS = 500  # decisions in one poll: a bound, no chain should need as many


class Follower:
    """Keeps the tables of one chain in step with its unfinalised head. Has one user at a time.

    Whatever interrupts a method leaves the database true: blocks are held in one transaction with their logs, and
    after an error the window is loaded anew.
    """

    def __init__(
        self, chain_id: int, name: str, pool: Pool, store: Store, progress: Progress, scanner: Scanner
    ) -> None:  # fmt: skip
        self._chain_id, self._pool, self._store, self._progress = chain_id, pool, store, progress
        self._branches = Branches(chain_id, name, pool, store, progress)
        self._reader = HeadReader(chain_id, pool, store, progress, scanner)
        self._window: Window | None = None
        self._checked = False
        self._base: Block | None = None  # the final block that the window began at
        self._pace: float | None = None
        self._next: Header | None = None  # of a fast chain: extends the tip, its logs come with the next poll

    @property
    def window(self) -> Window:
        """The window. Raises ValueError before `open`, and after an error until `open` has loaded it anew."""
        if self._window is None:
            raise ValueError("the window is not open")
        return self._window

    @property
    def is_open(self) -> bool:
        """Whether there is a window."""
        return self._window is not None

    @property
    def pace(self) -> float:
        """Seconds per block, as far as is known; never 0."""
        return max(self._pace or FAST, 0.01)

    def held_for(self, seconds: int, newest: Header) -> Header | None:
        """The newest held block that is so old at the head `newest`, pauses of the chain not counted; None: none is."""
        held = [block for block in self.window.blocks if block.number < int(newest.number, 16)]
        place = aged([*(block.timestamp for block in held), int(newest.timestamp, 16)], seconds)
        return None if place is None else header_of(held[place])

    @property
    def fast(self) -> bool:
        """Whether blocks come faster than one can ask for each."""
        return self._pace is not None and self._pace < FAST

    def _sparse(self, provider: Provider) -> bool:
        """Whether seams can join blocks: they come in batches, so without those even a fast chain is held densely."""
        return self.fast and provider.max_batch >= BATCH

    async def open(self, final: Header) -> None:
        """Load the stored window, or begin one at `final`, a header that a provider calls final."""
        if self._window is not None:
            return
        stored = await self._store.run(head.load, self._chain_id)
        base = next((block for block in stored.blocks if block.number == stored.final), None)
        if base is None:
            base = block_of(final)
            await self._store.run(head.finalize, self._chain_id, base)
        self._window, self._checked, self._next = Window(base.point, stored.blocks), not stored.blocks, None
        self._base, self._progress.blooms = base, stored.blooms

    async def poll(self, provider: Provider, newest: Header | None = None) -> Header:
        """Bring the tables up to the newest block, or as far as its branch is proven; its header.

        `newest`: what a subscription told. Raises FinalityBroken when the chain went back on a final block.
        """
        try:
            if not self._checked:  # a reorg that happened while nobody looked
                self._checked = await self._branches.tip_holds(self.window, provider)
            if self._sparse(provider):
                with suppress(TooLarge):  # it has just been found to take no batches
                    return await self._poll_fast(provider)
            self._next = None
            if newest is None:
                provider, found = await self._pool.hedged(identify.head, provider)
                newest = found
            await self._catch_up(provider, newest)
            await self._complete(provider)
            return newest
        except BaseException:
            self._window = None
            raise

    async def advance(self, provider: Provider, final: Header) -> None:
        """Take over that `final` is final, as `provider` says."""
        try:
            await self._advance(provider, final)
        except BaseException:
            self._window = None
            raise

    # Dense: every block.

    async def _catch_up(self, provider: Provider, newest: Header) -> None:
        self._measure(newest)
        for _ in range(STEPS):
            tip, decision = self.window.tip, self.window.observe(block_of(newest))
            match decision:
                case Known():
                    return
                case Lagging():
                    self._progress.lagging += 1
                    return
                case Extends():
                    await self._take(provider, [newest])
                case Gap(first, last):
                    if self._sparse(provider):
                        return
                    await self._take(
                        provider, await headers(provider, range(first, min(last, first + AT_ONCE - 1) + 1))
                    )
                case _:
                    if not await self._branches.resolve(self.window, provider, decision):
                        return
            if self.window.tip == tip:
                return  # the branch changed between two answers: the next poll sees more
        raise Inconsistent(f"no end of branches at block {int(newest.number, 16)}", provider=provider.name)

    async def _take(self, provider: Provider, found: Sequence[Header]) -> None:
        """Hold those of `found` that extend the window, with their logs; see what the first one means if none does."""
        taken: list[Block] = []
        tip = self.window.tip
        for header in found:
            block = block_of(header)
            decision = self.window.observe(block)
            if not isinstance(decision, Extends):
                break
            self.window.append(decision)
            self._reader.know(header)
            taken.append(block)
        if taken:
            await self._commit(tip, taken, await self._reader.missing(provider, self.window))
        else:
            await self._branches.resolve(self.window, provider, decision)

    async def _complete(self, provider: Provider) -> None:
        """Read held blocks again for contracts that were born in them, and for groups that have caught up."""
        while batches := await self._reader.missing(provider, self.window):
            await self._commit(self.window.tip, (), batches)

    async def _commit(self, tip: Point, taken: Sequence[Block], batches: Sequence[Batch]) -> None:
        with self._progress.stage("write"):
            await self._store.run(head.extend, self._chain_id, tip, taken, batches)
        for batch in batches:
            self._progress.note(batch)

    # Sparse: what was polled. Each poll asks in one batch for the newest header, once more for the one that the last
    # poll called the newest, and for the logs up to that one: so each seam between two held blocks lies in one batch,
    # and so do logs and the header that they are bound to.

    async def _poll_fast(self, provider: Provider) -> Header:
        alone = self._next is None
        newest = await self._once_fast(provider)
        if alone and self._next:
            await self._once_fast(provider)  # there was no last poll, so that one goes on at once
        return newest

    async def _once_fast(self, provider: Provider) -> Header:
        tip, due = self.window.tip, self._next
        self._next = None
        provider, ahead = await self._pool.hedged(lambda one: self._reader.ask_ahead(one, self.window, due), provider)
        if due and ahead.seam.hash == due.hash:
            decision = self.window.observe(block_of(due), _seam(tip))
            if isinstance(decision, Extends):
                self.window.append(decision)
                await self._commit(tip, [decision.block], await self._reader.batches(provider, self.window, ahead))
        self._measure(ahead.newest)
        decision = self.window.observe(block_of(ahead.newest), block_of(ahead.seam))
        if isinstance(decision, Extends):
            self._next = ahead.newest
        elif isinstance(decision, Lagging):
            self._progress.lagging += 1
        elif not isinstance(decision, Known | Gap):
            await self._branches.resolve(self.window, provider, decision)
        await self._complete(provider)
        return ahead.newest

    # The head becomes final.

    async def _advance(self, provider: Provider, final: Header) -> None:
        block = block_of(final)
        for _ in range(STEPS):
            decision = self.window.advance(block.number, block.hash)
            match decision:
                case Finalized(_, dropped):
                    if dropped:
                        await self._store.run(head.finalize, self._chain_id, block)
                    return
                case WentBack():
                    self._progress.lagging += 1
                    return
                case Gap():
                    if await self._leap(provider, block):
                        return
                case OtherBranch() | BelowFinality():
                    seen = self.window.observe(block_of(await header_at(provider, block.number)))
                    if not await self._branches.resolve(self.window, provider, seen):
                        return
                    self._next = None
                case Recheck(number):
                    block = await _below(provider, number, block_of(final))

    async def _leap(self, provider: Provider, block: Block) -> bool:
        """The final block lies above our tip: all that we hold is final if it is still there. The scan reads the rest.
        False: it was not there, and was rolled back."""
        tip = self.window.tip
        if not await self._branches.tip_holds(self.window, provider):
            return True
        if self.window.tip != tip:
            return False
        if (await _below(provider, tip.number, block)).hash != tip.hash:
            return True  # one of two answers came from a cache: the next poll tells
        await self._store.run(head.finalize, self._chain_id, block)
        self._window, self._base, self._next = Window(block.point), block, None
        return True

    def _measure(self, newest: Header) -> None:
        """Seconds per block since the oldest block that is known."""
        oldest = next(iter(self.window.blocks), self._base)
        if oldest and (rise := int(newest.number, 16) - oldest.number) >= 8:
            self._pace = (int(newest.timestamp, 16) - oldest.timestamp) / rise


async def _below(provider: Provider, number: int, final: Block) -> Block:
    """Block `number` of the branch of `final`, which lies above it. What comes for one height alone may be a lost block
    out of a cache: the next one must lie on it, and the same backend must hold `final`."""
    return block_of(await built_upon(provider, number, number + 1, final.point))


def _seam(tip: Point) -> Block:
    """The header at the tip's height as the last poll saw it, in one batch with the block that is due."""
    return Block(tip.number, tip.hash, bytes(32), 0)
