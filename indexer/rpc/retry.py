"""Do it again, but only what another try can mend."""

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from indexer.errors import RateLimited, TaskscanError, Transient

T = TypeVar("T")
FIRST_WAIT = 0.25  # seconds, doubled by each further try
LONGEST_WAIT = 15.0  # seconds

log = structlog.get_logger(__name__)


async def with_retries(
    do: Callable[[], Awaitable[T]],
    *,
    attempts: int = 6,
    budget_seconds: float = 60.0,
    errors: tuple[type[TaskscanError], ...] = (Transient,),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    random: Callable[[], float] = randomness.random,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call `do` until it succeeds, at most `attempts` times and never waiting past `budget_seconds` from now.

    Only `errors` are tried again, after an exponential wait with full jitter, or after the provider's own
    `retry_after` plus jitter. All others pass at once; at the end the last error does, and no call around this one
    tries it again: however deep calls are nested, one question is asked `attempts` times.
    """
    deadline = clock() + budget_seconds
    for attempt in range(1, attempts + 1):
        try:
            return await do()
        except errors as error:
            wait = _wait(error, attempt, random())
            if error.outlasted or attempt == attempts or clock() + wait > deadline:
                error.outlasted |= attempt > 1
                raise
            log.debug("retry", action="retry", error=str(error), attempt=attempt, wait_seconds=round(wait, 3))
        await sleep(wait)
    raise ValueError("attempts must be at least 1")


def _wait(error: TaskscanError, attempt: int, chance: float) -> float:
    asked = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 0.0
    jitter: float = chance * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    return asked + jitter
