"""The providers of one chain: who is asked next, and who instead when that one fails, is slow or has lied."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from indexer.errors import (
    MalformedAnswer,
    RateLimited,
    ServerFault,
    TaskscanError,
    TimedOut,
    Unreachable,
    WrongChain,
)
from indexer.rpc.identify import check_chain
from indexer.rpc.retry import with_retries
from indexer.rpc.score import Standing
from indexer.rpc.transport import Provider

T = TypeVar("T")
FAILOVER = (Unreachable, TimedOut, ServerFault, RateLimited, MalformedAnswer)
LONGEST_REST = 60.0  # seconds that a failing provider is left alone, at most
PROBE_SECONDS = 30.0  # how long one request may take to show that a provider is well again
GONE = 3  # failures in a row after which even a distrusted provider is better
SLOWER = 2.0  # times the fastest one's latency: up to that providers take turns
ALIKE = 0.02  # seconds: a difference that small is none
LOOK_AGAIN = 30.0  # seconds after which a slow one is tried once more
ERRORS_COUNT = 4.0  # a provider whose posts all fail counts as this many times slower
HEDGE_SECONDS = (0.05, 1.0, 5.0)  # least, usual and longest wait before a second provider is asked
GRACE = 3.0  # seconds that providers have to tell their chain once one has

log = structlog.get_logger(__name__)


@dataclass
class _State:
    """Of one provider. `failures`: in a row. `admitted`: None while nobody has looked which chain it serves."""

    rests_until: float
    failures: int = 0
    probed_until: float = 0.0
    distrusted: str | None = None
    admitted: bool | None = None


class Pool:
    """Providers of one chain. The fast ones take turns; a failing one rests for 1, 2, 4 … 60 s, is then tried with one
    request alone, and before that is used only if all others rest, too. One that was caught lying comes last.

    `pick` once per range and keep to that provider: logs and headers of a range must come from one backend. Tell
    `worked` or `failed` how it went.
    """

    def __init__(self, providers: Iterable[Provider], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.providers = list(providers)
        if not self.providers:
            raise ValueError("a pool needs at least one provider")
        self._clock = clock
        self._states = [_State(clock()) for _ in self.providers]
        self._next = 0

    def pick(self, tried: Iterable[Provider] = (), *, trusted: bool = True) -> Provider:
        """The provider to ask next: one not in `tried`, trusted, not resting and not paused if there is one.

        With `trusted=False` it does not matter whether it was caught lying.
        """
        index = self._choose(list(tried), trusted)
        state = self._states[index]
        if state.failures:
            state.probed_until = self._clock() + PROBE_SECONDS
        self._next = (index + 1) % len(self.providers)
        return self.providers[index]

    def another(self, than: Collection[str], *, trusted: bool = True) -> Provider | None:
        """A trusted provider that is well and whose name is not in `than`, to confirm what those said; or None.

        With `trusted=False` it does not matter whether it was caught lying.
        """
        excluded = [provider for provider in self.providers if provider.name in than]
        if len(excluded) == len(self.providers):
            return None
        index = self._choose(excluded, trusted)
        return self.providers[index] if self._rank(index, excluded, trusted) == (False, 0, 0.0) else None

    async def run(self, do: Callable[[Provider], Awaitable[T]]) -> T:
        """`do` with one provider, and when one cannot be had, with another one, until each was tried. Raises the last
        error. `do` may ask others, too: who failed is whom the error names."""
        tried: list[Provider] = []
        while True:
            provider = self.pick(tried)
            try:
                result = await do(provider)
            except FAILOVER as error:
                culprit = self._named(error) or provider
                self.failed(culprit, error)
                tried.append(provider if culprit in tried else culprit)
                if len(tried) == len(self.providers):
                    raise
            else:
                self.worked(provider)
                return result

    async def hedged(
        self, do: Callable[[Provider], Awaitable[T]], first: Provider | None = None
    ) -> tuple[Provider, T]:  # fmt: skip
        """`run` for reads that must be fast, beginning with `first`: a second provider is asked, too, when the first
        has not answered within its 95th percentile. The first answer counts, with who gave it; the other request is
        cancelled, and its failure is none. `do` must change nothing."""
        tried: list[Provider] = []
        asked: dict[asyncio.Future[T], Provider] = {}
        try:
            while True:
                if not asked or self._second_is_well(tried):
                    tried.append(first if first and not tried else self.pick(tried))
                    asked[asyncio.ensure_future(do(tried[-1]))] = tried[-1]
                patience = _patience(tried[-1]) if len(asked) == 1 and self._second_is_well(tried) else None
                done, _ = await asyncio.wait(asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    provider = asked.pop(task)
                    try:
                        result = task.result()
                    except TaskscanError as error:
                        elsewhere = isinstance(error, FAILOVER) and len(tried) < len(self.providers)
                        if isinstance(error, FAILOVER):
                            self.failed(provider, error)
                        if not asked and not elsewhere:
                            raise
                    else:
                        self.worked(provider)
                        return provider, result
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def admit(self, chain_id: int) -> None:
        """Ask the providers that have not told yet which chain they serve; call it again from time to time.

        Raises WrongChain for one of another chain, and the last error when none answers. Once one has been admitted
        it raises nothing: who does not answer is asked again later, and a provider of another chain is never used.
        """
        first = not any(state.admitted for state in self._states)
        new = [n for n, s in enumerate(self._states) if s.admitted is None and (first or not self._unwell_for(n))]
        tasks = {asyncio.ensure_future(self._look(n, chain_id, 6 if first else 1)): n for n in new}
        try:
            await self._some(tasks, first)
            done = [task for task in tasks if task.done()]
            for task, index in tasks.items():
                late = TimedOut(provider=self.providers[index].name, seconds=GRACE)
                self._judge(index, task.exception() if task in done else late, first)
            if not any(state.admitted for state in self._states):
                await next(task for task in done if task.exception())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def distrust(self, provider: Provider | str, reason: str) -> None:
        """`provider` was caught at `reason`: pick it only when there is no other."""
        name = provider if isinstance(provider, str) else provider.name
        for one, state in zip(self.providers, self._states, strict=True):
            if one.name == name:
                state.distrusted = reason

    def trusts(self, provider: Provider) -> bool:
        """Whether `provider` has not been caught lying."""
        return self._states[self.providers.index(provider)].distrusted is None

    def is_well(self, provider: Provider) -> bool:
        """Whether `provider` neither rests after a failure nor waits for its rate limit."""
        return self._unwell_for(self.providers.index(provider)) == 0.0

    def failed(self, provider: Provider, error: TaskscanError) -> None:
        """Let `provider` rest, the longer the more often it failed in a row. A rate limit is no fault of its."""
        if isinstance(error, RateLimited):
            return
        state = self._states[self.providers.index(provider)]
        rest = min(2.0**state.failures, LONGEST_REST)
        state.failures += 1
        state.rests_until, state.probed_until = self._clock() + rest, 0.0
        log.debug("provider rests", action="provider_rests", provider=provider.name, error=str(error), seconds=rest)

    def worked(self, provider: Provider) -> None:
        """`provider` is well again."""
        state = self._states[self.providers.index(provider)]
        state.failures, state.rests_until = 0, self._clock()

    def snapshot(self) -> list[Standing]:
        """How the providers have done, for `store.providers.note`; tell `saved` when it is written."""
        both = zip(self.providers, self._states, strict=True)
        return [provider.score.standing(state.distrusted) for provider, state in both]

    def saved(self, standings: Iterable[Standing]) -> None:
        """What `snapshot` gave is in the database."""
        for provider, standing in zip(self.providers, standings, strict=True):
            provider.score.saved(standing)

    async def close(self) -> None:
        """Close all connections."""
        for provider in self.providers:
            await provider.disconnect()

    def _named(self, error: TaskscanError) -> Provider | None:
        """The provider whose fault it was: what was done may have asked others, too."""
        return next((one for one in self.providers if one.name == error.facts.get("provider")), None)

    def _choose(self, tried: list[Provider], trusted: bool) -> int:
        order = [(self._next + step) % len(self.providers) for step in range(len(self.providers))]
        ranks = {n: self._rank(n, tried, trusted) for n in order}
        equal = [n for n in order if ranks[n] == min(ranks.values())]
        fastest = min(self._cost(n) for n in equal)
        enough = max(SLOWER * fastest, fastest + ALIKE)
        return next(n for n in equal if self._cost(n) <= enough or self._due(n))

    def _rank(self, index: int, tried: list[Provider], trusted: bool) -> tuple[bool, int, float]:
        """Lower is better: not tried; then trusted, distrusted, gone, not admitted; then the shortest wait."""
        state, unwell = self._states[index], self._unwell_for(index)
        gone = state.failures >= GONE and unwell > 0
        level = 1 if trusted and state.distrusted is not None else 0
        level = 2 if gone else level
        level = 3 if state.admitted is None and any(other.admitted for other in self._states) else level
        return self.providers[index] in tried, 4 if state.admitted is False else level, unwell

    def _cost(self, index: int) -> float:
        score = self.providers[index].score
        return (score.seconds or 0.0) * (1 + ERRORS_COUNT * score.error_rate)

    def _due(self, index: int) -> bool:
        """Whether it should be looked at again although it was slow."""
        provider = self.providers[index]
        return self._states[index].failures > 0 or self._clock() - provider.score.measured_at > LOOK_AGAIN

    def _unwell_for(self, index: int) -> float:
        state, now = self._states[index], self._clock()
        resting = max(state.rests_until, state.probed_until if state.failures else 0.0) - now
        return max(0.0, resting, self.providers[index].throttle.paused_for)

    def _second_is_well(self, tried: list[Provider]) -> bool:
        if len(tried) == len(self.providers):
            return False
        return self._rank(self._choose(tried, trusted=True), tried, trusted=True) == (False, 0, 0.0)

    async def _look(self, index: int, chain_id: int, attempts: int) -> None:
        await with_retries(lambda: check_chain(self.providers[index], chain_id), attempts=attempts)

    async def _some(self, tasks: Collection[asyncio.Future[None]], first: bool) -> None:
        """Wait for the first good answer, or the end of all, and then a little for the others."""
        waiting = set(tasks)
        while first and waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(not task.exception() for task in done):
                break
        if waiting:
            await asyncio.wait(waiting, timeout=GRACE)

    def _judge(self, index: int, error: BaseException | None, first: bool) -> None:
        provider = self.providers[index]
        if error is None:
            self._states[index].admitted = True
            self.worked(provider)
        elif isinstance(error, WrongChain) and not first:
            self._states[index].admitted = False
            log.error("provider refused", action="provider_refused", provider=provider.name, error=str(error))
        elif isinstance(error, TaskscanError) and not isinstance(error, WrongChain):
            self.failed(provider, error)
        else:
            raise error


def _patience(provider: Provider) -> float:
    least, usual, longest = HEDGE_SECONDS
    return min(max(provider.score.percentile(0.95) or usual, least), longest)
