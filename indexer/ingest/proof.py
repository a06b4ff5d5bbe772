"""Logs of a range that are proven complete by the headers, block by block: evidence `bloom` and `receipts`.

All headers of the range are asked for; they must hang together by their parents' hashes. A block whose bloom excludes
our contracts has no log of them. Of every other block *all* logs are asked for.

`receipts`: with all receipts of the block, whose root must be the header's. Nothing can be left out or changed unseen.
Blooms are used to pass over blocks only where they proved truthful.

`bloom`: the same where a provider gives all receipts of a block at once and their root is right; else by block hash and
without a filter. Their indexes must run from 0 on without a hole, and their own bloom must be the header's (Ethereum
yellow paper, 4.3.1). What an answer lacks is asked for again, and the answers are joined. This proof rests on the
chain's blooms being truthful, and without receipts it cannot see the omission of last logs that repeat the addresses
and topics of others of the same block.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import structlog

from indexer.chain.bloom import Matcher, contradicts, of_logs
from indexer.chain.ranges import Range
from indexer.chain.receipts import EMPTY_ROOT, logs_of, receipts_root
from indexer.chain.sizing import cut
from indexer.chain.window import Point
from indexer.errors import Inconsistent, NoReceipts, NotThereYet, RpcRefused, TaskscanError, Transient
from indexer.ingest.fetch import Parsed
from indexer.ingest.linked import linked
from indexer.ingest.progress import Progress
from indexer.rpc.identify import headers
from indexer.rpc.pool import Pool
from indexer.rpc.receipts import block_receipts
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header, Log
from indexer.store.ledger import Group, Read
from indexer.store.sources import time_of

events = structlog.get_logger(__name__)

HEADERS_AT_ONCE = 90  # with the bound one they fit into one batch, so that they come from one backend
SAMPLE = 4  # blocks by which blooms are judged at the start
NO_RECEIPTS = "0x" + EMPTY_ROOT.hex()
TRIES = 12  # answers about one block that are joined before it counts as not provable
ATTEMPTS = 3  # at one question: a range takes many, so that one that fails must not spoil all


PROVABLE = ("bloom", "receipts")
"""Levels of evidence that a proof gives."""


def needs_proof(pool: Pool, provider: Provider, group: Group, progress: Progress) -> bool:
    """Whether an answer of `provider` about `group` counts only with a proof: that is its least evidence, or the
    provider was caught and there is a way to check it."""
    return group.evidence in PROVABLE or (bool(progress.blooms) and not pool.trusts(provider))


async def calibrate(provider: Provider, newest: Header) -> bool | None:
    """Whether the blooms of the newest blocks are exactly those of all their logs. None: these blocks cannot tell."""
    top = int(newest.number, 16)
    try:
        chain = await headers(provider, range(max(0, top - SAMPLE + 1), top + 1))
        full = [header for header in chain if len(header.logs_bloom) > len("0x") and int(header.logs_bloom, 16)]
        answers = [(header, (await _ask(provider, header, receipts=False)).logs) for header in full]
    except TaskscanError:
        return None
    if any(contradicts(header.logs_bloom, logs) for header, logs in answers):
        return False
    exact = [header for header, logs in answers if _complete(header, {int(log.log_index, 16): log for log in logs})]
    return True if exact else None


async def proven(
    pool: Pool, provider: Provider, group: Group, piece: Range, bound: Point, progress: Progress
) -> Parsed:  # fmt: skip
    """The logs of `group` in `piece`, one entry per 90 blocks. Raises Inconsistent where no answer can be proven, and
    NoReceipts where receipts must be had and no provider gives any.

    The level is the group's own, else `bloom` where blooms proved truthful, else `receipts`.

    `bound`: a later block that is known to be on the chain; its header comes with those of `piece`.

    `progress.omissions` counts what providers were caught leaving out.
    """
    return [await _part(pool, provider, group, part, bound, progress) for part in cut(piece, HEADERS_AT_ONCE)]


async def _part(
    pool: Pool, provider: Provider, group: Group, piece: Range, bound: Point, progress: Progress
) -> tuple[list[Log], Read]:  # fmt: skip
    requested_at, began = datetime.now(UTC), time.monotonic()
    chain = await with_retries(lambda: linked(provider, piece, bound), attempts=ATTEMPTS)
    level = _level(group, progress)
    addresses = {member.address for member in group.members}
    matcher = Matcher(addresses)
    digest, found, size = hashlib.blake2b(digest_size=16), list[Log](), 0
    for header in chain:
        digest.update(header.hash.encode())
        if not _is_empty(header, matcher, level, progress):
            logs = await _whole_block(pool, provider, header, progress, level)
            size += sum(len(log.data) for log in logs)
            found += [log for log in logs if log.address in addresses]
    last = chain[-1]
    read = Read(
        range=piece, provider=provider.name, requested_at=requested_at,
        elapsed_ms=round((time.monotonic() - began) * 1000), answer_bytes=size, digest=digest.digest(),
        logs=len(found), evidence=level, bound_block=piece.last, bound_hash=last.raw_hash,
        to_time=time_of(int(last.timestamp, 16)),
    )  # fmt: skip
    return found, read


def _level(group: Group, progress: Progress) -> str:
    if group.evidence in PROVABLE:
        return group.evidence
    return "bloom" if progress.blooms else "receipts"


def _is_empty(header: Header, matcher: Matcher, level: str, progress: Progress) -> bool:
    """Whether the header itself says that the block has no log of ours."""
    if level == "receipts" and header.receipts_root == NO_RECEIPTS:
        return True
    return (level == "bloom" or bool(progress.blooms)) and not matcher.may_match(header.logs_bloom)


_Told = tuple[str, list[Log]]  # by whom
_What = tuple[int, str, tuple[str, ...]]


async def _whole_block(
    pool: Pool, provider: Provider, header: Header, progress: Progress, level: str
) -> list[Log]:  # fmt: skip
    """All logs of a block, proven by the root of its receipts; for `bloom` also by its bloom."""
    answers: list[_Told] = []
    failed: dict[str, TaskscanError] = {}
    asked = provider if pool.is_well(provider) else pool.pick([provider], trusted=False)
    for attempt in range(TRIES):
        receipts = level == "receipts" or (asked.block_receipts if attempt == 0 else attempt >= TRIES // 2)
        question = partial(_ask, asked, header, receipts=receipts, one_by_one=level == "receipts")
        answer = await _insist(pool, asked, question, failed)
        if answer is not None and _is_stray(answer, header):
            events.info("logs of another branch", action="stray_logs", provider=asked.name)
            if not receipts:  # those are asked for by number, so that a reorg explains them
                progress.lies[asked.name] = f"asked for the logs of block {int(header.number, 16)}, it sent others"
        elif answer is not None and (answer.sealed or answer.logs or not receipts):
            # Receipts without a log, which do not say of which block they are, may be those of another branch.
            answers.append((asked.name, answer.logs))
            # Receipts that give the bloom but not the root lack a log that repeats others, or the root is of no use.
            whole = answer.logs if answer.sealed else None
            if whole is None and level == "bloom" and (attempt or not receipts):
                whole = _joined(header, answers)
            if whole is not None:
                _note_lies(progress, header, answers, whole)
                return whole
        if level == "receipts" and all(isinstance(failed.get(one.name), RpcRefused) for one in pool.providers):
            raise NoReceipts(str(failed[asked.name].facts["message"]), chain=progress.chain, provider=asked.name)
        asked = pool.pick([asked])
    if not answers and (passing := [error for error in failed.values() if isinstance(error, Transient)]):
        raise passing[-1]
    what = "receipts root" if level == "receipts" else "bloom"
    message = f"nothing it says of block {int(header.number, 16)} gives its {what}, however often it is asked"
    raise Inconsistent(message, provider=provider.name)


async def _insist(
    pool: Pool, asked: Provider, question: Callable[[], Awaitable["_Answer"]], failed: dict[str, TaskscanError]
) -> "_Answer | None":  # fmt: skip
    """The answer of `asked`; None, with the reason in `failed`, where another one is to be asked.

    Where nobody else can be asked it is asked again: a range takes many questions, and one must not spoil all.
    """
    alone = not pool.another([asked.name], trusted=False)
    try:
        answer = await with_retries(question, attempts=ATTEMPTS if alone else 1)
    except (RpcRefused, Transient) as error:
        failed[asked.name] = error
        if isinstance(error, Transient) and not isinstance(error, NotThereYet):
            if alone:
                raise
            pool.failed(asked, error)
        return None
    pool.worked(asked)
    return answer


def _is_stray(answer: "_Answer", header: Header) -> bool:
    return any(log.block_hash != header.hash or log.removed for log in answer.logs)


def _joined(header: Header, answers: Sequence[_Told]) -> list[Log] | None:
    """All logs of the block: those of the newest answer if they give the bloom, else of all answers; None: neither."""
    for logs in (answers[-1][1], [log for _, answer in answers for log in answer]):
        known: dict[int, Log] = {}
        for log in logs:
            known.setdefault(int(log.log_index, 16), log)
        if _complete(header, known):
            return [known[index] for index in sorted(known)]
    return None


def _note_lies(progress: Progress, header: Header, answers: Sequence[_Told], whole: Sequence[Log]) -> None:
    """Count what answers leave out of `whole`, and remember who told of logs that it does not hold."""
    there = {_what(log) for log in whole}
    for name in {name for name, _ in answers}:
        told = [{_what(log) for log in logs} for teller, logs in answers if teller == name]
        if left_out := len(there) - min(len(logs & there) for logs in told):
            progress.omissions[name] += left_out
        if invented := set[_What]().union(*told) - there:
            progress.lies[name] = f"it sent {len(invented)} logs of block {int(header.number, 16)} that do not exist"


def _what(log: Log) -> _What:
    """What a bloom proves of a log, and its place."""
    return int(log.log_index, 16), log.address, tuple(log.topics)


class _Answer(NamedTuple):
    """Logs of a block; `sealed`: the header's receipts root proves that they are all there and right."""

    logs: list[Log]
    sealed: bool = False


async def _ask(provider: Provider, header: Header, *, receipts: bool, one_by_one: bool = False) -> _Answer:
    if not receipts:
        return _Answer(await provider.call(Call("eth_getLogs", ({"blockHash": header.hash},)), list[Log]))
    found = await block_receipts(provider, header, one_by_one=one_by_one)
    logs = logs_of(found, header.hash)
    if logs is not None and "0x" + receipts_root(found).hex() == header.receipts_root.lower():
        return _Answer(logs, sealed=True)
    return _Answer([log for receipt in found for log in receipt.logs])


def _complete(header: Header, known: dict[int, Log]) -> bool:
    if len(known) and max(known) != len(known) - 1:
        return False
    return of_logs(known.values()) == bytes.fromhex(header.logs_bloom[2:])
