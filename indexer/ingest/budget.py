"""A bound on the bytes that readers hold between asking a provider and writing to the database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Budget:
    """`limit` bytes, shared by all readers of a process. First come, first served.

    Whoever asks for more than the limit is served when nobody else holds anything, so nobody waits for ever. An
    answer that turns out larger than expected is counted as what it is: it is there already, but the others wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._turn = asyncio.Lock()
        self._less = asyncio.Event()

    @asynccontextmanager
    async def hold(self, expected: int) -> AsyncIterator[Callable[[int], None]]:
        """Wait until `expected` bytes are to be had and hold them; call the result with what it really is."""
        async with self._turn:
            while self.held and self.held + expected > self.limit:
                self._less.clear()
                await self._less.wait()
            self.held += expected
        mine = expected

        def becomes(size: int) -> None:
            nonlocal mine
            self.held += size - mine
            mine = size
            self._less.set()

        try:
            yield becomes
        finally:
            becomes(0)
