"""Workers and servers of the job queue, and somebody who kills and freezes them at random.

The chain is the tests' own node, whose every log is known: it and the arithmetic of ranges are the oracle.
"""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg

from indexer.chain.ranges import Range
from indexer.chain.sizing import cut
from indexer.config import Settings
from indexer.errors import TaskRefused
from indexer.store import database as db
from indexer.store.leases import Lease
from indexer.work import clients
from indexer.work.client import QueueClient
from indexer.work.planner import Piece, request
from tests.acceptance.node import CREATED, ENGINE, Node
from tests.jobs.command import taskscan
from tests.support import open_job, settings_for, toml_for

CHAIN = 42161
SOURCE = {"network": "arbius", "addresses": [ENGINE], "start_block": 0}
PATIENCE = {"requestedToStartTimeout": 2000, "inProgressTimeout": 2500, "retryDelay": 100, "allowedRetryCount": 1000}
FROZEN_SECONDS = 4.0  # longer than the queue's patience: whoever wakes up after it is a zombie
SETTLE_SECONDS = 3.0  # in which zombies have their say at the end


# Processes are forked from one that has imported everything: they start at once, and killing them is cheap.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["tests.jobs.command"])


class SlowNode(Node):
    """A node that takes its time for logs, so that executions are met in the middle of their work."""

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "fromBlock" in wanted:
            time.sleep(0.05)
        return super().eth_getLogs(wanted)


@dataclass
class Tally:
    """What happened. `refused_by_fence` and `refused_by_queue`: executions that were told that they are none any more;
    `started`: executions in all."""

    jobs: int = 0
    started: int = 0
    workers_killed: int = 0
    servers_killed: int = 0
    frozen: int = 0
    refused_by_fence: int = 0
    refused_by_queue: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Machine:
    """Processes that are started again when they are gone."""

    def __init__(self, folder: Path, database: str, config: Path, servers: int, workers: int) -> None:
        self._folder, self._database = folder, database
        self.secret = _client(database)
        self._commands: dict[str, list[str]] = {}
        self.processes: dict[str, BaseProcess] = {}
        self.urls = [f"http://127.0.0.1:{_free_port()}" for _ in range(servers)]
        for n, url in enumerate(self.urls):
            place = url.removeprefix("http://")
            self._commands[f"server-{n}"] = ["queue", "serve", "--config", str(config), "--listen", place]
        for n in range(workers):
            url = self.urls[n % servers]
            self._commands[f"worker-{n}"] = ["worker", "--config", str(config), "--queue", url]

    def keep_up(self, kind: str = "") -> None:
        """Start what does not run, or only those whose name begins with `kind`."""
        for name in self._commands:
            if not name.startswith(kind):
                continue
            if name not in self.processes or not self.processes[name].is_alive():
                self._start(name)

    def _start(self, name: str) -> None:
        login = {"TASKSCAN_QUEUE_CLIENT_ID": "chaos", "TASKSCAN_QUEUE_CLIENT_SECRET": self.secret}
        log = str(self._folder / f"{name}.log")
        self.processes[name] = FORKS.Process(target=taskscan, args=(self._commands[name], login, log))
        self.processes[name].start()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process, which may be gone already."""
        process = self.processes[name]
        if process.is_alive() and process.pid:
            os.kill(process.pid, number)

    def said(self, text: str) -> int:
        """How many lines of the workers hold `text`."""
        logs = self._folder.glob("worker-*.log")
        return sum(text in line for log in logs for line in log.read_text(errors="replace").splitlines())

    def end(self) -> None:
        """Stop everything."""
        for name in self.processes:
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGKILL)
        for process in self.processes.values():
            process.join()


def run(
    folder: Path, database: str, node: Node, *, jobs: int, workers: int, servers: int = 2, seed: int = 1,
    every: float = 1.0, patience: float = 120.0,
) -> Tally:  # fmt: skip
    """Let `workers` do `jobs` jobs, one every so many blocks of `node`, while every `every` seconds something happens
    to one of the processes. What came of it; `wrong` is empty when each range was written once and none was lost."""
    config = toml_for(folder, database, node.url, CHAIN, [SOURCE])
    group = asyncio.run(_prepare(settings_for(database, node.url, CHAIN, [SOURCE])))
    tally, chance = Tally(jobs=jobs), random.Random(seed)
    with _machine(folder, database, config, servers, workers) as machine:
        began = time.monotonic()
        machine.keep_up("server")
        asyncio.run(_fill(machine, node.head, jobs, group))
        slow = time.monotonic() - began  # where processes take long to start, fewer are killed, or none would work
        machine.keep_up()
        began = time.monotonic()
        _torment(machine, database, tally, chance, max(every, slow / 4), patience + 10 * slow)
        tally.seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        tally.refused_by_fence = machine.said("has taken the blocks")
        tally.refused_by_queue = machine.said("job_lost") - tally.refused_by_fence
    tally.wrong += _compare(database, node, group, tally)
    return tally


@contextmanager
def _machine(folder: Path, database: str, config: Path, servers: int, workers: int) -> Iterator[Machine]:
    machine = Machine(folder, database, config, servers, workers)
    try:
        yield machine
    finally:
        machine.end()


def _torment(
    machine: Machine, database: str, tally: Tally, chance: random.Random, every: float, patience: float
) -> None:  # fmt: skip
    frozen: dict[str, float] = {}
    until, before = time.monotonic() + patience, -1
    with psycopg.connect(database, autocommit=True) as connection:
        while (left := _open_jobs(connection)) and time.monotonic() < until:
            if left != before:
                until, before = time.monotonic() + patience, left
                _tell(tally, left)
            time.sleep(every)
            _thaw(machine, frozen)
            _one_thing(machine, frozen, tally, chance)
            machine.keep_up()
        if left:
            tally.wrong.append(f"{left} jobs were still open after {patience:g} s in which none was done")
    for name in frozen:
        machine.signal(name, signal.SIGCONT)


def _tell(tally: Tally, left: int) -> None:
    hurt = f"{tally.workers_killed} workers and {tally.servers_killed} servers killed, {tally.frozen} frozen"
    line = f"{tally.jobs - left} of {tally.jobs} jobs done; {hurt}"
    print(line, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def _one_thing(machine: Machine, frozen: dict[str, float], tally: Tally, chance: random.Random) -> None:
    name = chance.choice([name for name in machine.processes if name not in frozen])
    if name.startswith("server"):
        tally.servers_killed += 1
        machine.signal(name, signal.SIGKILL)
    elif chance.random() < 0.5 and len(frozen) < 3:
        tally.frozen += 1
        machine.signal(name, signal.SIGSTOP)
        frozen[name] = time.monotonic() + FROZEN_SECONDS
    else:
        tally.workers_killed += 1
        machine.signal(name, signal.SIGKILL)


def _thaw(machine: Machine, frozen: dict[str, float]) -> None:
    for name in [name for name, until in frozen.items() if until < time.monotonic()]:
        machine.signal(name, signal.SIGCONT)
        del frozen[name]


def _open_jobs(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM work.jobs WHERE status <> 'done'").fetchone()
    return int(row[0]) if row else 0


def _compare(database: str, node: Node, group: int, tally: Tally) -> list[str]:
    """What is not as it should be."""
    wrong: list[str] = []
    with psycopg.connect(database) as connection:
        outcomes = connection.execute("SELECT outcome, count(*), sum(retry_count) FROM work.jobs GROUP BY 1").fetchall()
        tally.started = sum(int(row[2]) for row in outcomes)
        if [(row[0], row[1]) for row in outcomes] != [("succeeded", tally.jobs)]:
            wrong.append(f"outcomes of jobs: {outcomes}")
        query = "SELECT from_block, to_block FROM chain.reads WHERE group_id = %s ORDER BY 1, 2"
        last = -1
        for first, to in connection.execute(query, (group,)):
            if first != last + 1:
                wrong.append(f"reads: {first}..{to} follows {last}")
            last = to
        if last != node.head:
            wrong.append(f"reads end at {last}, the chain at {node.head}")
        rows = connection.execute(
            "SELECT block_number, log_index, encode(block_hash, 'hex'), encode(tx_hash, 'hex')"
            " FROM arbius.task_retracted ORDER BY 1"
        ).fetchall()
    logs = [(n, 0, node.hash(n)[2:], node.hash(10**9 + n)[2:]) for n in range(CREATED, node.head + 1)]
    if rows != logs:
        wrong.append(f"{len(rows)} rows are stored, the chain has {len(logs)} logs, and they are not the same")
    return wrong


async def _prepare(settings: Settings) -> int:
    """Let the database know the chain and its group of contracts, as a backfill does; the group."""
    engine = db.engine(settings.database.url.get_secret_value() if settings.database.url else "")
    async with open_job(settings, engine, budget_bytes=1, lease=Lease(engine, CHAIN)) as job:
        await job.final()
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        row = connection.execute("SELECT group_id FROM chain.groups").fetchone()
    assert row
    return int(row[0])


async def _fill(machine: Machine, head: int, jobs: int, group: int) -> None:
    """Put the jobs into the queue by the protocol, once a server answers."""
    parts = cut(Range(0, head), (head + jobs) // jobs)
    assert len(parts) == jobs
    wanted = [{**request(f"job-{n}", CHAIN, "test", Piece(group, part)), **PATIENCE} for n, part in enumerate(parts)]
    queue = QueueClient(machine.urls[0], "chaos", machine.secret)
    try:
        for n in range(0, jobs, 50):
            calls = [("awf.task/create-and-execute", each) for each in wanted[n : n + 50]]
            answers = await queue.patiently(calls, seconds=300)
            assert not [answer for answer in answers if isinstance(answer, TaskRefused)]
    finally:
        await queue.close()


def _client(database: str) -> str:
    engine = db.engine(database)
    try:
        with engine.begin() as connection:
            return clients.add(connection, "chaos")
    finally:
        engine.dispose()


def _free_port() -> int:

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
