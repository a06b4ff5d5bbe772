"""A background job whose lines break: to the provider, to PostgreSQL, and PostgreSQL itself killed under it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from indexer.store import database as db
from indexer.store import migrate, server
from tests.proxy import TcpProxy
from tests.support import (
    Replay,
    addresses,
    assert_same_logs,
    needs_recordings,
    recording,
    replay,
    stored_logs,
    toml_for,
)

pytestmark = needs_recordings

SLOW = ("--max-range", "4", "--style", "alchemy", "--max-batch", "2", "--latency", "15")
PATIENCE = 90  # seconds after which a job that does not get there is taken for stuck


@contextmanager
def job(config: Path) -> Iterator[subprocess.Popen[str]]:
    """`taskscan run` in a process of its own."""
    command = [sys.executable, "-m", "indexer", "run", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
        print(said)
    assert process.returncode == 0
    assert "Traceback" not in said


def engines() -> list[str]:
    return addresses("arbius-dev", "arbius-engine")


def config(folder: Path, database: str, chain: str) -> Path:
    source = {"network": "arbius", "addresses": engines(), "start_block": 0}
    return toml_for(folder, database, chain, 42161, [source])


def wait_for(done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert process.poll() is None, "the job has ended"
        assert time.monotonic() < until, "the job is stuck"
        time.sleep(0.05)


def rows(database: str) -> int:
    try:
        return len(stored_logs(database))
    except psycopg.OperationalError:
        return -1


def read_to(database: str) -> int:
    try:
        with psycopg.connect(database) as connection:
            row = connection.execute("SELECT min(read_to) FROM analytics.freshness").fetchone()
    except psycopg.OperationalError:
        return -1
    return -1 if row is None or row[0] is None else int(row[0])


def reading(chain: Replay, more: int = 6) -> Callable[[], bool]:
    """Whether `more` further ranges have been asked for."""
    first = chain.stats()["methods"].get("eth_getLogs", 0)
    return lambda: bool(chain.stats()["methods"].get("eth_getLogs", 0) >= first + more)


def through(url: str, proxy: TcpProxy) -> str:
    """`url` by way of the proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()


def test_a_line_to_the_provider_that_breaks_and_stalls_costs_nothing_but_time(migrated: str, tmp_path: Path) -> None:
    last = recording("arbius-dev")["head"]
    with replay("arbius-dev", *SLOW) as chain, TcpProxy(int(urlsplit(chain.url).port or 0)) as proxy:
        with job(config(tmp_path, migrated, through(chain.url, proxy))) as process:
            for _ in range(4):
                wait_for(reading(chain), process)
                proxy.cut()
            with proxy.stalled():
                time.sleep(1.0)
            with proxy.shut():
                time.sleep(1.0)
            wait_for(lambda: read_to(migrated) == last, process)
        assert proxy.accepted > 5
    assert_same_logs(migrated, "arbius-dev", engines())


def test_a_line_to_postgresql_that_breaks_and_stalls_loses_nothing(migrated: str, tmp_path: Path) -> None:
    last = recording("arbius-dev")["head"]
    with replay("arbius-dev", *SLOW) as chain, TcpProxy(int(urlsplit(migrated).port or 5432)) as proxy:
        with job(config(tmp_path, through(migrated, proxy), chain.url)) as process:
            for _ in range(4):
                wait_for(reading(chain), process)
                proxy.cut()
            with proxy.stalled():
                time.sleep(1.0)
            with proxy.shut():
                time.sleep(1.0)
            wait_for(lambda: read_to(migrated) == last, process)
        assert proxy.accepted > 2, "the line was cut and made anew"
    assert_same_logs(migrated, "arbius-dev", engines())


@pytest.fixture
def own_server() -> Iterator[tuple[Path, str]]:
    """A cluster that this test alone uses, and may kill."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-killed-"))
    try:
        with server.using(folder) as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            engine.dispose()
            yield folder, running.url
    finally:
        server.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_killed_with_9_and_started_again_during_a_scan(own_server: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = own_server
    last = recording("arbius-dev")["head"]
    with replay("arbius-dev", *SLOW) as chain, job(config(tmp_path, url, chain.url)) as process:
        for _ in range(2):
            wait_for(reading(chain), process)
            os.kill(_postmaster(url), signal.SIGKILL)
            wait_for(lambda: rows(url) == -1, process)
            server.start(folder)
            wait_for(lambda: rows(url) >= 0, process)
        wait_for(lambda: read_to(url) == last, process)
    assert_same_logs(url, "arbius-dev", engines())


def _postmaster(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    return int(str(row[0]).splitlines()[0])


def test_kill_9_at_many_random_moments_of_a_moving_head(migrated: str, tmp_path: Path) -> None:
    """`make kill` runs it a hundred times."""
    chance, times = random.Random(11), int(os.environ.get("TASKSCAN_KILLS", "6"))
    hub = addresses("iexec-dev", "iexec-poco-6.1")
    options = ("--head", "50", "--finality-lag", "30", "--reorg-at", "70:3", "--reorg-at", "100:6:-2", "--latency", "5")
    with replay("iexec-dev", *options) as chain:
        path = toml_for(tmp_path, migrated, chain.url, 31337, [{"network": "iexec", "addresses": hub}])
        for _ in range(times):
            process = subprocess.Popen(
                [sys.executable, "-m", "indexer", "run", "--config", str(path)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            asked = reading(chain, 1)
            wait = time.monotonic() + 20
            while not asked() and time.monotonic() < wait:
                time.sleep(0.02)
            until = time.monotonic() + chance.uniform(0, 1.0)
            while time.monotonic() < until:
                chain.control(advance=1 if chance.random() < 60 / times else 0)
                time.sleep(chance.uniform(0, 0.2))
            process.kill()
            process.wait()
        chain.control(head=147)
        done = subprocess.run(
            [sys.executable, "-m", "indexer", "run", "--config", str(path), "--until-synced"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_same_logs(
        migrated, "iexec-dev", addresses("iexec-dev", "iexec-poco-6.1", "iexec-registry", "iexec-workerpool")
    )
