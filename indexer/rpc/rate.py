"""How fast one provider may be asked, shared by everybody who asks it."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from indexer.errors import RateLimited

DEFAULT_PAUSE = 0.25  # seconds, after a 429 that names no time
WINDOW = 5.0  # seconds over which the rate of asking is measured
LOWEST = 10.0  # calls per second: below that pauses do the work, and a chance refusal must not cost minutes
GROWTH = 0.2  # of the rate at which it complained, added per second of asking
POSTS, CHANCE = 50, 5  # of so many posts so many may be refused without that being the sign of a limit
BETWEEN = 1.0  # seconds: refusals closer together are one and the same
RELEASED = 4.0  # times the rate at which it complained: then that was long ago


class Throttle:
    """A leaky bucket of JSON-RPC calls per second and a pause that binds all callers.

    `max_rps` is never exceeded (None: no such limit). When the provider refuses more than five of the last fifty posts
    (`limited`) the rate is halved, and while it is asked it grows slowly (additive increase, multiplicative decrease).
    `patience`: seconds. Whoever would have to wait longer for the end of a pause gets RateLimited at once, so that
    another provider can be asked meanwhile.
    """

    def __init__(
        self,
        provider: str,
        max_rps: float | None = None,
        patience: float = 30.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider, self._max_rps, self._patience = provider, max_rps, patience
        self._clock, self._sleep = clock, sleep
        self._turn = asyncio.Lock()
        self._free_at = self._paused_until = self._grown_at = clock()
        self._halved_at = clock() - BETWEEN
        self._learnt: float | None = None  # calls per second
        self._complained = 0.0  # calls per second at which it did
        self._charged = 0.0  # seconds that the last calls have to last
        self._sent: deque[tuple[float, int]] = deque()
        self._posts = 0
        self._refused: deque[int] = deque(maxlen=POSTS)

    @property
    def rate(self) -> float | None:
        """Calls per second that may be sent now; None: any number."""
        limits = [limit for limit in (self._max_rps, self._learnt) if limit is not None]
        return min(limits, default=None)

    async def take(self, calls: int) -> None:
        """Return when `calls` more calls may be sent. Callers are served in the order in which they came."""
        self._check_patience()
        async with self._turn:
            while (wait := max(self._free_at, self._paused_until) - self._clock()) > 0:
                self._check_patience()
                await self._sleep(wait)
            self._grow()
            self._posts += 1
            self._sent.append((self._clock(), calls))
            if rate := self.rate:
                self._charged = calls / rate
                self._free_at = self._clock() + self._charged

    def pause(self, seconds: float | None) -> None:
        """Nobody asks before `seconds` are over (None: a quarter of one)."""
        wanted = DEFAULT_PAUSE if seconds is None else seconds
        self._paused_until = max(self._paused_until, self._clock() + wanted)

    def limited(self, retry_after: float | None) -> None:
        """The provider says that it is asked too fast: pause, and if that comes often go on at half the rate."""
        now = self._clock()
        if self._posts not in self._refused:  # each call of a batch may complain
            self._refused.append(self._posts)
        often = sum(post > self._posts - POSTS for post in self._refused) > CHANCE
        if often and now - self._halved_at >= BETWEEN and now >= self._paused_until:
            self._halved_at = self._grown_at = now
            asked = self._rate_of_late(now)
            self._complained = min(asked, self.rate or asked)
            self._learnt = max(LOWEST, self._complained / 2)
        self.pause(retry_after)

    @property
    def paused_for(self) -> float:
        """Seconds until the pause ends; 0 when there is none."""
        return max(0.0, self._paused_until - self._clock())

    def _rate_of_late(self, now: float) -> float:
        span = now - self._sent[0][0] if self._sent else 0.0
        return sum(calls for _, calls in self._sent) / max(span, 1.0)

    def _forget(self, now: float) -> None:
        while self._sent and now - self._sent[0][0] > WINDOW:
            self._sent.popleft()

    def _grow(self) -> None:
        now = self._clock()
        self._forget(now)
        if self._learnt is not None:
            asking = min(now - self._grown_at, max(1.0, self._charged))  # while nobody asks nothing is learnt
            self._learnt += max(LOWEST / 2, GROWTH * self._complained) * asking
            if self._learnt > RELEASED * max(self._complained, LOWEST):
                self._learnt = None
        self._grown_at = now

    def _check_patience(self) -> None:
        if (left := self.paused_for) > self._patience:
            raise RateLimited(f"it asked for a pause, {left:.0f} s are left", retry_after=left, provider=self._provider)
