"""Blooms against the headers of recorded blocks, and against a naive one: a list of 2048 booleans."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.chain.bloom import Matcher, contradicts, maybe, of_logs
from indexer.errors import MalformedAnswer
from indexer.rpc.types import Log
from tests.support import needs_recordings, recording

RECORDED = ["arbius-dev", "iexec-dev"]
EMPTY = "0x" + "00" * 256
FULL = "0x" + "ff" * 256

# Two headers that a real client made: address, only topic, positions of the set bits from the least significant one.
REAL = [
    (
        "0xff9d68b11d2212cf7c4aa0f094e45faf106a81ab",
        "0x7f26b83ff96e1f2b6a682f133852f6798a09c465da95921460cefb3847402498",
        [37, 269, 402, 658, 714, 847],
    ),
    (
        "0x7355b292f96889227689a5f6dfc6bff99532cd0a",
        "0x8faa70878671ccd212d20771b795c50af8fd3ff6cf27f4bde57e5d4de0aeb673",
        [238, 558, 883, 1013, 1331, 1368],
    ),
]

addresses = st.binary(min_size=20, max_size=20)
topics = st.binary(min_size=32, max_size=32)
log_items = st.lists(st.tuples(addresses, st.lists(topics, max_size=4)), max_size=12)


def log(address: str | bytes, *log_topics: str | bytes) -> Log:
    """A log with this address and these topics; the rest does not count for a bloom."""
    texts = [item if isinstance(item, str) else "0x" + item.hex() for item in (address, *log_topics)]
    return Log(texts[0], texts[1:], "0x", "0x", "0x1", "0x", "0x0", "0x0")


def recorded(name: str) -> list[tuple[str, list[Log]]]:
    """Of every recorded block, its header's bloom and its logs, of all addresses."""
    logs = defaultdict(list)
    for found in msgspec.convert(recording(name)["logs"], list[Log]):
        logs[int(found.block_number, 16)].append(found)
    return [(block["logsBloom"], logs[number]) for number, block in enumerate(recording(name)["blocks"])]


def naive(items: Iterable[bytes]) -> list[bool]:
    """The bloom as booleans in the order of its bytes, each from its most significant bit."""
    bits = [False] * 2048
    for item in items:
        digest = keccak(item)
        for high, low in ((0, 1), (2, 3), (4, 5)):
            bits[2047 - (digest[high] * 256 + digest[low]) % 2048] = True
    return bits


def as_bits(bloom: bytes) -> list[bool]:
    return [bool(byte >> place & 1) for byte in bloom for place in range(7, -1, -1)]


def naive_has(bits: list[bool], items: Iterable[bytes]) -> bool:
    return any(all(bits[place] for place, wanted in enumerate(naive([item])) if wanted) for item in items)


@pytest.mark.parametrize(("address", "topic", "places"), REAL)
def test_blooms_of_a_real_client(address: str, topic: str, places: list[int]) -> None:
    assert of_logs([log(address, topic)]) == sum(1 << place for place in places).to_bytes(256, "big")


@needs_recordings
@pytest.mark.parametrize("name", RECORDED)
def test_the_logs_of_every_recorded_block_give_its_bloom_bit_by_bit(name: str) -> None:
    blocks = recorded(name)
    for bloom, logs in blocks:
        assert "0x" + of_logs(logs).hex() == bloom
        assert not contradicts(bloom, logs)
    assert sum(bool(logs) for _, logs in blocks) > 100
    assert sum(not logs for _, logs in blocks) > 5


@needs_recordings
@pytest.mark.parametrize("name", RECORDED)
def test_no_recorded_block_that_has_a_log_is_ruled_out(name: str) -> None:
    blocks = recorded(name)
    seen = {entry.address for _, logs in blocks for entry in logs}
    everything, ruled_out = Matcher(seen), 0
    singles = {address: Matcher([address]) for address in seen}
    for bloom, logs in blocks:
        emitters = {entry.address for entry in logs}
        assert everything.may_match(bloom) == bool(logs)
        for address, matcher in singles.items():
            assert matcher.may_match(bloom) or address not in emitters
            ruled_out += not matcher.may_match(bloom)
        for entry in logs:
            assert maybe(bloom, [entry.address], entry.topics[:1])
    silent = sum(len(seen - {entry.address for entry in logs}) for _, logs in blocks)
    assert ruled_out > 0.95 * silent, "blooms that rule out hardly anything are of no use"


@needs_recordings
@pytest.mark.parametrize("name", RECORDED)
def test_a_log_under_the_bloom_of_another_block_is_a_contradiction(name: str) -> None:
    blocks = recorded(name)
    shifted = [(bloom, logs) for (bloom, _), (_, logs) in pairwise(blocks) if logs]
    assert sum(contradicts(bloom, logs) for bloom, logs in shifted) > 0.9 * len(shifted)


@settings(deadline=None)
@given(log_items)
def test_of_logs_is_the_naive_bloom(items: list[tuple[bytes, list[bytes]]]) -> None:
    bloom = of_logs(log(address, *log_topics) for address, log_topics in items)
    assert as_bits(bloom) == naive(item for address, log_topics in items for item in (address, *log_topics))


@settings(deadline=None)
@given(log_items, st.lists(addresses, min_size=1, max_size=8), st.lists(topics, max_size=3), st.integers(0, 300))
def test_a_match_is_what_naive_bits_say(
    items: list[tuple[bytes, list[bytes]]], wanted: list[bytes], signatures: list[bytes], noise: int
) -> None:
    # Noise fills the bloom as on a busy chain, so that false positives come up too.
    crowd = [index.to_bytes(32, "big") for index in range(noise)]
    bloom = of_logs([*(log(address, *found) for address, found in items), log(b"\0" * 20, *crowd)])
    for few in (wanted, [*wanted, *(address for address, _ in items[:1])]):
        for kinds in (signatures, [*signatures, *(found[0] for _, found in items[:1] if found)]):
            expected = naive_has(as_bits(bloom), few) and (not kinds or naive_has(as_bits(bloom), kinds))
            assert Matcher(few, kinds).may_match(bloom) == expected
            assert Matcher(["0x" + a.hex() for a in few], kinds).may_match("0x" + bloom.hex()) == expected
            assert maybe(bloom, few, kinds) == expected


@settings(deadline=None)
@given(log_items, st.integers(0, 2047))
def test_one_missing_bit_is_a_contradiction(items: list[tuple[bytes, list[bytes]]], place: int) -> None:
    logs = [log(address, *log_topics) for address, log_topics in items]
    whole = int.from_bytes(of_logs(logs), "big")
    assert not contradicts((whole | 1 << place).to_bytes(256, "big"), logs)
    cut = (whole & ~(1 << place)).to_bytes(256, "big")
    assert contradicts("0x" + cut.hex(), logs) == bool(whole >> place & 1)


def test_the_empty_and_the_full_bloom() -> None:
    address = REAL[0][0]
    assert not maybe(EMPTY, [address])
    assert not maybe(bytes(256), [address])
    assert maybe(FULL, [address])
    assert contradicts(EMPTY, [log(address)])
    assert not contradicts(EMPTY, [])
    assert of_logs([]) == bytes(256)


@pytest.mark.parametrize("bloom", ["0x", "", "0x00", b"", b"\0" * 255, "0x" + "zz" * 256])
def test_what_is_no_bloom_excludes_nothing_and_vouches_for_nothing(bloom: str | bytes) -> None:
    assert maybe(bloom, [REAL[0][0]])
    assert contradicts(bloom, [log(REAL[0][0])])


def test_no_address_is_refused_rather_than_taken_for_none_or_all() -> None:
    with pytest.raises(ValueError, match="at least one address"):
        Matcher([])


def test_a_log_that_is_not_hex_is_a_malformed_answer() -> None:
    with pytest.raises(MalformedAnswer, match="not hex"):
        of_logs([log(REAL[0][0], "0xno")])
