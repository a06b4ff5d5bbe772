"""What networks share when they ask for facts that no event carries: words of the ABI, keys, what an asker is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.rpc.multicall import View
from indexer.rpc.transactions import Transaction

Key = Mapping[str, Any]
"""A row that lacks facts: the columns of its key, `tx` (hash), `block`, and what its kind asks for."""
Facts = dict[str, Any]
"""Values by the names of the columns of a table of facts."""


@dataclass(frozen=True)
class Asker:
    """How the facts of one kind are learned.

    `views(key)` are the questions whose answers `read(key, answers, transaction)` makes facts of; None where they
    do not tell, or contradict the key. `from_calldata(keys, transactions)` tells by position what calldata alone
    proves; those are not asked for. Without it no transaction is fetched.
    """

    views: Callable[[Key], list[View]]
    read: Callable[[Key, Sequence[bytes | None], Transaction | None], Facts | None]
    from_calldata: Callable[[Sequence[Key], Mapping[bytes, Transaction]], dict[int, Facts]] | None = None


class Unreadable(Exception):
    """An answer of another shape; no user sees this."""


class Words:
    """ABI-encoded data, read word by word. Raises Unreadable beyond its end and for values out of their type."""

    def __init__(self, data: bytes, base: int = 0) -> None:
        self._data, self._base = data, base

    def word(self, n: int) -> bytes:
        """Word `n`."""
        at = self._base + 32 * n
        if at < 0 or at + 32 > len(self._data):
            raise Unreadable
        return self._data[at : at + 32]

    def number(self, n: int) -> int:
        """Word `n` as an unsigned number."""
        return int.from_bytes(self.word(n), "big")

    def address(self, n: int) -> bytes:
        """Word `n` as an address."""
        word = self.word(n)
        if any(word[:12]):
            raise Unreadable
        return word[12:]

    def inner(self, n: int) -> "Words":
        """What word `n` points to, counted from the beginning of these."""
        at = self.number(n)
        if at > len(self._data):
            raise Unreadable
        return Words(self._data, self._base + at)

    def content(self, n: int) -> bytes:
        """The `bytes` or `string` that word `n` points to."""
        found = self.inner(n)
        length, start = found.number(0), found._base + 32
        if start + length > len(self._data):
            raise Unreadable
        return self._data[start : start + length]

    def addresses(self, n: int) -> list[bytes]:
        """The `address[]` that word `n` points to."""
        found = self.inner(n)
        return [found.address(1 + k) for k in range(min(found.number(0), len(self._data) // 32))]


def asked(selector: str, *words: bytes) -> bytes:
    """Calldata: the selector in hex text, and arguments of up to 32 bytes: addresses and ids."""
    return bytes.fromhex(selector) + b"".join(word.rjust(32, b"\0") for word in words)
