"""How old a block is by its chain's own clock, where that has stood still."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

PAUSE = 60  # seconds: no shorter gap between two blocks is a pause
USUAL = 10  # nor is one of so many usual gaps


def counted(times: Sequence[int]) -> list[float]:
    """Seconds that each gap between blocks counts: a pause of the chain ages what lies before it by no more than a long
    gap would, for nobody has built on it meanwhile. `times`: Unix seconds of blocks about equally far
    apart, ascending."""
    gaps = [after - before for before, after in pairwise(times)]
    longest = max(PAUSE, USUAL * median(gaps)) if gaps else PAUSE
    return [min(gap, longest) for gap in gaps]


def aged(times: Sequence[int], seconds: float) -> int | None:
    """Position of the newest of `times` upon which `seconds` lie that count; None where none is so old."""
    gaps = counted(times)
    for place in reversed(range(len(gaps))):
        seconds -= gaps[place]
        if seconds <= 0:
            return place
    return None
