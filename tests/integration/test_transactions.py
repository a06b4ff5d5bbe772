"""Calldata from a provider whose backends do not all know a transaction yet."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from indexer.rpc.endpoint import Endpoint
from indexer.rpc.pool import Pool
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


def asked(places: list[tuple[int, bytes]], *nodes: Node) -> dict[bytes, Transaction]:
    async def run() -> dict[bytes, Transaction]:
        pool = Pool([Provider(Endpoint(node.url)) for node in nodes])
        try:
            return await transactions(pool, pool.providers[0], places)
        finally:
            await pool.close()

    return asyncio.run(run())


PLACES = [(block, bytes([block, n]) * 16) for block, n in ((4, 0), (4, 1), (5, 0))]


@pytest.mark.parametrize("knows", [1, 2, 3])
def test_what_comes_as_null_is_asked_for_again(knows: int) -> None:
    with running(Forgetful(knows)) as node:
        found = asked(PLACES, node)
    assert {tx_hash: tx.data for tx_hash, tx in found.items()} == {tx_hash: b"\xab\xcd" for _, tx_hash in PLACES}


def test_what_one_has_not_got_is_asked_of_another_at_once() -> None:
    with running(Forgetful(99)) as empty, running(Forgetful(1)) as full:
        assert asked(PLACES, empty, full).keys() == {tx_hash for _, tx_hash in PLACES}
    assert set(empty.asked.values()) == set(full.asked.values()) == {1}


def test_a_node_without_old_transactions_is_not_asked_for_each_of_them_over_and_over() -> None:
    node = Forgetful(99)
    with running(node):
        assert asked([(block, bytes([block]) * 32) for block in range(40)], node) == {}
    assert set(node.asked.values()) == {1}
