"""Multicall3's encoding, against eth-abi."""

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from indexer.rpc.multicall import View, _decoded, _encoded

CALLS, ANSWERS = "(address,bool,bytes)[]", "(bool,bytes)[]"
data = st.binary(max_size=100)


@given(st.lists(st.tuples(st.binary(min_size=20, max_size=20), data), max_size=12))
def test_questions_are_as_eth_abi_writes_them(asked: list[tuple[bytes, bytes]]) -> None:
    expected = encode([CALLS], [[("0x" + to.hex(), True, data) for to, data in asked]])
    assert _encoded([View(*question) for question in asked]) == expected


@given(st.lists(st.tuples(st.booleans(), data), max_size=12))
def test_answers_are_read_as_eth_abi_reads_them(told: list[tuple[bool, bytes]]) -> None:
    assert _decoded(encode([ANSWERS], [told]), len(told)) == [value if good else None for good, value in told]
    with pytest.raises(ValueError, match="answers to"):
        _decoded(encode([ANSWERS], [told]), len(told) + 1)


@given(st.lists(st.tuples(st.booleans(), data), min_size=1, max_size=4), st.data())
def test_what_is_damaged_is_refused_or_read_as_eth_abi_reads_it(
    told: list[tuple[bool, bytes]], more: st.DataObject
) -> None:
    whole = bytearray(encode([ANSWERS], [told]))
    at = more.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= more.draw(st.integers(1, 255))
    damaged = bytes(whole[: more.draw(st.integers(0, len(whole)))])
    try:
        found = _decoded(damaged, len(told))
    except ValueError:
        return
    try:
        expected = decode([ANSWERS], damaged, strict=False)[0]
    except Exception:  # eth-abi has more ways to refuse than one, and reads nothing that it reads otherwise
        return
    assert found == [value if good else None for good, value in expected]


def test_a_small_answer_that_points_to_itself_is_not_blown_up() -> None:
    content = (1).to_bytes(32, "big") + (64).to_bytes(32, "big") + (2_000).to_bytes(32, "big") + bytes(2_016)
    offsets = (1_000 * 32).to_bytes(32, "big") * 1_000
    answer = (32).to_bytes(32, "big") + (1_000).to_bytes(32, "big") + offsets + content
    with pytest.raises(ValueError, match="damaged"):
        _decoded(answer, 1_000)
