"""One task: found by its id or a prefix of it, with its work, payments, disputes and its events in order."""

import re
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import UsageError
from indexer.networks.koii.base58 import is_key
from indexer.query import aidbox
from indexer.query.as_of import resolve, tasks_at
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


def find(connection: sa.Connection, text: str, as_of: str | None = None) -> Task:
    """The task whose id is `text` or begins with it. Raises UsageError for none and for several.

    `as_of`: a block number or a time. The task, its payments and events are then those of the past; its work and
    disputes are left out, for they are kept as they are now.
    """
    wanted = text.lower() if text[:2].lower() == "0x" else text
    named = is_key(text) or (wanted[:2] != "0x" and re.fullmatch(r"[A-Za-z0-9.-]{1,64}", text))
    if not named and not re.fullmatch(r"0x[0-9a-f]{1,64}", wanted):
        raise UsageError(
            f"{text!r} is no task id: 0x and up to 64 hexadecimal digits are needed, the address of a Koii task, or"
            " the id of an Aidbox task."
        )
    query = sa.select(tasks).where(tasks.c.task_id.startswith(wanted)).limit(FEW + 1)
    found = [dict(row) for row in connection.execute(query).mappings()]
    if not found:
        raise UsageError(f"No task {wanted} is in the database. `taskscan status` tells how far it is read.")
    if len({row["task_id"] for row in found}) > 1:
        listed = "".join(f"\n  {row['task_id']}  {row['network']} @ {row['chain']}" for row in found[:FEW])
        more = "\n  …" if len(found) > FEW else ""
        raise UsageError(f"Several tasks begin with {wanted}:{listed}{more}")
    return _whole(connection, found[0]) if as_of is None else _past(connection, found[0], as_of)


def _past(connection: sa.Connection, task: dict[str, Any], as_of: str) -> Task:
    past = resolve(connection, as_of, task["chain"])
    then = tasks_at(past)
    mine = (then.c[name] == task[name] for name in ("contract", "task_id"))
    row = connection.execute(sa.select(then).where(*mine)).mappings().one_or_none()
    if row is None:
        raise UsageError(f"Task {task['task_id']} did not exist at {as_of}: it was submitted in block"
                         f" {task['submitted_block']}.")  # fmt: skip
    moved = [payment for payment in _of(connection, payments, task, "block") if payment["block"] <= past[0].block]
    events = [event for event in _events(connection, task) if event["block"] <= past[0].block]
    return Task(dict(row), [], moved, [], events)


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
    if task["network"] == "aidbox":
        return aidbox.events(connection, task["chain_id"], task["task_id"])
    if not task["task_id"].startswith("0x"):
        return []  # Koii has states, no events
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
