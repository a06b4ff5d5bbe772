"""Carrying out what the window says of other branches: follow one to where it leaves ours, confirm that, roll back."""

import structlog

from indexer.chain.window import (
    BelowFinality,
    Block,
    Decision,
    Fork,
    Impossible,
    Known,
    Reorg,
    Unconfirmed,
    Window,
)
from indexer.errors import FinalityBroken, Inconsistent, NotThereYet, OtherBranch, RpcRefused, TaskscanError
from indexer.ingest.head import moves
from indexer.ingest.linked import built_upon
from indexer.ingest.progress import Progress
from indexer.rpc.batches import in_posts
from indexer.rpc.identify import as_header, head, header_at
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header
from indexer.store.rollback import rollback
from indexer.store.store import Store

log = structlog.get_logger(__name__)

STEPS = 300  # headers of one branch beyond those that we hold: each step goes down to one of ours, or to a parent


class Branches:
    """Judges branches for one chain. `resolve` and `tip_holds` may roll back and change the window."""

    def __init__(self, chain_id: int, name: str, pool: Pool, store: Store, progress: Progress) -> None:
        self._chain_id, self._name = chain_id, name
        self._pool, self._store, self._progress = pool, store, progress

    async def resolve(self, window: Window, provider: Provider, decision: Decision) -> bool:
        """Whether `decision` led to a rollback. False: nothing proven, the next poll tells more.

        Raises FinalityBroken when two reads go back on a final block, Inconsistent for headers that cannot be.
        """
        for _ in range(STEPS + len(window)):
            match decision:
                case Fork():
                    decision = window.trace(decision, await _asked(provider, decision))
                case Unconfirmed():
                    decision = await self._confirm(window, provider, decision)
                    if not isinstance(decision, Reorg | BelowFinality | Impossible):
                        log.info("divergence refuted", action="divergence_refuted", provider=provider.name)
                        return False
                case Reorg():
                    await self._roll_back(window, decision)
                    return True
                case BelowFinality():
                    await self._below_finality(window, provider, decision)
                case Impossible(block, why):
                    raise Inconsistent(f"block {block.number} cannot be: {why}", provider=provider.name)
                case _:
                    return False
        raise Inconsistent("a branch without end", provider=provider.name)

    async def tip_holds(self, window: Window, provider: Provider) -> bool:
        """Whether the window's tip is on the provider's branch, after a rollback if need be. False: it cannot tell."""
        for _ in range(STEPS):
            try:
                found = await header_at(provider, window.tip.number)
            except NotThereYet:
                return False
            decision = window.observe(block_of(found))
            if isinstance(decision, Known) or found.hash == "0x" + window.tip.hash.hex():
                return True
            if not await self.resolve(window, provider, decision):
                return False
        return False

    async def _confirm(self, window: Window, provider: Provider, found: Unconfirmed) -> Decision:
        """The second read: elsewhere if there is an elsewhere that answers, else from the same provider."""
        number = found.branch[0].number
        other = self._pool.pick([provider])
        if other is not provider:
            try:
                return window.confirm(found, block_of(await header_at(other, number)))
            except TaskscanError as error:
                log.info("no second opinion", action="second_read_failed", provider=other.name, error=str(error))
        again = window.confirm(found, block_of(await header_at(provider, number)))
        if isinstance(again, Reorg):
            return again
        # Its cache may hold a stale block at that height: its head cannot be that old.
        return window.confirm(found, block_of(await head(provider)))

    async def _roll_back(self, window: Window, reorg: Reorg) -> None:
        # In a sparse window the ancestor may lie in a hole: what is read above the highest held block goes, too, for
        # nothing would ever notice if the next branch left ours there.
        below = [block.number for block in window.blocks if block.number <= reorg.ancestor.number]
        upto, new_head = below[-1] if below else window.final.number, reorg.branch[-1].hash
        rolled = await self._store.run(rollback, self._chain_id, upto, new_head_hash=new_head)
        window.apply(reorg)
        self._progress.reorgs += 1
        log.warning(
            "reorg", action="reorg", chain=self._name, ancestor=upto, depth=rolled.depth,
            rows_removed=rolled.rows_removed, milliseconds=rolled.duration_ms,
        )  # fmt: skip

    async def _below_finality(self, window: Window, provider: Provider, found: BelowFinality) -> None:
        """A provider contradicts our final block: it lies, or the chain went back. A second read tells. Raises."""
        other, number = self._pool.pick([provider]), found.final.number
        try:
            again, final, top = await _with_final(other, number)
        except TaskscanError:
            other = provider
            again, final, top = await _with_final(provider, number)
        # A backend that lags may stand on a branch that was lost since: it does not call that height final. And a cache
        # may give a lost block for one height: the next ones do not lie on it.
        if isinstance(window.observe(again), BelowFinality) and final >= number:
            if (await built_upon(other, number, top)).hash != "0x" + again.hash.hex():
                raise OtherBranch(f"it gave two blocks for the height {number}", provider=other.name)
            raise FinalityBroken(chain=self._name, ancestor=found.final.number - 1, final=found.final.number)
        self._progress.suspects.add(provider.name)
        raise OtherBranch(f"block {found.theirs.number} is not the one that was final", provider=provider.name)


async def _with_final(provider: Provider, number: int) -> tuple[Block, int, int]:
    """Block `number`, and the newest block that the backend which gave it calls final, and its newest: one batch, where
    the provider takes batches. `number` itself is final where no tag tells of a final block."""
    calls = [Call("eth_getBlockByNumber", (tag, False)) for tag in (hex(number), "latest", "finalized")]
    asked, latest, final = await in_posts(provider, calls)
    header, newest = (
        as_header(provider, provider.unwrap(item, Header | None), of)  # type: ignore[arg-type]
        for item, of in ((asked, number), (latest, "latest"))
    )
    tagged = None if isinstance(final, RpcRefused) else provider.unwrap(final, Header | None)  # type: ignore[arg-type]
    top = block_of(newest).number
    return block_of(header), block_of(tagged).number if tagged and moves(tagged, newest) else number, top


async def _asked(provider: Provider, fork: Fork) -> Block:
    if fork.hash is None:
        return block_of(await header_at(provider, fork.number))
    call = Call("eth_getBlockByHash", ("0x" + fork.hash.hex(), False))
    found = await provider.call(call, Header | None)  # type: ignore[arg-type]
    return block_of(as_header(provider, found, fork.number))


def block_of(header: Header) -> Block:
    """What the window keeps of a header. Raises Inconsistent for one that is not hex text."""
    try:
        number, seconds = int(header.number, 16), int(header.timestamp, 16)
        return Block(number, header.raw_hash, bytes.fromhex(header.parent_hash[2:]), seconds)
    except ValueError:
        raise Inconsistent("a header that is not hex text", provider="A provider") from None
