"""`taskscan db rebuild`: nothing changes where all is right, every wound is healed and told, a kill changes nothing."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from indexer.store import database as db
from indexer.store.fold import fold_chain
from indexer.store.rebuild import COUNTS, HELPERS, Rebuilt, rebuild
from schema import FOLDS
from tests.acceptance.command import Inside, config, start, taskscan
from tests.integration.conftest import fresh_database
from tests.integration.test_as_of import CASES, build
from tests.support import needs_recordings, recording

__all__ = ["taskscan"]
pytestmark = needs_recordings

ENTITIES = {name: [str(fold.table) for fold in folds] for name, folds in FOLDS.items()}


@pytest.fixture(scope="module", params=CASES)
def whole(request: pytest.FixtureRequest, server_url: str, template: str) -> Iterator[tuple[str, str]]:
    """A network and a database that holds all of its recording, facts included. To be copied, not used."""
    with fresh_database(server_url, template) as database:
        build(database, request.param, recording(request.param)["head"])
        yield CASES[request.param][0], database


@pytest.fixture
def index(whole: tuple[str, str], server_url: str) -> Iterator[tuple[str, str]]:
    """This test's own copy of it."""
    network, database = whole
    with fresh_database(server_url, database.rsplit("/", 1)[1]) as url:
        yield network, url


def derived(network: str) -> list[str]:
    return [*ENTITIES[network], *map(str, HELPERS.get(network, ())), *map(str, COUNTS)]


COUNTED = {"chain.task_sums": "n"}  # rows of none stay where what they counted went, and mean nothing


def rows(database: str, tables: list[str]) -> dict[str, list[str]]:
    """Every row of these tables as text."""
    with psycopg.connect(database) as connection:
        found = {}
        for table in tables:
            counted = (
                sql.Identifier(COUNTED[table]) if table in COUNTED else sql.SQL("1")
            )  # a row of none means nothing
            query = sql.SQL("SELECT t::text FROM {} t WHERE {} <> 0 ORDER BY 1").format(
                sql.Identifier(*table.split(".")), counted
            )
            found[table] = [row[0] for row in connection.execute(query)]
    return found


def made_anew(database: str) -> Rebuilt:
    engine = db.engine(database)
    try:
        with engine.begin() as connection:
            return rebuild(connection)
    finally:
        engine.dispose()


def differing(done: Rebuilt) -> dict[str, tuple[int, int, int]]:
    return {d.table: (d.added, d.removed, d.changed) for d in done.differences if d.added or d.removed or d.changed}


def test_what_is_right_stays_as_it_is(index: tuple[str, str]) -> None:
    network, database = index
    before = rows(database, derived(network))
    done = made_anew(database)
    assert differing(done) == {}
    assert done.facts == 0
    assert {d.table for d in done.differences} == set(derived(network))
    assert sum(d.rows for d in done.differences) == sum(map(len, before.values()))
    assert rows(database, derived(network)) == before


WOUNDS = {
    "arbius": {
        "arbius.tasks": (
            "UPDATE arbius.tasks SET stage = 'open', fee = fee + 1 WHERE task_id IN"
            " (SELECT task_id FROM arbius.tasks WHERE stage <> 'open' ORDER BY 1 LIMIT 5)",
            "DELETE FROM arbius.tasks WHERE task_id IN"
            " (SELECT task_id FROM arbius.tasks WHERE input_size IS NOT NULL ORDER BY 1 DESC LIMIT 3)",
            "INSERT INTO arbius.tasks (chain_id, address, task_id, suggestions, stage, last_block, last_at)"
            " SELECT chain_id, address, '\\xdead', 0, 'open', 1, now() FROM arbius.tasks LIMIT 1",
        ),
        "arbius.votes": (
            "UPDATE arbius.votes SET yea = NOT yea WHERE task_id IN (SELECT task_id FROM arbius.votes LIMIT 1)",
        ),
        "arbius.withdraw_requests": ("DELETE FROM arbius.withdraw_requests WHERE count = 1",),
        "arbius.parameters": ("UPDATE arbius.parameters SET paused = NOT paused, treasury = NULL",),
    },
    "iexec": {
        "iexec.tasks": (
            "DELETE FROM iexec.tasks WHERE requester IS NOT NULL AND idx = (SELECT min(idx) FROM iexec.tasks)",
        ),
        "iexec.accounts": ("UPDATE iexec.accounts SET stake = stake + 1",),
        "iexec.task_ids": (
            "UPDATE iexec.task_ids SET idx = idx + 1 WHERE taskid IN (SELECT taskid FROM iexec.task_ids LIMIT 4)",
            "DELETE FROM iexec.task_ids WHERE listed_from = (SELECT max(listed_from) FROM iexec.task_ids)",
        ),
        "iexec.deals": ("DELETE FROM iexec.deals WHERE block_number = (SELECT max(block_number) FROM iexec.deals)",),
    },
}


def wounded(connection: psycopg.Connection, statements: tuple[str, ...]) -> tuple[int, int, int]:
    """Run the statements without a trace in the counts; what a rebuild must do: (add, remove, change)."""
    hurt = {"INSERT": 0, "UPDATE": 0, "DELETE": 0}
    connection.execute("SET session_replication_role = replica")  # no trigger counts what is not true
    for statement in statements:
        hurt[statement.split()[0]] += connection.execute(statement.encode()).rowcount
    assert all(connection.execute("SELECT 1"))
    return hurt["DELETE"], hurt["INSERT"], hurt["UPDATE"]


def test_every_wound_is_healed_and_told(index: tuple[str, str]) -> None:
    network, database = index
    before = rows(database, derived(network))
    with psycopg.connect(database) as connection:
        wanted = {table: wounded(connection, statements) for table, statements in WOUNDS[network].items()}
    assert all(sum(counts) for counts in wanted.values())
    assert rows(database, derived(network)) != before
    done = made_anew(database)
    # The counts took no part in the wounds: they follow the healing and are then counted anew.
    healed = {table: n for table, n in differing(done).items() if not table.startswith("chain.")}
    assert healed == wanted
    assert rows(database, derived(network)) == before, "facts that no event tells are back, too"
    examples = {d.table: d.examples for d in done.differences}
    assert all(len(examples[table]) == sum(min(n, 3) for n in counts) for table, counts in wanted.items())
    assert differing(made_anew(database)) == {}


def test_counts_are_healed_and_told(index: tuple[str, str]) -> None:
    network, database = index
    before = rows(database, derived(network))
    with psycopg.connect(database) as connection:
        first = (
            "DELETE FROM chain.worker_counts WHERE worker = "
            "(SELECT worker FROM chain.worker_counts ORDER BY worker LIMIT 1)"
        )
        gone = connection.execute(first.encode()).rowcount
        more = connection.execute("UPDATE chain.day_counts SET n = n + 7 WHERE what = 'task'").rowcount
        connection.execute(  # no difference: it counts none
            "INSERT INTO chain.day_counts"
            " SELECT network, chain_id, day, 'cancelled by a reorg', 0, 0 FROM chain.day_counts LIMIT 1"
        )
    assert differing(made_anew(database)) == {"chain.worker_counts": (gone, 0, 0), "chain.day_counts": (0, 0, more)}
    assert rows(database, derived(network)) == before


def test_a_fold_that_changes_needs_no_chain(index: tuple[str, str]) -> None:
    network, database = index
    if network != "arbius":
        return
    with psycopg.connect(database) as connection:
        (definition,) = connection.execute(
            "SELECT pg_get_functiondef('arbius.stage(text, int, boolean, boolean, boolean, boolean)'::regprocedure)"
        ).fetchone() or ("",)
        connection.execute(definition.replace("'claimed'", "'paid'").encode())
        claimed = connection.execute("SELECT count(*) FROM arbius.tasks WHERE stage = 'claimed'").fetchone()
    done = {d.table: d for d in made_anew(database).differences}
    assert claimed == (done["arbius.tasks"].changed,)
    assert done["arbius.tasks"].changed > 100
    assert all("stage claimed -> paid" in text for text in done["arbius.tasks"].examples)


@contextlib.contextmanager
def folds_held(database: str, chain_id: int) -> Iterator[None]:
    """Another process folds the chain."""
    engine = db.engine(database)
    with engine.connect() as connection:
        fold_chain(connection, chain_id)
        yield
        connection.rollback()
    engine.dispose()


def test_it_waits_for_who_folds_and_says_so_and_keeps_others_waiting(index: tuple[str, str]) -> None:
    network, database = index
    chain_id = next(case[1] for case in CASES.values() if case[0] == network)
    engine, told, inside, go = db.engine(database), [], threading.Event(), threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if text == "counting":
            inside.set()
            assert go.wait(60)

    def run() -> Rebuilt:
        with engine.begin() as connection:
            return rebuild(connection, tell)

    def fold() -> float:
        with engine.begin() as connection:
            fold_chain(connection, chain_id)
        return time.monotonic()

    with ThreadPoolExecutor() as pool:
        with folds_held(database, chain_id):
            done = pool.submit(run)
            while "test: waiting for another process that folds it" not in told:
                assert not done.done()
                time.sleep(0.01)
        while not inside.wait(0.01):
            assert not done.done(), done.result()
        other = pool.submit(fold)
        before = rows(database, ENTITIES[network])
        assert not other.done()
        opened = time.monotonic()
        go.set()
        assert other.result() > opened
        assert differing(done.result()) == {}
    assert rows(database, ENTITIES[network]) == before
    engine.dispose()


WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def until(database: str, waiting: int) -> None:
    """Wait until so many others of this database wait for a lock. In transactions of their own: one sees one moment."""
    end = time.monotonic() + 60
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(WAITING.encode()).fetchone() != (waiting,):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_kill_leaves_the_old_tables_and_frees_the_chain(index: tuple[str, str], tmp_path: Path) -> None:
    network, database = index
    settings = str(config(tmp_path, database=database, rpc="http://127.0.0.1:9"))
    with psycopg.connect(database, autocommit=True) as connection:
        wounded(connection, next(iter(WOUNDS[network].values())))
        before = rows(database, derived(network))
        # A writer of the last entity holds the rebuild up where it takes over: all is made and nothing committed.
        with connection.transaction():
            last = sql.Identifier(*ENTITIES[network][-1].split("."))
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(last))
            process = start("db", "rebuild", "--config", settings, cwd=tmp_path)
            until(database, 1)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            until(database, 0)
    assert rows(database, derived(network)) == before
    assert differing(made_anew(database)) != {}


def test_the_command_prints_the_differences(index: tuple[str, str], taskscan: Inside, tmp_path: Path) -> None:
    network, database = index
    with psycopg.connect(database) as connection:
        table, statements = next(iter(WOUNDS[network].items()))
        added, removed, changed = wounded(connection, statements)
    done = taskscan("db", "rebuild", "--config", str(config(tmp_path, database=database, rpc="http://127.0.0.1:9")))
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith(f"{table}: ")]
    wanted = [f"{n} {what}" for n, what in ((added, "added"), (removed, "removed"), (changed, "changed")) if n]
    assert line.endswith("rows; " + ", ".join(wanted))
    assert "\n  added 0x" in done.out
    assert done.out.splitlines()[-1].startswith("facts given again to ")
