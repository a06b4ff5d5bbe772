"""The logsBloom of a block header: which blocks can hold a log of ours? Pure: no I/O, no clock.

2048 bits; the address and every topic of every log of the block set three of them each: the lowest 11 bits of the
first three 16-bit words of its keccak256 (Ethereum yellow paper, 4.3.1; go-ethereum core/types/bloom9.go). A bloom
without our bits proves that the block has no log of ours, as far as the chain's blooms are truthful: `of_logs` and
`contradicts` find out. Here a bloom is hex text as in a header, or 256 bytes; inside it is an int, most significant
byte first, so that "all bits of this address are set" is one `&`.
"""

from collections.abc import Iterable
from functools import lru_cache

from eth_hash.auto import keccak

from indexer.errors import MalformedAnswer
from indexer.rpc.types import Log

BLOOM_BYTES = 256
_HEX_CHARS = 2 + 2 * BLOOM_BYTES
_CACHED = 4096  # masks kept: addresses and event signatures come again and again, other topics do not


class Matcher:
    """Which blooms may hold a log of one of `addresses` and, if given, with one of `topics`?

    Both are hex text or bytes. `topics` are alternatives for one place, such as the event signatures. Raises
    ValueError without addresses: `eth_getLogs` would take that for all of them.
    """

    def __init__(self, addresses: Iterable[str | bytes], topics: Iterable[str | bytes] = ()) -> None:
        self._addresses = _Masks(addresses)
        self._topics = _Masks(topics)
        if not self._addresses.by_lowest:
            raise ValueError("a bloom is matched against at least one address")

    def may_match(self, bloom: str | bytes) -> bool:
        """Whether the block may hold such a log. True for what is no bloom: it excludes nothing."""
        bits = _bits(bloom)
        if bits is None:
            return True
        return self._addresses.any_in(bits) and (not self._topics.by_lowest or self._topics.any_in(bits))


class _Masks:
    """Masks under their lowest bit: only those need a look whose lowest bit is set, in most blooms hardly any."""

    def __init__(self, items: Iterable[str | bytes]) -> None:
        self.by_lowest: dict[int, list[int]] = {}
        for mask in {_mask(_raw(item)) for item in items}:
            self.by_lowest.setdefault(mask & -mask, []).append(mask)
        self.lowest = sum(self.by_lowest)

    def any_in(self, bits: int) -> bool:
        """Whether all bits of one mask are among `bits`."""
        left = bits & self.lowest
        while left:
            bit = left & -left
            for mask in self.by_lowest[bit]:
                if bits & mask == mask:
                    return True
            left ^= bit
        return False


def maybe(bloom: str | bytes, addresses: Iterable[str | bytes], topics: Iterable[str | bytes] | None = None) -> bool:
    """`Matcher.may_match` for a single bloom. Raises ValueError without addresses."""
    return Matcher(addresses, topics or ()).may_match(bloom)


def of_logs(logs: Iterable[Log]) -> bytes:
    """The bloom of a block that holds exactly these logs, 256 bytes. Raises MalformedAnswer for logs without hex."""
    return _bits_of(logs).to_bytes(BLOOM_BYTES, "big")


def contradicts(header_bloom: str | bytes, logs: Iterable[Log]) -> bool:
    """Whether a bit of one of `logs` is missing in the bloom of its block's header.

    True says that the chain's blooms are not truthful (or the log is not of this block), and no empty answer may rest
    on them. So it is for logs under a header without a bloom. False about no logs says nothing. Raises as `of_logs`.
    """
    return bool(_bits_of(logs) & ~(_bits(header_bloom) or 0))


def _bits(bloom: str | bytes) -> int | None:
    """The bloom as an int; None for what is none (some chains leave it out, or send `0x`)."""
    if isinstance(bloom, bytes):
        return int.from_bytes(bloom, "big") if len(bloom) == BLOOM_BYTES else None
    if len(bloom) != _HEX_CHARS:
        return None
    try:
        return int(bloom, 16)
    except ValueError:
        return None


def _bits_of(logs: Iterable[Log]) -> int:
    bits = 0
    try:
        for log in logs:
            for item in (log.address, *log.topics):
                bits |= _mask(_raw(item))
    except ValueError:
        message = "a log whose address or topics are not hex"
        raise MalformedAnswer(message, provider="The provider of a log") from None
    return bits


@lru_cache(_CACHED)
def _mask(item: bytes) -> int:
    """The three bits of an address or a topic."""
    digest = keccak(item)
    return sum({1 << (int.from_bytes(digest[place : place + 2], "big") % 2048) for place in (0, 2, 4)})


def _raw(item: str | bytes) -> bytes:
    return item if isinstance(item, bytes) else bytes.fromhex(item.removeprefix("0x"))
