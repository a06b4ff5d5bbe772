"""The providers of one chain: who is asked next, and who instead when that one fails."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog

from indexer.errors import RateLimited, ServerFault, TaskscanError, TimedOut, Unreachable
from indexer.rpc.transport import Provider

T = TypeVar("T")
FAILOVER = (Unreachable, TimedOut, ServerFault, RateLimited)
LONGEST_REST = 60.0  # seconds that a failing provider is left alone, at most

log = structlog.get_logger(__name__)


class Pool:
    """Providers of one chain, taken in turn. A failing one rests for 1, 2, 4 … 60 s and is used only if all do.

    `pick` once per range and keep to that provider: logs and headers of a range must come from one backend.
    """

    def __init__(self, providers: Iterable[Provider], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.providers = list(providers)
        if not self.providers:
            raise ValueError("a pool needs at least one provider")
        self._clock = clock
        self._failures = [0] * len(self.providers)
        self._rests_until = [clock()] * len(self.providers)
        self._next = 0

    def pick(self, tried: Iterable[Provider] = ()) -> Provider:
        """The provider to ask next: one not in `tried`, not resting and not paused if there is one."""
        tried = list(tried)
        order = [(self._next + step) % len(self.providers) for step in range(len(self.providers))]
        chosen = min(order, key=lambda index: (self.providers[index] in tried, self._unwell_for(index)))
        self._next = (chosen + 1) % len(self.providers)
        return self.providers[chosen]

    async def run(self, do: Callable[[Provider], Awaitable[T]]) -> T:
        """`do` with one provider, and when that one cannot be had, with each other one once. Raises the last error."""
        tried: list[Provider] = []
        while True:
            provider = self.pick(tried)
            try:
                result = await do(provider)
            except FAILOVER as error:
                self.failed(provider, error)
                tried.append(provider)
                if len(tried) == len(self.providers):
                    raise
            else:
                self.worked(provider)
                return result

    def failed(self, provider: Provider, error: TaskscanError) -> None:
        """Let `provider` rest, the longer the more often it failed in a row. A rate limit is no fault of its."""
        if isinstance(error, RateLimited):
            return
        index = self.providers.index(provider)
        rest = min(2.0 ** self._failures[index], LONGEST_REST)
        self._failures[index] += 1
        self._rests_until[index] = self._clock() + rest
        log.debug("provider rests", action="provider_rests", provider=provider.name, error=str(error), seconds=rest)

    def worked(self, provider: Provider) -> None:
        """`provider` is well again."""
        index = self.providers.index(provider)
        self._failures[index], self._rests_until[index] = 0, self._clock()

    async def close(self) -> None:
        """Close all connections."""
        for provider in self.providers:
            await provider.disconnect()

    def _unwell_for(self, index: int) -> float:
        resting = self._rests_until[index] - self._clock()
        return max(0.0, resting, self.providers[index].throttle.paused_for)
