"""Versions written in any order, in any portions, any number of times: the same tables."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy.engine import Engine

from indexer.networks.aidbox import LOG, TASK, WORKFLOW, Version, read
from indexer.store import aidbox as store
from indexer.store import database as db
from indexer.store import named
from tests.integration.aidbox_support import ask, lived, tasks, true_tasks, versions

TABLES = ("tasks", "workflows", "executions", "task_versions", "workflow_versions", "task_log")


@contextmanager
def opened(database: str) -> Iterator[tuple[Engine, int]]:
    engine = db.engine(database)
    try:
        with engine.begin() as connection:
            number = named.chain_number(connection, "clinic", "aidbox", "wall")
        yield engine, number
    finally:
        engine.dispose()


def content(database: str) -> dict[str, Any]:
    """Every table, without when it was read."""
    every = sql.SQL("SELECT to_jsonb(t) - 'read_at' FROM {} t")
    return {name: sorted(ask(database, every.format(sql.Identifier("aidbox", name))), key=str) for name in TABLES}


@pytest.mark.parametrize("seed", [1, 2])
def test_order_and_repetition_make_no_difference(migrated: str, seed: int) -> None:
    node, rng = lived(70, seed), random.Random(seed)
    entries = [(kind, entry) for kind in (TASK, WORKFLOW, LOG) for entry in node.engine.past[kind]]
    found = [read(entry.resource, kind, deleted=entry.method == "DELETE") for kind, entry in entries]
    now = datetime.now(UTC)
    with opened(migrated) as (engine, number):
        write(engine, number, sorted(found, key=lambda each: each.number or 0), 1000, now)
        ordered = content(migrated)
        assert tasks(migrated) == true_tasks(node)
        with engine.begin() as connection:
            for name in TABLES:
                db.driver(connection).execute(sql.SQL("TRUNCATE {}").format(sql.Identifier("aidbox", name)))
        again = found + rng.sample(found, len(found) // 3)
        rng.shuffle(again)
        write(engine, number, again, rng.randint(20, 60), now)
    assert content(migrated) == ordered
    assert versions(migrated, TASK) == {fact for fact in node.engine.ledger if fact.resource == TASK}
    assert ask(migrated, "SELECT 1 FROM aidbox.unreadable") == []


def write(engine: Engine, number: int, found: list[Version], portion: int, now: datetime) -> None:
    for first in range(0, len(found), portion):
        with engine.begin() as connection:
            store.write(connection, number, found[first : first + portion], now)
