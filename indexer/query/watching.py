"""Following one task: every event and every change that time makes, as the database learns of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import DictRow

from indexer.errors import NotFound
from indexer.networks.koii.base58 import is_key
from indexer.query.asking import Query, Row, Steps, ask_async, connect_async
from indexer.query.task import WHOLE, named, spelled, timeline_of_id

EVERY = 0.5  # seconds between looks
DONE = ("succeeded", "failed", "cancelled")
REMOVED = "cleaned-up"  # an Aidbox task that was removed before its end was read

_Key = tuple[Any, ...]


class Change(NamedTuple):
    """Something happened to the task. `kind`: event, time (a window closed), or gone: a reorg took it back.

    `status` and `network_status` are the task's after it; `details` are the event's arguments.
    """

    task_id: str
    network: str
    chain: str
    at: datetime | None
    block: int | None
    kind: str
    what: str
    status: str | None
    network_status: str | None
    who: str | None
    details: dict[str, Any]


async def watch(url: str, task_id: str, *, every: float = EVERY) -> AsyncIterator[Change]:
    """Everything that has happened to a task, then what happens, until it is done.

    The task need not be there yet if `task_id` is a whole id; the beginning of one must name a task. An Aidbox id has
    any length: it is waited for, and completed, until a task begins so. Events that the indexer learns of later, of a
    reorg or of a gap, come when they are learned. `every`: seconds between two looks at the database at `url`. Raises
    UsageError, NotFound, Ambiguous, and what `connect_async` raises.
    """
    wanted = spelled(task_id)
    whole = len(wanted) == WHOLE if wanted.startswith("0x") else is_key(wanted)
    async with connect_async(url) as connection:
        told: dict[_Key, Change] = {}
        while True:
            if not (whole or told):
                wanted = await _completed(connection, wanted)
            found = await ask_async(connection, Query(partial(_life, wanted)))
            changes, told = _changes(found, told)
            for change in changes:
                yield change
            if told and _over(next(reversed(told.values()))):
                return
            await asyncio.sleep(every)


async def _completed(connection: "psycopg.AsyncConnection[DictRow]", text: str) -> str:
    """The id of the task that `text` names; `text` itself where it may be an Aidbox id that is not there yet."""
    try:
        task = await ask_async(connection, Query(partial(named, text)))
    except NotFound:
        if text.startswith("0x"):
            raise
        return text
    return str(task["task_id"])


def _over(last: Change) -> bool:
    return last.status in DONE or last.network_status == REMOVED


def _life(task_id: str) -> Steps[list[Row]]:
    rows = yield from timeline_of_id(task_id)
    return [row for row in rows if row["kind"] != "due"]


def _changes(found: list[Row], told: dict[_Key, Change]) -> tuple[list[Change], dict[_Key, Change]]:
    """What is new in `found` against what was told, and all of it as it is now, in its order."""
    now: dict[_Key, Change] = {}
    words: tuple[str | None, str | None] = (None, None)
    for row in found:
        words = (row["status"], row["network_status"]) if row["network_status"] is not None else words
        now[_key(row)] = _change(row, *words)
    gone = [old._replace(kind="gone", status=words[0], network_status=words[1])
            for key, old in told.items() if key not in now]  # fmt: skip
    return gone + [change for key, change in now.items() if key not in told], now


def _key(row: Row) -> _Key:
    place = tuple(row[name] for name in ("chain_id", "contract", "what", "at", "block", "log_index", "tx_hash"))
    return (*place, row["details"].get("log_id"))  # Aidbox can log the same twice at once


def _change(row: Row, status: str | None, network_status: str | None) -> Change:
    told = {name: row[name] for name in Change._fields}
    return Change(**told | {"status": status, "network_status": network_status})
