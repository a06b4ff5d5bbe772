"""Tasks of Koii as of a slot are what the view showed when that slot had been read."""

import random
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from indexer.store import named
from tests.integration.koii_support import ACTIVE, Koii, key, koii

TASKS = [key(n) for n in range(101, 104)]
CHANGES: tuple[dict[str, Any], ...] = (
    {"is_active": False}, {"is_active": True}, {"total_bounty_amount": 3}, {"total_bounty_amount": 5000},
    {"task_name": "another name"}, {"bounty_amount_per_round": 77}, {"total_stake_amount": 12},
)  # fmt: skip
MIGRATED = {"is_migrated": True, "migrated_to": key(9)}  # for good


def shown(book: Koii, query: str, *values: object) -> dict[str, Any]:
    return {row[4]: row for row in book.ask(query, values)}


def live(book: Koii, seed: int) -> dict[int, dict[str, Any]]:
    """Change tasks at random; slot -> what the view showed once it was read."""
    chance, states, stages, slot = random.Random(seed), {task: dict(ACTIVE) for task in TASKS}, {}, 50_000
    for step in range(40):
        slot += chance.randint(1, 500)
        task = chance.choice(TASKS)
        if task in states and chance.random() < 0.04:
            del states[task]
        elif task in states:
            states[task] |= MIGRATED if step == 25 else chance.choice(CHANGES)
        book.see(states.get(task), slot, task=task)
        with book.engine.begin() as connection:
            named.note_slot(connection, book.chain_id, slot, datetime.now(UTC))
        stages[slot] = shown(book, "SELECT * FROM analytics.tasks")
    return stages


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_the_past_is_what_was_shown_then(migrated: str, seed: int) -> None:
    with koii(migrated) as book:
        stages = live(book, seed)
        seen = {row[6] for stage in stages.values() for row in stage.values()}
        assert seen >= {"active", "inactive", "depleted", "migrated"}
        for slot, stage in stages.items():
            for at in (slot, min(s for s in (*stages, slot + 9) if s > slot) - 1):
                if at <= max(stages):
                    assert shown(book, "SELECT * FROM analytics.tasks_at(%s, %s)", book.chain_id, at) == stage
        for outside in (min(stages) - 1, max(stages) + 1):
            with pytest.raises(psycopg.errors.NoDataFound, match="is not covered: it is read from slot"):
                book.ask("SELECT * FROM analytics.tasks_at(%s, %s)", (book.chain_id, outside))
        (now,) = book.ask("SELECT analytics.block_at(%s, max(requested_at)) FROM koii.snapshots", (book.chain_id,))
        assert now == (max(stages),)


def test_one_task_is_found_by_its_index(migrated: str) -> None:
    with koii(migrated) as book:
        live(book, 3)
        query = "EXPLAIN SELECT * FROM analytics.tasks_at(%s, 60000) WHERE task_id = %s"
        with psycopg.connect(migrated) as connection:
            connection.execute("SET enable_seqscan = off")
            rows = psycopg.ClientCursor(connection).execute(query, (book.chain_id, TASKS[0])).fetchall()
    plan = [row[0].strip() for row in rows]
    assert [line for line in plan if "on tasks t" in line and ("ix_tasks_task_id" in line or "pk_tasks" in line)]
    assert [line for line in plan if line.startswith("Index Cond:") and f"(task_id = '{TASKS[0]}'" in line]
