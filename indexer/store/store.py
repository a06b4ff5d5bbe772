"""The database seen from the event loop: one thread that runs transactions, one after the other, and one for folds."""

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from indexer.errors import GivenUp
from indexer.store.database import driver, in_words

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 3  # of a transaction that PostgreSQL undoes so that another one, which waits for it, can go on

log = structlog.get_logger(__name__)


class Store:
    """Runs functions of a connection as transactions on a thread of its own, so that COPY overlaps fetching."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._second = ThreadPoolExecutor(1, thread_name_prefix="fold")
        self._running: list[psycopg.Connection] = []
        self._check: Callable[[sa.Connection], None] | None = None

    def guarded(self, check: Callable[[sa.Connection], None]) -> "Store":
        """The same store, thread included, whose transactions begin with `check(connection)`: see `Lease.check`."""
        twin = copy.copy(self)
        twin._check = check
        return twin

    async def run(
        self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:  # fmt: skip
        """`do(connection, *args)` in a transaction, again where PostgreSQL gives it up. Raises DatabaseDown,
        DatabaseRefused, or GivenUp where that goes on."""
        return await _on(self._thread, lambda: self._run(do, *args, **kwargs))

    async def beside(
        self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:  # fmt: skip
        """The same on a second thread, for what takes long and must not keep writers waiting: folds of a backfill."""
        return await _on(self._second, lambda: self._run(do, *args, **kwargs))

    def _run(self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(TRIES - 1):
            try:
                return self._once(do, *args, **kwargs)
            except GivenUp as error:
                log.info("transaction again", action="transaction_again", error=str(error))
        return self._once(do, *args, **kwargs)

    def _once(self, do: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with in_words(self.engine), self.engine.begin() as connection:
            own = driver(connection)
            self._running.append(own)
            try:
                if self._check:
                    self._check(connection)
                return do(connection, *args, **kwargs)
            finally:
                self._running.remove(own)

    def close(self) -> None:
        """Cancel what is running, wait for its rollback, and give the connections back."""
        for thread in (self._thread, self._second):
            thread.shutdown(wait=False, cancel_futures=True)
        for running in tuple(self._running):
            running.cancel_safe(timeout=2)
        for thread in (self._thread, self._second):
            thread.shutdown(wait=True)
        self.engine.dispose()


async def _on(thread: ThreadPoolExecutor, do: Callable[[], T]) -> T:
    """`do()` on `thread`. Once that is shut down the whole job ends, and so does whoever still asks."""
    try:
        future = asyncio.get_running_loop().run_in_executor(thread, do)
    except RuntimeError:
        raise asyncio.CancelledError("the store is closed") from None
    return await future
