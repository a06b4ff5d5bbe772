"""The database seen from the event loop: one thread that runs transactions, one after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from indexer.store.database import driver, in_words

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Runs functions of a connection as transactions on a thread of its own, so that COPY overlaps fetching."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._running: psycopg.Connection | None = None

    async def run(
        self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:  # fmt: skip
        """`do(connection, *args)` in a transaction. Raises DatabaseDown or DatabaseRefused."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._run(do, *args, **kwargs))

    def _run(self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with in_words(self.engine), self.engine.begin() as connection:
            self._running = driver(connection)
            try:
                return do(connection, *args, **kwargs)
            finally:
                self._running = None

    def close(self) -> None:
        """Cancel what is running, wait for its rollback, and give the connections back."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if running := self._running:
            running.cancel_safe(timeout=2)
        self._thread.shutdown(wait=True)
        self.engine.dispose()
