"""Arithmetic of block ranges. Pure: no I/O, no clock.

A range includes both its ends, as `eth_getLogs` and the coverage ledger do.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """Blocks `first` to `last`, both included; never empty."""

    first: int
    last: int

    @property
    def blocks(self) -> int:
        """How many blocks the range holds."""
        return self.last - self.first + 1

    def __contains__(self, block: object) -> bool:
        return isinstance(block, int) and self.first <= block <= self.last

    def halves(self) -> tuple["Range", "Range"]:
        """The range cut in the middle. Raises ValueError for a single block."""
        if self.first == self.last:
            raise ValueError(f"block {self.first} cannot be cut")
        middle = (self.first + self.last) // 2
        return Range(self.first, middle), Range(middle + 1, self.last)

    def __str__(self) -> str:
        return f"{self.first:,}..{self.last:,}"


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same blocks as `ranges`, sorted, with overlapping and adjacent ranges joined."""
    merged: list[Range] = []
    for piece in sorted(ranges):
        if merged and piece.first <= merged[-1].last + 1:
            merged[-1] = Range(merged[-1].first, max(merged[-1].last, piece.last))
        else:
            merged.append(piece)
    return merged


def subtract(wanted: Iterable[Range], covered: Iterable[Range]) -> list[Range]:
    """The blocks of `wanted` that are in none of `covered`, as sorted disjoint ranges."""
    holes = merge(covered)
    return [rest for piece in merge(wanted) for rest in _without(piece, holes)]


def _without(piece: Range, holes: list[Range]) -> Iterator[Range]:
    start = piece.first
    for hole in holes:
        if hole.last < start:
            continue
        if hole.first > piece.last:
            break
        if hole.first > start:
            yield Range(start, hole.first - 1)
        start = hole.last + 1
    if start <= piece.last:
        yield Range(start, piece.last)


def contiguous_to(start: int, covered: Iterable[Range]) -> int | None:
    """The last block of the unbroken covered stretch that holds `start`; None when `start` is not covered."""
    return next((piece.last for piece in merge(covered) if start in piece), None)
