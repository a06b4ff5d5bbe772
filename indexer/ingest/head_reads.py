"""What the groups of a chain lack of the blocks in its window, read by block hash or as ranges bound to held blocks."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import structlog

from indexer.chain.ranges import Range
from indexer.chain.sizing import cut
from indexer.chain.window import Block, Window
from indexer.errors import Inconsistent, TooLarge
from indexer.ingest.by_hash import BATCH, UNFINAL, read_blocks, read_range
from indexer.ingest.fetch import Parsed, Reply, ask_all, filter_of, parse
from indexer.ingest.progress import Progress
from indexer.ingest.proof import needs_proof, proven
from indexer.ingest.scan import Scanner
from indexer.rpc.identify import as_header
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header
from indexer.store import head, ledger
from indexer.store.ledger import Group
from indexer.store.store import Store
from indexer.store.write import Batch

log = structlog.get_logger(__name__)

AT_ONCE = 64  # blocks that are read and written together when the head has run ahead
KNOWN = 4 * AT_ONCE  # headers that are kept for their blooms


class Ahead(NamedTuple):
    """One poll of a fast chain: all of it came in one batch. `parsed`: of each group, the blocks up to `seam`."""

    newest: Header
    seam: Header
    parsed: list[tuple[Group, Parsed]]


class HeadReader:
    """Reads held blocks."""

    def __init__(self, chain_id: int, pool: Pool, store: Store, progress: Progress, scanner: Scanner) -> None:
        self._chain_id, self._pool, self._store = chain_id, pool, store
        self._progress, self._scanner = progress, scanner
        self._headers: dict[str, Header] = {}

    def know(self, header: Header) -> None:
        """Keep a header of a held block for its bloom."""
        self._headers[header.hash] = header
        if len(self._headers) > KNOWN:
            del self._headers[next(iter(self._headers))]

    async def missing(self, provider: Provider, window: Window) -> list[Batch]:
        """What the groups that are read up to the final block lack of the held blocks."""
        batches = []
        for group in await self._ready(window):
            for piece in _pieces(window, group.gaps(window.tip.number)):
                with self._progress.stage("fetch"):
                    parsed = await self._parsed(provider, window, group, piece)
                batches.append(await self._batch(provider, window, group, parsed))
        return batches

    async def ask_ahead(self, provider: Provider, window: Window, due: Header | None) -> Ahead:
        """The newest header, the header `due` (else at the tip) once more, and the logs from the tip to it: one batch.

        Groups whose answer failed, that lack more, that need a proof or that the batch has no room for are left to
        `missing`. Raises TooLarge where the provider takes no batches: nothing joins what it says to a header.
        """
        tip, number = window.tip.number, int(due.number, 16) if due else window.tip.number
        piece = Range(tip + 1, number)
        groups = [
            group
            for group in (await self._ready(window) if due else ())
            if group.gaps(number) == [piece] and not needs_proof(self._pool, provider, group, self._progress)
        ]
        headers = [Call("eth_getBlockByNumber", (tag, False)) for tag in ("latest", hex(number))]
        requested_at, began = datetime.now(UTC), time.monotonic()
        while True:
            longest, groups = provider.max_batch, groups[: max(0, provider.max_batch - len(headers))]
            if longest < BATCH:
                raise TooLarge("it takes no batches", batch=True, provider=provider.name)
            calls = [*headers, *(Call("eth_getLogs", (filter_of(group, piece),)) for group in groups)]
            try:
                items = await with_retries(lambda calls=calls: provider.batch(calls))  # type: ignore[misc]
                break
            except TooLarge:
                if provider.max_batch == longest:
                    raise
        seconds = time.monotonic() - began
        newest, seam = (
            as_header(provider, provider.unwrap(item, Header | None), asked)  # type: ignore[arg-type]
            for item, asked in zip(items, ("latest", number), strict=False)
        )
        parsed = []
        for group, item in zip(groups, items[2:], strict=True):
            if isinstance(item, msgspec.Raw):
                reply = Reply([(piece, item)], seam, provider.name, requested_at, seconds)
                parsed.append((group, [parse(reply, piece, item, "head-bound", UNFINAL)]))
        return Ahead(newest, seam, parsed)

    async def batches(self, provider: Provider, window: Window, ahead: Ahead) -> list[Batch]:
        """The rows of a poll whose seam has just been held."""
        return [await self._batch(provider, window, group, parsed) for group, parsed in ahead.parsed]

    async def _ready(self, window: Window) -> list[Group]:
        groups = await self._store.run(ledger.load_groups, self._chain_id)
        return [group for group in groups if not group.gaps(window.final.number)]

    async def _parsed(self, provider: Provider, window: Window, group: Group, piece: Range) -> Parsed:
        held = _held(window, piece)
        if needs_proof(self._pool, provider, group, self._progress):
            return await self._proven(provider, window, group, piece)
        if len(held) == piece.blocks:
            return await self._by_hash(provider, group, held)
        return await self._by_range(provider, window, group, piece)

    async def _batch(self, provider: Provider, window: Window, group: Group, parsed: Parsed) -> Batch:
        times = {"0x" + block.hash.hex(): block.timestamp for block in window.blocks}
        batch = await self._scanner.decode(provider, group, parsed, times)
        batch.upto = window.tip.number
        return batch

    async def _by_hash(self, provider: Provider, group: Group, held: Sequence[Block]) -> Parsed:
        known = [self._headers.get("0x" + block.hash.hex()) or header_of(block) for block in held]
        truthful = bool(self._progress.blooms)
        try:
            _, found = await self._pool.hedged(
                lambda one: read_blocks(self._pool, one, group, known, truthful=truthful), provider
            )
        except Inconsistent as error:  # asked for by hash, so that no reorg explains it
            self._progress.doubt(error)
            raise
        if found.blooms is not None and found.blooms != self._progress.blooms and self._progress.blooms is not False:
            self._progress.blooms = found.blooms
            log.info("blooms judged", action="blooms", chain=self._progress.chain, truthful=found.blooms)
            await self._store.run(head.note_blooms, self._chain_id, found.blooms)
        self._progress.omissions.update(found.omitted)
        return found.parsed

    async def _proven(self, provider: Provider, window: Window, group: Group, piece: Range) -> Parsed:
        parsed = await proven(self._pool, provider, group, piece, window.tip, self._progress)
        return [(logs, replace(read, doubt=UNFINAL)) for logs, read in parsed]

    async def _by_range(self, provider: Provider, window: Window, group: Group, piece: Range) -> Parsed:
        """A sparse window's blocks: as few ranges as the provider takes, bound to the next held header."""
        bound = next(block.point for block in window.blocks if block.number >= piece.last)
        if provider.max_batch < BATCH:
            truthful = bool(self._progress.blooms)
            return (await read_range(self._pool, provider, group, piece, truthful=truthful, bound=bound)).parsed
        return await ask_all(provider, group, [piece], bound, UNFINAL)


def header_of(block: Block) -> Header:
    """A held block whose bloom is not known any more."""
    return Header(hex(block.number), "0x" + block.hash.hex(), "0x" + block.parent.hex(), hex(block.timestamp))


def _pieces(window: Window, gaps: Sequence[Range]) -> list[Range]:
    """What is asked for at once: a few blocks where all are held, else the whole gap."""
    return [part for gap in gaps for part in (cut(gap, AT_ONCE) if len(_held(window, gap)) == gap.blocks else [gap])]


def _held(window: Window, piece: Range) -> list[Block]:
    return [block for block in window.blocks if block.number in piece]
