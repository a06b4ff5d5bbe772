"""Workers: ranges read under a fence, whatever queue the job came from; and a worker in another language."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.engine import Engine

from indexer.chain.ranges import Range
from indexer.config import Settings
from indexer.errors import ConfigError, FenceLost, NotThereYet, WrongChain
from indexer.store import database as db
from indexer.store import fences
from indexer.store.fences import Claim
from indexer.store.store import Store
from indexer.work.client import QueueClient
from indexer.work.reader import ChainReader
from indexer.work.worker import Worker
from tests.acceptance.node import CREATED, ENGINE, Node, running
from tests.integration.foreign_queue import ForeignQueue, foreign
from tests.integration.queue_support import Http, http
from tests.proxy import TcpProxy
from tests.support import open_job, settings_for

__all__ = ["http"]
CHAIN, HEAD = 42161, 199


class HeldNode(Node):
    """A node that answers about ranges of logs only when `go` is set; `asked` is set when it has been asked."""

    def __init__(self, head: int) -> None:
        super().__init__(head)
        self.go, self.asked = threading.Event(), threading.Event()
        self.go.set()

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "fromBlock" in wanted:
            self.asked.set()
            assert self.go.wait(30)
        return super().eth_getLogs(wanted)


@pytest.fixture
def engine(migrated: str) -> Iterator[Engine]:
    made = db.engine(migrated)
    yield made
    made.dispose()


@pytest.fixture
def node() -> Iterator[HeldNode]:
    with running(HeldNode(HEAD)) as made:
        assert isinstance(made, HeldNode)
        yield made
        made.go.set()


@pytest.fixture
async def settings(node: HeldNode, engine: Engine) -> Settings:
    """The chain of `node`, known to the database, with nothing read yet."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    made = settings_for(url, node.url, CHAIN, [{"network": "arbius", "addresses": [ENGINE], "start_block": 0}])
    async with open_job(made, engine, budget_bytes=1) as job:
        await job.final()
    node.asked.clear()
    return made


@asynccontextmanager
async def reading(settings: Settings, engine: Engine) -> AsyncIterator[ChainReader]:
    store = Store(db.engine(engine.url.render_as_string(hide_password=False)))
    reader = ChainReader(settings.chains[0], store)
    try:
        await reader.prepare()
        yield reader
    finally:
        await reader.close()
        store.close()


def ask(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def group(engine: Engine) -> int:
    return int(ask(engine, "SELECT group_id FROM chain.groups")[0][0])


def blocks(engine: Engine) -> list[int]:
    return [row[0] for row in ask(engine, "SELECT block_number FROM arbius.task_retracted ORDER BY 1")]


def claim(engine: Engine, first: int, last: int, exec_id: str, attempt: int = 1, job: str = "job") -> Claim:
    return Claim(CHAIN, group(engine), Range(first, last), job, exec_id, attempt)


async def until(done: Any, seconds: float = 30) -> None:
    for _ in range(int(seconds * 50)):
        if done():
            return
        await asyncio.sleep(0.02)
    pytest.fail("that took too long")


async def test_a_range_is_read_once_with_its_ledger(settings: Settings, engine: Engine) -> None:
    async with reading(settings, engine) as reader:
        result = await reader.read(claim(engine, 50, 99, "one"))
        assert (result["blocks"], result["logs"]) == (50, {"arbius": 50})
        assert set(result["busy"]) == {"fetch", "decode", "write"}
        again = await reader.read(claim(engine, 40, 109, "two", job="another"))
        assert again["blocks"] == 20, "only what is missing"
    assert blocks(engine) == list(range(40, 110))
    assert ask(engine, "SELECT from_block, to_block FROM chain.coverage") == [(40, 109)]
    assert ask(engine, "SELECT folded_to FROM chain.groups") == [(None,)]


async def test_a_zombie_is_refused_by_the_fence_and_writes_nothing(
    settings: Settings, engine: Engine, node: HeldNode
) -> None:
    async with reading(settings, engine) as zombie, reading(settings, engine) as heir:
        node.go.clear()
        late = asyncio.create_task(zombie.read(claim(engine, 0, 99, "first", 1)))
        await until(node.asked.is_set)
        await heir._plain.run(fences.take, claim(engine, 0, 99, "second", 2))
        node.go.set()
        with pytest.raises(FenceLost, match=r"taken the blocks 0\.\.99 of chain 42161; nothing was written"):
            await late
        assert blocks(engine) == []
        assert ask(engine, "SELECT count(*) FROM chain.reads") == [(0,)]
        with pytest.raises(FenceLost):
            await zombie.read(claim(engine, 0, 99, "first", 1))
        await heir.read(claim(engine, 0, 99, "second", 2))
    assert blocks(engine) == list(range(CREATED, 100))
    assert ask(engine, "SELECT exec_id, attempt FROM work.fences") == [("second", 2)]


async def test_a_later_execution_waits_for_the_commit_of_the_one_that_writes(
    settings: Settings, engine: Engine
) -> None:
    first, second = claim(engine, 0, 9, "first", 1), claim(engine, 0, 9, "second", 2)
    with engine.begin() as connection:
        fences.take(connection, first)
    with engine.connect() as writer:
        transaction = writer.begin()
        fences.check(writer, first)

        def take() -> None:
            with engine.begin() as connection:
                fences.take(connection, second)

        taking = asyncio.create_task(asyncio.to_thread(take))
        await asyncio.sleep(0.5)
        assert not taking.done()
        transaction.commit()
        await taking
    with engine.begin() as connection, pytest.raises(FenceLost):
        fences.check(connection, first)


async def test_what_is_not_final_and_what_belongs_to_another_chain_is_not_read(
    settings: Settings, engine: Engine, node: HeldNode
) -> None:
    async with reading(settings, engine) as reader:
        with pytest.raises(NotThereYet, match="a final block 200; the newest final one is 199"):
            await reader.read(claim(engine, 190, 200, "one"))
    node.salt = "another chain"
    with pytest.raises(WrongChain):
        async with reading(settings, engine):
            pass
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        connection.execute("TRUNCATE chain.chains CASCADE")
    with pytest.raises(ConfigError, match="does not read chain 42161: begin with `taskscan backfill`"):
        async with reading(settings, engine):
            pass
    assert blocks(engine) == []


@asynccontextmanager
async def working(
    settings: Settings, database: Engine, url: str, login: tuple[str, str] = ("worker", "secret")
) -> AsyncIterator["asyncio.Task[None]"]:
    store, queue = Store(db.engine(database.url.render_as_string(hide_password=False))), QueueClient(url, *login)
    task = asyncio.create_task(Worker(queue, store, settings.chains).work())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConfigError):
            await task
        await queue.close()
        store.close()


@pytest.mark.parametrize("hours", [-5, 5])
async def test_jobs_of_a_foreign_queue_whose_clock_is_wrong(settings: Settings, engine: Engine, hours: int) -> None:
    here = {"chainId": CHAIN, "group": group(engine)}
    jobs = {
        "a": {**here, "from": 0, "to": 99},
        "b": {**here, "from": 100, "to": 150},
        "broken": {**here, "from": 9, "to": 1},
        "c": {**here, "from": 120, "to": HEAD},
        "none": {"chainId": 7, "group": 1, "from": 0, "to": 1},
    }
    with foreign(ForeignQueue(jobs, timedelta(hours=hours))) as queue:
        async with working(settings, engine, queue.url):
            await until(lambda: all(queue.tasks[key]["status"] == "done" for key in ("a", "b", "c", "none")))
    assert blocks(engine) == list(range(CREATED, HEAD + 1))
    done = {key: task.get("outcome") for key, task in queue.tasks.items()}
    assert done == {"a": "succeeded", "b": "succeeded", "c": "succeeded", "none": "failed", "broken": "failed"}
    assert "`from` lies above `to`" in queue.tasks["broken"]["error"]["message"]
    assert "knows no provider of chain 7" in queue.tasks["none"]["error"]["message"]
    assert queue.tasks["c"]["result"]["blocks"] == 49


async def test_a_job_that_the_queue_gave_away_is_dropped_at_the_next_sign_of_life(
    settings: Settings, engine: Engine, node: HeldNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.work.worker.BEAT_SECONDS", 0.1)
    params = {"chainId": CHAIN, "group": group(engine), "from": 0, "to": HEAD}
    beat = "awf.task/heartbeat"
    node.go.clear()
    with foreign(ForeignQueue({"a": params}, timedelta())) as queue:
        async with working(settings, engine, queue.url):
            await until(lambda: queue.said("notify") and queue.said("notify")[-1]["notification"] != beat)
            assert queue.said("notify")[0]["notification"] == beat
            progress = queue.said("notify")[-1]
            assert progress["notification"] == "awf.task/progress"
            assert (progress["progress-current"], progress["progress-total"]) == (0, HEAD + 1)
            queue.take_away("a")
            polls = len(queue.said("long-poll"))
            await until(lambda: len(queue.said("long-poll")) > polls)
            node.go.set()
            assert queue.said("success") == queue.said("fail") == []
    assert blocks(engine) == []


async def test_a_wrong_secret_ends_the_worker_with_a_sentence(settings: Settings, engine: Engine) -> None:
    with foreign(ForeignQueue({}, timedelta())) as queue:
        async with working(settings, engine, queue.url, ("worker", "wr0ng-secret")) as task:
            with pytest.raises(ConfigError, match="does not let this client in: who are you") as refused:
                await asyncio.wait_for(task, 10)
    assert "wr0ng" not in str(refused.value)


async def test_a_database_that_is_down_during_a_job_costs_an_attempt_and_no_row(
    settings: Settings, engine: Engine, node: HeldNode, http: Http
) -> None:
    port = int(urlsplit(http.database).port or 0)
    params = {"chainId": CHAIN, "group": group(engine), "from": 0, "to": HEAD}
    await http.create(id="a", definition="taskscan/scan-range", params=params, retryDelay=100)
    with TcpProxy(port) as proxy:
        through = db.engine(http.database.replace(f":{port}", f":{proxy.port}"))
        node.go.clear()
        async with working(settings, through, http.url, http.login):
            await until(node.asked.is_set)
            with proxy.shut():
                node.go.set()
                await asyncio.sleep(1.0)
            await until(lambda: http.sql("SELECT 1 FROM work.jobs WHERE outcome = 'succeeded'"))
        through.dispose()
    assert blocks(engine) == list(range(CREATED, HEAD + 1))
    assert ask(engine, "SELECT from_block, to_block FROM chain.reads ORDER BY 1")[0][0] == 0


async def test_a_worker_that_is_stopped_gives_its_job_back(
    settings: Settings, engine: Engine, node: HeldNode, http: Http
) -> None:
    params = {"chainId": CHAIN, "group": group(engine), "from": 0, "to": HEAD}
    await http.create(id="a", definition="taskscan/scan-range", params=params)
    node.go.clear()
    async with working(settings, engine, http.url, http.login) as task:
        await until(node.asked.is_set)
        task.cancel()
        await asyncio.wait([task], timeout=10)
    assert (await http.task("a"))["status"] == "waiting"


async def test_a_worker_in_another_language_completes_jobs_by_the_protocol_alone(http: Http) -> None:
    jobs = {f"job-{n}": {"numbers": list(range(n)), "stumble": n % 3 == 0} for n in range(9)}
    for key, params in jobs.items():
        await http.create(id=key, definition="test/add", params=params, retryDelay=100)
    script = str(Path(__file__).with_name("worker.mjs"))
    words = [script, f"{http.url}/rpc", *http.login, str(len(jobs))]
    process = await asyncio.create_subprocess_exec("node", *words, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, said) == (0, b"")
    for key, params in jobs.items():
        task = await http.task(key)
        assert (task["outcome"], task["result"]) == ("succeeded", {"sum": sum(params["numbers"])})
        assert task["retryCount"] == 1 + params["stumble"]
