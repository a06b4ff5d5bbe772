"""When to look at the head: at once when a subscription tells of a block, else when the next one should be there."""

import time
from collections.abc import Callable

import structlog

from indexer.rpc.types import Header

log = structlog.get_logger(__name__)

FIRST_REST, LONGEST_REST = 0.5, 15.0  # seconds after a failure, doubled by each further one in a row
LEAST, MOST = 0.25, 5.0  # seconds between two polls
SLOWEST = 60.0  # seconds per block: a chain that stood still for a day has no pace, and is not left alone for days
RETRIES = 8  # polls in the time of one block, once that is overdue
SILENT = 3.0  # a subscription is believed for this many block times after its last word, and `MOST` seconds more


class Wake:
    """For one chain. `told`: the newest header that a subscription has told and nobody has looked at yet."""

    def __init__(self, least: float = LEAST, clock: Callable[[], float] = time.time) -> None:
        self._least, self._clock = least, clock
        self._polled_at = self._heard_at = 0.0
        self._expected_at = self._rests_until = 0.0
        self._failures = 0
        self._silent = True  # nobody has told anything yet
        self.told: Header | None = None

    def hear(self, header: Header) -> None:
        """A subscription told of `header`. Older ones come after newer ones when providers differ."""
        self._heard_at, self._silent = self._clock(), False
        if self.told is None or int(header.number, 16) >= int(self.told.number, 16):
            self.told = header

    def due(self, pace: float) -> bool:
        """Whether to poll now; `pace`: seconds per block."""
        now, pace = self._clock(), min(pace, SLOWEST)
        if now < max(self._polled_at, self._heard_at):
            self._start_again(max(self._polled_at, self._heard_at) - now)
        if now < self._rests_until:
            return False
        if self.told:
            return True
        if now - self._heard_at < SILENT * pace + MOST:
            return False
        if not self._silent:
            self._silent = True
            log.info("subscription silent", action="subscription_silent", seconds=round(now - self._heard_at))
        every = min(max(pace / RETRIES, self._least), MOST)
        return now - self._polled_at >= every and now >= min(self._expected_at, self._polled_at + pace + MOST)

    def _start_again(self, seconds: float) -> None:
        """The clock of this machine went back: what was to be done at a time of the old one may never come."""
        log.warning("clock went back", action="clock_went_back", seconds=round(seconds))
        self._polled_at = self._heard_at = self._expected_at = self._rests_until = 0.0
        self._silent = True

    def take(self) -> Header | None:
        """What a subscription told, to be looked at now."""
        self._polled_at, told, self.told = self._clock(), self.told, None
        return told

    def failed(self) -> None:
        """What was to be done did not work: rest a while, longer each time."""
        self._rests_until = self._clock() + min(FIRST_REST * 2**self._failures, LONGEST_REST)
        self._failures += 1

    def saw(self, newest: Header, pace: float, *, wall: bool) -> None:
        """The newest block is `newest`. `wall`: its time is that of our clock, so that the next one can be expected."""
        self._failures = 0
        age = self._clock() - int(newest.timestamp, 16)
        known = wall and 0 <= age < MOST + 2 * pace
        self._expected_at = int(newest.timestamp, 16) + pace if known else 0.0
