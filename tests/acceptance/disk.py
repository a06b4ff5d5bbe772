"""A PostgreSQL database on a disk that is really full.

As root the database lies in a tablespace on a small file system of its own. Where that may not be mounted, the
kernel limits the size of the files that the server's processes write (RLIMIT_FSIZE): a write that crosses the limit
comes back short, as on a full disk, or is refused, and PostgreSQL cannot extend its table.
"""

import itertools
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from indexer.store import server

SIZE = "size=64m"
LEFT = 200 * 1024  # bytes: enough to begin, not enough to end
LIMIT = 16 * 1024 * 1024 + 4096  # bytes, within a page; a file of the write-ahead log has 16 MiB


class Disk(NamedTuple):
    """`url` is that of an empty database; `fill`, once it has tables, leaves no space, `free` gives it back."""

    url: str
    fill: Callable[[], None]
    free: Callable[[], None]


@contextmanager
def small_disk() -> Iterator[Disk]:
    """A server of its own with such a database."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-disk-"))
    folder.chmod(0o711)
    try:
        with _mounted(folder / "small") as at, ExitStack() as up:
            running = up.enter_context(server.using(folder / "data", fast=True))
            yield _on_small_file_system(at, running.url) if at else _with_small_files(folder / "data", up)
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)


@contextmanager
def _mounted(at: Path) -> Iterator[Path | None]:
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", SIZE, "taskscan-test", str(at)]
    allowed = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield at if allowed else None
    finally:
        if allowed:
            subprocess.run(["umount", str(at)], check=True)


def _data_directory(url: str) -> Path:
    with psycopg.connect(url) as connection:
        return Path(connection.execute("SELECT current_setting('data_directory')").fetchall()[0][0])


def _on_small_file_system(at: Path, url: str) -> Disk:
    os.chown(at, _data_directory(url).stat().st_uid, -1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(at))))
        connection.execute("CREATE DATABASE small TABLESPACE small")
    filler = at / "filler"

    def fill() -> None:
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"\0" * 65536) == 65536:
                pass
        os.truncate(filler, filler.stat().st_size - LEFT)

    return Disk(urlsplit(url)._replace(path="/small").geturl(), fill, filler.unlink)


def _with_small_files(data: Path, up: ExitStack) -> Disk:
    """A table is filled up to the limit with logs of a chain that nobody reads. The server inherits its limit."""

    def restart(limit: int) -> str:
        up.close()
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        try:
            return str(up.enter_context(server.using(data, fast=True)).url)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))

    url = restart(LIMIT)
    row = """
        INSERT INTO arbius.task_retracted
        SELECT 999, n, 0, '', now(), '', 0, '', decode(repeat('ab', %s), 'hex')
        FROM generate_series(%s::bigint, %s::bigint) AS n
    """

    def fill() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE arbius.task_retracted SET (autovacuum_enabled = off)")
            for first, rows, size in ((0, 1000, 1000), (10**6, 1, 1000), (2 * 10**6, 1, 1)):
                with suppress(psycopg.errors.DiskFull, psycopg.errors.InternalError_):
                    for n in itertools.count(first, rows):
                        connection.execute(row, [size, n, n + rows - 1])

    def free() -> None:
        restart(resource.RLIM_INFINITY)
        with psycopg.connect(url) as connection:
            connection.execute("DELETE FROM arbius.task_retracted WHERE chain_id = 999")

    return Disk(url, fill, free)
