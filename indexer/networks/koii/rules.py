"""How a Koii task runs: rounds in slots, what a state says of the task, and which rounds a reader has missed.

Sources: koii.md A5 (rounds), A6 (how long an account keeps them), A7 (what changes when).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from indexer.networks.koii.state import LAST_SLOT, State

SLOT_SECONDS = 0.4  # nominal; measured on mainnet: 0.395
FIRST_PAYOUT = 2  # periods after a round in which it can be paid at the earliest, and older rounds dropped
FARTHEST = timedelta(days=36_500)  # from now: what lies beyond is no time of a slot


@dataclass(frozen=True)
class SlotClock:
    """The time of slots, from one slot whose time is known and the measured seconds per slot."""

    slot: int
    at: datetime
    seconds: float = SLOT_SECONDS

    def time(self, slot: int) -> datetime:
        """When `slot` was or will be, at most a hundred years from the known one."""
        away = timedelta(seconds=min(abs(slot - self.slot) * self.seconds, FARTHEST.total_seconds()))
        return self.at + away if slot >= self.slot else self.at - away

    @classmethod
    def unix(cls, slot: int, seconds_of_day: int, seconds: float = SLOT_SECONDS) -> "SlotClock":
        """From the Unix time of a slot."""
        return cls(slot, datetime.fromtimestamp(seconds_of_day, UTC), seconds)


@dataclass(frozen=True)
class Timing:
    """The times of a task, in slots. Hostile ones (a round of no slots) are None from `of`."""

    starting_slot: int
    round_time: int
    submission_window: int
    audit_window: int

    @classmethod
    def of(cls, static: Mapping[str, Any]) -> "Timing | None":
        """From static fields; None where they do not make sense."""
        values = [static.get(n) for n in ("starting_slot", "round_time", "submission_window", "audit_window")]
        if any(value is None or int(value) > LAST_SLOT for value in values) or not values[1]:
            return None
        return cls(*(int(value) for value in values))  # type: ignore[arg-type]

    def round(self, slot: int) -> int:
        """The round whose period `slot` lies in; negative before the task begins."""
        return (slot - self.starting_slot) // self.round_time

    def begin(self, period: int) -> int:
        """First slot of a period."""
        return self.starting_slot + period * self.round_time

    def submitted(self, round_: int) -> int:
        """Slot from which on nothing can be handed in for `round_`: that is done in the period after it."""
        return self.begin(round_ + 1) + self.submission_window


def status(static: Mapping[str, Any], total_bounty: int | None) -> str:
    """What has become of a task: migrated, inactive, depleted (less left than a round costs) or active."""
    if static.get("is_migrated"):
        return "migrated"
    if static.get("is_active") is False:
        return "inactive"
    cost = static.get("bounty_amount_per_round")
    return "depleted" if total_bounty is not None and cost is not None and total_bounty < cost else "active"


def no_stakes(state: State) -> bool:
    """Whether an empty map of stakes is proved by the total beside it."""
    return state.stakes == {} and state.total_stake_amount == 0


def without_empty(state: State) -> State:
    """A JSON answer's maps by staker without those whose `{}` may mean that the server left them out."""
    if no_stakes(state):
        return state
    for name in ("stakes", "balances", "ip_addresses"):
        if not getattr(state, name):
            setattr(state, name, None)
    return state


def missed(timing: Timing, before: int | None, slot: int, held: Iterable[int]) -> tuple[int, int] | None:
    """First and last round that ended after the read in slot `before` and are gone in `slot`; None: there is none.

    `before` None: nothing was read before, all rounds dropped so far count. `held`: rounds that the account holds
    submissions of. A round without a submission leaves no trace, so an old hole may also have been empty.
    """
    oldest = min(held, default=None)
    if oldest is None:
        return None
    first = 0
    if before is not None:
        first = max(0, (before - timing.submission_window - timing.starting_slot) // timing.round_time)
        while timing.submitted(first) <= before:
            first += 1
    last = min(oldest - 1, timing.round(slot) - FIRST_PAYOUT - 1)
    return (first, last) if first <= last else None
