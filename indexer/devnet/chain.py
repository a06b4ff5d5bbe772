"""Blocks made on purpose: which transactions, in which order, at which time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from indexer.devnet.anvil import Node
from indexer.devnet.ledger import Ledger
from indexer.errors import Inconsistent, RpcRefused

GAS = 6_000_000
# Base fee is zero and Anvil sorts by price: a price that falls by one per transaction fixes their order,
# although Anvil handles the calls of a batch concurrently. (Transactions of a block may build on each other.)
TOP_PRICE = 1_000_000


class Block(NamedTuple):
    """A mined block: height and Unix seconds."""

    number: int
    timestamp: int


@dataclass(slots=True)
class Tx:
    """A transaction to send. `to` None creates a contract; `effect` is run once it was mined, in chain order.

    `reverts` says that it is meant to fail; any other that fails is an error.
    """

    sender: str
    to: str | None
    data: str
    effect: Callable[[Block], None] | None = None
    reverts: bool = False


class Chain:
    """Mines blocks and enters their receipts in the ledger."""

    def __init__(self, node: Node, ledger: Ledger, timestamp: int) -> None:
        self.node = node
        self.ledger = ledger
        self.head = Block(0, timestamp)
        self._nonces: dict[str, int] = {}

    def fund(self, addresses: Iterable[str]) -> None:
        """Give each address ether for gas, without a transaction."""
        self.node.batch([("anvil_setBalance", (address, hex(10**18))) for address in addresses])

    def nonce(self, address: str) -> int:
        """Number of the next transaction of `address`."""
        return self._nonces.get(address, 0)

    def mine(self, txs: Sequence[Tx], timestamp: int) -> Block:
        """Mine one block of exactly these transactions in this order. `timestamp`: not before the head's.

        Raises Inconsistent if the block holds others, RpcRefused if one failed that should not.
        """
        hashes = self.node.batch([("eth_sendTransaction", (self._request(tx, i),)) for i, tx in enumerate(txs)])
        self.node.call("evm_setNextBlockTimestamp", timestamp)
        self.node.call("evm_mine")
        block = Block(self.head.number + 1, timestamp)
        receipts = self.node.call("eth_getBlockReceipts", hex(block.number)) or []
        if [receipt["transactionHash"] for receipt in receipts] != hashes:
            raise Inconsistent(f"block {block.number} holds other transactions than those sent", provider="Anvil")
        self.ledger.record(receipts, number=block.number, timestamp=timestamp)
        self.head = block
        for tx, receipt in zip(txs, receipts, strict=True):
            self._settle(tx, receipt["status"] == "0x1", block)
        return block

    def _request(self, tx: Tx, index: int) -> dict[str, str]:
        nonce = self.nonce(tx.sender)
        self._nonces[tx.sender] = nonce + 1
        request = {"from": tx.sender, "data": tx.data, "gas": hex(GAS), "nonce": hex(nonce)}
        request["gasPrice"] = hex(TOP_PRICE - index)
        return request if tx.to is None else {**request, "to": tx.to}

    def _settle(self, tx: Tx, succeeded: bool, block: Block) -> None:
        if succeeded == tx.reverts:
            outcome = "succeeded" if succeeded else "was reverted"
            raise RpcRefused(
                f"the transaction {tx.data[:10]} of {tx.sender} to {tx.to} {outcome} in block {block.number}",
                provider="The devnet's chain",
                method="eth_sendTransaction",
                code="-",
            )
        if tx.effect is not None and succeeded:
            tx.effect(block)
