"""A chain of our own behind a real HTTP server, that can be wrong in the ways that providers are.

One Arbius engine, created in block 3, retracts one task per block.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar

from indexer.devnet.loopback import Answer, Request, serving

ENGINE = "0x" + "e1" * 20
CREATED = 3
TASK_RETRACTED = "0x446efbf8d207f3e2ede58a6bbde7028a4e308488b6293e6461fbb7c288326e76"  # arbius.md: TaskRetracted
GENESIS_TIME = 1_748_736_000


class Node:
    """`salt` makes another chain of the same number; `junk` is sent instead of answers; `dies_after` is the number
    of `eth_getLogs` calls that are answered before every connection breaks."""

    def __init__(self, head: int, chain_id: int = 42161) -> None:
        self.head, self.chain_id, self.salt = head, chain_id, ""
        self.junk = b""
        self.dies_after: int | None = None
        self.log_calls = 0
        self.url = ""

    @property
    def dead(self) -> bool:
        """Whether the connections break."""
        return self.dies_after is not None and self.log_calls > self.dies_after

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """What JSON-RPC says to one call."""
        try:
            result = getattr(self, call["method"])(*call["params"])
        except AttributeError:
            error = {"code": -32601, "message": f"the method {call['method']} does not exist"}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    def eth_chainId(self) -> str:
        return hex(self.chain_id)

    def eth_getBlockByNumber(self, block: str, _full: bool) -> dict[str, Any] | None:
        number = self.head if block in ("latest", "finalized", "safe") else 0 if block == "earliest" else int(block, 16)
        if number > self.head:
            return None
        time = hex(GENESIS_TIME + number)
        return {"number": hex(number), "hash": self.hash(number), "parentHash": self.hash(number - 1),
                "timestamp": time, "logsBloom": "0x" + "ff" * 256}  # fmt: skip

    def eth_getCode(self, address: str, block: str) -> str:
        created = block == "latest" or int(block, 16) >= CREATED
        return "0x60" if address == ENGINE and created else "0x"

    def eth_call(self, _call: dict[str, Any], _block: str) -> str:
        return "0x"

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        self.log_calls += "fromBlock" in wanted  # single blocks are asked for at the start, to judge the blooms
        if "blockHash" in wanted:
            first = last = next((n for n in range(self.head, -1, -1) if self.hash(n) == wanted["blockHash"]), -1)
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        named = ENGINE in wanted.get("address", [ENGINE])
        return [self.log(number) for number in range(max(first, CREATED), min(last, self.head) + 1) if named]

    def hash(self, number: int) -> str:
        return "0x" + sha256(f"{self.salt}{number}".encode()).hexdigest()

    def log(self, number: int) -> dict[str, Any]:
        return {
            "address": ENGINE,
            "topics": [TASK_RETRACTED, self.hash(-number)],
            "data": "0x",
            "blockHash": self.hash(number),
            "blockNumber": hex(number),
            "blockTimestamp": hex(GENESIS_TIME + number),
            "transactionHash": self.hash(10**9 + number),
            "transactionIndex": "0x0",
            "logIndex": "0x0",
            "removed": False,
        }


Served = TypeVar("Served", bound=Node)


@contextmanager
def running(node: Served) -> Iterator[Served]:
    """Serve `node` on a free port; sets its `url`."""

    def answer(request: Request) -> Answer | None:
        asked = json.loads(request.body)
        found = [node.answer(call) for call in asked] if isinstance(asked, list) else node.answer(asked)
        return None if node.dead else Answer(node.junk or json.dumps(found).encode())

    with serving(answer) as node.url:
        yield node
