"""What a user can get wrong: one clear sentence on standard error, the right exit code, nothing lost or half written.

Providers are real HTTP servers, databases real ones.
"""

import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from indexer.ingest import scan
from indexer.rpc import retry
from indexer.store import database as db
from indexer.store import sources
from tests.acceptance.command import Inside, Said, config, environment, finish, start
from tests.acceptance.disk import small_disk
from tests.acceptance.node import CREATED, ENGINE, Node, running
from tests.integration.conftest import fresh_database
from tests.support import stored_logs

KEY = "k3y-that-nobody-may-see"
HEAD = 4000
EOA = "0x" + "0a" * 20

Rows = dict[str, list[Any]]


def rows(url: str) -> Rows:
    """All rows of all tables but those that say who came to write and how the providers did."""
    tables = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('chain', 'arbius', 'iexec')"
        " AND tablename NOT IN ('leases', 'providers') ORDER BY 1, 2"
    )
    with psycopg.connect(url) as connection:
        found = connection.execute(tables).fetchall()
        query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1")
        return {".".join(table): connection.execute(query.format(sql.Identifier(*table))).fetchall() for table in found}


def assert_whole(url: str) -> int:
    """Every covered block has its log, every log is of a covered block; how many logs there are."""
    with psycopg.connect(url) as connection:
        query = "SELECT generate_series(from_block, to_block) FROM chain.coverage"
        covered = {block for (block,) in connection.execute(query)}
    assert {block for block, _ in stored_logs(url)} == {block for block in covered if block >= CREATED}
    return len(covered)


def assert_told(said: Said, code: int, *parts: str) -> str:
    """One sentence at the end of standard error that holds the parts in this order; no traceback, no secret."""
    everything = said.out + said.err
    assert said.code == code, everything
    assert "Traceback" not in everything
    assert KEY not in everything
    lines = [line for line in said.err.splitlines() if line.startswith("taskscan: ")]
    assert len(lines) == 1, said.err
    assert said.err.endswith(lines[0] + "\n"), "nothing after it"
    assert re.search(".*".join(map(re.escape, parts)), lines[0]), lines[0]
    assert re.search(r"[.?)]$", lines[0]), lines[0]
    assert len(lines[0]) < 400
    return lines[0]


# What the configuration says.


RIGHT = f"""
[[chains]]
name = "one"
chain_id = 42161
rpc = ["https://rpc.example/{KEY}"]
[[sources]]
network = "arbius"
chain = "one"
"""
WRONG_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "a key is missing": (RIGHT.replace('network = "arbius"', ""), ("sources[0].network is missing",)),
    "a key is misspelt": (RIGHT.replace("chain_id", "chainid"), ("chains[0].chainid", "did you mean chain_id?")),
    "a variable is not set": (RIGHT.replace(KEY, "${NO_SUCH_KEY}"), ("rpc[0]", "NO_SUCH_KEY is not set. Set")),
    "a network is unknown": (
        RIGHT.replace("arbius", "golem"),
        ("sources[0].network", "aidbox, arbius, iexec and koii"),
    ),
    "it is no TOML": (RIGHT.replace("]]", "]"), ("my.toml is not TOML", "line 2")),
    "it names nothing": ("", ("my.toml names nothing to read", "at least one [[chains]]")),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_file(case: str, taskscan: Inside, tmp_path: Path) -> None:
    text, parts = WRONG_FILES[case]
    (tmp_path / "my.toml").write_text(text)
    for words in (["config", "check"], ["run"], ["status"]):
        said = taskscan(*words, "--config", "my.toml")
        assert said.code == 2
        assert "Traceback" not in said.err
        lines = said.err.splitlines()
        assert lines[0].startswith("taskscan: my.toml")
        assert any(re.search(".*".join(map(re.escape, parts)), line) for line in lines)
        assert KEY not in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.toml"], "no database was made for it"


def test_a_file_that_is_not_there(taskscan: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_told(taskscan("run", "--config", "no.toml"), 2, "no.toml is not a file", "--config or TASKSCAN_CONFIG")
    assert_told(taskscan("status", "--config", str(tmp_path)), 2, "is not a file", "--config")
    monkeypatch.setenv("TASKSCAN_CONFIG", "other.toml")
    assert_told(taskscan("config", "check"), 2, "other.toml is not a file", "TASKSCAN_CONFIG")


# What the provider or the chain says otherwise than the configuration.


class Case(NamedTuple):
    """A run in a process of its own: what is configured, how the node is, and what must be said."""

    code: int
    parts: tuple[str, ...]
    node: Callable[[Node], None] = lambda node: None
    chain_id: int = 42161
    rpc: str = ""
    source: dict[str, Any] = {}  # noqa: RUF012


def die(node: Node) -> None:
    node.dies_after = 1


def babble(node: Node) -> None:
    node.junk = f"<html>{KEY} is not allowed".encode()


def other_id(node: Node) -> None:
    node.chain_id = 10


def fifth(node: Node) -> None:
    node.chain_id = 5


def other_chain(node: Node) -> None:
    node.salt = "another"


CASES = {
    "wrong chain": Case(1, ("127.0.0.1:", "serves chain 10, but chain 42161", "Correct the URL or chain_id"), other_id),
    "unreachable": Case(1, ("127.0.0.1:", "cannot be reached", "Check the URL"), rpc="http://127.0.0.1:{port}/" + KEY),
    "malformed JSON": Case(1, ("127.0.0.1:", "sent an answer that cannot be read"), babble),
    "an address without code": Case(2, (EOA, "on one has no code", "Correct `addresses`"), source={"addresses": [EOA]}),
    "a hub that is none": Case(
        2, (ENGINE, "it is no hub of iexec. Correct `addresses`"), source={"network": "iexec", "addresses": [ENGINE]}
    ),
    "a start above the head": Case(
        2, ("start_block 5000 of arbius", f"above the newest block {HEAD} of one. Lower"), source={"start_block": 5000}
    ),
    "no deployment": Case(
        2, ("No deployment of arbius on chain 5", "Set `addresses`"), fifth, 5, source={"addresses": []}
    ),
    "another chain's database": Case(1, ("Block 0 of one", "another database"), other_chain),
    "dies in the middle": Case(1, ("127.0.0.1:", "cannot be reached", "Check the URL"), die),
}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def filled(server_url: str, template: str) -> Iterator[str]:
    """The name of a database that was filled from the chain of `Node`."""
    with fresh_database(server_url, template) as url:
        engine = db.engine(url)
        with engine.begin() as connection:
            sources.settle_chain(connection, 42161, "one", "wall", (0, Node(0).hash(0)))
        engine.dispose()
        yield urlsplit(url).path[1:]


def prepared(case: Case, url: str, node: Node, folder: Path) -> None:
    case.node(node)
    rpc = case.rpc.format(port=closed_port()) or f"{node.url}/{KEY}"
    config(folder, database=url, chain_id=case.chain_id, rpc=rpc, **{"addresses": [ENGINE], **case.source})


RUN = ("run", "--until-synced", "--config", "my.toml")
REFUSED = ("wrong chain", "another chain's database")
"""Cases in which nothing at all is written. In the others the chain is as configured, and known from then on."""


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that does not answer is given up after a minute; that minute is made short."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(scan, "PAUSE", 0.01)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", CASES)
def test_a_provider_or_chain_that_is_not_as_configured(
    name: str, taskscan: Inside, server_url: str, template: str, filled: str, tmp_path: Path
) -> None:
    with fresh_database(server_url, filled if "another" in name else template) as url, running(Node(HEAD)) as node:
        prepared(CASES[name], url, node, tmp_path)
        before = rows(url)
        said = taskscan(*RUN)
        assert_told(said, CASES[name].code, *CASES[name].parts)
        if name == "dies in the middle":
            assert 0 < assert_whole(url) < HEAD
            return
        after = rows(url)
        if name not in REFUSED:
            before["chain.chains"] = after["chain.chains"]
        assert after == before


def test_processes_end_as_told(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same in processes of their own, all at the same time: standard error, exit codes, and no traceback."""
    names = ("wrong chain", "an address without code")
    with ExitStack() as stack:
        processes = []
        for name in names:
            url, node = stack.enter_context(fresh_database(server_url, template)), Node(HEAD)
            folder = tmp_path_factory.mktemp("case")
            prepared(CASES[name], url, stack.enter_context(running(node)), folder)
            processes.append(start(*RUN, cwd=folder, env=environment()))
        for name, process in zip(names, processes, strict=True):
            said = finish(process)
            assert_told(said, CASES[name].code, *CASES[name].parts)
            assert said.out == ""


# What the database says.


@pytest.fixture
def node() -> Iterator[Node]:
    with running(Node(20)) as served:
        yield served


@contextmanager
def altered(url: str, setting: str, value: str) -> Iterator[None]:
    name = sql.Identifier(urlsplit(url).path[1:])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
        )
    yield


def both(taskscan: Inside, folder: Path, node: Node, database: str, code: int, *parts: str) -> None:
    """`run` and `status` with this database say the same."""
    config(folder, database=database, rpc=node.url, addresses=[ENGINE])
    for words in (["run", "--until-synced"], ["status"]):
        assert_told(taskscan(*words, "--config", "my.toml"), code, *parts)


def test_a_database_that_is_down(taskscan: Inside, tmp_path: Path, node: Node) -> None:
    port = closed_port()
    down = f"postgresql://me:{KEY}@127.0.0.1:{port}/tasks"
    both(taskscan, tmp_path, node, down, 1, f"127.0.0.1:{port}/tasks does not answer", "refused", "Start it")
    nowhere = f"postgresql://me:{KEY}@no-such-host.invalid/tasks"
    both(taskscan, tmp_path, node, nowhere, 1, "no-such-host.invalid:5432/tasks does not", "TASKSCAN_DATABASE_URL")


def test_a_wrong_password_user_or_name(taskscan: Inside, tmp_path: Path, node: Node, migrated: str) -> None:
    parts = urlsplit(migrated)
    login, place = f"{parts.username}:{parts.password}", f"{parts.hostname}:{parts.port}"
    role = f"taskscan_test_{secrets.token_hex(6)}"
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'right'").format(sql.Identifier(role)))
    try:
        wrong = f"postgresql://{role}:{KEY}@{place}{parts.path}"
        both(taskscan, tmp_path, node, wrong, 1, f"{place}{parts.path} does not let this user in", "Correct user and")
        denied = f"postgresql://{role}:right@{place}{parts.path}"
        both(taskscan, tmp_path, node, denied, 1, f"{place}{parts.path} denies it: permission denied", "Grant")
    finally:
        with psycopg.connect(migrated, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    missing = f"postgresql://{login}@{place}/no_such_database"
    both(taskscan, tmp_path, node, missing, 1, f"no database {place}/no_such_database", "createdb")


def test_a_database_that_is_read_only(
    taskscan: Inside, tmp_path: Path, node: Node, migrated: str, database: str
) -> None:
    for url, words in ((migrated, ["run", "--until-synced"]), (database, ["db", "upgrade"])):
        before = rows(url)
        with altered(url, "default_transaction_read_only", "on"):
            config(tmp_path, database=url, rpc=node.url, addresses=[ENGINE])
            said = taskscan(*words, "--config", "my.toml")
            assert_told(said, 1, urlsplit(url).path, "is read-only", "default_transaction_read_only")
        assert rows(url) == before
    config(tmp_path, database=migrated, rpc=node.url, addresses=[ENGINE])
    assert taskscan("status", "--config", "my.toml").code == 0, "which only reads"


def test_a_database_of_a_newer_version(taskscan: Inside, tmp_path: Path, node: Node, migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE chain.alembic_version SET version_num = '9999'")
    before = rows(migrated)
    both(taskscan, tmp_path, node, migrated, 1, "the schema 9999", "newer one: upgrade Taskscan")
    assert_told(taskscan("db", "upgrade", "--config", "my.toml"), 1, "the schema 9999", "upgrade Taskscan")
    assert rows(migrated) == before


def test_a_database_without_tables(taskscan: Inside, tmp_path: Path, node: Node, database: str) -> None:
    both(taskscan, tmp_path, node, database, 1, "no tables of Taskscan", "Run `taskscan db upgrade`")
    assert rows(database) == {}


def test_a_database_whose_tables_somebody_changed(taskscan: Inside, tmp_path: Path, node: Node, migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        connection.execute("ALTER TABLE chain.reads RENAME TO readings")
    config(tmp_path, database=migrated, rpc=node.url, addresses=[ENGINE])
    said = taskscan("run", "--until-synced", "--config", "my.toml")
    assert_told(said, 1, 'relation "chain.reads" does not exist')
    assert stored_logs(migrated) == {}


def test_a_disk_that_is_full_and_then_is_not(taskscan: Inside, tmp_path: Path) -> None:
    with running(Node(HEAD)) as node, small_disk() as disk:
        config(tmp_path, database=disk.url, rpc=node.url, addresses=[ENGINE])
        assert taskscan("db", "upgrade", "--config", "my.toml").code == 0
        disk.fill()
        said = taskscan("run", "--until-synced", "--config", "my.toml")
        assert_told(said, 1, "The disk of the database at 127.0.0.1:", "is full", "Free some space")
        disk.free()
        assert assert_whole(disk.url) < HEAD
        again = taskscan("run", "--until-synced", "--config", "my.toml")
        assert again.code == 0, again.err
        assert assert_whole(disk.url) == HEAD - CREATED + 1
