"""The receipts root of a block header: which logs does the block hold, as the chain itself has sealed them? Pure.

A block's receipts are the values of a Merkle Patricia trie whose keys are their places, RLP-encoded; the header holds
its root (Ethereum yellow paper, 4.3 and appendix D; EIP-2718 for typed transactions, EIP-658 for the status). Receipts
that give the header's root are all there, in order and unchanged: address, topics and data of each log are proven.
"""

from collections.abc import Sequence

import msgspec
from eth_hash.auto import keccak

from indexer.errors import MalformedAnswer
from indexer.rpc.types import Log

LEGACY = 0
EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")  # no receipts

Item = bytes | list["Item"]


class Receipt(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """The part of a receipt that its encoding needs; hex text. `root` stands in blocks before Byzantium."""

    cumulative_gas_used: str
    logs_bloom: str
    logs: list[Log]
    type: str = "0x0"
    status: str | None = None
    root: str = "0x"


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """Root of a block's `receipts`, in their order. Raises MalformedAnswer for receipts that are not hex text."""
    try:
        values = [_encoded(receipt) for receipt in receipts]
    except ValueError:
        raise MalformedAnswer("a receipt that is not hex text", provider="The provider of a receipt") from None
    if not values:
        return EMPTY_ROOT
    leaves = sorted((rlp(_minimal(place)).hex(), value) for place, value in enumerate(values))
    return keccak(rlp(_node(leaves, 0)))


def logs_of(receipts: Sequence[Receipt], block_hash: str) -> list[Log] | None:
    """The logs of a block's receipts if each stands at its place in that block, as its own words must say; else None.

    The root proves places by their order alone, not by what an answer writes beside each log.
    """
    found = [(place, log) for place, receipt in enumerate(receipts) for log in receipt.logs]
    for index, (place, log) in enumerate(found):
        if (log.block_hash, log.log_index, log.transaction_index) != (block_hash, hex(index), hex(place)):
            return None
    return [log for _, log in found]


def rlp(item: Item) -> bytes:
    """Recursive length prefix (yellow paper, appendix B)."""
    if isinstance(item, list):
        return _prefixed(b"".join(map(rlp, item)), 0xC0)
    return item if len(item) == 1 and item[0] < 0x80 else _prefixed(item, 0x80)


def _prefixed(body: bytes, offset: int) -> bytes:
    if len(body) < 56:
        return bytes((offset + len(body),)) + body
    size = _minimal(len(body))
    return bytes((offset + 55 + len(size),)) + size + body


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _encoded(receipt: Receipt) -> bytes:
    logs: list[Item] = [[_raw(log.address), [*map(_raw, log.topics)], _raw(log.data)] for log in receipt.logs]
    outcome = _raw(receipt.root) if receipt.status is None else _minimal(int(receipt.status, 16))
    body = rlp([outcome, _minimal(int(receipt.cumulative_gas_used, 16)), _raw(receipt.logs_bloom), logs])
    kind = int(receipt.type, 16)
    return body if kind == LEGACY else kind.to_bytes(1) + body


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


Leaves = Sequence[tuple[str, bytes]]  # key, one hex digit per nibble, and value; sorted


def _node(leaves: Leaves, depth: int) -> list[Item]:
    """The node above `leaves`, whose keys share their first `depth` nibbles. No key is the beginning of another."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return [_path(first[depth:], leaf=True), leaves[0][1]]
    shared = next(place for place in range(depth, len(first)) if first[place] != last[place])
    if shared > depth:
        return [_path(first[depth:shared], leaf=False), _reference(_node(leaves, shared))]
    children: dict[str, list[tuple[str, bytes]]] = {}
    for leaf in leaves:
        children.setdefault(leaf[0][depth], []).append(leaf)
    below = {digit: _reference(_node(found, depth + 1)) for digit, found in children.items()}
    return [*(below.get(digit, b"") for digit in "0123456789abcdef"), b""]


def _reference(node: list[Item]) -> Item:
    """What stands for a node in its parent: itself where that is short, else its hash."""
    raw = rlp(node)
    return node if len(raw) < 32 else keccak(raw)


def _path(nibbles: str, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (yellow paper, appendix C)."""
    odd = len(nibbles) % 2
    return bytes.fromhex(f"{2 * leaf + odd}" + ("" if odd else "0") + nibbles)
