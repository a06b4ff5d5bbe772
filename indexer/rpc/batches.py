"""Any number of JSON-RPC calls in as few posts as a provider takes."""

import asyncio
from collections.abc import Sequence

from indexer.errors import Inconsistent, TooLarge, Transient
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Item, Provider
from indexer.rpc.types import Call

ROUNDS = 6  # in which calls that failed alone are asked again
FIRST_PAUSE = 0.1  # seconds, doubled by each further round


async def in_batches(provider: Provider, calls: Sequence[Call]) -> list[Item]:
    """One result or error for each of `calls`, in order. What a provider finds too large is asked in smaller posts.

    Calls that fail for a passing reason, as behind a backend that lags, are asked again, without the others. Raises
    Transient errors that concern a whole post, and TooLarge where a call alone is too large.
    """
    found = await in_posts(provider, calls)
    for step in range(ROUNDS):
        failed = [n for n, item in enumerate(found) if isinstance(item, Transient | Inconsistent)]
        if not failed:
            break
        await asyncio.sleep(FIRST_PAUSE * 2**step)
        for n, item in zip(failed, await in_posts(provider, [calls[n] for n in failed]), strict=True):
            found[n] = item
    return found


async def in_posts(provider: Provider, calls: Sequence[Call]) -> list[Item]:
    """The same, but what a call failed for stands in its place."""
    found: list[Item] = []
    most = len(calls)
    while len(found) < len(calls):
        part = calls[len(found) : len(found) + max(1, min(most, provider.max_batch))]
        try:
            found += await with_retries(lambda part=part: provider.batch(part))  # type: ignore[misc]
        except TooLarge:
            if len(part) == 1:
                raise
            most = len(part) // 2
    return found
