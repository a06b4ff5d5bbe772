"""The bound on bytes in flight: how much is held at most, who waits, and that nobody waits for ever."""

import asyncio
import random

import pytest

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
