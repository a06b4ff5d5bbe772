"""Any number of JSON-RPC calls in as few posts as a provider takes."""

import asyncio
from collections.abc import Sequence

from indexer.errors import Inconsistent, TooLarge, Transient
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Item, Provider
from indexer.rpc.types import Call

ROUNDS = 6  # in which calls that failed alone are asked again
FIRST_PAUSE = 0.1  # seconds, doubled by each further round

Bound = tuple[Item, Sequence[Item]]
"""The answer to a call, and the answers that came in the same post to the calls that bind it."""


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
    return [item for item, _ in await posts(provider, calls)]


async def posts(provider: Provider, calls: Sequence[Call], others: Sequence[Call] = ()) -> list[Bound]:
    """The answer to each of `calls`, with those to `others` of the same post: every post ends with them, so that one
    backend gives both. Where the provider takes no batches they follow each call, which binds nothing.

    Raises as `in_batches`.
    """
    found: list[Bound] = []
    most = len(calls)
    while len(found) < len(calls):
        longest = provider.max_batch
        part = calls[len(found) : len(found) + max(1, min(most, longest - len(others)))]
        try:
            found += await with_retries(lambda part=part: one_post(provider, part, others))  # type: ignore[misc]
        except TooLarge:
            if len(part) == 1 and provider.max_batch == longest:
                raise
            most = max(1, len(part) // 2)
    return found


async def one_post(provider: Provider, calls: Sequence[Call], others: Sequence[Call] = ()) -> list[Bound]:
    """The same in a single post, or in one for each call where the provider takes no batches.

    Raises TooLarge(batch=True) where that post is longer than the provider takes.
    """
    asked = [*calls, *others]
    together = [asked] if provider.max_batch > 1 else [[call] for call in asked]
    items = [item for part in together for item in await provider.batch(part)]
    return [(item, items[len(calls) :]) for item in items[: len(calls)]]
