"""A provider of the simulated chain: JSON-RPC bytes in, bytes out, from several backends behind one URL.

The encoder is its own. Faults are `tests.simulation.faults`'s business; without them every answer is true.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.lives import APPS, DATASETS, ENGINE, HUB, POOLS
from tests.simulation.words import AHEAD, BATCHES, BLOCKS, RESULTS, Words
from tests.simulation.world import GAS_EACH, Block, Log, World, bloom_of

GETTERS = {"0x45b637a9": APPS, "0xb1b11d2c": DATASETS, "0x90a0f546": POOLS}
CODED = {"0x" + address.hex() for address in (ENGINE, HUB, APPS, DATASETS, POOLS)}
NULL = b"null"


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Quirks:
    """What a provider is like, honest as it may be. Caps: None for none."""

    cap_blocks: int | None = None
    cap_results: int | None = None
    max_batch: int = 1000
    block_timestamps: bool = True
    finalized: str = "tag"  # tag | error | null | zero, which never moves
    receipts: bool = True
    clips: bool = True  # answers a range beyond its head with what it has, as geth did for long
    words: int = 0


class View:
    """What a backend knows: a branch up to a height, and what it calls final."""

    __slots__ = ("chain", "final", "height")

    def __init__(self, chain: list[Block], height: int, final: int) -> None:
        self.chain, self.height, self.final = chain, height, final

    def block(self, number: int) -> Block | None:
        return self.chain[number] if 0 <= number <= self.height else None

    def by_hash(self, world: World, wanted: bytes) -> Block | None:
        """Nodes keep blocks of other branches too, for a while; not those that they have not got yet."""
        found = world.by_hash.get(wanted)
        return found if found is not None and found.number <= self.height else None


class Node:
    """One URL. Call it with the body of a request."""

    def __init__(self, world: World, chain_id: int, quirks: Quirks, backends: int = 1) -> None:
        self.world, self.chain_id, self.quirks = world, chain_id, quirks
        self.views = [self._true() for _ in range(backends)]
        self.rng = Random(world.rng.random())
        self.latency = 0.08  # seconds at most
        self.refusals: Counter[Words] = Counter()
        self.calls = 0

    def _true(self) -> View:
        world = self.world
        return View(world.chain, world.head.number, min(world.final, world.head.number))

    def sync(self, chance: float = 1.0, behind: float = 0.0) -> None:
        """Let each backend see the world as it is, with this chance; with the chance `behind` a few blocks less."""
        for place in range(len(self.views)):
            if self.rng.random() < chance:
                self.views[place] = self._true()
            if behind and self.rng.random() < behind:
                view = self.views[place]
                view.height = max(view.final, view.height - self.rng.randrange(1, 4))

    def view(self, request: Any) -> View:
        """The backend that a request meets."""
        return self.rng.choice(self.views)

    async def __call__(self, body: bytes) -> bytes:
        """Answer one post."""
        await asyncio.sleep(self.rng.uniform(0.001, self.latency))
        request = json.loads(body)
        return self.answer(request, self.view(request))

    def answer(self, request: Any, view: View) -> bytes:
        """The bytes for a request or a batch of them, all from one backend."""
        if isinstance(request, dict):
            return self._one(request, view)
        if len(request) > self.quirks.max_batch:
            return _error(None, *self._said(BATCHES, cap=self.quirks.max_batch))
        return b"[" + b",".join(self._one(call, view) for call in request) + b"]"

    def _one(self, call: dict[str, Any], view: View) -> bytes:
        self.calls += 1
        number = str(call["id"]).encode()
        try:
            result = self.result(call["method"], call["params"], view)
        except Refused as refusal:
            return _error(call["id"], refusal.code, str(refusal))
        return b'{"jsonrpc":"2.0","id":' + number + b',"result":' + result + b"}"

    def result(self, method: str, params: Sequence[Any], view: View) -> bytes:
        """The JSON of one result. Raises Refused."""
        answers = {
            "eth_chainId": lambda: f'"{hex(self.chain_id)}"'.encode(),
            "eth_blockNumber": lambda: f'"{hex(view.height)}"'.encode(),
            "eth_getBlockByNumber": lambda: self.block(self.named(params[0], view), params[1]),
            "eth_getBlockByHash": lambda: self.block(view.by_hash(self.world, _raw(params[0])), params[1]),
            "eth_getLogs": lambda: self.logs(self.matching(params[0], view)),
            "eth_getBlockReceipts": lambda: self._receipts(params[0], view),
            "eth_getTransactionReceipt": lambda: self._receipt(params[0], view),
            "eth_getTransactionByHash": lambda: self._transaction(params[0], view),
            "eth_getCode": lambda: b'"0x6080"' if params[0].lower() in CODED else b'"0x"',
            "eth_call": lambda: self._call(params[0]),
        }
        if method not in answers:
            raise Refused(-32601, f"the method {method} does not exist/is not available")
        return answers[method]()

    def named(self, tag: str, view: View) -> Block | None:
        """The block of a number or a tag."""
        match tag:
            case "latest" | "pending":
                return view.block(view.height)
            case "earliest":
                return view.block(0)
            case "finalized" | "safe":
                if self.quirks.finalized == "error":
                    raise Refused(-32602, f"invalid argument 0: tag {tag} is not supported")
                return None if self.quirks.finalized == "null" else view.block(self._final(view))
        return view.block(int(tag, 16))

    def _final(self, view: View) -> int:
        return 0 if self.quirks.finalized == "zero" else view.final

    def block(self, block: Block | None, full: bool = False) -> bytes:
        """The JSON of a block with its transactions, or their hashes."""
        if block is None:
            return NULL
        bloom = 0 if self.world.bloomless else block.bloom
        fields = {
            "number": hex(block.number), "hash": _hex(block.hash), "parentHash": _hex(block.parent),
            "timestamp": hex(block.timestamp), "logsBloom": f"0x{bloom:0512x}",
            "receiptsRoot": _hex(block.receipts_root), "gasUsed": "0x5208", "extraData": "0x",
            "transactions": [_transaction(block, n) if full else _hex(tx.hash) for n, tx in enumerate(block.txs)],
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":")).encode()

    def matching(self, wanted: dict[str, Any], view: View) -> list[Log]:
        """The logs that a filter matches. Raises Refused where the range is too large or not there."""
        if "blockHash" in wanted:
            block = view.by_hash(self.world, _raw(wanted["blockHash"]))
            if block is None:
                raise Refused(-32000, "unknown block")
            return _filtered(block.logs, wanted)
        first = self._height(wanted.get("fromBlock", "latest"), view)
        last = self._height(wanted.get("toBlock", "latest"), view)
        if first > last:
            raise Refused(-32602, "invalid block range params")
        if last > view.height and not self.quirks.clips:
            raise Refused(*self._said(AHEAD))
        self._check_span(first, last)
        blocks = view.chain[first : min(last, view.height) + 1]
        found = _filtered((log for block in blocks for log in block.logs), wanted)
        self._check_results(first, found)
        return found

    def _height(self, tag: str, view: View) -> int:
        if tag.startswith("0x"):
            return int(tag, 16)
        block = self.named(tag, view)
        return 0 if block is None else block.number

    def _check_span(self, first: int, last: int) -> None:
        cap = self.quirks.cap_blocks
        if cap is not None and last - first + 1 > cap:
            fits = {"first": hex(first), "upto": hex(first + cap - 1), "asked": last - first + 1}
            raise Refused(*self._said(BLOCKS, cap=cap, **fits))

    def _check_results(self, first: int, found: list[Log]) -> None:
        cap = self.quirks.cap_results
        if cap is None or len(found) <= cap or found[0].owner is found[-1].owner:
            return
        upto = max(first, found[cap].owner.number - 1)
        fits = {"first": hex(first), "upto": hex(upto), "first10": first, "upto10": upto}
        raise Refused(*self._said(RESULTS, cap=cap, **fits))

    def _said(self, choice: Sequence[Words], **facts: object) -> tuple[int, str]:
        words = choice[self.quirks.words % len(choice)]
        if choice is not AHEAD:
            self.refusals[words] += 1
        return words.code, words.text.format(**facts)

    def logs(self, logs: Sequence[Log]) -> bytes:
        """The JSON of a list of logs."""
        return b"[" + b",".join(self.log(log) for log in logs) + b"]"

    def log(self, log: Log, *, block_hash: bytes | None = None, removed: bool = False) -> bytes:
        """The JSON of one log; the arguments tell lies about it."""
        owner = log.owner
        topics = ",".join(f'"0x{topic.hex()}"' for topic in log.topics)
        stamp = f'"blockTimestamp":"{hex(owner.timestamp)}",' if self.quirks.block_timestamps else ""
        return (
            f'{{"address":"0x{log.address.hex()}","topics":[{topics}],"data":"0x{log.data.hex()}",'
            f'"blockHash":"0x{(block_hash or owner.hash).hex()}","blockNumber":"{hex(owner.number)}",{stamp}'
            f'"transactionHash":"0x{log.tx_hash.hex()}","transactionIndex":"{hex(log.tx_index)}",'
            f'"logIndex":"{hex(log.index)}","removed":{"true" if removed else "false"}}}'
        ).encode()

    def _receipts(self, named: str, view: View) -> bytes:
        if not self.quirks.receipts:
            raise Refused(-32601, "the method eth_getBlockReceipts does not exist/is not available")
        by_hash = len(named) == 66
        block = view.by_hash(self.world, _raw(named)) if by_hash else self.named(named, view)
        if block is None:
            return NULL
        return b"[" + b",".join(self._receipt_of(block, place) for place in range(len(block.txs))) + b"]"

    def _receipt(self, tx_hash: str, view: View) -> bytes:
        found = self._find(tx_hash, view)
        return self._receipt_of(*found) if found else NULL

    def _transaction(self, tx_hash: str, view: View) -> bytes:
        found = self._find(tx_hash, view)
        return json.dumps(_transaction(*found)).encode() if found else NULL

    def _find(self, tx_hash: str, view: View) -> tuple[Block, int] | None:
        """The block of a transaction and its place there."""
        wanted = _raw(tx_hash)
        for block in reversed(view.chain[: view.height + 1]):
            for place, tx in enumerate(block.txs):
                if tx.hash == wanted:
                    return block, place
        return None

    def _receipt_of(self, block: Block, place: int) -> bytes:
        logs = block.logs_of(place)
        fields = {
            "blockHash": _hex(block.hash), "blockNumber": hex(block.number), "type": "0x0",
            "transactionHash": _hex(block.txs[place].hash), "transactionIndex": hex(place),
            "status": hex(place not in block.failed), "cumulativeGasUsed": hex(GAS_EACH * (place + 1)),
            "gasUsed": hex(GAS_EACH), "logsBloom": f"0x{bloom_of(logs):0512x}", "contractAddress": None,
            "from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "effectiveGasPrice": "0x1",
        }  # fmt: skip
        head = json.dumps(fields, separators=(",", ":")).encode()
        return head[:-1] + b',"logs":' + self.logs(logs) + b"}"

    def _call(self, call: dict[str, str]) -> bytes:
        named = GETTERS.get(call.get("data", call.get("input", "")))
        if named is None or call["to"].lower() != "0x" + HUB.hex():
            raise Refused(3, "execution reverted")
        return f'"0x{named.rjust(32, bytes(1)).hex()}"'.encode()


def _filtered(logs: Any, wanted: dict[str, Any]) -> list[Log]:
    given = wanted.get("address", [])
    addresses = {_raw(text) for text in ([given] if isinstance(given, str) else given)}
    topics = [_options(option) for option in wanted.get("topics", [])]
    return [log for log in logs if (not addresses or log.address in addresses) and _has(log, topics)]


def _options(option: Any) -> set[bytes] | None:
    if option is None:
        return None
    return {_raw(text) for text in ([option] if isinstance(option, str) else option)}


def _has(log: Log, topics: Sequence[set[bytes] | None]) -> bool:
    if len(log.topics) < len(topics):
        return False
    return all(options is None or topic in options for topic, options in zip(log.topics, topics, strict=False))


def _transaction(block: Block, place: int) -> dict[str, object]:
    return {
        "hash": _hex(block.txs[place].hash), "blockHash": _hex(block.hash), "blockNumber": hex(block.number),
        "transactionIndex": hex(place), "from": "0x" + "11" * 20, "to": "0x" + "22" * 20, "input": "0x", "value": "0x0",
    }  # fmt: skip


def _error(number: Any, code: int, message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}).encode()


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])
