"""How often somebody may ask: token buckets by name."""

import math
import time
from collections.abc import Callable

from indexer.errors import TaskRefused

MOST_NAMES = 10_000  # that are remembered; the fullest buckets are forgotten first, which forgives nobody


class Quota:
    """`rate` per second in the long run, `burst` at once, for each name."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # name -> what is left, as of when

    def check(self, name: str) -> None:
        """Raise TaskRefused (429) when nothing is left for `name`."""
        if (left := self._left(name)) < 1:
            wait = math.ceil((1 - left) / self._rate)
            raise TaskRefused(
                f"Too many requests: wait {wait} s.", kind="too-many-requests", status=429, retry_after=wait
            )  # fmt: skip

    def take(self, name: str, amount: int = 1) -> None:
        """Charge `name`; it may go below nothing once, and then waits longer. Raises TaskRefused (429)."""
        self.check(name)
        self._buckets[name] = (self._left(name) - amount, self._clock())
        if len(self._buckets) > MOST_NAMES:
            self._forget()

    def _left(self, name: str) -> float:
        left, since = self._buckets.get(name, (self._burst, self._clock()))
        return min(self._burst, left + (self._clock() - since) * self._rate)

    def _forget(self) -> None:
        fullest = sorted(self._buckets, key=self._left, reverse=True)
        for name in fullest[: len(fullest) // 2]:
            del self._buckets[name]
