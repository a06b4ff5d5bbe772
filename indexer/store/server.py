"""The embedded PostgreSQL: there while a command needs it, gone with the last one.

It listens on 127.0.0.1 and on a socket in a private folder, and asks everybody for a password. Whoever uses it holds
a shared lock, so the kernel counts the users, the killed ones too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from indexer.errors import SetupFailed
from indexer.store import server_binaries, server_cluster, server_home
from indexer.store.server_files import is_locked, locked, share
from indexer.store.server_home import Home


@dataclass(frozen=True)
class Server:
    """How to reach the embedded PostgreSQL. ``url`` holds the password, so it is not printed with the rest."""

    url: str = field(repr=False)
    socket_dir: Path
    port: int
    log_file: Path
    bin_dir: Path


def start(data_dir: Path, *, fast: bool = False) -> Server:
    """Make the cluster of ``data_dir`` if needed, start its server or adopt the one that runs.

    The server then runs until somebody else's `using` ends, or `unpin_and_stop`. ``fast`` gives up durability, for
    tests. Raises SetupFailed or DatabaseDown, with the last lines of the server's log where they help.
    """
    with _alone(data_dir) as home:
        return _start(home, fast)


@contextmanager
def using(data_dir: Path, *, fast: bool = False) -> Iterator[Server]:
    """Like `start`, and stop the server at the end unless another process uses it or it is pinned."""
    with _alone(data_dir) as home:
        server = _start(home, fast)
        lease = share(home.users)
    try:
        yield server
    finally:
        with _alone(data_dir) as home:
            os.close(lease)
            if not home.pinned.exists() and not is_locked(home.users):
                server_cluster.stop(home, fast=fast)


def pin(data_dir: Path) -> Server:
    """Start the server and keep it up when its users leave, until `unpin_and_stop`."""
    with _alone(data_dir) as home:
        server = _start(home, fast=False)
        home.pinned.touch(mode=0o600)
        return server


def unpin_and_stop(data_dir: Path) -> bool:
    """Stop the server, or let its last user stop it; return False in that case."""
    if not _exists(data_dir):
        return True
    with _alone(data_dir) as home:
        home.pinned.unlink(missing_ok=True)
        if is_locked(home.users):
            return False
        server_cluster.stop(home)
        return True


def describe(data_dir: Path) -> Server | None:
    """Return how to reach the server, running or not; None if ``data_dir`` has no cluster yet."""
    with _clear_errors(data_dir):
        return _describe(server_home.find(data_dir))


def remove(data_dir: Path) -> None:
    """Stop the server and delete the cluster with all its data. Nothing happens where there is none.

    Raises SetupFailed while another command uses it, and for a folder that is no cluster of ours.
    """
    if not _exists(data_dir):
        with _clear_errors(data_dir):
            server_home.forget(server_home.find(data_dir))
        return
    with _alone(data_dir) as home:
        if is_locked(home.users):
            raise SetupFailed(f"The database in {data_dir} is in use by another Taskscan command: end that first.")
        server_cluster.stop(home, fast=True)
        server_home.delete(home)


def psql_path() -> Path:
    """Return PostgreSQL's terminal client, for the caller's own account."""
    return server_binaries.wheel() / "bin" / "psql"


def _start(home: Home, fast: bool) -> Server:
    server_binaries.provide(home, fast)
    server_cluster.create(home, fast)
    server_cluster.ensure_running(home, fast)
    server = _describe(home)
    assert server is not None
    return server


def _describe(home: Home) -> Server | None:
    known = server_cluster.identity(home)
    if known is None:
        return None
    port, password = known
    name = server_cluster.NAME
    return Server(
        url=f"postgresql://{name}:{password}@127.0.0.1:{port}/{name}",
        socket_dir=home.socket_dir,
        port=port,
        log_file=home.log,
        bin_dir=server_binaries.bin_dir(home),
    )


def _exists(data_dir: Path) -> bool:
    with _clear_errors(data_dir):
        return server_home.find(data_dir).path.exists()


@contextmanager
def _alone(data_dir: Path) -> Iterator[Home]:
    """Hold the lock under which servers are started, stopped and removed; others wait."""
    with _clear_errors(data_dir):
        home = server_home.find(data_dir)
        with locked(home.lock, partial(server_home.prepare, home)):
            # What we found before we waited may have been made or removed since.
            yield server_home.find(data_dir)


@contextmanager
def _clear_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        what = error.strerror or str(error)
        raise SetupFailed(f"The database in {data_dir} cannot be used: {what}{place}.") from error
