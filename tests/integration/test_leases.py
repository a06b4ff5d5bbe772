"""One writer per chain: leases in one process, between processes, and after kill -9 of the holder."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from indexer.errors import LeaseLost
from indexer.store import database as db
from indexer.store.leases import BEAT_SECONDS, LEASE_SECONDS, Lease
from indexer.store.store import Store
from tests.support import addresses, assert_same_logs, needs_recordings, replay, toml_for

CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name LIKE 'taskscan lease%' AND datname = current_database()"
)


@pytest.fixture
def engine(migrated: str) -> Iterator[Engine]:
    made = db.engine(migrated)
    yield made
    made.dispose()


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def cut(url: str) -> None:
    """End every connection that holds a lease, as a restart of the server or a broken network does."""
    ask(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'taskscan lease%' AND datname = current_database()",
    )


async def test_the_second_waits_is_told_who_holds_it_and_gets_it_next(engine: Engine, migrated: str) -> None:
    first, second = Lease(engine, 5), Lease(engine, 5)
    await first.acquire()
    told: list[str] = []
    waiting = asyncio.create_task(second.acquire(told.append))
    await asyncio.sleep(2.5)
    assert not waiting.done()
    ((holder, epoch),) = ask(migrated, "SELECT holder, epoch FROM chain.leases WHERE chain_id = 5")
    assert told == [f"waiting: {holder} writes this chain"]
    other = Lease(engine, 6)
    await asyncio.wait_for(other.acquire(), 5)
    await first.release()
    await asyncio.wait_for(waiting, 5)
    assert ask(migrated, "SELECT epoch FROM chain.leases WHERE chain_id = 5") == [(epoch + 1,)]
    assert not second.lost.is_set()
    for lease in (first, second, other):
        await lease.release()


async def test_who_was_replaced_writes_nothing_even_if_it_knows_nothing(engine: Engine, migrated: str) -> None:
    store = Store(engine)
    first, second = Lease(engine, 5), Lease(engine, 5)
    await first.acquire()
    mine = store.guarded(first.check)

    def write(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE public.written ()"))

    cut(migrated)
    await asyncio.wait_for(second.acquire(), 5)
    with pytest.raises(LeaseLost, match=r"\(process \d+ on .+\) writes chain 5 now"):
        await mine.run(write)
    assert ask(migrated, "SELECT to_regclass('public.written')") == [(None,)]
    await store.guarded(second.check).run(write)
    assert ask(migrated, "SELECT to_regclass('public.written') IS NOT NULL") == [(True,)]
    await asyncio.sleep(0)
    assert first.lost.is_set()
    for lease in (first, second):
        await lease.release()
    store.close()


async def test_a_new_holder_waits_for_what_the_old_one_is_writing(engine: Engine, migrated: str) -> None:
    first, second = Lease(engine, 5), Lease(engine, 5)
    await first.acquire()
    with engine.connect() as writer:
        transaction = writer.begin()
        first.check(writer)
        cut(migrated)
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(2)
        assert not waiting.done(), "a transaction of the old holder is still open"
        transaction.commit()
    await asyncio.wait_for(waiting, 5)
    for lease in (first, second):
        await lease.release()


async def test_a_broken_connection_is_noticed_and_the_lease_can_be_had_again(engine: Engine, migrated: str) -> None:
    lease = Lease(engine, 5)
    await lease.acquire()
    cut(migrated)
    await asyncio.wait_for(lease.lost.wait(), BEAT_SECONDS + 3)
    await asyncio.wait_for(lease.acquire(), 5)
    assert not lease.lost.is_set()
    with engine.begin() as connection:
        lease.check(connection)
    await lease.release()
    with engine.begin() as connection, pytest.raises(LeaseLost):
        lease.check(connection)


@contextmanager
def running(config: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "indexer", "run", "--config", str(config), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def holders(url: str) -> list[tuple[Any, ...]]:
    return ask(
        url,
        "SELECT pid FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND a.application_name LIKE 'taskscan lease%' AND a.datname = current_database()",
    )


def until(done: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "that took too long"
        time.sleep(0.05)


@needs_recordings
def test_a_killed_holder_is_replaced_and_nothing_is_written_twice(migrated: str, tmp_path: Path) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    options = ("--max-range", "2", "--style", "alchemy", "--max-batch", "2", "--latency", "30")
    with replay("arbius-dev", *options) as chain:
        config = toml_for(
            tmp_path, migrated, chain.url, 42161, [{"network": "arbius", "addresses": engines, "start_block": 0}]
        )
        with running(config) as first:
            until(lambda: ask(migrated, "SELECT 1 FROM chain.reads LIMIT 1"))
            with running(config, "--until-synced") as second:
                until(lambda: ask(migrated, CONNECTED) == [(2,)])
                time.sleep(1)
                assert len(holders(migrated)) == 1
                assert ask(migrated, "SELECT epoch FROM chain.leases") == [(1,)], "the second waits"
                assert second.poll() is None
                first.kill()
                began = time.monotonic()
                until(lambda: ask(migrated, "SELECT epoch FROM chain.leases") == [(2,)], LEASE_SECONDS)
                assert time.monotonic() - began < LEASE_SECONDS
                assert second.stderr is not None
                said = second.communicate(timeout=90)[1]
                assert second.returncode == 0, said
        assert "waiting: process" in said
        assert f"process {first.pid} on " in said
    assert_same_logs(migrated, "arbius-dev", engines)
