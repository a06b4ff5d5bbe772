"""Trying again, waiting, and turning to another provider, with a clock that only moves when somebody sleeps."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from indexer.errors import (
    Inconsistent,
    MalformedAnswer,
    NotThereYet,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TimedOut,
    TooLarge,
    Unreachable,
)
from indexer.rpc import retry
from indexer.rpc.batches import in_batches, posts
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.pool import Pool
from indexer.rpc.rate import Throttle
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def failing(*errors: TaskscanError) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def do() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return do


TRANSIENT = [
    Unreachable("refused", provider="a"),
    TimedOut(provider="a", seconds=3),
    ServerFault("HTTP 502", provider="a"),
    MalformedAnswer("cut off", provider="a"),
    NotThereYet(provider="a", block=5),
]


async def test_transient_errors_are_tried_again_with_growing_jittered_waits() -> None:
    clock = Clock()
    assert await with_retries(failing(*TRANSIENT), sleep=clock.sleep, clock=clock, random=lambda: 0.5) == "done"
    assert clock.slept == [0.125, 0.25, 0.5, 1.0, 2.0]


async def test_retry_after_is_honoured_and_jittered() -> None:
    clock = Clock()
    limited = failing(RateLimited("429", retry_after=7, provider="a"), RateLimited("429", provider="a"))
    await with_retries(limited, sleep=clock.sleep, clock=clock, random=lambda: 1.0)
    assert clock.slept == [7.25, 0.5]


async def test_it_gives_up_with_the_last_error() -> None:
    clock = Clock()
    errors = [ServerFault(str(number), provider="a") for number in range(9)]
    with pytest.raises(ServerFault, match="a failed: 3"):
        await with_retries(failing(*errors), attempts=4, sleep=clock.sleep, clock=clock)
    assert len(clock.slept) == 3


async def test_it_never_waits_past_its_budget() -> None:
    clock = Clock()
    with pytest.raises(RateLimited):
        await with_retries(failing(RateLimited("", retry_after=11)), budget_seconds=10, sleep=clock.sleep, clock=clock)
    assert clock.slept == []
    with pytest.raises(ServerFault):
        await with_retries(
            failing(*[ServerFault("x")] * 99),
            attempts=99,
            budget_seconds=40,
            sleep=clock.sleep,
            clock=clock,
            random=lambda: 1.0,
        )
    assert 20 < sum(clock.slept) <= 40


@pytest.mark.parametrize("error", [TooLarge("x"), Inconsistent("x"), RpcRefused("x")])
async def test_what_another_try_cannot_mend_passes_at_once(error: TaskscanError) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        await with_retries(failing(error), sleep=clock.sleep, clock=clock)
    assert clock.slept == []


async def test_retries_within_retries_do_not_multiply_the_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As second looks, which try again what asks for ranges in posts that are tried again."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    bodies: list[bytes] = []

    async def post(body: bytes) -> bytes:
        bodies.append(body)
        raise ServerFault("HTTP 502", provider="a")

    provider = Provider(Endpoint("http://node.example"), post)
    calls = [Call("eth_blockNumber")] * 3
    for asking in (in_batches, posts):
        bodies.clear()
        with pytest.raises(ServerFault):
            await with_retries(lambda asking=asking: with_retries(lambda: asking(provider, calls)))  # type: ignore[misc]
        assert len(bodies) == 6


async def test_what_was_tried_once_only_is_tried_again_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    do = failing(*[ServerFault(str(n), provider="a") for n in range(5)])
    assert await with_retries(lambda: with_retries(do, attempts=1)) == "done"


async def test_max_rps_counts_each_call_and_serves_in_order() -> None:
    clock = Clock()
    throttle = Throttle("a", max_rps=10, clock=clock, sleep=clock.sleep)
    order: list[tuple[int, float]] = []

    async def take(name: int, calls: int) -> None:
        await throttle.take(calls)
        order.append((name, clock.now - 100))

    await asyncio.gather(take(0, 5), take(1, 20), take(2, 1), take(3, 1))
    assert order == [(0, 0.0), (1, pytest.approx(0.5)), (2, pytest.approx(2.5)), (3, pytest.approx(2.6))]


async def test_a_pause_binds_everybody() -> None:
    clock = Clock()
    throttle = Throttle("a", clock=clock, sleep=clock.sleep)
    throttle.pause(4)
    throttle.pause(2)
    await asyncio.gather(throttle.take(1), throttle.take(1))
    assert clock.now == 104
    throttle.pause(None)
    assert throttle.paused_for == 0.25


async def test_a_pause_longer_than_the_patience_is_an_error_at_once() -> None:
    clock = Clock()
    throttle = Throttle("a", patience=30, clock=clock, sleep=clock.sleep)
    throttle.pause(45)
    with pytest.raises(RateLimited, match="45 s are left") as caught:
        await throttle.take(1)
    assert caught.value.retry_after == 45
    assert clock.slept == []


def providers(count: int) -> list[Provider]:
    async def post(body: bytes) -> bytes:
        return b""

    return [Provider(Endpoint(f"http://node{number}.example"), post) for number in range(count)]


async def test_a_pool_takes_its_providers_in_turn() -> None:
    one, two, three = providers(3)
    pool = Pool([one, two, three])
    assert [pool.pick().name for _ in range(4)] == [one.name, two.name, three.name, one.name]


@pytest.mark.parametrize("error", [Unreachable("x"), TimedOut(seconds=1), ServerFault("x"), RateLimited("x")])
async def test_a_pool_turns_to_the_next_provider(error: TaskscanError) -> None:
    first, second = providers(2)

    async def do(provider: Provider) -> str:
        if provider is first:
            raise error
        return provider.name

    assert await Pool([first, second]).run(do) == second.name


async def test_a_pool_tries_each_provider_once_and_raises_the_last_error() -> None:
    asked: list[str] = []

    async def do(provider: Provider) -> str:
        asked.append(provider.name)
        raise ServerFault("down", provider=provider.name)

    with pytest.raises(ServerFault, match=r"node1\.example failed"):
        await Pool(providers(2)).run(do)
    assert asked == ["node0.example", "node1.example"]


async def test_a_pool_does_not_pass_on_what_is_no_fault_of_the_provider() -> None:
    asked: list[str] = []

    async def do(provider: Provider) -> str:
        asked.append(provider.name)
        raise TooLarge("x")

    with pytest.raises(TooLarge):
        await Pool(providers(2)).run(do)
    assert asked == ["node0.example"]


async def test_a_failing_provider_rests_and_comes_back() -> None:
    clock = Clock()
    bad, good = providers(2)
    pool = Pool([bad, good], clock=clock)
    for _ in range(3):
        pool.failed(bad, ServerFault("x"))
    assert [pool.pick().name for _ in range(3)] == [good.name] * 3
    clock.now += 4.1
    assert pool.pick() is bad
    pool.failed(bad, ServerFault("x"))
    pool.worked(bad)
    assert {pool.pick().name, pool.pick().name} == {bad.name, good.name}


async def test_a_pool_prefers_a_provider_that_is_not_paused() -> None:
    paused, free = providers(2)
    paused.throttle.pause(20)
    assert [Pool([paused, free]).pick().name for _ in range(2)] == [free.name] * 2


async def test_all_resting_is_better_than_none() -> None:
    only = providers(1)
    pool = Pool(only)
    pool.failed(only[0], ServerFault("x"))
    assert pool.pick() is only[0]
    with pytest.raises(ValueError, match="at least one"):
        Pool([])
