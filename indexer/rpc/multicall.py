"""Many questions to contracts in few calls: Multicall3 where it is deployed, JSON-RPC batches elsewhere.

Multicall3: github.com/mds1/multicall3, the same address on every chain.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from indexer.errors import MalformedAnswer, RpcRefused, TooLarge
from indexer.rpc.batches import in_batches
from indexer.rpc.limits import REVERTED
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
AGGREGATE3 = bytes.fromhex("82ad56cb")  # aggregate3((address,bool,bytes)[])
LEAST_CODE = 200  # hex digits: some nodes and tests know the address with a stub behind it
AT_ONCE = 400  # questions in one eth_call: some 6 million gas, of the 50 million that nodes allow
PARALLEL = 4

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
    given = [("0x" + view.to.hex(), True, view.data) for view in part]
    data = AGGREGATE3 + encode(["(address,bool,bytes)[]"], [given])
    answer = await provider.call(_eth_call(MULTICALL3, data, block), str)
    try:
        (found,) = decode(["(bool,bytes)[]"], bytes.fromhex(answer[2:]))
    except (DecodingError, ValueError, OverflowError):
        raise MalformedAnswer("Multicall3 answers something else", provider=provider.name) from None
    if len(found) != len(part):
        raise MalformedAnswer(f"{len(found)} answers to {len(part)} calls", provider=provider.name)
    return [value if good else None for good, value in found]


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
