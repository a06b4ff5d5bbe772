"""Who is this provider, and where does its chain stand: chain id, first block, head, finalised block, headers."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from indexer.errors import (
    Inconsistent,
    MalformedAnswer,
    NotThereYet,
    RpcRefused,
    TaskscanError,
    TooLarge,
    Transient,
    WrongChain,
)
from indexer.rpc import wire
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header

MOST_BLOCK = 2**63 - 1  # what the database can hold; whoever tells of a later one is wrong
NULL_TRIES = 3  # a lagging backend behind the same URL can answer null once


async def check_chain(provider: Provider, chain_id: int) -> None:
    """Raise WrongChain unless `provider` serves `chain_id` (EIP-155, `eth_chainId`)."""
    served = await chain_id_of(provider)
    if served != chain_id:
        raise WrongChain(
            f"{provider.name} serves chain {served}, but chain {chain_id} was asked for. "
            "Correct the URL or chain_id in the configuration.",
            served=served,
            wanted=chain_id,
        )


async def chain_id_of(provider: Provider) -> int:
    """Which chain `provider` serves (EIP-155, `eth_chainId`)."""
    return wire.quantity(await provider.call(Call("eth_chainId"), str), provider.name)


async def first_block(provider: Provider) -> tuple[int, str]:
    """Number and hash (hex text) of the first block that `provider` can serve: 0, else 1, else its `earliest`.

    Raises what the provider said last when it serves none of them.
    """
    for block in (0, 1):
        if header := await _if_there(partial(header_at, provider, block)):
            return block, header.hash
    header = await _header(provider, "earliest")
    return wire.quantity(header.number, provider.name), header.hash


async def head(provider: Provider) -> Header:
    """Header of the newest block. Raises NotThereYet when the provider has none."""
    return await _header(provider, "latest")


async def finalized(provider: Provider) -> Header | None:
    """Header of the newest finalised block; None where the provider knows no `finalized` tag or block."""
    return await _if_there(partial(_header, provider, "finalized"))


async def header_at(provider: Provider, number: int) -> Header:
    """Header of block `number`. Raises NotThereYet when there is none, Inconsistent when another one comes back."""
    return (await headers(provider, [number]))[0]


async def headers(provider: Provider, numbers: Sequence[int]) -> list[Header]:
    """Headers of the blocks `numbers`, in that order, in batches as long as the provider takes.

    Raises NotThereYet for the first block that is missing, Inconsistent for one that was not asked for.
    """
    found: list[Header] = []
    while rest := numbers[len(found) :]:
        part = rest[: provider.max_batch]
        try:
            found += await _headers_once(provider, part)
        except TooLarge:
            if len(part) == 1:
                raise
            provider.max_batch = min(provider.max_batch, len(part) // 2)
    return found


async def _headers_once(provider: Provider, numbers: Sequence[int]) -> list[Header]:
    """One batch; what fails or is missing in it while others came is asked for again, alone."""
    found = await _batch(provider, numbers)
    for _ in range(NULL_TRIES - 1):
        lacking = [n for n, item in enumerate(found) if item is None or isinstance(item, Transient)]
        if not lacking or len(lacking) == len(numbers):
            break
        for n, item in zip(lacking, await _batch(provider, [numbers[n] for n in lacking]), strict=True):
            found[n] = item
    for item in found:
        if isinstance(item, TaskscanError):
            raise item
    return [as_header(provider, item, n) for item, n in zip(found, numbers, strict=True)]  # type: ignore[arg-type]


async def _batch(provider: Provider, numbers: Sequence[int]) -> list[Header | TaskscanError | None]:
    items = await provider.batch([Call("eth_getBlockByNumber", (hex(number), False)) for number in numbers])
    return [
        item if isinstance(item, TaskscanError) else provider.unwrap(item, Header | None)  # type: ignore[arg-type]
        for item in items
    ]


async def _if_there(ask: Callable[[], Awaitable[Header]]) -> Header | None:
    """What `ask` gives; None where the provider refuses, or says NULL_TRIES times that there is no such block.

    Other errors that pass are outlasted like those of any question. Raises the last one.
    """
    nulls = 0

    async def once() -> Header | None:
        nonlocal nulls
        try:
            return await ask()
        except RpcRefused:
            return None
        except NotThereYet:
            nulls += 1
            if nulls == NULL_TRIES:
                return None
            raise

    return await with_retries(once)


async def _header(provider: Provider, tag: str) -> Header:
    call = Call("eth_getBlockByNumber", (tag, False))
    return as_header(provider, await provider.call(call, Header | None), tag)  # type: ignore[arg-type]


def as_header(provider: Provider, header: Header | None, asked: int | str) -> Header:
    """`header` if it is the block that was `asked` for by number or tag. Raises NotThereYet, Inconsistent,
    MalformedAnswer."""
    if header is None:
        raise NotThereYet(provider=provider.name, block=asked)
    number = wire.quantity(header.number, provider.name)
    wire.quantity(header.timestamp, provider.name)
    if number > MOST_BLOCK:
        raise MalformedAnswer(f"a block of number {header.number[:40]}", provider=provider.name)
    if isinstance(asked, int) and number != asked:
        raise Inconsistent(f"block {asked} was asked for, block {number} came", provider=provider.name)
    return header
