"""The embedded PostgreSQL: as root and as a user, in odd folders, after kill -9, and shared by several commands.

The oracle is PostgreSQL itself (does it answer, since when, with which data) and the file system.
"""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from indexer.errors import SetupFailed
from indexer.store import server, server_binaries, server_home

ROOT = Path(__file__).parents[2]

# Holds the server until its standard input ends. Given an account, it becomes that one, with all that Python may load
# later loaded already: the interpreter can lie where the account cannot read.
USER = """
import os, sys, tempfile
from pathlib import Path
import psycopg
from indexer.store import server, server_home
data_dir, wheel, base, uid, gid = sys.argv[1:]
if wheel:
    sys.path.insert(0, wheel)
if base:
    server_home.BASE = Path(base)
if uid:
    try:
        psycopg.connect(host="127.0.0.1", port=1, connect_timeout=1)
    except psycopg.OperationalError:
        pass
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
with server.using(Path(data_dir), fast=True) as running:
    print(running.url, flush=True)
    with psycopg.connect(running.url) as connection:
        where = connection.execute("SHOW data_directory").fetchone()[0]
    print(where, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A data folder below a 0700 folder."""
    parent = Path(tempfile.mkdtemp(prefix="taskscan-test-"))
    yield parent / "data"
    for data_dir in (path for path in parent.iterdir() if path.is_dir()):
        server.remove(data_dir)
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="taskscan-test-"))
    with server.using(parent / "data", fast=True):
        pass
    yield parent / "data"
    server.remove(parent / "data")
    shutil.rmtree(parent)


@pytest.fixture
def made(made_once: Path) -> Iterator[Path]:
    """A data folder with a cluster that is stopped; making it takes most of the time of such a test."""
    yield made_once
    server.unpin_and_stop(made_once)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """An empty folder that every account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-test-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def launch(
    data_dir: Path, wheel: Path | None = None, base: Path | None = None, account: tuple[int, int] | None = None
) -> subprocess.Popen[str]:
    """Start another command that uses the server; it does not wait until the server is there."""
    arguments = [str(data_dir), str(wheel or ""), str(base or ""), *(str(number) for number in account or ("", ""))]
    return subprocess.Popen(
        [sys.executable, "-c", USER, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def url_of(process: subprocess.Popen[str]) -> str:
    """Wait until that command has the server, and return the server's URL."""
    assert process.stdout
    return process.stdout.readline().strip()


def leave(process: subprocess.Popen[str]) -> int:
    """End that command in order and return its exit code."""
    process.communicate(timeout=30)
    return process.returncode


@contextmanager
def ended(*processes: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return row[0]


def door(running: server.Server, host: str, **more: str) -> str:
    return make_conninfo(host=host, port=running.port, user="taskscan", dbname="taskscan", **more)


def password_of(running: server.Server) -> str:
    return running.url.split(":")[2].split("@")[0]


def started(url: str) -> object:
    """When this very server was started: tells one run of it from the next."""
    return ask(url, "SELECT pg_postmaster_start_time()::text")


def answers(running: server.Server) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", running.port)) == 0


def known(data_dir: Path) -> server.Server:
    found = server.describe(data_dir)
    assert found
    return found


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_first_start_and_restart(place: Path) -> None:
    place = place.with_name("with spaces, $HOME and 'quotes' \"")
    assert server.describe(place) is None
    with server.using(place) as first:
        assert str(ask(first.url, "SHOW server_version")).startswith("18.")
        assert ask(first.url, "SELECT current_user || ' ' || current_database()") == "taskscan taskscan"
        assert [ask(first.url, f"SHOW {name}") for name in ("timezone", "server_encoding")] == ["UTC", "UTF8"]
        locale = "SELECT datcollate || ' ' || datctype FROM pg_database WHERE datname = 'taskscan'"
        assert ask(first.url, locale) == "C.UTF-8 C.UTF-8"
        durable = ("fsync", "synchronous_commit", "full_page_writes")
        assert [ask(first.url, f"SHOW {name}") for name in durable] == ["on", "on", "on"]
        assert ask(first.url, "SHOW listen_addresses") == "127.0.0.1"
        with psycopg.connect(first.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert not answers(first)
    assert known(place) == first
    with server.using(place) as second:
        assert second == first
        psql = [str(server.psql_path()), "-XAt", "-c", "SELECT answer FROM kept", second.url]
        assert subprocess.run(psql, capture_output=True, text=True, check=True).stdout == "42\n"


def test_nobody_gets_in_without_the_password(made: Path) -> None:
    with server.using(made, fast=True) as running:
        password = password_of(running)
        for host in ("127.0.0.1", str(running.socket_dir)):
            local = ask(door(running, host, password=password), "SELECT inet_server_addr() IS NULL")
            assert local == (host != "127.0.0.1")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(door(running, host, password=f"{password}x"))
            with pytest.raises(psycopg.OperationalError, match="no password supplied"):
                psycopg.connect(door(running, host, passfile="/dev/null"))
        home = server_home.find(made)
        assert stat.S_IMODE(home.identity.stat().st_mode) == 0o600
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in (home.data, running.socket_dir)] == [0o700, 0o700]
        assert len(os.fsencode(running.socket_dir / ".s.PGSQL.65535")) <= 107
        assert password not in repr(running)
        assert password not in running.log_file.read_text()


def test_two_commands_at_once_share_one_server_and_the_last_stops_it(place: Path) -> None:
    first, second = launch(place), launch(place)
    with ended(first, second):
        urls = {url_of(first), url_of(second)}
        assert len(urls) == 1
        running, since = known(place), started(urls.pop())
        assert leave(first) == 0
        assert started(running.url) == since
        assert leave(second) == 0
        assert not answers(running)


def test_a_killed_command_leaves_a_server_that_the_next_one_adopts(made: Path) -> None:
    killed = launch(made)
    with ended(killed):
        since = started(url_of(killed))
    running = known(made)
    assert answers(running)
    with server.using(made) as adopted:
        assert adopted == running
        assert started(adopted.url) == since
    assert not answers(running)


def test_ctrl_c_in_one_command_leaves_the_others_their_server(made: Path) -> None:
    interrupted = launch(made)
    with ended(interrupted):
        url = url_of(interrupted)
        with server.using(made, fast=True) as running, psycopg.connect(url) as connection:
            os.killpg(interrupted.pid, signal.SIGINT)
            interrupted.communicate(timeout=30)
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert server.unpin_and_stop(made) is False
            assert answers(running)
    assert not answers(running)
    assert "fast shutdown" in running.log_file.read_text()


def test_a_killed_server_starts_again(made: Path) -> None:
    home = server_home.find(made)
    with server.using(made, fast=True) as running:
        connection = psycopg.connect(running.url)
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.commit()
        connection.execute("CREATE TABLE lost ()")
        pid_file = (home.data / "postmaster.pid").read_text()
        children = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
        for process in (int(pid_file.split()[0]), *children):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        connection.close()
        wait_for(lambda: not answers(running))
    # The worst case: the process id in the stale file belongs to another process of the same account now.
    uid = home.account[0] if home.account else None
    other = subprocess.Popen(["sleep", "600"], user=uid, stdout=subprocess.PIPE, text=True)
    with ended(other):
        for stale in (home.data / "postmaster.pid", running.socket_dir / f".s.PGSQL.{running.port}.lock"):
            stale.write_text(pid_file.replace(pid_file.split()[0], str(other.pid), 1))
        with server.using(made, fast=True) as again:
            assert again == running
            assert ask(again.url, "SELECT answer FROM kept") == 42
            assert ask(again.url, "SELECT to_regclass('lost') IS NULL") is True
        assert other.poll() is None


def test_an_interrupted_first_start_is_done_again(place: Path) -> None:
    killed = launch(place)
    with ended(killed):
        wait_for((server_home.find(place).side / "PG_VERSION").exists)
    assert server.describe(place) is None
    with server.using(place, fast=True) as running:
        assert ask(running.url, "SELECT 1") == 1
        assert not server_home.find(place).side.exists()


def test_pinned_it_stays_until_it_is_unpinned(made: Path) -> None:
    server.start(made, fast=True)
    pinned = server.pin(made)
    with server.using(made) as running:
        assert running == pinned
    assert answers(pinned)
    assert server.unpin_and_stop(made) is True
    assert not answers(pinned)
    with server.using(made, fast=True):
        with server.using(made):
            pass
        assert answers(pinned)
    assert not answers(pinned)


def test_a_server_that_does_not_start_says_why(made: Path) -> None:
    running = known(made)
    with socket.create_server(("127.0.0.1", running.port)), pytest.raises(SetupFailed) as raised:
        server.start(made)
    assert f"Port {running.port} of 127.0.0.1" in str(raised.value)
    assert "in use by another program" in str(raised.value)

    control = server_home.find(made).data / "global" / "pg_control"
    control.rename(control.with_name("away"))
    with pytest.raises(SetupFailed, match="pg_control"):
        server.start(made)
    control.with_name("away").rename(control)
    with server.using(made, fast=True) as again:
        assert again == running


def test_a_moved_data_folder_keeps_its_database(made: Path) -> None:
    before = known(made)
    with server.using(made, fast=True):
        identifier = ask(before.url, "SELECT system_identifier FROM pg_control_system()")
    moved = made.with_name("moved")
    made.rename(moved)
    try:
        with server.using(moved, fast=True) as after:
            assert after.url == before.url
            assert ask(after.url, "SELECT system_identifier FROM pg_control_system()") == identifier
    finally:
        moved.rename(made)


def test_of_two_copies_of_a_data_folder_only_one_has_the_database(made: Path) -> None:
    copy = made.with_name("copy")
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("socket"))
    try:
        with server.using(made, fast=True), pytest.raises(SetupFailed, match=f"is a copy|Port {known(made).port}"):
            server.start(copy)
    finally:
        shutil.rmtree(copy)


def test_removed_it_begins_empty(place: Path) -> None:
    with server.using(place, fast=True) as running:
        with psycopg.connect(running.url) as connection:
            connection.execute("CREATE TABLE gone ()")
        with pytest.raises(SetupFailed, match="in use"):
            server.remove(place)
    home = server_home.find(place)
    server.start(place, fast=True)
    assert answers(running)
    server.remove(place)
    assert not answers(running)
    assert not home.path.exists()
    assert list(place.iterdir()) == []
    server.remove(place)
    with server.using(place, fast=True) as fresh:
        assert ask(fresh.url, "SELECT to_regclass('gone') IS NULL") is True


def test_foreign_folders_are_left_alone(place: Path) -> None:
    foreign = place / "postgres" / "PG_VERSION"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("15\n")
    for call in (server.start, server.remove):
        with pytest.raises(SetupFailed, match="no database of Taskscan"):
            call(place)
    assert [path.name for path in foreign.parent.iterdir()] == ["PG_VERSION"]
    shutil.rmtree(foreign.parent)


def test_a_cluster_with_foreign_files_is_not_deleted(made: Path) -> None:
    precious = server_home.find(made).path / "precious.txt"
    precious.touch()
    with pytest.raises(SetupFailed, match="precious"):
        server.remove(made)
    assert precious.exists()
    precious.unlink()
    with server.using(made, fast=True) as running:
        assert ask(running.url, "SELECT 1") == 1


def test_a_data_dir_that_cannot_be_made(place: Path) -> None:
    file = place.with_name("file")
    file.touch()
    with pytest.raises(SetupFailed, match="file"):
        server.start(file / "data")


def test_an_environment_below_a_0700_folder(place: Path, open_place: Path) -> None:
    closed = open_place / "closed"
    closed.mkdir(mode=0o700)
    copy_wheel(closed)
    # The folder of the binaries' copy is new as well, so that root copies them from the closed one.
    user = launch(open_place / "data", closed, open_place / "base")
    with ended(user):
        assert ask(url_of(user), "SELECT 1") == 1
        assert leave(user) == 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_as_an_ordinary_user_below_0700_folders(open_place: Path) -> None:
    """Also where the tests run as root; then with a copy of the wheel that the account can read."""
    account = ordinary_account()
    wheel = open_place / "wheel" if account else None
    if wheel:
        wheel.mkdir()
        copy_wheel(wheel)
    parent = open_place / "closed, with spaces, $HOME and 'quotes' \""
    parent.mkdir(mode=0o700)
    if account:
        os.chown(parent, *account)
    data_dir = parent / ("x" * 120)
    first = launch(data_dir, wheel, account=account)
    with ended(first):
        url = url_of(first)
        assert first.stdout
        assert first.stdout.readline().strip() == str(data_dir / "postgres" / "data")
        since = started(url)
    second = launch(data_dir, wheel, account=account)
    with ended(second):
        assert url_of(second) == url
        assert started(url) == since
        folder = str(ask(url, "SHOW unix_socket_directories"))
        assert len(f"{folder}/.s.PGSQL.65535") <= 107
        assert ask(f"{url}?host={folder}", "SELECT inet_server_addr() IS NULL") is True
        assert leave(second) == 0
    assert not Path(folder).exists()
    with pytest.raises(psycopg.OperationalError):
        started(url)
    if account:
        with pytest.raises(SetupFailed, match=f"belongs to {pwd.getpwuid(account[0]).pw_name}"):
            server.start(data_dir)


def ordinary_account() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("nobody")[2:4]


def copy_wheel(folder: Path) -> None:
    """Copy as much of the wheel as PostgreSQL 18 needs into a folder for packages."""
    install = server_binaries.wheel()
    package = install.parent
    shutil.copytree(install, folder / package.name / install.name, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copy(package / "__init__.py", folder / package.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
