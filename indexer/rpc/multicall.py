"""Many questions to contracts in few calls: Multicall3 where it is deployed, JSON-RPC batches elsewhere.

Multicall3: github.com/mds1/multicall3, the same address on every chain.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from indexer.errors import MalformedAnswer, RpcRefused, TooLarge
from indexer.rpc.batches import in_batches
from indexer.rpc.limits import REVERTED
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
AGGREGATE3 = bytes.fromhex("82ad56cb")  # aggregate3((address,bool,bytes)[])
LEAST_CODE = 200  # hex digits: some nodes and tests know the address with a stub behind it
AT_ONCE = 1_000  # questions in one eth_call: up to 20 million gas (measured), of the 50 million that nodes allow
PARALLEL = 4
_FIRST, _THIRD, _TRUE = (number.to_bytes(32, "big") for number in (0x20, 0x60, 1))

T = TypeVar("T")


class View(NamedTuple):
    """A question: contract (20 bytes) and calldata."""

    to: bytes
    data: bytes


async def has_multicall(provider: Provider, block: str) -> bool:
    """Whether real code stands at Multicall3's address and answers an empty question.

    Raises RpcRefused where the provider has no state of that block, and Transient errors.
    """
    code = await with_retries(lambda: provider.call(Call("eth_getCode", (MULTICALL3, block)), str))
    if len(code) < LEAST_CODE:
        return False
    try:
        return await _aggregate(provider, [], block) == []
    except (RpcRefused, MalformedAnswer):
        return False


async def views(provider: Provider, questions: Sequence[View], block: str, multicall: bool) -> list[bytes | None]:
    """What contracts answer at `block` (hex number), in order; None where a call reverts or nobody is there.

    Raises RpcRefused where the provider cannot answer for that block at all (its state is gone), and Transient errors.
    """
    size = AT_ONCE if multicall else max(1, provider.max_batch)
    parts = [questions[n : n + size] for n in range(0, len(questions), size)]
    ask = _by_multicall if multicall else _by_batch
    answers = await _together([lambda part=part: ask(provider, part, block) for part in parts])  # type: ignore[misc]
    return [answer or None for part in answers for answer in part]


async def _together(jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]]) -> list[T]:
    """Run `jobs`, a few at a time; their results in order. The first error ends the rest and is raised."""
    gate = asyncio.Semaphore(PARALLEL)

    async def run(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with gate:
            return await job()

    tasks = [asyncio.ensure_future(run(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _by_multicall(provider: Provider, part: Sequence[View], block: str) -> list[bytes | None]:
    """One eth_call; in halves where it runs out of gas or the answer is too large, alone where one question is left."""
    try:
        return await with_retries(lambda: _aggregate(provider, part, block))
    except (RpcRefused, TooLarge, MalformedAnswer):
        first = await _by_batch(provider, part[:1], block)  # raises where no state of the block is left
        if len(part) == 1:
            return first
    half = len(part) // 2
    return await _by_multicall(provider, part[:half], block) + await _by_multicall(provider, part[half:], block)


async def _aggregate(provider: Provider, part: Sequence[View], block: str) -> list[bytes | None]:
    answer = await provider.call(_eth_call(MULTICALL3, AGGREGATE3 + _encoded(part), block), str)
    try:
        return _decoded(bytes.fromhex(answer[2:]), len(part))
    except ValueError as error:
        raise MalformedAnswer(f"Multicall3 answers something else: {error}", provider=provider.name) from None


def _encoded(part: Sequence[View]) -> bytes:
    """(address target, bool allowFailure, bytes callData)[], failure allowed; eth-abi takes some fifty times longer."""
    tuples, offsets, at = [], [], 32 * len(part)
    for view in part:
        padded = view.data.ljust((len(view.data) + 31) // 32 * 32, b"\0")
        tuples.append(view.to.rjust(32, b"\0") + _TRUE + _THIRD + len(view.data).to_bytes(32, "big") + padded)
        offsets.append(at.to_bytes(32, "big"))
        at += len(tuples[-1])
    return b"".join([_FIRST, len(part).to_bytes(32, "big"), *offsets, *tuples])


def _decoded(data: bytes, wanted: int) -> list[bytes | None]:
    """(bool success, bytes returnData)[] of that length; None where a call failed. Raises ValueError."""
    start = _word(data, 0) + 32
    if (count := _word(data, start - 32)) != wanted:
        raise ValueError(f"{count} answers to {wanted} calls")
    found: list[bytes | None] = []
    left = len(data)  # pointers may all lead to one place: a small answer must not become a large one
    for n in range(count):
        at = start + _word(data, start + 32 * n)
        inside = at + _word(data, at + 32)
        good, size = _word(data, at), _word(data, inside)
        left -= size
        if good > 1 or inside + 32 + size > len(data) or left < 0:
            raise ValueError(f"answer {n} is damaged")
        found.append(data[inside + 32 : inside + 32 + size] if good else None)
    return found


def _word(data: bytes, at: int) -> int:
    if at + 32 > len(data):
        raise ValueError("it ends early")
    return int.from_bytes(data[at : at + 32], "big")


async def _by_batch(provider: Provider, part: Sequence[View], block: str) -> list[bytes | None]:
    calls = [_eth_call("0x" + view.to.hex(), view.data, block) for view in part]
    return [_value(provider, item) for item in await in_batches(provider, calls)]


def _value(provider: Provider, item: Any) -> bytes | None:
    """The bytes that a call returned; None where it reverts. Raises any other error."""
    try:
        return bytes.fromhex(provider.unwrap(item, str)[2:])
    except RpcRefused as error:
        if error.facts.get("code") == REVERTED:
            return None
        raise
    except ValueError:
        raise MalformedAnswer("the answer to eth_call is not hex text", provider=provider.name) from None


def _eth_call(to: str, data: bytes, block: str) -> Call:
    return Call("eth_call", ({"to": to, "data": "0x" + data.hex()}, block))
