"""Calldata from a provider whose backends do not all know a transaction yet."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from indexer.rpc.endpoint import Endpoint
from indexer.rpc.transactions import Transaction, transactions
from indexer.rpc.transport import Provider
from tests.acceptance.node import Node, running


class Forgetful(Node):
    """Knows each of its transactions from the `knows`-th question by hash on, and no block with them."""

    def __init__(self, knows: int) -> None:
        super().__init__(head=9)
        self.knows, self.asked = knows, Counter[str]()

    def eth_getBlockByNumber(self, block: str, full: bool) -> dict[str, Any] | None:
        return None if full else super().eth_getBlockByNumber(block, full)

    def eth_getTransactionByHash(self, tx_hash: str) -> dict[str, Any] | None:
        self.asked[tx_hash] += 1
        known = self.asked[tx_hash] >= self.knows
        return {"hash": tx_hash, "from": "0x" + "11" * 20, "to": None, "input": "0xabcd"} if known else None


def asked(node: Node, places: list[tuple[int, bytes]]) -> dict[bytes, Transaction]:
    async def run() -> dict[bytes, Transaction]:
        async with Provider(Endpoint(node.url)) as provider:
            return await transactions(provider, places)

    return asyncio.run(run())


PLACES = [(block, bytes([block, n]) * 16) for block, n in ((4, 0), (4, 1), (5, 0))]


@pytest.mark.parametrize("knows", [1, 2, 3])
def test_what_comes_as_null_is_asked_for_again(knows: int) -> None:
    with running(Forgetful(knows)) as node:
        found = asked(node, PLACES)
    assert {tx_hash: tx.data for tx_hash, tx in found.items()} == {tx_hash: b"\xab\xcd" for _, tx_hash in PLACES}


def test_a_node_without_old_transactions_is_not_asked_for_each_of_them_over_and_over() -> None:
    node = Forgetful(99)
    with running(node):
        assert asked(node, [(block, bytes([block]) * 32) for block in range(40)]) == {}
    assert set(node.asked.values()) == {1}
