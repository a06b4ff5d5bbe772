"""What the tests of the job queue share: a server of it, and a client that knows nothing but HTTP."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import aiohttp
import psycopg
import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.engine import Engine

from indexer.store import database as db
from indexer.work import clients
from indexer.work.listen import serving
from tests.integration.conftest import fresh_database

SAMPLES = Path(__file__).parents[3] / "shared" / "protocols" / "aidbox-samples" / "aidbox_awf_doc_examples.json"
needs_samples = pytest.mark.skipif(not SAMPLES.is_file(), reason="no folder ../shared/protocols here")


class Answer(NamedTuple):
    """HTTP status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def tree(self) -> Any:
        """The body, read as its type says."""
        return (yaml.safe_load if "yaml" in self.headers["Content-Type"] else json.loads)(self.body)

    @property
    def result(self) -> Any:
        """What the method gave."""
        assert self.status == 200, self.body
        return self.tree["result"]

    @property
    def refusal(self) -> tuple[int, str]:
        """HTTP status and type of the error."""
        assert set(self.tree) == {"error"}
        assert set(self.tree["error"]) == {"type", "message"}
        return self.status, self.tree["error"]["type"]


class Http:
    """A client of the queue at `url`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, login: tuple[str, str], database: str) -> None:
        self.session, self.url, self.login, self.database = session, url, login, database

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.login).encode()).decode()

    async def post(self, body: str | bytes | BinaryIO, path: str = "/rpc", **headers: str) -> Answer:
        """POST a body as it is."""
        given = {"Authorization": self.basic, "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url + path, data=body, headers=given) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.text())

    async def call(self, method: str, **params: Any) -> Answer:
        """One request in JSON."""
        return await self.post(json.dumps({"method": f"awf.task/{method}", "params": params}))

    async def create(self, **params: Any) -> dict[str, Any]:
        """A new task, of the definition `test/job` unless another one is given."""
        made = await self.call("create-and-execute", **{"definition": "test/job", "params": {}, **params})
        return dict(made.result["resource"])

    async def poll(self, *definitions: str, **params: Any) -> list[dict[str, Any]]:
        """What `awf.task/poll` hands out."""
        polled = await self.call("poll", taskDefinitions=list(definitions or ["test/job"]), **params)
        return list(polled.result["resources"])

    async def started(self, **params: Any) -> dict[str, str]:
        """id and execId of a new task that is in progress."""
        await self.create(**params)
        (task,) = await self.poll(params.get("definition", "test/job"))
        mine = {"id": task["id"], "execId": task["execId"]}
        assert (await self.call("start", **mine)).result["resource"]["status"] == "in-progress"
        return mine

    async def task(self, key: str) -> dict[str, Any]:
        """A task as `awf.task/status` tells it."""
        return dict((await self.call("status", id=key)).result["resource"])

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def later(self, milliseconds: int, key: str | None = None) -> None:
        """Let time pass for jobs, or for one: what was due in so many milliseconds is due now."""
        self.sql(
            "UPDATE work.jobs SET due_at = due_at - %s * interval '1 millisecond' WHERE %s IN ('', id)",
            milliseconds, key or "",
        )  # fmt: skip


@pytest.fixture(scope="module")
def engine(server_url: str, template: str) -> Iterator[Engine]:
    """One database for all tests of a module: a copy costs more than such a test."""
    with fresh_database(server_url, template) as url:
        made = db.engine(url)
        yield made
        made.dispose()


@asynccontextmanager
async def queue_of(engine: Engine, login: tuple[str, str], keep_days: int = 90) -> AsyncIterator[Http]:
    """A server of the queue in the database of `engine`."""
    async with serving(engine, "127.0.0.1", 0, keep_days) as url, aiohttp.ClientSession() as session:
        yield Http(session, url, login, engine.url.set(drivername="postgresql").render_as_string(hide_password=False))


@pytest.fixture
async def http(engine: Engine) -> AsyncIterator[Http]:
    """A server on an empty queue."""
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE work.jobs, work.job_log, work.clients, work.tokens, work.fences"))
        secret = clients.add(connection, "tester")
    async with queue_of(engine, ("tester", secret)) as made:
        yield made
