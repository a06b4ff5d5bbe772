"""How a provider has done so far: how fast, how often it failed and with what."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from indexer.errors import TaskscanError, TooLarge

RECENT = 200  # posts over which latencies are taken
WEIGHT = 0.1  # of the newest post in the running means
LOGS = "eth_getLogs"


@dataclass
class Tally:
    """What adds up: JSON-RPC calls, bytes of answers, errors by kind."""

    calls: int = 0
    answer_bytes: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally", sign: int = 1) -> None:
        """Count what `other` counts, or with -1 take it off."""
        self.calls += sign * other.calls
        self.answer_bytes += sign * other.answer_bytes
        for kind, times in other.errors.items():
            self.errors[kind] += sign * times


@dataclass(frozen=True)
class Standing:
    """A row of the scoreboard: counts since they were last saved, latencies (milliseconds per post) of late.

    `distrusted`: what it was caught at, else None. Times are UTC.
    """

    provider: str
    since: Tally
    latency_mean_ms: float | None = None
    latency_p95_ms: float | None = None
    last_ok_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    distrusted: str | None = None


class Score:
    """Of one provider. `error_rate`: share of posts that failed of late, 0 to 1.

    Posts that ask for logs are measured apart from the others: they take as long as what is asked for is large, so
    only the others tell two providers apart.
    """

    def __init__(self, provider: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.provider = provider
        self.error_rate = 0.0
        self.measured_at = -math.inf
        self._clock = clock
        self._mean: dict[bool, float] = {}
        self._posts: dict[bool, deque[float]] = {True: deque(maxlen=RECENT), False: deque(maxlen=RECENT)}
        self._unsaved = Tally()
        self._ok_at: datetime | None = None
        self._error: tuple[str, datetime] | None = None

    @contextmanager
    def post(self, methods: Sequence[str]) -> Iterator[None]:
        """Measure one post of calls of `methods`; an error in the block counts as its failure, and passes."""
        began = self._clock()
        self._unsaved.calls += len(methods)
        try:
            yield
        except TaskscanError as error:
            self.note_error(error)
            self._fail(not isinstance(error, TooLarge))
            raise
        except asyncio.CancelledError:  # another provider was faster: at least that long it would have taken
            if (waited := self._clock() - began) > (self.seconds or 0.0):
                self._measure(LOGS in methods, waited)
            raise
        self.measured_at = self._clock()
        self._measure(LOGS in methods, self.measured_at - began)
        self._fail(False)
        self._ok_at = datetime.now(UTC)

    def note_bytes(self, size: int) -> None:
        """Count the bytes of an answer."""
        self._unsaved.answer_bytes += size

    def note_error(self, error: TaskscanError) -> None:
        """Count an error by its kind and remember its words, which hold no secret."""
        self._unsaved.errors[type(error).__name__] += 1
        self._error = str(error), datetime.now(UTC)

    @property
    def seconds(self) -> float | None:
        """What a post takes of late, in seconds; None before the first."""
        return self._mean.get(False, self._mean.get(True))

    def percentile(self, share: float) -> float | None:
        """Seconds within which this share of the recent posts without logs was answered; None before the first."""
        posts = sorted(self._posts[False] or self._posts[True])
        return posts[min(len(posts) - 1, int(share * len(posts)))] if posts else None

    def standing(self, distrusted: str | None = None) -> Standing:
        """The present state, for the scoreboard."""
        since = Tally()
        since.add(self._unsaved)
        posts = sorted([*self._posts[True], *self._posts[False]])
        mean = 1000 * sum(posts) / len(posts) if posts else None
        p95 = 1000 * posts[min(len(posts) - 1, int(0.95 * len(posts)))] if posts else None
        words, at = self._error or (None, None)
        return Standing(self.provider, since, mean, p95, self._ok_at, words, at, distrusted)

    def saved(self, standing: Standing) -> None:
        """The counts of `standing` are in the database: do not report them again."""
        self._unsaved.add(standing.since, -1)

    def _measure(self, logs: bool, seconds: float) -> None:
        self._posts[logs].append(seconds)
        before = self._mean.get(logs, seconds)
        self._mean[logs] = before + 2 * WEIGHT * (seconds - before)

    def _fail(self, failed: bool) -> None:
        self.error_rate += WEIGHT * (failed - self.error_rate)
