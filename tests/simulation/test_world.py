"""The simulator against things that are not it: a real node's blooms and receipts, and web3's decoder."""

import json
from random import Random
from typing import Any

from eth_hash.auto import keccak
from web3 import Web3
from web3._utils.events import get_event_data

from indexer.devnet.anvil import Anvil
from indexer.devnet.tools import install
from tests.simulation.abi import ARBIUS, IEXEC, REGISTRY, WORKERPOOL, Event, bloom_bits
from tests.simulation.lives import ENGINE, HUB
from tests.simulation.node import Node, Quirks
from tests.simulation.trie import Receipt, receipts_root
from tests.simulation.world import World

NETWORKS = ("arbius", "iexec")
EMIT = "0x606035600052604035602035600035" + "60206000a300"  # LOG3 of the calldata's four words


def world(blocks: int = 120) -> World:
    made = World(Random(7), NETWORKS, seconds=12, busy=2.0, window=20)
    made.mine(blocks)
    return made


def test_blooms_and_receipts_roots_are_those_of_a_real_node() -> None:
    with Anvil(install().anvil, chain_id=1, timestamp=1_700_000_000) as anvil:
        call = anvil.node.call
        sender, emitter, broken = ("0x" + pair * 20 for pair in ("5e", "e1", "fe"))
        call("anvil_setCode", emitter, EMIT)
        call("anvil_setCode", broken, "0xfe")
        call("anvil_setBalance", sender, hex(10**24))
        for count in (0, 1, 20, 140):  # 140: keys of one and of two bytes
            for n in range(count):
                data = "0x" + "".join(keccak(bytes([n, word])).hex() for word in range(4))
                to = emitter if n % 5 else broken
                tx = {"from": sender, "to": to, "data": data, "gas": "0x30000", "gasPrice": "0x0"}
                call("eth_sendTransaction", tx)
            call("evm_mine")
            header = call("eth_getBlockByNumber", "latest", False)
            rows = [_receipt(receipt) for receipt in call("eth_getBlockReceipts", "latest")]
            assert len(rows) == count
            assert _raw(header["receiptsRoot"]) == receipts_root(rows)
            bloom = 0
            for row in rows:
                bloom |= row[2]
            assert int(header["logsBloom"], 16) == bloom


def _receipt(told: dict[str, Any]) -> Receipt:
    logs = [(_raw(log["address"]), tuple(map(_raw, log["topics"])), _raw(log["data"])) for log in told["logs"]]
    bloom = 0
    for address, topics, _ in logs:
        for item in (address, *topics):
            bloom |= bloom_bits(item)
    return int(told["status"], 16) == 1, int(told["cumulativeGasUsed"], 16), bloom, logs


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def abi_of(event: Event) -> dict[str, object]:
    inputs = [{"name": f.column, "type": f.kind, "indexed": f.indexed} for f in event.fields]
    return {"type": "event", "name": event.name, "anonymous": False, "inputs": inputs}


def test_logs_are_read_alike_by_web3() -> None:
    codec, seen = Web3().codec, set()
    events = [*ARBIUS.values(), *IEXEC.values(), *REGISTRY.values(), *WORKERPOOL.values()]
    known = {(event.topic0, sum(f.indexed for f in event.fields)): event for event in events}
    place = {"blockNumber": 1, "blockHash": b"", "transactionHash": b"", "transactionIndex": 0, "logIndex": 0}
    for log in (log for block in world().chain for log in block.logs):
        event = known.get((log.topics[0], len(log.topics) - 1)) if log.topics else None
        if event is None or len(log.data) % 32:
            continue
        row = event.columns(log.topics, log.data)
        entry = {**place, "address": "0x" + log.address.hex(), "topics": log.topics, "data": log.data}
        if any(field.kind == "string" for field in event.fields):
            continue  # web3 raises for text that is not UTF-8
        args = get_event_data(codec, abi_of(event), entry)["args"]  # type: ignore[arg-type]
        for field in event.fields:
            found = args[field.column]
            assert row[field.column] == (bytes.fromhex(found[2:]) if field.kind == "address" else found)
        seen.add(event.table)
    assert len(seen) > 30


def test_the_chain_holds_together_through_reorgs() -> None:
    made = world(40)
    for depth, length in ((1, 1), (3, 1), (5, 9), (2, 2)):
        before = made.chain
        made.reorg(depth, length)
        assert len(made.chain) == len(before) - depth + length
        assert made.chain[-length:] != before[-length:]
        assert made.flip_back() in (True, False)
        for below, above in zip(made.chain, made.chain[1:], strict=False):
            assert (above.parent, above.number) == (below.hash, below.number + 1)
            assert above.timestamp >= below.timestamp
    assert sum(made.reorgs.values()) >= 4


def test_answers_are_json_rpc() -> None:
    made = world(30)
    node = Node(made, 5, Quirks(cap_blocks=10))
    calls = [
        ("eth_chainId", []), ("eth_getBlockByNumber", ["latest", False]), ("eth_getBlockByNumber", ["0x999", False]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x1e", "address": ["0x" + ENGINE.hex()]}]),
        ("eth_getLogs", [{"fromBlock": "0x5", "toBlock": "0xc", "address": ["0x" + HUB.hex()]}]),
        ("eth_nonsense", []),
    ]  # fmt: skip
    request = [
        {"jsonrpc": "2.0", "id": n, "method": method, "params": given} for n, (method, given) in enumerate(calls)
    ]
    chain, head, none, refused, logs, unknown = json.loads(node.answer(request, node.views[0]))
    assert chain["result"] == "0x5"
    assert (head["result"]["number"], none["result"]) == ("0x1e", None)
    assert "error" in refused
    assert unknown["error"]["code"] == -32601
    wanted = [log for block in made.chain[5:13] for log in block.logs if log.address == HUB]
    assert [(int(log["blockNumber"], 16), int(log["logIndex"], 16)) for log in logs["result"]] == [
        (log.owner.number, log.index) for log in wanted
    ]
    assert wanted
