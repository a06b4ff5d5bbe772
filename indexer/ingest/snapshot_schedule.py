"""When a Koii task is to be read next: two moments per round, from its own times. Pure; slots in, slots out.

Work of a round is handed in during the submission window of the next period and voted on during the audit window
after that; payouts and the dropping of old rounds come later (koii.md A5, A6). So the two moments are the end of the
submission window and the end of the audit window, which catch all of it before any of it can go.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.networks.koii.rules import Timing
from indexer.networks.koii.state import SECTIONS

ALL = frozenset(SECTIONS)
AFTER_SUBMISSIONS = ALL  # stakes and balances together: a pair of them tells a reward from an unstake
AFTER_AUDITS = frozenset({"static", "submission", "distribution"})  # the payout comes later
IDLE_SECONDS = 21_600.0  # between reads of a task that is not active, or has not begun
LEAST_SECONDS = 1.0  # between reads of one task, however short its rounds
JITTER = 0.05  # of a round, at most: tasks with the same times must not all be read at once


@dataclass(frozen=True)
class Due:
    """The next read of a task: `slot` from which on it is worth it, and the `sections` to ask for."""

    slot: int
    sections: frozenset[str]


def next_read(task: Mapping[str, Any], slot: int, seconds_per_slot: float) -> Due:
    """The next read of `task`, which was read in `slot`; never more than one round later while it is active.

    `task`: its status and static fields. `seconds_per_slot`: as measured.
    """
    idle = Due(slot + math.ceil(IDLE_SECONDS / seconds_per_slot), ALL)
    timing = Timing.of(task)
    if timing is None or task["status"] in ("deleted", "migrated", "inactive"):
        return idle
    soonest = slot + math.ceil(LEAST_SECONDS / seconds_per_slot)
    if soonest < timing.starting_slot:
        return Due(min(idle.slot, timing.starting_slot + timing.submission_window), ALL)
    moments = _moments(timing, timing.round(soonest))
    found = next((due for due in moments if due.slot >= soonest), idle)
    latest = max(soonest, slot + math.floor(timing.round_time * (1 - JITTER)))
    return found if found.slot <= latest else Due(latest, ALL)


def _moments(timing: Timing, period: int) -> list[Due]:
    """The moments of this period and the next, in order; windows longer than a round end with it."""
    found = []
    for begin in (timing.begin(period), timing.begin(period + 1)):
        handed_in = min(timing.submission_window, timing.round_time - 1)
        voted = min(handed_in + timing.audit_window, timing.round_time - 1)
        found.append(Due(begin + handed_in, AFTER_SUBMISSIONS))
        if voted > handed_in:
            found.append(Due(begin + voted, AFTER_AUDITS))
    return found


def wait(task: Mapping[str, Any], due: Due, slot: int, seconds_per_slot: float, chance: float) -> float:
    """Seconds from `slot` until `due`, with jitter; `chance` is random, from 0 to 1."""
    timing = Timing.of(task)
    seconds = max(0.0, (due.slot - slot) * seconds_per_slot)
    round_seconds = timing.round_time * seconds_per_slot if timing else IDLE_SECONDS
    return min(seconds + chance * JITTER * min(round_seconds, IDLE_SECONDS), 2 * IDLE_SECONDS)
