"""A chain of our own over HTTP that counts what it is asked: empty blocks, but for those that the caller names."""

from collections import Counter
from typing import Any

from tests.acceptance.node import ENGINE, GENESIS_TIME, TASK_RETRACTED, Node
from tests.simulation.abi import bloom_bits

READING = ("eth_chainId", "eth_getBlockByNumber", "eth_getBlockByHash", "eth_getLogs", "eth_getBlockReceipts")
FINAL = 24  # blocks that are not final


class Counted(Node):
    """`pace`: seconds per block. `busy`: blocks that hold one log of the engine. `cap`: blocks in a range, 0 for any.

    `methods`: calls by method, without those of enrichment. `again`: calls of `eth_getLogs` about blocks that were all
    asked for before. `grows`: blocks by which the chain grows with each question for the newest one.
    """

    def __init__(self, head: int, pace: float, busy: set[int], cap: int = 0) -> None:
        super().__init__(head)
        self.pace, self.busy, self.cap = pace, busy, cap
        self.methods: Counter[str] = Counter()
        self.again = self.grows = 0
        self._seen: set[int] = set()
        self._numbers: dict[str, int] = {}

    @property
    def calls(self) -> int:
        """All calls, each one of a batch."""
        return self.methods.total()

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """What JSON-RPC says to one call, which is counted."""
        if call["method"] in READING and True not in call["params"]:  # whole blocks are asked for by enrichment alone
            self.methods[call["method"]] += 1
        try:
            return super().answer(call)
        except ValueError as error:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32602, "message": str(error)}}

    def hash(self, number: int) -> str:
        """The hash of a block, kept so that logs can be asked for by it."""
        found = super().hash(number)
        self._numbers[found] = number
        return found

    def eth_getBlockByNumber(self, block: str, _full: bool) -> dict[str, Any] | None:
        """A header with a true bloom; what is final follows the head."""
        known = {"latest": self.head, "finalized": max(0, self.head - FINAL), "earliest": 0}
        number = known[block] if block in known else int(block, 16)
        if number > self.head:
            return None
        self.head += self.grows if block == "latest" else 0
        return {
            "number": hex(number), "hash": self.hash(number), "parentHash": self.hash(number - 1),
            "timestamp": hex(GENESIS_TIME + int(number * self.pace)), "logsBloom": f"0x{self._bloom(number):0512x}",
        }  # fmt: skip

    def eth_getBlockByHash(self, wanted: str, full: bool) -> dict[str, Any] | None:
        """The same by hash; None for a block of another chain."""
        number = self._numbers.get(wanted, -1)
        return self.eth_getBlockByNumber(hex(number), full) if self.hash(number) == wanted else None

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """The logs of a block or a range."""
        if "blockHash" in wanted:
            first = last = self._numbers[wanted["blockHash"]]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if self.cap and last - first >= self.cap:
                raise ValueError(f"exceed maximum block range: {self.cap}")
        asked = set(range(first, last + 1))
        self.again += asked <= self._seen
        self._seen |= asked
        named = ENGINE in wanted.get("address", [ENGINE])
        return [self.log(number) for number in sorted(asked & self.busy) if named]

    def _bloom(self, number: int) -> int:
        if number not in self.busy:
            return 0
        bits = 0
        for item in (ENGINE, TASK_RETRACTED, self.log(number)["topics"][1]):
            bits |= bloom_bits(bytes.fromhex(item[2:]))
        return bits
