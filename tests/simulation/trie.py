"""Roots of receipts (Yellow Paper 4.3 and appendix D), so that headers prove what their blocks hold."""

from collections.abc import Sequence

import rlp
from eth_hash.auto import keccak

# Success, cumulative gas, bloom, logs (address, topics, data).
Receipt = tuple[bool, int, int, Sequence[tuple[bytes, tuple[bytes, ...], bytes]]]
EMPTY_ROOT = keccak(rlp.encode(b""))


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """Root of the trie of legacy receipts, keyed by their places."""
    pairs = []
    for place, (ok, gas, bloom, logs) in enumerate(receipts):
        fields = [b"\1" if ok else b"", gas, bloom.to_bytes(256)]
        body = [*fields, [[address, list(topics), data] for address, topics, data in logs]]
        pairs.append((_nibbles(rlp.encode(place)), rlp.encode(body)))
    if not pairs:
        return EMPTY_ROOT
    return keccak(rlp.encode(_node(sorted(pairs))))


Pairs = list[tuple[tuple[int, ...], bytes]]


def _node(pairs: Pairs) -> list[object]:
    if len(pairs) == 1:
        return [_compact(pairs[0][0], leaf=True), pairs[0][1]]
    first, last = pairs[0][0], pairs[-1][0]
    shared = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    if shared:
        inner = _node([(key[shared:], value) for key, value in pairs])
        return [_compact(first[:shared], leaf=False), _refer(inner)]
    branch: list[object] = []
    for nibble in range(16):
        below = [(key[1:], value) for key, value in pairs if key and key[0] == nibble]
        branch.append(_refer(_node(below)) if below else b"")
    branch.append(next((value for key, value in pairs if not key), b""))
    return branch


def _refer(node: list[object]) -> object:
    """A node of less than 32 bytes stands in its parent, any other by its hash."""
    raw = rlp.encode(node)
    return node if len(raw) < 32 else keccak(raw)


def _nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(part for byte in key for part in (byte >> 4, byte & 15))


def _compact(nibbles: Sequence[int], *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(nibbles) % 2
    padded = [flag, *nibbles] if len(nibbles) % 2 else [flag, 0, *nibbles]
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))
