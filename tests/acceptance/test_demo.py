"""The first command as a newcomer gives it: real contracts on a real chain, tables equal to what was sent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from indexer.devnet.ledger import Ledger
from tests.support import stored_logs

TASKS = 40


def taskscan(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "indexer", *arguments]


class Demo:
    """A demo that runs in a folder. Its environment names a database that it must not touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = os.environ | {"TASKSCAN_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}
        environment.pop("TASKSCAN_CONFIG", None)
        with (folder / "said").open("w") as said:
            command = taskscan("demo", "--tasks", str(TASKS))
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=said)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def ledger(self) -> Ledger:
        return Ledger.from_json((self.folder / ".taskscan" / "demo" / "ledger.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("a newcomer's folder"))
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        running.process.wait(20)


def url_of(folder: Path) -> str | None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TASKSCAN_")}
    if not (folder / ".taskscan" / "demo" / "ledger.json").exists():
        return None
    done = subprocess.run(
        taskscan("db", "url"), cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def read_to(database: str) -> int | None:
    query = "SELECT CASE WHEN count(read_to) = count(*) THEN min(read_to) END FROM analytics.freshness"
    query += " WHERE chain = 'devnet'"
    try:
        with psycopg.connect(database) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return None
    return row[0] if row else None


def wait_until_read(demo: Demo, block: int) -> str:
    """The database's URL, once every contract is read up to `block`."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and demo.process.poll() is None:
        if (database := url_of(demo.folder)) and (read_to(database) or 0) >= block:
            return database
        time.sleep(0.5)
    raise AssertionError(demo.said)


def test_the_tables_equal_the_ledger_of_what_was_sent(demo: Demo) -> None:
    wait_until_read(demo, 1)
    database = wait_until_read(demo, demo.ledger().head + 2)  # live blocks included
    upto = read_to(database)
    assert upto is not None
    ledger, deadline = demo.ledger(), time.monotonic() + 20
    while ledger.head < upto and time.monotonic() < deadline:
        time.sleep(0.5)
        ledger = demo.ledger()
    engines = [engine.address for engine in ledger.arbius.engines.values()]
    watched = engines + [
        ledger.contracts[name] for name in ("hub", "appregistry", "datasetregistry", "workerpoolregistry")
    ]
    sent = {
        (log.block_number, log.log_index): (log.address, log.block_hash, log.tx_hash)
        for log in ledger.logs_of(*watched, *ledger.workerpools())
        if log.block_number <= upto
    }
    stored = {
        key: ("0x" + row["address"].hex(), "0x" + row["block_hash"].hex(), "0x" + row["tx_hash"].hex())
        for key, (_, row) in stored_logs(database).items()
        if key[0] <= upto
    }
    assert len(sent) > 500
    assert stored == sent


def test_all_four_networks_are_shown(demo: Demo) -> None:
    database = wait_until_read(demo, 1)
    query = "SELECT DISTINCT network FROM analytics.{}"
    wanted = {"arbius", "iexec", "koii", "aidbox"}
    deadline = time.monotonic() + 60
    found: dict[str, set[str]] = {}
    while time.monotonic() < deadline and any(found.get(view) != wanted for view in ("tasks", "work", "freshness")):
        with psycopg.connect(database) as connection:
            for view in ("tasks", "work", "freshness"):
                rows = connection.execute(query.format(view).encode()).fetchall()
                found[view] = {network for (network,) in rows}
        time.sleep(0.5)
    assert found == dict.fromkeys(("tasks", "work", "freshness"), wanted)
    with psycopg.connect(database) as connection:
        kinds = connection.execute("SELECT kind FROM analytics.incidents WHERE chain = 'clinic'").fetchall()
        statuses = connection.execute("SELECT DISTINCT status FROM analytics.tasks WHERE network = 'aidbox'").fetchall()
    assert kinds == []
    assert {status for (status,) in statuses} >= {"open", "running", "succeeded", "failed"}


def test_ctrl_c_ends_it_within_five_seconds_and_leaves_nothing_behind(demo: Demo) -> None:
    database = wait_until_read(demo, 1)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(5) == 0
    assert "Traceback" not in demo.said
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database, connect_timeout=2)
    left = [command for command in commands() if str(demo.folder) in command]
    assert left == []


def commands() -> Iterator[str]:
    """The command lines of all processes."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
