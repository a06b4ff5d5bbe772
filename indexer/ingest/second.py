"""`taskscan verify --provider`: do the tables hold what another provider says today, row by row?"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from indexer.audit.findings import Finding
from indexer.audit.verify import KEPT, Result
from indexer.chain.ranges import Range, merge
from indexer.chain.sizing import cut
from indexer.chain.window import Point
from indexer.config import Chain, Rpc, Settings
from indexer.errors import UsageError
from indexer.ingest.budget import Budget
from indexer.ingest.by_hash import read_final
from indexer.ingest.job import connect
from indexer.ingest.progress import Progress
from indexer.ingest.scan import IN_FLIGHT_BYTES, Scanner
from indexer.rpc.endpoint import name_of
from indexer.rpc.identify import chain_id_of, check_chain
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.store import compare, ledger
from indexer.store.ledger import Group
from indexer.store.store import Store
from indexer.store.write import Batch
from schema.chain import blocks, chains

NAME = "second provider"
PORTION = 1000  # blocks that a sample takes or leaves, and that are compared at once


class Second(NamedTuple):
    """Whom to ask about which chain."""

    chain: Chain
    rpc: Rpc


async def named(settings: Settings, given: str) -> list[Second]:
    """The provider `given`, by the host of a configured endpoint or a URL, for each chain that it serves.

    Raises UsageError where there is none, and what a URL's provider fails with.
    """
    if "://" not in given:
        found = [Second(chain, rpc) for chain in _evm(settings) for rpc in chain.http if _name(rpc) == given]
        if not found:
            names = ", ".join(sorted({_name(rpc) for chain in _evm(settings) for rpc in chain.http}))
            configured = f", or one of {names}" if names else ""
            raise UsageError(f"No [[chains]] entry has the provider {given}: give its URL{configured}.")
        return found
    if not given.startswith(("http://", "https://")):
        raise UsageError("The URL of a second provider begins with http:// or https://.")
    rpc = Rpc(url=SecretStr(given))
    async with connect(rpc) as provider:
        served = await with_retries(lambda: chain_id_of(provider), attempts=3)
    found = [Second(chain, rpc) for chain in _evm(settings) if chain.chain_id == served]
    if not found:
        raise UsageError(f"{_name(rpc)} serves chain {served}, which no [[chains]] entry names.")
    return found


def joined(settings: Settings, seconds: Sequence[Second]) -> Settings:
    """`settings` with the second providers among those of their chains."""
    more = {second.chain.name: second.rpc for second in seconds}
    wanted = [
        chain.model_copy(update={"rpc": [*chain.rpc, more[chain.name]]})
        if chain.name in more and _name(more[chain.name]) not in {_name(rpc) for rpc in chain.rpc}
        else chain
        for chain in settings.chains
    ]
    return settings.model_copy(update={"chains": wanted})


async def compared(
    engine: Engine, seconds: Sequence[Second], within: Range | None, share: float, tick: Callable[[str], None]
) -> Result:
    """Read what is covered and final from the second providers, and compare it with the tables.

    `within`: only these blocks; `share`: of the portions of blocks, chosen at random (1: all). Nothing is written.
    Raises TaskscanError where a provider cannot be read.
    """
    store, counts, notes, found = Store(engine), Counter[str](blocks=0, logs=0), list[str](), list[Finding]()
    try:
        for second in seconds:
            async with connect(second.rpc) as provider:
                await with_retries(lambda p=provider, c=second.chain: check_chain(p, c.chain_id), attempts=3)  # type: ignore[misc]
                look = _Look(second.chain, provider, store, counts, tick)
                if (final := await store.run(_final, second.chain.chain_id)) is None:
                    notes.append(f"nothing of {second.chain.name} is known to be final")
                    continue
                for group in await store.run(ledger.load_groups, second.chain.chain_id):
                    found += await look.group(group, final, _pieces(group, final.number, within, share))
    finally:
        store.close()
    return Result(NAME, dict(counts), notes, found[:KEPT], len(found))


class _Look:
    """Compares the groups of one chain."""

    def __init__(
        self, chain: Chain, provider: Provider, store: Store, counts: Counter[str], tick: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._chain, self._provider, self._store, self._counts, self._tick = chain, provider, store, counts, tick
        self._pool = Pool([provider])
        self._scanner = Scanner(chain.chain_id, self._pool, store, Progress(chain.name), Budget(IN_FLIGHT_BYTES))

    async def group(self, group: Group, final: Point, pieces: Sequence[Range]) -> list[Finding]:
        """The blocks in which tables and provider differ, neighbours together."""
        stored, given = Counter[int](), Counter[int]()
        try:
            for piece in pieces:
                self._tick(f"{self._chain.name}: blocks {piece} from {self._provider.name}")
                parsed = await read_final(self._pool, self._provider, group, [piece], final, truthful=False)
                batch = await self._scanner.decode(self._provider, group, parsed, {})
                differences = await self._store.run(_rolled_back, batch, piece)
                self._counts.update(blocks=piece.blocks, logs=differences.compared)
                stored, given = stored + differences.stored, given + differences.given
        finally:
            self._scanner.close()
        return [
            self._finding(piece, stored, given) for piece in merge(Range(n, n) for n in stored.keys() | given.keys())
        ]

    def _finding(self, piece: Range, stored: Counter[int], given: Counter[int]) -> Finding:
        ours, theirs = (sum(rows[n] for n in range(piece.first, piece.last + 1)) for rows in (stored, given))
        words = f"the tables hold {ours:,} rows that it does not give, and lack {theirs:,} that it gives"
        return Finding(self._chain.name, NAME, self._provider.name, *piece, words)


def _rolled_back(connection: sa.Connection, batch: Batch, piece: Range) -> compare.Differences:
    with connection.begin_nested() as inner:
        found = compare.differences(connection, batch, piece)
        inner.rollback()
    return found


def _final(connection: sa.Connection, chain_id: int) -> Point | None:
    """The final block, if its hash is known."""
    held = sa.and_(blocks.c.chain_id == chains.c.chain_id, blocks.c.block_number == chains.c.final_block)
    query = sa.select(blocks.c.block_number, blocks.c.block_hash).select_from(chains.join(blocks, held))
    row = connection.execute(query.where(chains.c.chain_id == chain_id)).one_or_none()
    return Point(row.block_number, bytes(row.block_hash)) if row else None


def _pieces(group: Group, final: int, within: Range | None, share: float) -> list[Range]:
    """What is covered, final and wanted, in portions."""
    bounds = within or Range(0, final)
    first, last = max(0, bounds.first), min(bounds.last, final)
    inside = [Range(max(piece.first, first), min(piece.last, last)) for piece in group.covered]
    portions = [part for piece in inside if piece.first <= piece.last for part in cut(piece, PORTION)]
    if share >= 1 or not portions:
        return portions
    return sorted(random.sample(portions, max(1, round(share * len(portions)))))


def _evm(settings: Settings) -> Iterator[Chain]:
    return (chain for chain in settings.chains if chain.kind == "evm")


def _name(rpc: Rpc) -> str:
    return name_of(rpc.url.get_secret_value())
