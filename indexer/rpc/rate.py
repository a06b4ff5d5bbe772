"""How fast one provider may be asked, shared by everybody who asks it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from indexer.errors import RateLimited

DEFAULT_PAUSE = 0.25  # seconds, after a 429 that names no time


class Throttle:
    """A leaky bucket of `max_rps` JSON-RPC calls per second (None: no limit) and a pause that binds all callers.

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
        self._free_at = self._paused_until = clock()

    async def take(self, calls: int) -> None:
        """Return when `calls` more calls may be sent. Callers are served in the order in which they came."""
        self._check_patience()
        async with self._turn:
            while (wait := max(self._free_at, self._paused_until) - self._clock()) > 0:
                self._check_patience()
                await self._sleep(wait)
            if self._max_rps:
                self._free_at = self._clock() + calls / self._max_rps

    def pause(self, seconds: float | None) -> None:
        """Nobody asks before `seconds` are over (None: a quarter of one)."""
        wanted = DEFAULT_PAUSE if seconds is None else seconds
        self._paused_until = max(self._paused_until, self._clock() + wanted)

    @property
    def paused_for(self) -> float:
        """Seconds until the pause ends; 0 when there is none."""
        return max(0.0, self._paused_until - self._clock())

    def _check_patience(self) -> None:
        if (left := self.paused_for) > self._patience:
            raise RateLimited(f"it asked for a pause, {left:.0f} s are left", retry_after=left, provider=self._provider)
