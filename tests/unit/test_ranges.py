"""Range arithmetic against sets of block numbers, the model that cannot be wrong."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from indexer.chain.ranges import Range, contiguous_to, merge, subtract

ranges = st.tuples(st.integers(0, 60), st.integers(0, 15)).map(lambda pair: Range(pair[0], pair[0] + pair[1]))
lists = st.lists(ranges, max_size=8)


def blocks(pieces: list[Range]) -> set[int]:
    return {n for piece in pieces for n in range(piece.first, piece.last + 1)}


def is_normal(pieces: list[Range]) -> bool:
    return all(a.last + 1 < b.first for a, b in itertools.pairwise(pieces))


@given(lists)
def test_merge_keeps_the_blocks_and_joins_neighbours(pieces: list[Range]) -> None:
    assert blocks(merge(pieces)) == blocks(pieces)
    assert is_normal(merge(pieces))


@given(lists, lists)
def test_subtract_is_set_difference(wanted: list[Range], covered: list[Range]) -> None:
    rest = subtract(wanted, covered)
    assert blocks(rest) == blocks(wanted) - blocks(covered)
    assert is_normal(rest)


@given(ranges)
def test_halves_are_the_whole(piece: Range) -> None:
    if piece.blocks > 1:
        left, right = piece.halves()
        assert blocks([left, right]) == blocks([piece])
        assert left.last + 1 == right.first


@given(st.integers(0, 60), lists)
def test_contiguous_to_walks_until_the_first_hole(start: int, covered: list[Range]) -> None:
    have, n = blocks(covered), start
    while n in have:
        n += 1
    assert contiguous_to(start, covered) == (n - 1 if n > start else None)
