"""Receipts: where a transaction stands on its chain and which contracts logged in it; and all those of a block."""

from typing import TypeVar

import msgspec

from indexer.chain.receipts import Receipt as Sealed
from indexer.errors import NotThereYet, RpcRefused
from indexer.rpc.batches import in_batches
from indexer.rpc.limits import METHOD_NOT_FOUND
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Header

T = TypeVar("T")


class Emitted(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """A log of a receipt, as far as it is used; hex text."""

    address: str
    log_index: str


class Receipt(msgspec.Struct, rename="camel", frozen=True):
    """The part of an `eth_getTransactionReceipt` answer that is used, and which provider sent it."""

    block_number: str
    logs: list[Emitted]
    provider: str = ""


async def receipt(provider: Provider, tx_hash: str) -> Receipt | None:
    """The receipt of a transaction (hash as hex text); None where the provider knows of none. Raises TaskscanError."""
    wanted: type[Receipt | None] = Receipt | None  # type: ignore[assignment]
    call = Call("eth_getTransactionReceipt", (tx_hash,))
    found = await with_retries(lambda: provider.call(call, wanted), attempts=3)
    return msgspec.structs.replace(found, provider=provider.name) if found else None


class _Block(msgspec.Struct):
    transactions: list[str] = []


_Receipts: type[list[Sealed] | None] = list[Sealed] | None  # type: ignore[assignment]
_MaybeBlock: type[_Block | None] = _Block | None  # type: ignore[assignment]
_MaybeReceipt: type[Sealed | None] = Sealed | None  # type: ignore[assignment]


async def block_receipts(provider: Provider, header: Header, *, one_by_one: bool = True) -> list[Sealed]:
    """The receipts of a block as the provider tells them; one by one where it does not give them at once, if wanted.

    Nothing is proven yet: compare `receipts_root` of them with the header's. Raises NotThereYet where the provider has
    not got the block, RpcRefused where it gives no receipts, and other Transient errors.
    """
    if not provider.block_receipts and one_by_one:
        return await _one_by_one(provider, header)
    call = Call("eth_getBlockReceipts", (header.number,))
    try:
        return _there(provider, header, await provider.call(call, _Receipts))
    except RpcRefused as error:
        provider.block_receipts = error.facts.get("code") != METHOD_NOT_FOUND
        if one_by_one:
            return await _one_by_one(provider, header)
        raise


async def _one_by_one(provider: Provider, header: Header) -> list[Sealed]:
    block = _there(provider, header, await provider.call(Call("eth_getBlockByHash", (header.hash, False)), _MaybeBlock))
    calls = [Call("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in block.transactions]
    items = await in_batches(provider, calls)
    return [_there(provider, header, provider.unwrap(item, _MaybeReceipt)) for item in items]


async def gives_receipts(provider: Provider, header: Header) -> bool:
    """Whether the provider gives the receipt of a single transaction, here the first of a block that has some."""
    block = _there(provider, header, await provider.call(Call("eth_getBlockByHash", (header.hash, False)), _MaybeBlock))
    try:
        calls = [Call("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in block.transactions[:1]]
        return any([await provider.call(call, _MaybeReceipt) for call in calls])
    except RpcRefused:
        return False


def _there(provider: Provider, header: Header, found: T | None) -> T:
    if found is None:
        raise NotThereYet(provider=provider.name, block=f"{int(header.number, 16)} ({header.hash})")
    return found
