"""The calldata of transactions, in few calls: a whole block where several of its transactions are wanted."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from indexer.rpc.batches import in_batches
from indexer.rpc.transport import Item, Provider
from indexer.rpc.types import Call

WHOLE_BLOCK = 2  # from so many transactions on, one call for all of the block is cheaper than one for each


class Transaction(msgspec.Struct, gc=False, frozen=True):
    """The part of a transaction that is used. `to` is None where it creates a contract; all are hex text."""

    hash: str
    to: str | None = None
    input: str = "0x"
    sender: str = msgspec.field(default="", name="from")

    @property
    def data(self) -> bytes:
        """Its calldata; empty where it is no hex text."""
        return _binary(self.input)

    @property
    def parties(self) -> tuple[bytes, bytes]:
        """Addresses of sender and receiver; empty where there is none."""
        return _binary(self.sender), _binary(self.to or "")


def _binary(text: str) -> bytes:
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return b""


class _Block(msgspec.Struct, gc=False):
    transactions: list[Transaction] = []


async def transactions(provider: Provider, places: Iterable[tuple[int, bytes]]) -> dict[bytes, Transaction]:
    """Transactions by hash; `places` are their blocks and hashes. One that the provider has not got is left out.

    Raises Transient errors, RpcRefused and TooLarge.
    """
    wanted: dict[int, set[bytes]] = defaultdict(set)
    for block, tx_hash in places:
        wanted[block].add(tx_hash)
    whole = [block for block, hashes in wanted.items() if len(hashes) >= WHOLE_BLOCK]
    single = [tx_hash for block, hashes in wanted.items() if len(hashes) < WHOLE_BLOCK for tx_hash in sorted(hashes)]
    calls = [Call("eth_getBlockByNumber", (hex(block), True)) for block in whole]
    calls += [Call("eth_getTransactionByHash", ("0x" + tx_hash.hex(),)) for tx_hash in single]
    items = await in_batches(provider, calls)
    found: list[Transaction] = []
    for n, answer in enumerate(items):
        found += _read(provider, answer, n < len(whole))
    by_hash = {tx.hash.lower(): tx for tx in found}
    asked = {"0x" + tx_hash.hex(): tx_hash for hashes in wanted.values() for tx_hash in hashes}
    return {tx_hash: by_hash[text] for text, tx_hash in asked.items() if text in by_hash}


def _read(provider: Provider, item: Item, whole: bool) -> list[Transaction]:
    if whole:
        block: _Block | None = provider.unwrap(item, _Block | None)  # type: ignore[arg-type]
        return block.transactions if block else []
    found: Transaction | None = provider.unwrap(item, Transaction | None)  # type: ignore[arg-type]
    return [found] if found else []
