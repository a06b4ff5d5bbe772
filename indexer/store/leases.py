"""One writer per chain: a second process waits, and one that was replaced without knowing it writes nothing more.

Two things work together. A session-level advisory lock tells who is alive: PostgreSQL frees it when the holder's
connection ends, at once after `kill -9`, within `LEASE_SECONDS` when its host is gone. The epoch in `chain.leases`
tells who may write: each new holder raises it, which waits for transactions that hold the old one, and every
transaction of a writer begins with `Lease.check`, so that none can begin afterwards under the old one.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine

from indexer.errors import LeaseLost, TaskscanError
from indexer.store.database import in_words
from schema.chain import leases

BEAT_SECONDS = 2.0  # between two looks at the connection that holds the lock
WAIT_SECONDS = 1.0  # between two tries of who waits
KEEPALIVE = {"idle": 5, "interval": 2, "count": 3}  # seconds, seconds, times: how long a dead host is waited for
LEASE_SECONDS = KEEPALIVE["idle"] + KEEPALIVE["interval"] * KEEPALIVE["count"]
TO_SERVER = {"keepalives": 1} | {f"keepalives_{name}": value for name, value in KEEPALIVE.items()}
OF_SERVER = " ".join(f"-c tcp_keepalives_{name}={value}" for name, value in KEEPALIVE.items())

log = structlog.get_logger(__name__)


class Lease:
    """The right to write chain `chain_id`. Needs a connection of its own, not one that a pooler shares between
    transactions. `lost` is set when the connection broke: acquire again before going on."""

    def __init__(self, engine: Engine, chain_id: int) -> None:
        self.chain_id = chain_id
        self.lost = asyncio.Event()
        self._engine = sa.create_engine(
            engine.url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={
                "connect_timeout": 10,
                "application_name": f"taskscan lease of chain {chain_id}",
                "options": f"-c timezone=UTC {OF_SERVER}",
                **TO_SERVER,
            },
        )
        self._connection: Connection | None = None
        self._epoch: int | None = None
        self._beat: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = threading.Lock()

    async def acquire(self, on_wait: Callable[[str], None] = lambda text: None) -> None:
        """Wait until no other process holds it. `on_wait` is told once, in words, who does.

        Raises DatabaseDown or DatabaseRefused.
        """
        await self.release()
        self._loop, told = asyncio.get_running_loop(), False
        while not await asyncio.to_thread(self._try):
            if not told:
                told = True
                on_wait(f"waiting: {await asyncio.to_thread(self._holder)} writes this chain")
            await asyncio.sleep(WAIT_SECONDS)
        self.lost.clear()
        self._beat = asyncio.create_task(self._watch())

    async def release(self) -> None:
        """Let others have it. Nothing happens when it is not held."""
        if self._beat:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
            self._beat = None
        await asyncio.to_thread(self._close)

    def check(self, connection: sa.Connection) -> None:
        """Begin a transaction that writes the chain: nobody else may before it ends. Raises LeaseLost."""
        mine = sa.select(leases.c.epoch, leases.c.holder).where(leases.c.chain_id == self.chain_id)
        row = connection.execute(mine.with_for_update(read=True)).one_or_none()
        if row is None or row.epoch != self._epoch:
            if self._loop:
                self._loop.call_soon_threadsafe(self.lost.set)
            raise LeaseLost(holder=row.holder if row else "nobody yet", chain_id=self.chain_id)

    def _try(self) -> bool:
        """Take the lock if it is free, and then the next epoch."""
        with self._turn, in_words(self._engine):
            if self._connection is None:
                self._connection = self._engine.connect()
            try:
                if not self._connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_key(self.chain_id)))):
                    return False
                new = insert(leases).values(chain_id=self.chain_id, epoch=1, holder=_me())
                next_one = {"epoch": leases.c.epoch + 1, "holder": _me(), "since": sa.func.now()}
                taken = new.on_conflict_do_update(index_elements=[leases.c.chain_id], set_=next_one)
                self._epoch = self._connection.execute(taken.returning(leases.c.epoch)).scalar_one()
            except BaseException:
                self._drop()
                raise
            return True

    def _holder(self) -> str:
        with self._turn, in_words(self._engine):
            if self._connection is None:
                return "another process"
            holder = sa.select(leases.c.holder).where(leases.c.chain_id == self.chain_id)
            return self._connection.scalar(holder) or "another process"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await asyncio.to_thread(self._look)
            except TaskscanError as error:
                log.warning("lease lost", action="lease_lost", chain_id=self.chain_id, error=str(error))
                self.lost.set()
                return

    def _look(self) -> None:
        with self._turn, in_words(self._engine):
            if self._connection is not None:
                self._connection.scalar(sa.select(1))

    def _close(self) -> None:
        with self._turn:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection, self._epoch = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is broken already; the server frees the lock by itself
                connection.close()


def _key(chain_id: int) -> int:
    return int.from_bytes(
        hashlib.blake2b(b"taskscan lease of chain %d" % chain_id, digest_size=8).digest(), signed=True
    )


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
