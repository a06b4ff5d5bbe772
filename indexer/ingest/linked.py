"""Headers that hang together by their parents' hashes: what a provider says of one block alone may come from a stale
cache, or from a backend on a lost branch."""

import itertools
from collections.abc import Sequence

from indexer.chain.ranges import Range
from indexer.chain.window import Point
from indexer.errors import Inconsistent, OtherBranch
from indexer.rpc.identify import headers
from indexer.rpc.transport import Provider
from indexer.rpc.types import Header

LINKS = 6  # blocks on top of one that must hang together before it counts against what others say or what is known


async def linked(provider: Provider, piece: Range, bound: Point | None = None) -> list[Header]:
    """Headers of the blocks `piece`, each the parent of the next.

    `bound`: a block that is known to be on the chain, not below them; its header comes with theirs. Raises Inconsistent
    where they are of different branches, OtherBranch where `bound` is another one, and what `headers` raises.
    """
    numbers = [*range(piece.first, piece.last + 1), *([bound.number] if bound else [])]
    found = await headers(provider, numbers)
    if bound and found.pop().hash != "0x" + bound.hash.hex():
        raise OtherBranch(f"its block {bound.number} is not the one that is known", provider=provider.name)
    if bound and piece.last == bound.number and found[-1].hash != "0x" + bound.hash.hex():
        raise Inconsistent(f"two hashes for block {bound.number}", provider=provider.name)
    _check(found, provider)
    return found


async def built_upon(provider: Provider, number: int, upto: int, bound: Point | None = None) -> Header:
    """Header of block `number`, upon which the next ones lie: LINKS of them, or as many as there are up to `upto`."""
    return (await linked(provider, Range(number, min(number + LINKS, max(number, upto))), bound))[0]


def _check(chain: Sequence[Header], provider: Provider) -> None:
    for below, above in itertools.pairwise(chain):
        if above.parent_hash != below.hash:
            message = f"blocks {int(below.number, 16)} and {int(above.number, 16)} are of different branches"
            raise Inconsistent(message, provider=provider.name)
