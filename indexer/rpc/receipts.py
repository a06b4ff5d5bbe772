"""Where a transaction stands on its chain, and which contracts logged in it."""

import msgspec

from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call


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
