"""Who is asked: the fast and truthful ones, a second one when the first is slow, and a sick one only by a probe."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from indexer.errors import (
    NotThereYet,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TooLarge,
    Unreachable,
    WrongChain,
)
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.pool import GRACE, LONGEST_REST, PROBE_SECONDS, Pool
from indexer.rpc.rate import LOWEST, Throttle
from indexer.rpc.score import Score
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call

HEAD = Call("eth_blockNumber")


class Node:
    """A provider whose answers take `seconds` and say `result`, or fail."""

    def __init__(self, name: str, seconds: float = 0.0, result: object = "0x1") -> None:
        self.seconds, self.result, self.error = seconds, result, None
        self.asked = self.cancelled = 0
        self.error: TaskscanError | None = None
        self.provider = Provider(Endpoint(f"http://{name}.example"), self._post)

    async def _post(self, body: bytes) -> bytes:
        self.asked += 1
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error:
            raise self.error
        asked = json.loads(body)
        answers = [
            {"id": call["id"], "result": self.result} for call in (asked if isinstance(asked, list) else [asked])
        ]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def ask(wanted: str = "") -> Callable[[Provider], Awaitable[str]]:
    async def do(provider: Provider) -> str:
        await provider.call(HEAD, str)
        return provider.name

    return do


def pool_of(*nodes: Node, clock: Callable[[], float] = time.monotonic) -> Pool:
    return Pool([node.provider for node in nodes], clock=clock)


async def test_the_fast_ones_take_turns_and_a_slow_one_is_looked_at_now_and_then() -> None:
    clock = Clock()
    nodes = [Node("slow"), Node("fast"), Node("nearly")]
    pool = pool_of(*nodes, clock=clock)
    for node, seconds in zip(nodes, (1.0, 0.1, 0.15), strict=True):
        node.provider.score = Score(node.provider.name, clock)
        with node.provider.score.post(["eth_blockNumber"]):
            clock.now += seconds
    assert Counter(pool.pick().name for _ in range(10)) == {"fast.example": 5, "nearly.example": 5}
    clock.now += 31
    assert "slow.example" in {pool.pick().name for _ in range(3)}


async def test_errors_make_a_provider_dearer() -> None:
    bad, good = Node("bad", 0.02), Node("good", 0.02)
    pool = pool_of(bad, good)
    await bad.provider.call(HEAD, str)
    await good.provider.call(HEAD, str)
    bad.error = ServerFault("HTTP 502", provider="bad.example")
    for _ in range(8):
        with pytest.raises(ServerFault):
            await bad.provider.call(HEAD, str)
    assert {pool.pick().name for _ in range(6)} == {"good.example"}


async def test_too_large_is_no_fault_of_the_provider() -> None:
    node = Node("one")
    node.error = TooLarge("x", provider="one.example")
    with pytest.raises(TooLarge):
        await node.provider.call(HEAD, str)
    assert node.provider.score.error_rate == 0
    assert pool_of(node).snapshot()[0].since.errors == {"TooLarge": 1}


async def test_a_sick_provider_comes_back_by_one_probe() -> None:
    clock = Clock()
    sick, well = Node("sick"), Node("well")
    pool = pool_of(sick, well, clock=clock)
    rests = []
    for _ in range(8):
        pool.failed(sick.provider, Unreachable("refused", provider="sick.example"))
        began = clock.now
        while pool.pick() is well.provider:
            clock.now += 0.25
        rests.append(clock.now - began)
        assert {pool.pick().name for _ in range(5)} == {"well.example"}, "one probe, not all that come"
    assert rests == [1, 2, 4, 8, 16, 32, LONGEST_REST, LONGEST_REST]
    clock.now += PROBE_SECONDS + 0.1
    assert sick.provider in (pool.pick(), pool.pick()), "a probe of which nobody hears is tried again"
    pool.worked(sick.provider)
    assert {pool.pick().name for _ in range(4)} == {"sick.example", "well.example"}


async def test_who_lied_is_picked_only_when_there_is_no_other() -> None:
    clock = Clock()
    liar, honest = Node("liar"), Node("honest")
    pool = pool_of(liar, honest, clock=clock)
    pool.distrust("liar.example", "left out a log of block 7")
    assert {pool.pick().name for _ in range(6)} == {"honest.example"}
    assert {pool.pick(trusted=False).name for _ in range(4)} == {"liar.example", "honest.example"}
    assert pool.pick([honest.provider]) is liar.provider
    pool.failed(honest.provider, ServerFault("HTTP 502"))
    assert pool.pick() is honest.provider, "one hiccup is better than a lie"
    for _ in range(3):
        pool.failed(honest.provider, ServerFault("HTTP 502"))
    assert pool.pick() is liar.provider, "but a dead one is no other"
    assert {standing.provider: standing.distrusted for standing in pool.snapshot()} == {
        "liar.example": "left out a log of block 7", "honest.example": None,
    }  # fmt: skip


async def test_another_is_trusted_well_and_not_the_same() -> None:
    one, two, three = Node("one"), Node("two"), Node("three")
    pool = pool_of(one, two, three)
    pool.distrust(two.provider, "lied")
    assert pool.another(["one.example"]) is three.provider
    assert pool.another(["one.example", "three.example"]) is None
    pool.failed(three.provider, Unreachable("x"))
    assert pool.another(["one.example"]) is None
    assert pool_of(one).another(["one.example"]) is None


async def test_a_slow_head_read_is_hedged_after_its_95th_percentile() -> None:
    first, second = Node("first", 0.001), Node("second", 0.001)
    pool = pool_of(first, second)
    for _ in range(20):
        await pool.hedged(ask())
    assert first.asked + second.asked == 20, "while all are fast nobody is asked twice"
    first.seconds = second.seconds = 0.0
    slow = first if pool.pick() is second.provider else second
    quick = second if slow is first else first
    slow.seconds, before = 30.0, quick.asked
    began = time.monotonic()
    assert await pool.hedged(ask(), slow.provider) == (quick.provider, quick.provider.name)
    assert time.monotonic() - began < 2
    assert slow.cancelled == 1
    assert quick.asked == before + 1
    assert slow.provider.score.seconds is not None
    assert slow.provider.score.seconds > 0.005, "that it was slow is remembered though it was cancelled"


async def test_a_failing_head_read_goes_to_the_next_at_once_and_ends_with_the_last_error() -> None:
    first, second = Node("first"), Node("second", 0.02)
    first.error = Unreachable("refused", provider="first.example")
    pool = pool_of(first, second)
    assert (await pool.hedged(ask()))[1] == "second.example"
    second.error = ServerFault("HTTP 500", provider="second.example")
    with pytest.raises((Unreachable, ServerFault)):
        await pool.hedged(ask())
    alone = Node("alone", 0.1)
    assert (await pool_of(alone).hedged(ask()))[1] == "alone.example"
    alone.error = ServerFault("HTTP 500", provider="alone.example")
    with pytest.raises(ServerFault):
        await pool_of(alone).hedged(ask())


async def test_the_hedge_is_never_a_liar() -> None:
    honest, liar = Node("honest", 0.3), Node("liar")
    pool = pool_of(honest, liar)
    for _ in range(5):
        with honest.provider.score.post(["eth_blockNumber"]):
            pass
    pool.distrust(liar.provider, "lied")
    assert (await pool.hedged(ask()))[1] == "honest.example"
    assert liar.asked == 0


async def test_a_hedge_that_has_not_got_the_block_is_no_failure() -> None:
    slow, behind = Node("slow", 0.4), Node("behind")
    behind.error = NotThereYet(provider="behind.example", block=7)
    pool = pool_of(slow, behind)
    with slow.provider.score.post(["eth_blockNumber"]):
        pass
    assert await pool.hedged(ask(), slow.provider) == (slow.provider, "slow.example")
    assert behind.asked == 1
    with pytest.raises(NotThereYet):
        await pool_of(behind).hedged(ask())


async def test_admission_starts_with_whoever_answers_and_takes_the_others_in_later() -> None:
    dead, good = Node("dead"), Node("good", result="0x2a")
    dead.error = Unreachable("refused", provider="dead.example")
    pool = pool_of(dead, good)
    began = time.monotonic()
    await pool.admit(42)
    assert time.monotonic() - began < GRACE + 2
    assert {pool.pick().name for _ in range(4)} == {"good.example"}
    dead.error, dead.result = None, "0x2a"
    for state in pool._states:
        state.rests_until = 0.0
    await pool.admit(42)
    assert {pool.pick().name for _ in range(4)} == {"dead.example", "good.example"}
    asked = good.asked
    await pool.admit(42)
    assert good.asked == asked, "who is admitted is not asked again"


async def test_a_provider_of_another_chain_is_refused_at_once_or_never_used() -> None:
    good, other = Node("good", result="0x2a"), Node("other", result="0x1")
    with pytest.raises(WrongChain, match=r"other\.example serves chain 1"):
        await pool_of(good, other).admit(42)
    other.error = Unreachable("refused", provider="other.example")
    pool = pool_of(good, other)
    await pool.admit(42)
    other.error = None
    for state in pool._states:
        state.rests_until = 0.0
    await pool.admit(42)
    pool.failed(good.provider, Unreachable("x"))
    assert {pool.pick().name for _ in range(4)} == {"good.example"}
    alone = Node("alone")
    alone.error = RpcRefused("HTTP 401", provider="alone.example", method="eth_chainId", code=401)
    with pytest.raises(RpcRefused, match="401"):
        await pool_of(alone).admit(42)


async def test_a_snapshot_is_reported_until_it_is_saved() -> None:
    node = Node("one", 0.002)
    pool = pool_of(node)
    await node.provider.batch([HEAD, HEAD, HEAD])
    first = pool.snapshot()
    assert pool.snapshot()[0].since.calls == 3, "it was not written"
    node.error = RateLimited("429", retry_after=0.01, provider="one.example")
    with pytest.raises(RateLimited):
        await node.provider.call(HEAD, str)
    pool.saved(first)
    (standing,) = pool.snapshot()
    assert (standing.since.calls, standing.since.errors) == (1, {"RateLimited": 1})
    assert standing.since.answer_bytes == 0 < first[0].since.answer_bytes
    assert standing.last_error is not None
    assert "limits the rate" in standing.last_error
    assert standing.latency_p95_ms is not None
    assert 2 <= standing.latency_p95_ms < 500


async def test_the_rate_is_halved_by_a_complaint_and_grows_slowly() -> None:
    clock = Clock()
    throttle = Throttle("a", clock=clock, sleep=clock.sleep)
    assert throttle.rate is None
    for _ in range(100):
        clock.now += 0.02
        await throttle.take(2)
    for _ in range(5):
        await throttle.take(2)
        for _ in range(20):
            throttle.limited(0.0)
    assert throttle.rate is None, "five refusals in fifty posts are chance, however many calls of theirs complain"
    await throttle.take(2)
    throttle.limited(0.5)
    assert throttle.rate == pytest.approx(50, rel=0.1), "100 calls per second were asked"
    for _ in range(9):
        throttle.limited(0.5)
    assert throttle.rate == pytest.approx(50, rel=0.1), "what comes back from one burst is one complaint"
    before = clock.now
    for _ in range(200):
        await throttle.take(1)
    assert 2.0 < clock.now - before < 4.0
    grown = throttle.rate
    assert grown is not None
    assert 80 < grown < 130
    clock.now += 3600
    await throttle.take(1)
    assert throttle.rate < grown + 25, "an idle hour teaches nothing"
    for _ in range(8000):
        await throttle.take(1)
    assert throttle.rate is None


async def test_a_rate_converges_to_what_the_provider_allows() -> None:
    """Against a server of 20 calls per second that refuses what is above, as RPC providers do."""
    clock = Clock()
    throttle = Throttle("a", clock=clock, sleep=clock.sleep)
    allowance, filled_at, good, refused = 20.0, clock.now, 0, 0
    while clock.now < 1120:
        await throttle.take(1)
        clock.now += 0.001
        allowance = min(20.0, allowance + 20 * (clock.now - filled_at))
        filled_at = clock.now
        if allowance >= 1:
            allowance, good = allowance - 1, good + 1
        else:
            refused += 1
            throttle.limited(None)
    assert good > 0.9 * 20 * 120
    assert refused < 0.12 * good


async def test_max_rps_is_never_exceeded_and_the_rate_never_falls_to_nothing() -> None:
    clock = Clock()
    throttle = Throttle("a", max_rps=15, clock=clock, sleep=clock.sleep)
    for _ in range(40):
        clock.now += 2
        await throttle.take(1)
        throttle.limited(0)
    assert throttle.rate == LOWEST
    for _ in range(200):
        await throttle.take(1)
    assert throttle.rate == 15
