"""Asking one provider for the logs of some ranges, bound to the header of the last block.

The header comes in the same batch from the same backend: one that has not got that block yet would answer the logs
with a shorter list and no error (go-ethereum#24078), but it cannot answer the header.
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import structlog

from indexer.chain.ranges import Range
from indexer.chain.sizing import cut
from indexer.chain.window import Point
from indexer.errors import (
    Contradiction,
    Inconsistent,
    MalformedAnswer,
    NotThereYet,
    OtherBranch,
    TaskscanError,
    TooLarge,
)
from indexer.rpc.batches import one_post, posts
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header, Log
from indexer.rpc.wire import decode
from indexer.store.ledger import Group, Read

events = structlog.get_logger(__name__)

Parsed = list[tuple[list[Log], Read]]


@dataclass(frozen=True)
class Reply:
    """What came back for one portion. `answers` holds raw JSON, or the error of that range alone."""

    answers: list[tuple[Range, msgspec.Raw | TaskscanError]]
    bound: Header | None
    provider: str
    requested_at: datetime
    seconds: float

    @property
    def size_bytes(self) -> int:
        """Bytes of all answers."""
        return sum(len(memoryview(raw)) for _, raw in self.answers if isinstance(raw, msgspec.Raw))


async def ask(
    provider: Provider, group: Group, ranges: tuple[Range, ...], bound: Point, *, patient: bool = False,
    attempts: int = 6,
) -> Reply:  # fmt: skip
    """Ask `provider` for the logs of `ranges`, ascending, in one batch with the header of the block `bound`, the
    last of them or a later one.

    A backend that holds that very block holds all blocks below it, too; without that (evidence `single`) one that lags
    or stands on a lost branch goes unseen. `attempts`: of a post that fails for a passing reason. `patient`: in several
    posts where the provider wants smaller batches, each with that header and with the attempts of `posts`. A provider
    that takes no batches cannot be bound like this: see `by_hash.unbound`.
    Raises what concerns the whole batch: Transient errors, TooLarge(batch=True), NotThereYet where the header is
    missing, OtherBranch where it is another one.
    """
    calls = [Call("eth_getLogs", (filter_of(group, piece),)) for piece in ranges]
    last = () if group.evidence == "single" else (Call("eth_getBlockByNumber", (hex(bound.number), False)),)
    requested_at, began = datetime.now(UTC), time.monotonic()
    if patient:
        found = await posts(provider, calls, last)
    else:
        found = await with_retries(lambda: one_post(provider, calls, last), attempts=attempts)
    seconds = time.monotonic() - began
    headers = [_bound(provider, others[0], bound) for _, others in found if others]
    answers = [(piece, answer) for piece, (answer, _) in zip(ranges, found, strict=True)]
    return Reply(answers, headers[0] if headers else None, provider.name, requested_at, seconds)


async def ask_all(
    provider: Provider, group: Group, ranges: Sequence[Range], bound: Point, doubt: str | None = None
) -> Parsed:  # fmt: skip
    """The logs of all `ranges`, in smaller ones where the provider wants that; each batch is bound as in `ask`.

    Raises the first error of a range, TooLarge for a single block, and what `ask` and `parse` raise.
    """
    todo, parsed = list(ranges), Parsed()
    while todo:
        reply = await ask(provider, group, tuple(todo), bound, patient=True)
        todo = []
        for piece, answer in reply.answers:
            if isinstance(answer, TooLarge) and piece.blocks > 1:
                todo += cut(piece, max(1, min(answer.max_blocks or piece.blocks // 2, piece.blocks // 2)))
            elif isinstance(answer, TaskscanError):
                raise answer
            else:
                parsed.append(await asyncio.to_thread(parse, reply, piece, answer, "head-bound", doubt))
    return sorted(parsed, key=lambda found: found[1].range)


def filter_of(group: Group, piece: Range) -> dict[str, object]:
    """The filter of `eth_getLogs` for the contracts of `group` in `piece`."""
    addresses = [member.address for member in group.members]
    return {"address": addresses, "fromBlock": hex(piece.first), "toBlock": hex(piece.last)}


def _bound(provider: Provider, answer: msgspec.Raw | TaskscanError, bound: Point) -> Header:
    number = bound.number
    if isinstance(answer, TaskscanError):
        raise answer
    header = decode(answer, Header | None, provider.name)  # type: ignore[arg-type]
    if header is None:
        raise NotThereYet(provider=provider.name, block=number)
    if int(header.number, 16) != number:
        raise Inconsistent(f"asked for block {number}, it sent {int(header.number, 16)}", provider=provider.name)
    if header.hash != "0x" + bound.hash.hex():
        raise OtherBranch(f"its block {number} is not the one that is known", provider=provider.name)
    return header


def parse(
    reply: Reply, piece: Range, raw: msgspec.Raw, evidence: str, doubt: str | None = None
) -> tuple[list[Log], Read]:  # fmt: skip
    """The logs of one range, checked, and the ledger's row for it. Raises MalformedAnswer or Contradiction."""
    bound = reply.bound
    logs = _checked(decode(raw, list[Log], reply.provider), piece, bound, reply.provider)
    view = memoryview(raw)
    last = bound is not None and int(bound.number, 16) == piece.last
    read = Read(
        range=piece,
        provider=reply.provider,
        requested_at=reply.requested_at,
        elapsed_ms=round(reply.seconds * 1000),
        answer_bytes=len(view),
        digest=hashlib.blake2b(view, digest_size=16).digest(),
        logs=len(logs),
        evidence=evidence,
        bound_block=int(bound.number, 16) if bound else None,
        bound_hash=bound.raw_hash if bound else None,
        to_time=_time(bound) if last and bound else None,
        doubt=doubt,
    )
    return logs, read


def _time(header: Header) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(header.timestamp, 16), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _checked(logs: list[Log], piece: Range, bound: Header | None, provider: str) -> list[Log]:
    """The logs without exact repetitions. Raises Contradiction for logs that cannot all be true."""
    hashes: dict[str, str] = {bound.number: bound.hash} if bound else {}
    number = block_hash = before = ""
    seen: set[str] = set()
    removed = disordered = doubled = False
    for log in logs:
        if log.block_number != number or log.block_hash != block_hash:
            number, block_hash, before = log.block_number, log.block_hash, ""
            if hashes.setdefault(number, block_hash) != block_hash:
                raise Contradiction(f"two hashes for block {number[:20]}", provider=provider)
            disordered |= number in seen
            seen.add(number)
        index = log.log_index
        if len(index) < len(before) or (len(index) == len(before) and index <= before):
            disordered |= index != before
            doubled |= index == before
        before = index
        if log.removed:
            removed = True
    if disordered:
        events.info("logs out of order", action="logs_disordered", provider=provider)
    if removed:
        raise Contradiction(f"a removed log in the blocks {piece}", provider=provider)
    if any(_number(text, provider) not in piece for text in seen):
        raise Contradiction(f"logs outside the blocks {piece} that were asked for", provider=provider)
    return _unrepeated(logs, provider) if disordered or doubled else logs


def _number(text: str, provider: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise MalformedAnswer("the block number of a log is not hex text", provider=provider) from None


def _unrepeated(logs: list[Log], provider: str) -> list[Log]:
    kept: dict[tuple[str, str], Log] = {}
    for log in logs:
        if kept.setdefault((log.block_number, log.log_index), log) != log:
            raise Contradiction(f"two logs at one place in block {log.block_number[:20]}", provider=provider)
    if len(kept) < len(logs):
        events.info("logs repeated", action="logs_repeated", provider=provider)
    return list(kept.values())


def without_time(logs: list[Log]) -> dict[str, int]:
    """Blocks (hash -> number) of logs that do not carry their block's time."""
    return {log.block_hash: int(log.block_number, 16) for log in logs if log.block_timestamp is None}
