"""The logs of single blocks, asked for by block hash: what the unfinalised head of a slow chain is read with.

By hash an answer cannot be of another branch, and a backend that has not got the block must say so. Where the chain's
blooms are truthful a header whose bloom excludes our contracts costs no request, and one whose bloom may hold them but
whose answer is empty is asked again, elsewhere where there is an elsewhere.
"""

import itertools
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from indexer.chain.bloom import BLOOM_BYTES, Matcher, contradicts
from indexer.chain.ranges import Range, subtract
from indexer.chain.window import Point
from indexer.errors import Inconsistent, NotThereYet, OtherBranch, RpcRefused, TaskscanError
from indexer.ingest.fetch import Parsed, Reply, ask_all, parse
from indexer.rpc.batches import in_posts
from indexer.rpc.identify import headers as headers_of
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Item, Provider
from indexer.rpc.types import Call, Header, Log
from indexer.store.ledger import Group, Read

UNFINAL = "unfinal"  # why such a read gets a second look once its blocks are final
BATCH = 2  # calls in a post: logs and header
NEAR = 128  # blocks below the final one that a lagging backend may lack
EMPTY = msgspec.Raw(b"[]")
MOST_BITS = 8 * BLOOM_BYTES - 1  # a bloom with all bits set excludes nothing and proves nothing

Answer = tuple[list[Log], Read]


class Found(NamedTuple):
    """What the blocks hold. `omitted`: logs left out, by provider; `blooms`: whether they told the truth (None: they
    were not put to the test)."""

    parsed: Parsed
    omitted: dict[str, int]
    blooms: bool | None


async def read_blocks(
    pool: Pool, provider: Provider, group: Group, headers: Sequence[Header], *, truthful: bool
) -> Found:  # fmt: skip
    """The logs of `group` in the blocks `headers`. Raises NotThereYet where `provider` does not hold one of them."""
    addresses = [member.address for member in group.members]
    matcher = Matcher(addresses)
    asked = [header for header in headers if not truthful or matcher.may_match(header.logs_bloom)]
    answers = await _ask(provider, addresses, asked, "bloom" if truthful else "head-bound")
    omitted: dict[str, int] = {}
    if truthful:
        silent = [header for header in asked if not answers[header.hash][0]]
        for block, second in (await _ask_again(pool, provider, addresses, silent)).items():
            if second[0]:
                omitted[provider.name] = omitted.get(provider.name, 0) + len(second[0])
                answers[block] = second
    parsed = [answers.get(header.hash) or _excluded(provider, header) for header in headers]
    return Found(parsed, omitted, _learnt(headers, parsed))


def unbound(provider: Provider, piece: Range, final: int) -> Range | None:
    """The last blocks of `piece` that a range of `provider` cannot be trusted with: it takes no batches, so nothing
    binds logs to a header, and a backend behind it may not have got as far as `final`. None where that cannot be."""
    first = max(piece.first, final - NEAR + 1)
    return Range(first, piece.last) if provider.max_batch < BATCH and first <= piece.last else None


def leads_to(piece: Range, final: Point) -> Point | None:
    """The block `final` where following the headers from `piece` up to it costs no more than `piece` itself: what a
    backend on another branch cannot do. Else None."""
    return final if 0 <= final.number - piece.last <= piece.blocks else None


async def read_range(
    pool: Pool, provider: Provider, group: Group, piece: Range, *, truthful: bool, bound: Point | None = None
) -> Found:  # fmt: skip
    """`read_blocks` of a range. Raises Inconsistent where its headers do not hang together, or do not lead to the block
    `bound`, none lower than the last."""
    upto = bound.number if bound else piece.last
    chain = await headers_of(provider, range(piece.first, upto + 1))
    for below, above in itertools.pairwise(chain):
        if above.parent_hash != below.hash:
            message = f"blocks {int(below.number, 16)} and {int(above.number, 16)} are of different branches"
            raise Inconsistent(message, provider=provider.name)
    if bound and chain[-1].hash != "0x" + bound.hash.hex():
        raise OtherBranch(f"its block {upto} is not the one that is known", provider=provider.name)
    return await read_blocks(pool, provider, group, chain[: piece.blocks], truthful=truthful)


async def read_final(
    pool: Pool, provider: Provider, group: Group, pieces: Sequence[Range], final: Point, *, truthful: bool
) -> Parsed:  # fmt: skip
    """The logs of `group` in final blocks: in ranges bound to the final block, or by hash where nothing binds them.

    Raises what `ask_all` and `read_range` raise.
    """
    parsed, far = Parsed(), list(pieces)
    for piece in pieces:
        if near := unbound(provider, piece, final.number):
            bound = leads_to(near, final)
            parsed += (await read_range(pool, provider, group, near, truthful=truthful, bound=bound)).parsed
            far = subtract(far, [near])
    return sorted([*await ask_all(provider, group, far, final), *parsed], key=lambda found: found[1].range)


async def _ask_again(
    pool: Pool, first: Provider, addresses: list[str], headers: Sequence[Header]
) -> dict[str, Answer]:  # fmt: skip
    """A second answer about blocks whose bloom may hold logs and whose answer was empty."""
    if not headers:
        return {}
    other = pool.pick([first])
    try:
        return await _ask(other, addresses, headers, "bloom")
    except TaskscanError:
        return await _ask(first, addresses, headers, "bloom") if other is not first else {}


async def _ask(
    provider: Provider, addresses: list[str], headers: Sequence[Header], evidence: str
) -> dict[str, Answer]:  # fmt: skip
    """Block hash -> logs and the ledger's row."""
    calls = [Call("eth_getLogs", ({"address": addresses, "blockHash": header.hash},)) for header in headers]
    requested_at, began = datetime.now(UTC), time.monotonic()
    items = await in_posts(provider, calls)
    seconds = (time.monotonic() - began) / max(1, len(calls))
    return {
        header.hash: _parsed(provider, header, item, evidence, requested_at, seconds)
        for header, item in zip(headers, items, strict=True)
    }


def _parsed(
    provider: Provider, header: Header, item: Item, evidence: str, requested_at: datetime, seconds: float
) -> Answer:  # fmt: skip
    number = int(header.number, 16)
    if isinstance(item, RpcRefused):  # how nodes say that they do not know a hash; a reorg may have taken it
        raise NotThereYet(provider=provider.name, block=f"{number} ({header.hash})")
    if isinstance(item, TaskscanError):
        raise item
    piece = Range(number, number)
    reply = Reply([(piece, item)], header, provider.name, requested_at, seconds)
    return parse(reply, piece, item, evidence, UNFINAL)


def _excluded(provider: Provider, header: Header) -> Answer:
    """The block that its bloom proves to be empty for us."""
    return _parsed(provider, header, EMPTY, "bloom", datetime.now(UTC), 0.0)


def _learnt(headers: Iterable[Header], parsed: Parsed) -> bool | None:
    """False when a log is missing in its block's bloom, True when all were found in blooms that could exclude them."""
    seen = None
    for header, (logs, _) in zip(headers, parsed, strict=True):
        if logs and len(header.logs_bloom) > len("0x"):
            if contradicts(header.logs_bloom, logs):
                return False
            seen = int(header.logs_bloom, 16).bit_count() <= MOST_BITS or seen
    return seen
