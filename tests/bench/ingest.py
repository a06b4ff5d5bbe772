"""Bench "ingest": many logs into the event tables, beside what the machine can do at best."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from indexer.store import database as db
from indexer.store import migrate, server
from tests.bench.limits import copy_seconds, event_tables, fetch_seconds
from tests.bench.process import Served, log_server, postgres_cpu_seconds, taskscan

PER_BLOCK = 10
FOLDED = "SELECT count(*) = count(*) FILTER (WHERE folded_to >= %s) AND count(*) > 0 FROM chain.groups"
READ = "SELECT count(*) = 1 AND min(from_block) = 0 AND max(to_block) >= %s FROM chain.coverage"
Figures = dict[str, float]


def run(logs: int, times: int, *, folds: bool = True) -> list[Figures]:
    """Figures of each run, each on a fresh cluster; one log server serves them all. Not `folds`: event tables alone."""
    options = ("--logs", str(logs), "--blocks", str(logs // PER_BLOCK), "--per-block", str(PER_BLOCK))
    found = []
    with log_server(*options) as served:
        for _ in range(times):
            folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
            try:
                found.append(_once(served, folder, logs, folds))
            finally:
                server.remove(folder / "data")
                shutil.rmtree(folder)
    return found


def _once(served: Served, folder: Path, logs: int, folds: bool) -> Figures:
    # Held open here, so that making and starting the cluster is not measured.
    with server.using(folder / "data") as running:
        limit_url = _databases(running.url)
        served.get("/reset")
        before = postgres_cpu_seconds(running.url)
        with _watcher(running.url, FOLDED if folds else READ, logs // PER_BLOCK - 1) as done:
            module = "indexer" if folds else "tests.bench.unfolded"
            ran = taskscan(folder, folder / "data", served.url, done, module)
        worked = postgres_cpu_seconds(running.url) - before
        stats = served.get("/stats")
        rows, size = _stored(running.url)
        reading = logs / _reading_seconds(running.url, ran.ended)
        if rows != logs:
            raise SystemExit(f"{rows:,} rows are stored, {logs:,} logs were served:\n{ran.said}")
        fetch = logs / fetch_seconds(served, folder)
        copy_wall, copy_cpu = copy_seconds(running.url, limit_url, logs // PER_BLOCK - 1)
    copy = logs / copy_wall
    return {
        "logs_per_s": reading,
        "logs_per_s_whole_process": logs / ran.seconds,
        "limit_fetch_logs_per_s": fetch,
        "limit_copy_logs_per_s": copy,
        "share_of_slower_limit_percent": 100 * reading / min(fetch, copy),
        "cpu_us_per_log": 1e6 * ran.cpu_seconds / logs,
        "cpu_us_per_log_of_postgresql": 1e6 * worked / logs,
        "cpu_us_per_log_of_postgresql_in_bare_copy": 1e6 * copy_cpu / logs,
        "peak_memory_mb": ran.peak_bytes / 1e6,
        "requests": stats["requests"],
        "calls": stats["calls"],
        "answer_bytes_per_log": stats["bytes"] / logs,
        "disk_bytes_per_log": size / logs,
    }


def _databases(url: str) -> str:
    """Make the tables in the cluster's own database and in a second one; the URL of that one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bench_limit TEMPLATE template0")
    second = urlsplit(url)._replace(path="/bench_limit").geturl()
    for place in (url, second):
        engine = db.engine(place)
        migrate.upgrade(engine)
        engine.dispose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return second


def _stored(url: str) -> tuple[int, int]:
    """Rows in the event tables, and the bytes of tables and indexes that hold any."""
    rows = size = 0
    with psycopg.connect(url) as connection:
        for table in event_tables(connection):
            name = sql.Identifier("arbius", table)
            query = sql.SQL("SELECT count(*), pg_total_relation_size({}) FROM {}")
            held = connection.execute(query.format(sql.Literal(f"arbius.{table}"), name)).fetchone()
            assert held is not None
            rows += held[0]
            size += held[1] if held[0] else 0
    return rows, size


@contextlib.contextmanager
def _watcher(url: str, query: LiteralString, last: int) -> Iterator[Callable[[], bool]]:
    """Whether `query` holds for the block `last`. What comes then, enrichment, is not measured here."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield lambda: connection.execute(query, [last]).fetchone() == (True,)


def _reading_seconds(url: str, ended: datetime) -> float:
    """From the first request for logs to the last fold."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT min(requested_at) FROM chain.reads").fetchone()
    assert found is not None
    return float((ended - found[0]).total_seconds())
