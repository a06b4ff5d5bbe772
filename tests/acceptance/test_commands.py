"""Each command as its user has it: what it prints where, its exit code, and that it ends when it is told to."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from indexer.store import server
from tests.acceptance.command import Inside, Said, config, environment, finish, start
from tests.acceptance.node import CREATED, ENGINE, Node, running

HEAD = 300


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running(Node(HEAD)) as served:
        yield served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, node: Node) -> Iterator[Path]:
    """A folder with a configuration that reads `node` into an embedded database, which has read everything."""
    folder = tmp_path_factory.mktemp("a [place]")  # brackets, as rich takes them for markup
    config(folder, rpc=node.url, addresses=[ENGINE], clock="head")
    said = finish(start("run", "--until-synced", "--config", "my.toml", cwd=folder, env=environment()))
    assert said.code == 0, said.err
    yield folder
    server.remove(folder / "data")


@pytest.fixture
def here(place: Path, taskscan: Inside, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in `place`."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("TASKSCAN_CONFIG", "my.toml")
    return place


def answers(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)
    return False


def test_run_until_synced_says_what_it_did(here: Path, taskscan: Inside, node: Node) -> None:
    said = taskscan("run", "--until-synced")
    assert said.code == 0
    assert said.out == ""
    lines = said.err.splitlines()
    assert lines[0] == "configuration: my.toml"
    assert lines[1].startswith("database: 127.0.0.1:")
    assert lines[-1].startswith("one: 0 blocks and 0 logs read"), "everything was read before"


def test_status(here: Path, taskscan: Inside) -> None:
    said = taskscan("status")
    assert said.code == 0
    assert said.err == "configuration: my.toml\n"
    (row,) = (line for line in said.out.splitlines() if line.startswith("arbius"))
    assert row.split()[:6] == ["arbius", "one", "1", str(CREATED), str(HEAD), str(HEAD)]
    assert row.split()[-1] == "head-bound"
    assert "free disk:" in said.out
    assert "unknown logs: 0; incidents in the last day: 0" in said.out


def test_status_as_json_is_json_alone(here: Path, taskscan: Inside) -> None:
    said = taskscan("status", "--json")
    assert said.code == 0
    facts = json.loads(said.out)
    (source,) = facts["sources"]
    assert [source[name] for name in ("network", "chain", "contracts")] == ["arbius", "one", 1]
    assert [source[name] for name in ("from_block", "read_to", "head_block")] == [CREATED, HEAD, HEAD]
    assert isinstance(source["lag_seconds"], float)
    assert facts["free_disk_bytes"] > 0
    assert facts["unknown_logs"] == facts["incidents"] == 0
    assert facts["late"] == []
    assert [one["provider"].split(":")[0] for one in facts["providers"]] == ["127.0.0.1"]
    assert [one["chain_id"] for one in facts["leases"]] == [42161]


def test_a_reader_that_has_enough_ends_a_query_quietly(here: Path) -> None:
    """As `| head` does, before the first byte or, where the answer is larger than a pipe, in the middle of it."""
    formats = ("csv", "table", "parquet", "json")  # json last: whoever waits for it lets the others write all they have
    words, env = ("query", "tasks", "--limit", "1000", "--format"), environment(TASKSCAN_CONFIG="my.toml")
    asked = [start(*words, form, cwd=here, env=env) for form in formats]
    for form, process in zip(formats, asked, strict=True):
        assert process.stdout is not None
        with process.stdout:
            assert form != "json" or process.stdout.read(5) == "[\n  {"
    for form, process in zip(formats, asked, strict=True):
        assert finish(process) == Said(141, "", "configuration: my.toml\n"), form


def test_the_url_is_alone_on_its_line_and_stays(here: Path, taskscan: Inside) -> None:
    """Before the server was ever up here, while it is up, and when it is down again."""
    first = taskscan("db", "url")
    assert first.code == 0
    assert first.err == "configuration: my.toml\n"
    url = first.out.removesuffix("\n")
    assert url.startswith("postgresql://")
    assert "\n" not in url
    assert not answers(url)
    started = taskscan("db", "start")
    try:
        assert started.code == 0
        assert "db stop" in started.out
        assert url.split("@")[0].split(":")[-1] not in started.out + started.err, "no password"
        assert answers(url)
        assert taskscan("db", "url").out == first.out
        assert taskscan("status").code == 0
        assert answers(url), "a command that ends does not stop a server that `db start` keeps up"
    finally:
        stopped = taskscan("db", "stop")
    assert stopped == Said(0, "", "configuration: my.toml\nstopped\n")
    assert not answers(url)
    assert taskscan("db", "url").out == first.out
    assert taskscan("db", "stop").code == 0, "twice is no failure"


def test_the_url_of_a_database_that_is_not_yet_there(taskscan: Inside, tmp_path: Path) -> None:
    config(tmp_path, rpc="http://127.0.0.1:1")
    try:
        first, second = taskscan("db", "url", "-c", "my.toml"), taskscan("db", "url", "-c", "my.toml")
        assert first.code == second.code == 0
        assert first.out == second.out
        assert first.out.startswith("postgresql://")
    finally:
        server.remove(tmp_path / "data")


def test_the_shell_passes_on_arguments_output_and_exit_code(here: Path, taskscan: Inside) -> None:
    said = taskscan("db", "shell", "--", "-AtX", "-c", "SELECT count(*), min(block_number) FROM arbius.task_retracted")
    assert said == Said(0, f"{HEAD - CREATED + 1}|{CREATED}\n", "configuration: my.toml\n")
    wrong = taskscan("db", "shell", "--", "-X", "-c", "SELECT nonsense")
    assert wrong.code == 1
    assert 'column "nonsense" does not exist' in wrong.err


def test_upgrade(taskscan: Inside, database: str, tmp_path: Path) -> None:
    config(tmp_path, database=database, rpc="http://127.0.0.1:1")
    for _ in range(2):
        said = taskscan("db", "upgrade", "--config", "my.toml")
        assert said.code == 0
        assert said.out == ""
        assert " has the schema " in said.err
    assert taskscan("status", "--config", "my.toml").out.startswith("nothing is read yet: run `taskscan run`")
    for verb in ("start", "stop"):
        said = taskscan("db", verb, "--config", "my.toml")
        assert said.code == 2
        assert f"taskscan: The database is a server of yours (database.url); Taskscan does not {verb} it." in said.err
    shown = taskscan("db", "url", "--config", "my.toml")
    assert shown.out == f"{database}\n"


def test_config_check_and_schema(here: Path, taskscan: Inside) -> None:
    checked = taskscan("config", "check")
    assert checked == Said(
        0, f"arbius @ one: {ENGINE}, evidence head-bound\nmy.toml is right\n", "configuration: my.toml\n"
    )
    printed = taskscan("config", "schema")
    assert printed.err == ""
    assert set(json.loads(printed.out)["properties"]) == {"database", "chains", "sources", "queue"}


def test_without_a_configuration_it_is_the_demo(taskscan: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCAN_DATABASE_URL", "postgresql://me:secret-1@production/tasks")
    said = taskscan("config", "check")
    assert said.code == 0
    assert said.err == "configuration: the built-in demo (no taskscan.toml here)\n"
    assert "secret-1" not in said.out


def alive(*roots: int) -> list[str]:
    """Command lines of these processes, of their children and of what runs in a session that one of them leads."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent, _, leader = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if {int(process.name), int(parent), int(leader)} & set(roots) and state != "Z":
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def postmaster(url: str) -> int:
    """Process id of a server: the parent of the process that serves us."""
    with psycopg.connect(url) as connection:
        ours = connection.info.backend_pid
        return int(Path(f"/proc/{ours}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_within_seconds_and_leaves_no_process(here: Path, node: Node, number: signal.Signals) -> None:
    known = server.describe(here / "data")
    assert known is not None
    node.head += 5
    process = start("run", "--config", "my.toml", cwd=here)
    try:
        query = "SELECT max(block_number) FROM arbius.task_retracted"
        wait_for(lambda: answers(known.url) and value(known.url, query) == node.head, process)
        leader = postmaster(known.url)
        assert alive(process.pid)
        assert len(alive(leader)) > 3, "PostgreSQL's processes"
        began = time.monotonic()
        process.send_signal(number)
        said = finish(process, seconds=5)
    finally:
        process.kill()
        process.communicate()
    assert time.monotonic() - began < 5
    assert said.code == 0, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.splitlines()[-1].startswith("one: ")
    assert alive(process.pid, leader) == []
    assert not answers(known.url)


def value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end
        time.sleep(0.1)
