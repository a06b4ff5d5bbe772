"""The work list of a scan: which blocks to ask for next, in what portions, by several readers at once."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from indexer.chain.ranges import Range
from indexer.chain.sizing import Sizer
from indexer.errors import TooLarge


class Portion(NamedTuple):
    """Ranges to ask for in one batch, sized by `sizer`. `probe`: one range of a size that was never answered before."""

    ranges: tuple[Range, ...]
    sizer: Sizer
    probe: bool = False

    @property
    def blocks(self) -> int:
        """How many blocks the ranges hold together."""
        return sum(piece.blocks for piece in self.ranges)


class Todo:
    """Hands out portions of `gaps`, lowest blocks first, until every block is done.

    A size that a provider has never answered before is tried by one reader alone, so a refusal costs one call and not
    one per reader.
    """

    def __init__(self, gaps: Sequence[Range]) -> None:
        self._open = deque(gaps)
        self._taken = 0
        self._probing: list[Sizer] = []
        self._changed = asyncio.Condition()

    async def take(self, sizer: Sizer) -> Portion | None:
        """What to ask the provider of `sizer` for next; None when all blocks are done."""
        async with self._changed:
            while self._taken and not (self._open and (sizer.good or not self._is_probing(sizer))):
                await self._changed.wait()
            if not self._open:
                return None
            self._taken += 1
            return self._portion(sizer)

    async def give_back(self, portion: Portion, again: Sequence[Range] = ()) -> None:
        """Report a portion that was taken; the ranges in `again` are to be asked anew, the others are written."""
        async with self._changed:
            if portion.probe:
                self._probing = [sizer for sizer in self._probing if sizer is not portion.sizer]
            self._open.extendleft(sorted(again, reverse=True))
            self._taken -= 1
            self._changed.notify_all()

    def _is_probing(self, sizer: Sizer) -> bool:
        return any(other is sizer for other in self._probing)

    def _portion(self, sizer: Sizer) -> Portion:
        probe = sizer.probing() and not self._is_probing(sizer)
        size = sizer.size if probe else min(sizer.size, sizer.good)
        wanted = 1 if probe else sizer.width
        ranges: list[Range] = []
        while self._open and len(ranges) < wanted:
            ranges.append(self._cut(size))
        if probe:
            self._probing.append(sizer)
        return Portion(tuple(ranges), sizer, probe)

    def _cut(self, size: int) -> Range:
        piece = self._open.popleft()
        head = Range(piece.first, min(piece.last, piece.first + size - 1))
        if head.last < piece.last:
            self._open.appendleft(Range(head.last + 1, piece.last))
        return head


def refuse(sizer: Sizer, asked: Range, error: TooLarge) -> list[Range]:
    """The pieces to ask for instead of `asked`. Raises the error where a single block is refused."""
    sizer.note_refusal(asked, error)
    return sizer.split(asked, error)
