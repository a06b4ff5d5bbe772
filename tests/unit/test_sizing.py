"""The sizer against model providers: how many calls does a stretch cost, and is anything asked twice in vain?"""

import pytest

from indexer.chain.ranges import Range
from indexer.chain.sizing import MAX_BLOCKS, Sizer, cut
from indexer.errors import TooLarge


def scan(sizer: Sizer, blocks: int, *, cap: int | None, hint: bool = True, bytes_per_block: float = 0.01) -> int:
    """Calls that a scan of `blocks` blocks costs at a provider that refuses more than `cap` blocks."""
    calls, todo = 0, [Range(0, blocks - 1)]
    while todo:
        piece = todo.pop()
        asked = Range(piece.first, min(piece.last, piece.first + sizer.size - 1))
        rest = [Range(asked.last + 1, piece.last)] if asked.last < piece.last else []
        calls += 1
        if cap and asked.blocks > cap:
            error = TooLarge(max_blocks=cap if hint else None)
            sizer.note_refusal(asked, error)
            todo += [*rest, *reversed(sizer.split(asked, error))]
        else:
            sizer.note_answer(asked.blocks, int(asked.blocks * bytes_per_block) + 2, 0.01)
            todo += rest
    return calls


@pytest.mark.parametrize("cap", [100, 2_000, 10_000, 50_000])
@pytest.mark.parametrize("hint", [True, False])
def test_a_capped_provider_costs_hardly_more_than_its_cap_forces(cap: int, hint: bool) -> None:
    forced = 1_000
    calls = scan(Sizer(), cap * forced, cap=cap, hint=hint)
    assert calls <= forced * (1.05 if hint else 1.15) + 12


def test_a_hundred_million_empty_blocks_without_a_cap_are_a_few_requests() -> None:
    assert scan(Sizer(), 100_000_000, cap=None) < 30


def test_dense_blocks_keep_answers_near_the_target() -> None:
    sizer = Sizer()
    scan(sizer, 200_000, cap=None, bytes_per_block=50_000)
    assert 40 <= sizer.size <= 160


def test_the_end_that_a_provider_suggests_is_used() -> None:
    sizer, asked = Sizer(size=1_000), Range(500, 1_499)
    error = TooLarge(upto=620)
    sizer.note_refusal(asked, error)
    assert sizer.size == 121
    assert sizer.split(asked, error) == [Range(500, 620), Range(621, 1_499)]


def test_a_single_block_that_is_refused_raises_the_refusal() -> None:
    with pytest.raises(TooLarge):
        Sizer().split(Range(7, 7), TooLarge("too many results"))


def test_a_dense_stretch_does_not_cap_what_comes_after_it() -> None:
    sizer = Sizer(size=4_000, good=4_000)
    sizer.note_refusal(Range(0, 3_999), TooLarge(max_results=10_000))
    assert sizer.size == 2_000
    for _ in range(12):
        sizer.note_answer(sizer.size, 2, 0.01)
    assert sizer.size == MAX_BLOCKS


def test_cut_covers_everything_once() -> None:
    pieces = cut(Range(3, 25), 10)
    assert pieces == [Range(3, 12), Range(13, 22), Range(23, 25)]
