"""One cluster of the embedded PostgreSQL: made, started, stopped. The caller holds the lock of the home.

Whether the server lives is never guessed from a process id: all its processes inherit a lock on ``alive.lock``, and
the kernel frees it with the last of them.
"""

import contextlib
import json
import os
import random
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql

from indexer.errors import DatabaseDown, SetupFailed
from indexer.store.server_binaries import run, spawn
from indexer.store.server_files import is_locked, make_folder, sync_folder, try_lock, write
from indexer.store.server_home import Home, point, prepare_socket_dir

NAME = "taskscan"
START_SECONDS = 600.0
STOP_SECONDS = 120.0
_LOG_BYTES = 10_000_000
_LEAST_BUFFERS, _MOST_BUFFERS = 128 << 20, 4 << 30
_LEAST_WAL, _MOST_WAL = 1 << 30, 8 << 30

# Below the range from which Linux takes the ports of outgoing connections (32768): nothing comes there by chance.
_PORTS = range(20_000, 32_000)

_HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "maintenance_work_mem": "128MB",
    "work_mem": "16MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # The one way to compress that every build has, pglz, costs a fifth of the server's time when blocks are written.
    "wal_compression": "off",
    # Nothing replicates from here, and without it COPY and CREATE INDEX on a new table need no WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
}

_TELLING = re.compile("FATAL|PANIC|ERROR|error:|could not|HINT")

# For tests: only a crash of the whole machine destroys such a cluster, kill -9 does not.
_FAST: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",  # without whole pages more of it only fills the disk
}


def identity(home: Home) -> tuple[int, str] | None:
    """Return port and password of the cluster, None before it is made."""
    if not home.data.exists():
        return None
    try:
        known = json.loads(home.identity.read_text(encoding="utf-8"))
        return int(known["port"]), str(known["password"])
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise SetupFailed(
            f"{home.identity}, which keeps the database's port and password, is lost: restore it."
        ) from error


def create(home: Home, fast: bool = False) -> None:
    """Make the cluster if it is not there. One that was interrupted halfway is made anew.

    Raises SetupFailed with PostgreSQL's own last lines.
    """
    if home.data.exists():
        return
    password = secrets.token_urlsafe(24)
    with _grasp(home) as alive:
        if home.side.exists():
            shutil.rmtree(home.side)
        make_folder(home.side, 0o700, home.account)
        _initialise(home, password, fast, alive)
    known = {"data_dir": str(home.data_dir), "port": _free_port(), "password": password}
    write(home.identity, json.dumps(known), 0o600)
    point(home)
    home.side.rename(home.data)
    sync_folder(home.path)


def ensure_running(home: Home, fast: bool = False) -> None:
    """Start the server, or adopt the one that runs; return when it takes connections.

    Raises SetupFailed when it does not start, DatabaseDown when it needs longer than `START_SECONDS`.
    """
    if is_locked(home.alive) and _wait(home, START_SECONDS):
        return
    logged = _launch(home, fast)
    if not _wait(home, START_SECONDS):
        raise _failure(home, logged)


def stop(home: Home, *, fast: bool = False) -> None:
    """Stop the server in order: running statements are cancelled. Raises DatabaseDown when it will not end.

    `fast`: what is in memory alone is not written first, so that the next start has to recover it.
    """
    if not is_locked(home.alive):
        return
    # Its own waiting looks only ten times a second.
    answer = run(home, "pg_ctl", "stop", "-D", home.data, "-m", "immediate" if fast else "fast", "-W")
    if not _until(lambda: not is_locked(home.alive), STOP_SECONDS):
        raise DatabaseDown(_tail(answer.stdout) or "it does not stop", database=str(home.data_dir))
    if home.socket_dir.parent != home.path and home.socket_dir.exists():
        home.socket_dir.rmdir()


@contextmanager
def _grasp(home: Home) -> Iterator[int]:
    """Hold ``alive.lock`` for the processes that will inherit it, once those of a killed command have ended."""
    if not _until(lambda: not is_locked(home.alive), STOP_SECONDS) or (fd := try_lock(home.alive)) is None:
        raise DatabaseDown("its last process does not end", database=str(home.data_dir))
    try:
        yield fd
    finally:
        os.close(fd)


def _initialise(home: Home, password: str, fast: bool, alive: int) -> None:
    # Password and database go in by single-user mode: no file, no argument and no variable ever holds the password.
    made = run(
        home,
        "initdb",
        f"--pgdata={home.side}",
        f"--username={NAME}",
        "--auth=reject",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C.UTF-8",
        "--no-instructions",
        *(["--no-sync"] if fast else []),
        keep=[alive],
    )
    if made.returncode != 0:
        raise SetupFailed(f"The database in {home.data_dir} cannot be made: {_tail(made.stdout)}")
    name, secret = sql.Identifier(NAME), sql.Literal(password)
    commands = sql.SQL("ALTER ROLE {} PASSWORD {}\nCREATE DATABASE {}\n").format(name, secret, name).as_string()
    sync = f"fsync={'off' if fast else 'on'}"
    done = run(home, "postgres", "--single", "-D", home.side, "-c", sync, "postgres", stdin=commands, keep=[alive])
    if done.returncode != 0 or any(word in done.stdout for word in ("ERROR:", "FATAL:", "PANIC:")):
        raise SetupFailed(f"The database in {home.data_dir} cannot be made: {_tail(done.stdout, password)}")


def _free_port() -> int:
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SetupFailed(f"No port of 127.0.0.1 between {_PORTS.start} and {_PORTS.stop} is free for the database.")


def _launch(home: Home, fast: bool) -> int:
    """Start the server's processes and return the size of the log before."""
    config = f"config_file={home.path / 'postgresql.conf'}"
    with _grasp(home) as alive:
        _configure(home, fast)
        prepare_socket_dir(home)
        # The lock proves it stale, while its process id may be in use again.
        (home.data / "postmaster.pid").unlink(missing_ok=True)
        if home.log.exists() and home.log.stat().st_size > _LOG_BYTES:
            home.log.replace(home.log.with_name(f"{home.log.name}.old"))
        with os.fdopen(os.open(home.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            logged = os.fstat(log.fileno()).st_size
            spawn(home, "postgres", "-D", home.data, "-c", config, output=log.fileno(), keep=[alive])
    return logged


def _configure(home: Home, fast: bool) -> None:
    """Write the settings anew for each start, so that an old cluster gets those of this version."""
    known = identity(home)
    assert known is not None
    places = {"port": str(known[0]), "unix_socket_directories": str(home.socket_dir)}
    own = {**_SETTINGS, **_memory(), **_disk(home), **(_FAST if fast else {})}
    settings = {**own, **places, "hba_file": str(home.path / "pg_hba.conf")}
    lines = ["include = 'data/postgresql.conf'", *(f"{name} = {_quoted(value)}" for name, value in settings.items())]
    write(home.path / "pg_hba.conf", _HBA, 0o644)
    write(home.path / "postgresql.conf", "\n".join(lines) + "\n", 0o644)


def _memory() -> dict[str, str]:
    """What the server may take of the machine's memory, a container's limit included.

    Indexes on ids are touched all over: what does not fit into `shared_buffers` costs a fold three times as much. Pages
    that a small database never touches cost nothing.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    buffers = min(max(total // 8, _LEAST_BUFFERS), _MOST_BUFFERS)
    return {"shared_buffers": f"{buffers >> 20}MB", "effective_cache_size": f"{max(total // 2, buffers) >> 20}MB"}


def _disk(home: Home) -> dict[str, str]:
    """How much WAL may come between two checkpoints: an eighth of what is free.

    Each page of an index on ids is written whole once after a checkpoint: with 5 million tasks, 8 GB instead of 3 let a
    head that is written without a pause go half as fast again. Whoever writes little never needs that much.
    """
    most = min(max(shutil.disk_usage(home.path).free // 8, _LEAST_WAL), _MOST_WAL)
    return {"max_wal_size": f"{most >> 20}MB"}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _wait(home: Home, seconds: float) -> bool:
    """Wait until the server takes connections; False if it ended instead."""
    if not _until(lambda: _ready(home) or not is_locked(home.alive), seconds):
        raise DatabaseDown(f"it is not ready after {seconds:g} s, see {home.log}", database=str(home.data_dir))
    return is_locked(home.alive)


def _ready(home: Home) -> bool:
    # The eighth line of postmaster.pid is the server's state: starting, ready, stopping.
    try:
        lines = (home.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready" and _listens(int(lines[3]))


def _listens(port: int) -> bool:
    # The file outlives a killed postmaster, and so may its process id, in a busy child or as one that nobody reaped.
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    end, pause = time.monotonic() + seconds, 0.005
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True


def _failure(home: Home, logged: int) -> SetupFailed:
    with home.log.open("rb") as log:
        log.seek(logged)
        lines = log.read().decode(errors="replace")
    known = identity(home)
    if known and "could not bind" in lines and "in use" in lines:
        return SetupFailed(
            f"Port {known[0]} of 127.0.0.1, which the database in {home.data_dir} keeps for life, "
            "is in use by another program: end that program."
        )
    return SetupFailed(f"The database in {home.data_dir} does not start: {_tail(lines)} (all of it in {home.log})")


def _tail(text: str, secret: str = "") -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)]
    return " | ".join((telling or lines)[-3:]).replace(secret or "\0", "***")
