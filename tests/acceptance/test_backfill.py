"""`taskscan backfill`, `worker` and `queue` as their users have them: processes on a real chain server and database."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.command import Inside, config, environment, finish, start, taskscan
from tests.acceptance.node import CREATED, ENGINE, Node, running

__all__ = ["taskscan"]
HEAD = 799


class SlowNode(Node):
    """A node that takes `seconds` for each range."""

    seconds = 0.0

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "fromBlock" in wanted:
            time.sleep(self.seconds)
        return super().eth_getLogs(wanted)


@pytest.fixture
def node() -> Iterator[SlowNode]:
    with running(SlowNode(HEAD)) as made:
        assert isinstance(made, SlowNode)
        yield made


@pytest.fixture
def file(node: Node, migrated: str, tmp_path: Path) -> Path:
    return config(tmp_path, database=migrated, rpc=node.url, clock="head", addresses=[ENGINE], start_block=0)


def ask(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def until(done: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end, "that took too long"
        assert process is None or process.poll() is None, finish(process) if process else ""
        time.sleep(0.1)


def whole(database: str) -> bool:
    """Every block is read once, and folded."""
    rows = [row[0] for row in ask(database, "SELECT block_number FROM arbius.task_retracted ORDER BY 1")]
    reads = ask(database, "SELECT from_block, to_block FROM chain.reads ORDER BY 1")
    joined = all(before[1] + 1 == after[0] for before, after in pairwise(reads))
    ends = reads[0][0], reads[-1][1]
    folded = ask(database, "SELECT folded_to FROM chain.groups") == [(HEAD,)]
    return rows == list(range(CREATED, HEAD + 1)) and joined and ends == (0, HEAD) and folded


def workers(parent: int) -> list[int]:
    """The workers that the process `parent` has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            theirs = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if theirs == parent and "--with-parent" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found


def test_a_backfill_reads_all_once_and_leaves_nothing_behind(file: Path, migrated: str, tmp_path: Path) -> None:
    said = finish(start("backfill", "--workers", "2", "--blocks", "50", "--config", str(file), cwd=tmp_path))
    assert said.code == 0, said.err
    assert "queue: http://127.0.0.1:" in said.err
    assert f"one: {HEAD + 1} blocks and {HEAD + 1 - CREATED} logs read" in said.err
    assert whole(migrated)
    jobs = ask(migrated, "SELECT outcome, count(*), sum((result->>'blocks')::int) FROM work.jobs GROUP BY 1")
    assert jobs == [("succeeded", 16, HEAD + 1)]
    assert ask(migrated, "SELECT count(*) FROM work.clients") == [(0,)]
    assert ask(migrated, "SELECT count(*) FROM work.fences") == [(0,)]
    again = finish(start("run", "--until-synced", "--config", str(file), cwd=tmp_path))
    assert again.code == 0, again.err
    assert whole(migrated)


def test_ctrl_c_takes_the_jobs_back_and_another_backfill_goes_on(
    file: Path, migrated: str, node: SlowNode, tmp_path: Path
) -> None:
    node.seconds = 0.5
    words = ("backfill", "--workers", "1", "--blocks", "50", "--config", str(file))
    process = start(*words, cwd=tmp_path)
    until(lambda: ask(migrated, "SELECT 1 FROM chain.reads LIMIT 1"), process)
    assert workers(process.pid)
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert (said.code, "Traceback" in said.err) == (0, False), said.err
    assert "stopped: what is written stays" in said.err
    assert workers(process.pid) == []
    assert ask(migrated, "SELECT count(*) FROM work.jobs WHERE status <> 'done'") == [(0,)]
    assert not whole(migrated)
    node.seconds = 0.0
    assert finish(start(*words, cwd=tmp_path)).code == 0
    assert whole(migrated)


def test_a_killed_backfill_takes_its_workers_along_and_the_next_one_its_jobs(
    file: Path, migrated: str, node: SlowNode, tmp_path: Path
) -> None:
    node.seconds = 0.5
    words = ("backfill", "--workers", "1", "--blocks", "50", "--config", str(file))
    process = start(*words, cwd=tmp_path)
    until(lambda: ask(migrated, "SELECT 1 FROM chain.reads LIMIT 1"), process)
    mine = workers(process.pid)
    assert mine
    process.kill()
    finish(process)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in mine))
    assert ask(migrated, "SELECT count(*) FROM work.jobs WHERE status <> 'done'") != [(0,)]
    node.seconds = 0.0
    assert finish(start(*words, cwd=tmp_path)).code == 0
    assert whole(migrated)
    assert ask(migrated, "SELECT count(*) FROM work.jobs WHERE status <> 'done'") == [(0,)]
    assert ask(migrated, "SELECT count(*) FROM work.jobs WHERE outcome = 'canceled'") != [(0,)]


def test_a_worker_elsewhere_needs_the_database_the_queue_and_a_secret(
    file: Path, migrated: str, taskscan: Inside, tmp_path: Path
) -> None:
    made = taskscan("queue", "client", "far", "--config", str(file))
    assert made.code == 0
    secret = made.out.strip()
    assert len(secret) >= 40
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    backfill = start(
        "backfill", "--workers", "0", "--listen", f"127.0.0.1:{port}", "--config", str(file), cwd=tmp_path
    )  # fmt: skip
    until(lambda: ask(migrated, "SELECT 1 FROM work.jobs LIMIT 1"), backfill)
    login = {"TASKSCAN_QUEUE_CLIENT_ID": "far", "TASKSCAN_QUEUE_URL": f"http://127.0.0.1:{port}"}
    wrong = finish(
        start(
            "worker", "--config", str(file), cwd=tmp_path, env=environment(**login, TASKSCAN_QUEUE_CLIENT_SECRET="no")
        )
    )
    assert wrong.code == 2
    assert "does not let this client in" in wrong.err
    assert "Traceback" not in wrong.err
    login["TASKSCAN_QUEUE_CLIENT_SECRET"] = secret
    worker = start("worker", "--config", str(file), cwd=tmp_path, env=environment(**login))
    said = finish(backfill)
    assert said.code == 0, said.err
    assert whole(migrated)
    worker.send_signal(signal.SIGTERM)
    ended = finish(worker)
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    assert secret not in said.err + ended.err
    assert taskscan("queue", "client", "far", "--remove", "--config", str(file)).code == 0
    assert taskscan("queue", "client", "far", "--remove", "--config", str(file)).code == 2


def test_what_is_typed_wrongly_is_told_in_a_sentence(file: Path, taskscan: Inside) -> None:
    for words, sentence in (
        (("backfill",), "There is nothing to backfill: give a configuration"),
        (("backfill", "--config", str(file), "--listen", "here"), "--listen here is not HOST:PORT"),
        (("worker",), "A worker needs a database: set TASKSCAN_DATABASE_URL"),
        (("worker", "--config", str(file)), "Which queue? Give --queue URL, or set TASKSCAN_QUEUE_URL."),
        (("queue", "client", "a:b", "--config", str(file)), "a short text without a colon"),
        (("queue", "serve", "--config", str(file), "--listen", "127.0.0.1:99999"), "is not HOST:PORT"),
    ):
        said = taskscan(*words)
        assert (said.code, sentence in said.err) == (2, True), (words, said)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = taskscan("queue", "serve", "--config", str(file), "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert said.code == 2
    assert "Address already in use. Choose another place." in said.err
