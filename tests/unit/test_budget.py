"""The bound on bytes in flight: how much is held at most, who waits, and how a large answer is avoided."""

import asyncio
import random

import pytest

from indexer.chain.ranges import Range
from indexer.chain.sizing import MAX_BLOCKS, TARGET_BYTES, TOO_MANY_BYTES, Sizer
from indexer.errors import TooLarge
from indexer.ingest.budget import Budget


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_honest_expectations_are_never_exceeded_and_all_are_served() -> None:
    chance, budget, most, served = random.Random(1), Budget(100), 0, 0

    async def reader() -> None:
        nonlocal most, served
        for _ in range(50):
            size = chance.randint(1, 60)
            async with budget.hold(size) as becomes:
                most = max(most, budget.held)
                await asyncio.sleep(0)
                becomes(size // 3)
                await asyncio.sleep(0)
            served += 1

    await asyncio.wait_for(asyncio.gather(*(reader() for _ in range(8))), 20)
    assert served == 400
    assert 80 < most <= 100, "the budget is used, and kept"
    assert budget.held == 0


async def test_who_needs_more_than_there_is_goes_alone() -> None:
    budget = Budget(100)
    events: list[str] = []

    async def reader(name: str, size: int) -> None:
        async with budget.hold(size):
            events.append(f"{name} in, {budget.held} held")
            await settle()

    await asyncio.wait_for(asyncio.gather(reader("a", 60), reader("huge", 1000), reader("b", 60)), 5)
    assert events == ["a in, 60 held", "huge in, 1000 held", "b in, 60 held"]


async def test_a_surprise_keeps_the_others_waiting_until_it_is_gone() -> None:
    budget = Budget(100)
    async with budget.hold(10) as becomes:
        becomes(500)
        waiting = asyncio.create_task(enter(budget, 10))
        await settle()
        assert not waiting.done()
        becomes(90)
        await settle()
        assert waiting.done()
    await waiting
    assert budget.held == 0


async def test_a_failure_gives_everything_back() -> None:
    budget = Budget(100)

    async def fail() -> None:
        async with budget.hold(80) as becomes:
            becomes(300)
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await fail()
    assert budget.held == 0


async def test_a_reader_cancelled_while_it_waits_holds_nothing_and_blocks_nobody() -> None:
    budget = Budget(100)
    async with budget.hold(100):
        waiting = asyncio.create_task(enter(budget, 50))
        await settle()
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        assert budget.held == 100
    await asyncio.wait_for(enter(budget, 100), 5)
    assert budget.held == 0


async def enter(budget: Budget, size: int) -> None:
    async with budget.hold(size):
        pass


TOO_MUCH = TooLarge("its answer exceeds 32 MiB", max_bytes=32 << 20, provider="node")


def test_a_stretch_that_turns_dense_costs_few_cut_answers_and_leaves_no_limit_behind() -> None:
    dense, most = 7_000, 32 << 20  # bytes per block; of an answer
    sizer, cut_off, largest = Sizer(size=1_000_000, good=1_000_000, bytes_per_block=0.01), 0, 0
    todo = [Range(0, 999_999)]
    while todo:
        piece = todo.pop()
        asked = Range(piece.first, min(piece.last, piece.first + sizer.size - 1))
        todo += [Range(asked.last + 1, piece.last)] if asked.last < piece.last else []
        if asked.blocks * dense > most:
            cut_off += 1
            sizer.note_refusal(asked, TOO_MUCH)
            todo += reversed(sizer.split(asked, TOO_MUCH))
        else:
            largest = max(largest, asked.blocks * dense) if cut_off else 0
            sizer.note_answer(asked.blocks, asked.blocks * dense, 0.05)
    assert cut_off <= 4
    assert largest <= TOO_MANY_BYTES
    for _ in range(12):
        sizer.note_answer(sizer.size, 2, 0.01)
    assert sizer.size == MAX_BLOCKS, "what is dense here says nothing about other stretches"


def test_one_large_answer_brings_the_size_down_at_once() -> None:
    sizer = Sizer(size=50_000, good=50_000)
    sizer.note_answer(50_000, 20 << 20, 0.1)
    assert sizer.size == 10_000
    assert sizer.expected_bytes(sizer.size) == TARGET_BYTES


def test_a_limit_that_nobody_names_is_found_exactly_when_it_is_round() -> None:
    for cap in (500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000):
        sizer, refused = Sizer(), 0
        for _ in range(60):
            asked = Range(0, sizer.size - 1)
            if asked.blocks > cap:
                refused += 1
                sizer.note_refusal(asked, TooLarge("query timeout"))
            else:
                sizer.note_answer(asked.blocks, 100, 0.01)
        assert (sizer.size, refused <= 7) == (cap, True), cap
