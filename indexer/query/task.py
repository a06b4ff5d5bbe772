"""One task: found by its id or a prefix of it, with its work, payments, disputes and its events in order."""

import re
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import UsageError
from schema import metadata
from schema.analytics import disputes, payments, tasks, work

FEW = 10
KEYS = ("task", "id", "taskid")
"""Columns of event tables that may hold a task id."""


class Task(NamedTuple):
    """A task with all that is known of it: rows of the analytics views, and `events` in the order of the chain."""

    task: dict[str, Any]
    work: list[dict[str, Any]]
    payments: list[dict[str, Any]]
    disputes: list[dict[str, Any]]
    events: list[dict[str, Any]]


def find(connection: sa.Connection, text: str) -> Task:
    """The task whose id is `text` or begins with it. Raises UsageError for none and for several."""
    wanted = text.lower()
    if not re.fullmatch(r"0x[0-9a-f]{1,64}", wanted):
        raise UsageError(f"{text!r} is no task id: 0x and up to 64 hexadecimal digits are needed.")
    query = sa.select(tasks).where(tasks.c.task_id.startswith(wanted)).limit(FEW + 1)
    found = [dict(row) for row in connection.execute(query).mappings()]
    if not found:
        raise UsageError(f"No task {wanted} is in the database. `taskscan status` tells how far it is read.")
    if len({row["task_id"] for row in found}) > 1:
        listed = "".join(f"\n  {row['task_id']}  {row['network']} @ {row['chain']}" for row in found[:FEW])
        more = "\n  …" if len(found) > FEW else ""
        raise UsageError(f"Several tasks begin with {wanted}:{listed}{more}")
    return _whole(connection, found[0])


def _whole(connection: sa.Connection, task: dict[str, Any]) -> Task:
    return Task(
        task,
        work=_of(connection, work, task, "submitted_at"),
        payments=_of(connection, payments, task, "block"),
        disputes=_of(connection, disputes, task, "opened_at"),
        events=_events(connection, task),
    )


def _of(connection: sa.Connection, view: sa.TableClause, task: dict[str, Any], order: str) -> list[dict[str, Any]]:
    mine = [view.c[name] == task[name] for name in ("chain_id", "contract", "task_id")]
    query = sa.select(view).where(*mine).order_by(view.c[order])
    return [dict(row) for row in connection.execute(query).mappings()]


def _events(connection: sa.Connection, task: dict[str, Any]) -> list[dict[str, Any]]:
    """Every stored event that names the task, oldest first, without the columns that only say where it stands."""
    task_id = bytes.fromhex(task["task_id"][2:])
    found = []
    for table in metadata.tables.values():
        column = next((table.c[key] for key in KEYS if key in table.c), None)
        if table.schema != task["network"] or column is None or "log_index" not in table.c:
            continue
        query = sa.select(table).where(table.c.chain_id == task["chain_id"], column == task_id)
        found += [_event(table.name, dict(row)) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda event: (event["block"], event["log_index"]))


def _event(name: str, row: dict[str, Any]) -> dict[str, Any]:
    place = {"event": name, "block": row.pop("block_number"), "log_index": row.pop("log_index")}
    place |= {"time": row.pop("block_time"), "tx": _shown(row.pop("tx_hash"))}
    hidden = {"chain_id", "block_hash", "tx_index", "address", *KEYS}
    return place | {"arguments": {k: _shown(v) for k, v in row.items() if k not in hidden and v is not None}}


def _shown(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else value
