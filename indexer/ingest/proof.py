"""Logs of a range that are proven complete by the headers' blooms, block by block: evidence `bloom`.

All headers of the range are asked for; they must hang together by their parents' hashes. A block whose bloom excludes
our contracts has no log of them. Of every other block *all* logs are asked for, by hash and without a filter: their
indexes must run from 0 on without a hole, and their own bloom must be the header's (Ethereum yellow paper, 4.3.1). What
an answer lacks is asked for again, and the answers are joined; at last the block's receipts are asked for. The proof
rests on the chain's blooms being truthful, and cannot see the omission of last logs that repeat the addresses and
topics of others of the same block.
"""

import hashlib
import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import structlog

from indexer.chain.bloom import Matcher, contradicts, of_logs
from indexer.chain.ranges import Range
from indexer.chain.sizing import cut
from indexer.chain.window import Point
from indexer.errors import Inconsistent, RpcRefused, TaskscanError
from indexer.ingest.fetch import Parsed
from indexer.ingest.progress import Progress
from indexer.rpc.identify import headers
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header, Log
from indexer.rpc.wire import decode
from indexer.store.head import time_of
from indexer.store.ledger import Group, Read

events = structlog.get_logger(__name__)

HEADERS_AT_ONCE = 90  # with the bound one they fit into one batch, so that they come from one backend
SAMPLE = 4  # blocks by which blooms are judged at the start
TRIES = 12  # answers about one block that are joined before it counts as not provable


class Receipt(msgspec.Struct):
    """The part of an `eth_getBlockReceipts` item that is used here."""

    logs: list[Log]


def needs_proof(pool: Pool, provider: Provider, group: Group, progress: Progress) -> bool:
    """Whether an answer of `provider` about `group` counts only with a proof: that is its least evidence, or the
    provider was caught and there is a way to check it."""
    return group.evidence == "bloom" or (bool(progress.blooms) and not pool.trusts(provider))


async def calibrate(provider: Provider, newest: Header) -> bool | None:
    """Whether the blooms of the newest blocks are exactly those of all their logs. None: these blocks cannot tell."""
    top = int(newest.number, 16)
    try:
        chain = await headers(provider, range(max(0, top - SAMPLE + 1), top + 1))
        full = [header for header in chain if len(header.logs_bloom) > len("0x") and int(header.logs_bloom, 16)]
        answers = [(header, await _ask(provider, header, receipts=False)) for header in full]
    except TaskscanError:
        return None
    if any(contradicts(header.logs_bloom, logs) for header, logs in answers):
        return False
    exact = [header for header, logs in answers if _complete(header, {int(log.log_index, 16): log for log in logs})]
    return True if exact else None


async def proven(
    pool: Pool, provider: Provider, group: Group, piece: Range, bound: Point, progress: Progress
) -> Parsed:  # fmt: skip
    """The logs of `group` in `piece`, one entry per 90 blocks. Raises Inconsistent where no answer can be proven.

    `bound`: a later block that is known to be on the chain; its header comes with those of `piece`.

    `progress.omissions` counts what providers were caught leaving out.
    """
    return [await _part(pool, provider, group, part, bound, progress) for part in cut(piece, HEADERS_AT_ONCE)]


async def _part(
    pool: Pool, provider: Provider, group: Group, piece: Range, bound: Point, progress: Progress
) -> tuple[list[Log], Read]:  # fmt: skip
    requested_at, began = datetime.now(UTC), time.monotonic()
    *chain, last_known = await headers(provider, [*range(piece.first, piece.last + 1), bound.number])
    _check_linked(chain, provider)
    if last_known.hash != "0x" + bound.hash.hex():
        raise Inconsistent(f"its block {bound.number} is not the one that is known", provider=provider.name)
    addresses = {member.address for member in group.members}
    matcher = Matcher(addresses)
    digest, found, size = hashlib.blake2b(digest_size=16), list[Log](), 0
    for header in chain:
        digest.update(header.hash.encode())
        if matcher.may_match(header.logs_bloom):
            logs = await _whole_block(pool, provider, header, progress)
            size += sum(len(log.data) for log in logs)
            found += [log for log in logs if log.address in addresses]
    last = chain[-1]
    read = Read(
        range=piece, provider=provider.name, requested_at=requested_at,
        elapsed_ms=round((time.monotonic() - began) * 1000), answer_bytes=size, digest=digest.digest(),
        logs=len(found), evidence="bloom", bound_block=piece.last, bound_hash=bytes.fromhex(last.hash[2:]),
        to_time=time_of(int(last.timestamp, 16)),
    )  # fmt: skip
    return found, read


def _check_linked(chain: Sequence[Header], provider: Provider) -> None:
    for below, above in itertools.pairwise(chain):
        if above.parent_hash != below.hash:
            message = f"blocks {int(below.number, 16)} and {int(above.number, 16)} are of different branches"
            raise Inconsistent(message, provider=provider.name)


async def _whole_block(pool: Pool, provider: Provider, header: Header, progress: Progress) -> list[Log]:
    """All logs of a block, complete by its bloom."""
    known: dict[int, Log] = {}
    asked = provider
    for attempt in range(TRIES):
        receipts = attempt >= TRIES // 2
        before = len(known)
        answer = await _ask(asked, header, receipts=receipts)
        good = [log for log in answer if log.block_hash == header.hash and not log.removed]
        if len(good) < len(answer):
            events.info(
                "logs of another branch", action="stray_logs", provider=asked.name, logs=len(answer) - len(good)
            )
        for log in good:
            known.setdefault(int(log.log_index, 16), log)
        if attempt and len(known) > before:
            progress.omissions[provider.name] += len(known) - before
        if _complete(header, known):
            return [known[index] for index in sorted(known)]
        asked = pool.pick([asked])
    raise Inconsistent(
        f"the logs of block {int(header.number, 16)} do not give its bloom, however often they are asked for",
        provider=provider.name,
    )


async def _ask(provider: Provider, header: Header, *, receipts: bool) -> list[Log]:
    if not receipts:
        (item,) = await provider.batch([Call("eth_getLogs", ({"blockHash": header.hash},))])
        return provider.unwrap(item, list[Log])
    (item,) = await provider.batch([Call("eth_getBlockReceipts", (header.number,))])
    if isinstance(item, RpcRefused):
        return []
    if isinstance(item, TaskscanError):
        raise item
    found = decode(item, list[Receipt] | None, provider.name)  # type: ignore[arg-type]
    return [log for receipt in found or () for log in receipt.logs]


def _complete(header: Header, known: dict[int, Log]) -> bool:
    if len(known) and max(known) != len(known) - 1:
        return False
    return of_logs(known.values()) == bytes.fromhex(header.logs_bloom[2:])
