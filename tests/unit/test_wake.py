"""When the head is looked at."""

from structlog.testing import capture_logs

from indexer.ingest.wake import LEAST, LONGEST_REST, MOST, Wake
from indexer.rpc.types import Header


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def header(number: int, at: float) -> Header:
    return Header(hex(number), "0x" + "11" * 32, "0x" + "22" * 32, hex(int(at)))


def polls(wake: Wake, clock: Clock, seconds: float, pace: float) -> int:
    """How often it is due within `seconds`, looked at ten times a second."""
    count = 0
    for _ in range(int(seconds * 10)):
        clock.now += 0.1
        if wake.due(pace):
            wake.take()
            count += 1
    return count


def test_it_is_due_at_the_start() -> None:
    assert Wake(clock=Clock()).due(12.0)


def test_a_subscription_wakes_at_once_and_only_once() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.take()
    assert not wake.due(12.0)
    wake.hear(header(7, clock.now))
    assert wake.due(12.0)
    assert wake.take() == header(7, clock.now)
    assert not wake.due(12.0)


def test_the_newest_head_that_was_told_counts() -> None:
    wake = Wake(clock=Clock())
    wake.hear(header(9, 0))
    wake.hear(header(8, 0))
    assert wake.take() == header(9, 0)


def test_between_two_blocks_nobody_polls() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.take()
    wake.saw(header(1, clock.now), 12.0, wall=True)
    assert polls(wake, clock, 11.5, 12.0) == 0
    assert 1 <= polls(wake, clock, 1.5, 12.0) <= 2


def test_a_late_block_is_asked_for_more_and_more_but_not_in_a_rush() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.take()
    wake.saw(header(1, clock.now), 12.0, wall=True)
    clock.now += 12
    assert 60 / MOST <= polls(wake, clock, 60, 12.0) <= 60 / 1.5 + 1


def test_a_fast_chain_is_polled_no_more_often_than_every_quarter_second() -> None:
    clock = Clock()
    assert polls(Wake(clock=clock), clock, 10, 0.01) <= 10 / LEAST


def test_a_subscription_that_falls_silent_is_not_waited_for() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.hear(header(5, clock.now))
    wake.take()
    assert polls(wake, clock, MOST, 2.0) == 0
    assert polls(wake, clock, 20, 2.0) > 3


def test_after_failures_it_rests_longer_and_longer_whatever_it_hears() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    rests = []
    for _ in range(8):
        wake.failed()
        wake.hear(header(1, clock.now))
        began = clock.now
        while not wake.due(1.0):
            clock.now += 0.1
        rests.append(clock.now - began)
    assert rests == sorted(rests)
    assert rests[0] < 1
    assert LONGEST_REST - 1 < rests[-1] < LONGEST_REST + 1
    wake.saw(header(1, clock.now), 1.0, wall=False)
    wake.failed()
    clock.now += 1
    assert wake.due(1.0)


def test_a_clock_that_goes_back_stops_nothing() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.hear(header(1, clock.now))
    wake.take()
    wake.saw(header(1, clock.now), 12.0, wall=True)
    wake.failed()
    clock.now -= 7200.0
    with capture_logs() as said:
        assert wake.due(12.0)
        wake.take()
    assert [(line["action"], line["seconds"]) for line in said] == [("clock_went_back", 7200)]
    assert polls(wake, clock, 30.0, 12.0) >= 2


def test_it_says_once_that_a_subscription_is_silent() -> None:
    clock = Clock()
    wake = Wake(clock=clock)
    wake.hear(header(1, clock.now))
    wake.take()
    with capture_logs() as said:
        assert polls(wake, clock, 120.0, 12.0) > 3
    assert [line["action"] for line in said] == ["subscription_silent"]


def test_a_chain_that_stood_still_for_a_day_is_not_left_to_a_silent_subscription() -> None:
    """Simulation, seed 44: one leap of block time made the pace three hours, and the silence was believed for nine."""
    clock = Clock()
    wake = Wake(clock=clock)
    wake.hear(header(1, clock.now))
    wake.take()
    wake.saw(header(1, clock.now), 10_800.0, wall=False)
    assert polls(wake, clock, 600.0, 10_800.0) > 3
