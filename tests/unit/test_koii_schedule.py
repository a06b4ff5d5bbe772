"""When Koii tasks are read: twice in a round, after what ends in it, and never more than a round apart."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indexer.ingest.snapshot_schedule import AFTER_AUDITS, ALL, IDLE_SECONDS, JITTER, LEAST_SECONDS, next_read, wait
from indexer.networks.koii.rules import Timing, missed

SLOT = 0.4


def task(**changes: Any) -> dict[str, Any]:
    own = {"status": "active", "starting_slot": 1000, "round_time": 8382, "submission_window": 3772}
    return {**own, "audit_window": 3352, **changes}


def reads(of: dict[str, Any], first: int, count: int) -> list[tuple[int, frozenset[str]]]:
    found, slot = [], first
    for _ in range(count):
        due = next_read(of, slot, SLOT)
        found.append((due.slot, due.sections))
        slot = due.slot
    return found


def test_two_reads_in_each_round_at_the_ends_of_its_windows() -> None:
    begin = 1000 + 5 * 8382
    found = reads(task(), begin + 10, 4)
    assert found == [
        (begin + 3772, ALL), (begin + 3772 + 3352, AFTER_AUDITS),
        (begin + 8382 + 3772, ALL), (begin + 8382 + 3772 + 3352, AFTER_AUDITS),
    ]  # fmt: skip


@given(
    st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 2 * 10**6), st.integers(0, 2 * 10**6),
    st.integers(0, 10**7),
)  # fmt: skip
def test_never_more_than_a_round_apart_and_never_in_a_hurry(
    start: int, length: int, submission: int, audit: int, slot: int
) -> None:
    own = task(starting_slot=start, round_time=length, submission_window=submission, audit_window=audit)
    begun = max(slot, start)
    least = math.ceil(LEAST_SECONDS / SLOT)
    for due, _ in reads(own, begun, 5):
        assert least <= due - begun <= max(least, length)
        begun = due


def test_a_task_that_rests_is_read_seldom() -> None:
    idle = math.ceil(IDLE_SECONDS / SLOT)
    for status in ("inactive", "migrated", "deleted"):
        assert next_read(task(status=status), 5000, SLOT) == (due := next_read(task(status=status), 5000, SLOT))
        assert due.slot == 5000 + idle
    assert next_read(task(round_time=0), 5000, SLOT).slot == 5000 + idle
    assert next_read(task(starting_slot=2**64 - 1), 5000, SLOT).slot == 5000 + idle
    assert next_read(task(starting_slot=9000), 5000, SLOT).slot == 9000 + 3772


def test_the_wait_has_jitter_of_at_most_a_twentieth_of_a_round() -> None:
    due = next_read(task(), 1010, SLOT)
    waits = [wait(task(), due, 1010, SLOT, chance) for chance in (0.0, 1.0)]
    assert waits[0] == (due.slot - 1010) * SLOT
    assert math.isclose(waits[1] - waits[0], JITTER * 8382 * SLOT)


def test_real_submissions_fall_into_the_period_after_their_round() -> None:
    """koii.md A5: 187 real ones are consistent with a starting slot in this range."""
    timing = Timing(45216150, 8382, 3772, 3352)
    assert timing.round(45226069) == 1, "submission of round 0"
    assert timing.submitted(0) == 45216150 + 8382 + 3772


def test_which_rounds_are_missed() -> None:
    timing = Timing(0, 100, 40, 40)
    assert missed(timing, 141, 545, [2, 3]) == (1, 1)
    assert missed(timing, 140, 545, [2, 3]) == (1, 1), "round 0 was whole in slot 140"
    assert missed(timing, 139, 545, [2, 3]) == (0, 1)
    assert missed(timing, None, 545, [2, 3]) == (0, 1)
    assert missed(timing, 345, 545, [2, 3]) is None
    assert missed(timing, 141, 345, [2]) is None, "round 1 cannot have been dropped yet: nobody handed in"
    assert missed(timing, 141, 10_000, []) is None
