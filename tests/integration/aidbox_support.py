"""Reading a made-up Aidbox in tests, and the truth of its ledger in the words of our tables."""

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg import sql

from indexer.config import Settings, build
from indexer.devnet import aidbox_life
from indexer.devnet.aidbox import CLIENT, SECRET, Node, served
from indexer.devnet.aidbox_engine import Engine
from indexer.ingest.aidbox import AidboxJob
from indexer.ingest.run import run
from indexer.networks.aidbox import LOG, TASK, WORKFLOW
from indexer.store import database as db
from indexer.store import named
from indexer.store.store import Store

STATUS = {
    "created": "open", "waiting": "open", "ready": "open", "requested": "running", "in-progress": "running",
    "succeeded": "succeeded", "failed": "failed", "canceled": "cancelled",
}  # fmt: skip
TABLES = {TASK: ("task_versions", "task_id"), WORKFLOW: ("workflow_versions", "workflow_id")}


def lived(steps: int, seed: int = 7, **changes: Any) -> Node:
    """An Aidbox in which some things have happened."""
    node = Node(Engine(seed), **changes)
    live(node, steps)
    return node


def live(node: Node, steps: int) -> None:
    for _ in range(steps):
        with node.lock:
            aidbox_life.step(node.engine)


def settings(database: str, url: str, secret: str = SECRET) -> Settings:
    chain = {"name": "clinic", "kind": "aidbox", "url": url, "client_id": CLIENT, "client_secret": secret}
    sources = [{"network": "aidbox", "chain": "clinic"}]
    return build({"database": {"url": database}, "chains": [chain], "sources": sources}, "test")


def sync(database: str, url: str, secret: str = SECRET) -> None:
    """What `run --until-synced` does."""
    engine = db.engine(database)
    try:
        asyncio.run(run(settings(database, url, secret), engine, until_synced=True, watch=lambda jobs: None))
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def job(database: str, node: Node) -> Any:
    """A job that is prepared, over a server of its own."""
    engine = db.engine(database)
    writer = Store(engine)
    with served(node) as url:
        wanted = settings(database, url)
        number = await writer.run(named.chain_number, "clinic", "aidbox", "wall")
        reader = AidboxJob(wanted.chains[0], number, wanted.sources, writer)
        try:
            await reader.prepare()
            yield reader
        finally:
            await reader.close()
            writer.close()


def ask(database: str, query: str | sql.Composed) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute(query if isinstance(query, sql.Composed) else query.encode()).fetchall()


def versions(database: str, resource: str) -> set[Any]:
    """Every version of a type of resource in the database, as the ledger tells it."""
    table, key = TABLES[resource]
    query = sql.SQL("SELECT {}, version, status, outcome, exec_id, deleted FROM {}")
    found = ask(database, query.format(sql.Identifier(key), sql.Identifier("aidbox", table)))
    return {(resource, *row) for row in found}


def tasks(database: str) -> dict[str, Any]:
    """Task -> status in the network's words, status in ours, version, whether it is cleaned up."""
    query = """
        SELECT v.task_id, v.network_status, v.status, t.version, t.cleaned_up_at IS NOT NULL
        FROM analytics.tasks v JOIN aidbox.tasks t USING (chain_id, task_id) WHERE v.network = 'aidbox'
    """
    return {id: rest for id, *rest in ask(database, query)}


def true_tasks(node: Node) -> dict[str, Any]:
    """The same by the ledger alone."""
    found: dict[str, Any] = {}
    for fact in node.engine.ledger:
        if fact.resource == TASK:
            status = STATUS[(fact.outcome if fact.status == "done" else fact.status) or ""]
            found[fact.id] = [fact.status, status, fact.version, fact.deleted]
    return found


def true_log(node: Node) -> set[tuple[str, str]]:
    """(id, version) of every line of the log that ever was."""
    return {(fact.id, fact.version) for fact in node.engine.ledger if fact.resource == LOG and not fact.deleted}


def read_log(database: str) -> set[Any]:
    return set(ask(database, "SELECT log_id, version FROM aidbox.task_log WHERE NOT deleted"))


def incidents(database: str) -> list[str]:
    return [kind for (kind,) in ask(database, "SELECT kind FROM chain.incidents ORDER BY incident_id")]
