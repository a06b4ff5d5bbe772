"""The same final blocks from two providers that must say the same: evidence `second-provider`.

Where they differ a proof by headers decides block by block, and that is the evidence that these blocks then have.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from indexer.chain.ranges import Range, merge, subtract
from indexer.chain.window import Point
from indexer.errors import Inconsistent, NoReceipts
from indexer.ingest.by_hash import read_final
from indexer.ingest.fetch import Parsed
from indexer.ingest.progress import Progress
from indexer.ingest.proof import proven
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.rpc.types import Log
from indexer.store.ledger import Group, Read

SECOND = "second-provider"


class Agreed(NamedTuple):
    """`parsed`: what holds. `dispute`: where the two differed and what came of it, in words, or nothing."""

    parsed: Parsed
    dispute: str = ""


async def agreed(
    pool: Pool, provider: Provider, group: Group, parsed: Parsed, final: Point, progress: Progress
) -> Agreed:  # fmt: skip
    """What `provider` answered about final blocks (`parsed`), as far as another provider answers the same.

    Raises Inconsistent where they differ and no proof can be had, and the errors of the other provider.
    `progress.omissions` counts what either left out.
    """
    other = pool.pick([provider], trusted=False)
    if other is provider:
        raise Inconsistent("there is no second provider to compare it with", provider=provider.name)
    ranges = [read.range for _, read in parsed]
    again = await read_final(pool, other, group, ranges, final, truthful=bool(progress.blooms))
    mine, theirs = _places(parsed), _places(again)
    disputed = merge(Range(block, block) for block in {place.block for place in mine ^ theirs})
    good = [_part(*one, piece, other.name) for one in parsed for piece in subtract([one[1].range], disputed)]
    if not disputed:
        return Agreed(good)
    where = ", ".join(str(piece) for piece in disputed[:3]) + (" …" if len(disputed) > 3 else "")
    words = (
        f"{provider.name} and {other.name} differ about the blocks {where}: {len(mine - theirs)} logs are told by the "
        f"first alone, {len(theirs - mine)} by the second alone."
    )
    proofs = await _decide(pool, provider, group, disputed, final, progress, words)
    true = _places(proofs)
    for name, told in ((provider.name, mine), (other.name, theirs)):
        if true - told:
            progress.omissions[name] += len(true - told)
    joined = sorted([*good, *proofs], key=lambda found: found[1].range)
    return Agreed(joined, f"{words} A proof by {proofs[0][1].evidence} decided; nothing is to be done.")


async def _decide(
    pool: Pool, provider: Provider, group: Group, disputed: Sequence[Range], final: Point, progress: Progress,
    words: str,
) -> Parsed:  # fmt: skip
    try:
        proofs = [await proven(pool, provider, group, piece, final, progress) for piece in disputed]
    except NoReceipts as error:
        raise Inconsistent(f"{words} Nothing proves either: {error}", provider=provider.name) from None
    return [found for proof in proofs for found in proof]


class _Place(NamedTuple):
    """A log, whatever case its hex text had."""

    block: int
    log_index: int
    words: tuple[str, ...]


def _places(parsed: Parsed) -> set[_Place]:
    return {
        _Place(
            int(log.block_number, 16), int(log.log_index, 16),
            tuple(map(str.lower, (log.block_hash, log.transaction_hash, log.address, log.data, *log.topics))),
        )
        for logs, _ in parsed
        for log in logs
    }  # fmt: skip


def _part(logs: list[Log], read: Read, piece: Range, confirmed_by: str) -> tuple[list[Log], Read]:
    """The part of an answer about the blocks `piece`, which the other provider has confirmed."""
    inside = logs if piece == read.range else [log for log in logs if int(log.block_number, 16) in piece]
    time = read.to_time if piece.last == read.range.last else None
    known = replace(read, range=piece, logs=len(inside), to_time=time, evidence=SECOND, confirmed_by=confirmed_by)
    return inside, known
