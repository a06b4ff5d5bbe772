"""The calldata of transactions, in few calls: a whole block where several of its transactions are wanted."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from indexer.errors import TaskscanError
from indexer.rpc.batches import in_batches
from indexer.rpc.pool import Pool
from indexer.rpc.retry import FIRST_WAIT
from indexer.rpc.transport import Item, Provider
from indexer.rpc.types import Call

WHOLE_BLOCK = 2  # from so many transactions on, one call for all of the block is cheaper than one for each
MORE_TRIES = 3  # by hash, for what was not given: a backend that lags answers null, the next one may know it
FEW = 10  # a node that gives nothing of more than these has none of them


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


async def transactions(
    pool: Pool, provider: Provider, places: Iterable[tuple[int, bytes]]
) -> dict[bytes, Transaction]:  # fmt: skip
    """Transactions by hash; `places` are their blocks and hashes. What `provider` has not got is asked of others, and
    of `provider` again after a while where there are none left; what nobody has is left out.

    Raises Transient errors, RpcRefused and TooLarge of `provider`.
    """
    wanted: dict[int, set[bytes]] = defaultdict(set)
    for block, tx_hash in places:
        wanted[block].add(tx_hash)
    whole = [block for block, hashes in wanted.items() if len(hashes) >= WHOLE_BLOCK]
    single = [tx_hash for block, hashes in wanted.items() if len(hashes) < WHOLE_BLOCK for tx_hash in sorted(hashes)]
    every = sorted(set().union(*wanted.values()))
    found = await _ask(provider, whole, single)
    asked = [provider.name]
    for attempt in range(MORE_TRIES):
        lacking = [tx_hash for tx_hash in every if tx_hash not in found]
        other = pool.another(asked, trusted=False)
        if not lacking or (not other and not found and len(lacking) > FEW):
            break
        if other:
            asked.append(other.name)
            with suppress(TaskscanError):
                found |= await _ask(other, [], lacking)
        else:
            await asyncio.sleep(FIRST_WAIT * 2**attempt)
            found |= await _ask(provider, [], lacking)
    return {tx_hash: found[tx_hash] for tx_hash in every if tx_hash in found}


async def _ask(provider: Provider, blocks: Sequence[int], hashes: Sequence[bytes]) -> dict[bytes, Transaction]:
    """What the provider gives of whole blocks and of single transactions, by hash."""
    calls = [Call("eth_getBlockByNumber", (hex(block), True)) for block in blocks]
    calls += [Call("eth_getTransactionByHash", ("0x" + tx_hash.hex(),)) for tx_hash in hashes]
    items = await in_batches(provider, calls)
    found = [tx for n, answer in enumerate(items) for tx in _read(provider, answer, n < len(blocks))]
    return {_binary(tx.hash): tx for tx in found}


def _read(provider: Provider, item: Item, whole: bool) -> list[Transaction]:
    if whole:
        block: _Block | None = provider.unwrap(item, _Block | None)  # type: ignore[arg-type]
        return block.transactions if block else []
    found: Transaction | None = provider.unwrap(item, Transaction | None)  # type: ignore[arg-type]
    return [found] if found else []
