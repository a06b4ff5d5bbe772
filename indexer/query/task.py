"""One task: found by its id or a prefix of it, with its work, payments, disputes and its whole life in order."""

import re
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from indexer.errors import Ambiguous, NotFound, UsageError
from indexer.networks.koii.base58 import is_key
from indexer.query import aidbox
from indexer.query.as_of import known_at_steps, one_of, resolve_steps, tasks_at
from indexer.query.asking import Made, Query, Row, Steps, ask, made, may_refuse
from indexer.query.filters import begins, beyond, constant
from schema import metadata
from schema.analytics import ORDER, disputes, payments, tasks, timeline, work

FEW = 10
WHOLE = 66  # characters of an id of an EVM network
KEYS = ("task", "id", "taskid")
"""Columns of event tables that may hold a task id."""
_PLACE = ("chain_id", "block_number", "log_index", "block_hash", "block_time", "tx_hash", "tx_index", "address")


class Found(NamedTuple):
    """A task with all that is known of it: rows of the analytics views, `events` in the order of the chain, and
    `timeline`: the events in words, with what time alone changed."""

    task: Row
    work: list[Row]
    payments: list[Row]
    disputes: list[Row]
    events: list[Row]
    timeline: list[Row]


def find(connection: sa.Connection, text: str, as_of: str | None = None, known_at: str | None = None) -> Found:
    """The task whose id is `text` or begins with it. Raises UsageError, NotFound, Ambiguous, NotCovered.

    `as_of`: a block number or a time. The task, its payments and events are then those of the past; its work and
    disputes are left out, for they are kept as they are now. `known_at`: a wall time; only the task, as it was shown
    then, even if a reorg has removed it since.
    """
    return ask(connection, Query(lambda: find_steps(text, as_of, known_at)))


def find_steps(text: str, as_of: str | None = None, known_at: str | None = None) -> Steps[Found]:
    """What `find` does."""
    one_of(as_of, known_at)
    if known_at is not None:
        return (yield from _known(text, known_at))
    task = yield from named(text)
    return (yield from _whole(task) if as_of is None else _past(task, as_of))


def named(text: str) -> Steps[Row]:
    """The row of `analytics.tasks` that `text` names. Raises UsageError, NotFound, Ambiguous."""
    wanted = spelled(text)
    found = yield _by_beginning().of(least=wanted, most=beyond(wanted))
    if not found:
        raise NotFound(f"No task {wanted} is in the database. `taskscan status` tells how far it is read.")
    return _the_one(wanted, found)


@cache
def _by_beginning() -> Made:
    by_bytes = sa.collate(tasks.c.task_id, "C")
    least, most = (sa.bindparam(name, type_=sa.Text(), required=False) for name in ("least", "most"))
    query = sa.select(tasks).where(by_bytes >= least, by_bytes < most).order_by(tasks.c.task_id)
    return made(query.limit(constant(FEW + 1)))


def _known(text: str, known_at: str) -> Steps[Found]:
    wanted = spelled(text)
    then = yield from known_at_steps(known_at, task=wanted if len(wanted) == WHOLE else None)
    by_id = sa.select(then).where(begins(then.c.task_id, wanted)).order_by(then.c.task_id)
    found = yield may_refuse(by_id.limit(FEW + 1))
    if not found:
        raise NotFound(f"No task {wanted} was known at {known_at}.")
    return Found(_the_one(wanted, found), [], [], [], [], [])


def _the_one(wanted: str, found: list[Row]) -> Row:
    found = [row for row in found if row["task_id"] == wanted] or found  # a whole id may be how others begin
    if len(found) > 1:
        raise Ambiguous(_listed(wanted, found), list(dict.fromkeys(row["task_id"] for row in found[:FEW])))
    return found[0]


def spelled(text: str) -> str:
    """An id or the beginning of one, as the database writes it. Raises UsageError."""
    wanted = text.lower() if text[:2].lower() == "0x" else text
    by_name = is_key(text) or (wanted[:2] != "0x" and re.fullmatch(r"[A-Za-z0-9.-]{1,64}", text))
    if not by_name and not re.fullmatch(r"0x[0-9a-f]{1,64}", wanted):
        raise UsageError(
            f"{text!r} is no task id: 0x and up to 64 hexadecimal digits are needed, the address of a Koii task, or"
            " the id of an Aidbox task."
        )
    return wanted


def timeline_of(task: Row) -> Steps[list[Row]]:
    """Rows of `analytics.timeline` of this very task."""
    rows = yield from timeline_of_id(task["task_id"])
    return [row for row in rows if (row["chain_id"], row["contract"]) == (task["chain_id"], task["contract"])]


def timeline_of_id(task_id: str) -> Steps[list[Row]]:
    """Rows of `analytics.timeline`; none where no task has this id."""
    rows = yield _timeline().of(task=task_id)
    return rows


@cache
def _timeline() -> Made:
    life = sa.func.analytics.timeline(sa.bindparam("task", type_=sa.Text(), required=False))
    return made(sa.select(life.table_valued(*_columns(timeline)).alias("timeline")))


def _listed(wanted: str, found: list[Row]) -> str:
    listed = "".join(f"\n  {row['task_id']}  {row['network']} @ {row['chain']}" for row in found[:FEW])
    return f"Several tasks begin with {wanted}:{listed}" + ("\n  …" if len(found) > FEW else "")


def _columns(view: sa.TableClause) -> list[sa.ColumnClause[Any]]:
    return [sa.column(column.name, column.type) for column in view.c]


def _past(task: Row, as_of: str) -> Steps[Found]:
    past = yield from resolve_steps(as_of, task["chain"])
    rows: list[Row] = []
    for then in tasks_at(past):
        rows += yield sa.select(then).where(*(then.c[name] == task[name] for name in ("contract", "task_id")))
    if not rows:
        raise NotFound(f"Task {task['task_id']} did not exist at {as_of}: it was submitted in block"
                       f" {task['submitted_block']}.")  # fmt: skip
    block = past[0].block
    events = [event for event in (yield from _events(task)) if (event["block"] or 0) <= block]
    moved = [payment for payment in (yield from _payments(task, events)) if payment["block"] <= block]
    life = [at for at in (yield from timeline_of(task)) if at["block"] is not None and at["block"] <= block]
    return Found(rows[0], [], moved, [], events, life)


def _whole(task: Row) -> Steps[Found]:
    events = yield from _events(task)
    return Found(
        task,
        work=(yield _of(work, task)),
        payments=(yield from _payments(task, events)),
        disputes=(yield from _disputes(task, events)),
        events=events,
        timeline=(yield from timeline_of(task)),
    )


def _of(view: sa.TableClause, task: Row, blocks: list[int] | None = None) -> Made:
    """The rows of a view that are of this task, of these blocks alone where they are given."""
    statement = _rows_of(view, task["network"], blocks is not None)
    mine = {name: task[name] for name in ("chain_id", "contract", "task_id")}
    return statement.of(**mine) if blocks is None else statement.of(**mine, blocks=blocks)


@cache
def _rows_of(view: sa.TableClause, network: str, by_block: bool) -> Made:
    mine = [view.c[name] == sa.bindparam(name, required=False) for name in ("chain_id", "contract", "task_id")]
    if by_block:
        blocks = sa.bindparam("blocks", type_=sa.ARRAY(sa.BigInteger()), required=False)
        mine.append(view.c.block == sa.func.any(blocks))
    query = sa.select(view).where(view.c.network == constant(network), *mine)
    return made(query.order_by(view.c["block" if view is payments else ORDER[view.name][0]]))


def _disputes(task: Row, events: list[Row]) -> Steps[list[Row]]:
    """Contestations; a task without an event of one is not asked for."""
    if not any(event["event"].startswith("contestation_") for event in events):
        return []
    rows = yield _of(disputes, task)
    return rows


def _payments(task: Row, events: list[Row]) -> Steps[list[Row]]:
    """Money moves in the blocks of the task's own events, if it has any: only these have to be looked at."""
    blocks = sorted({event["block"] for event in events}) if task["network"] in ("arbius", "iexec") else []
    rows = yield _of(payments, task, blocks or None)
    return rows


def _events(task: Row) -> Steps[list[Row]]:
    """Every stored event that names the task, oldest first, without the columns that only say where it stands."""
    if task["network"] == "aidbox":
        return (yield from aidbox.events(task["chain_id"], task["task_id"]))
    if not task["task_id"].startswith("0x"):
        return []  # Koii has states, no events
    wanted = {"chain": task["chain_id"], "task": bytes.fromhex(task["task_id"][2:])}
    rows = yield _of_all_tables(task["network"]).of(**wanted)
    return [_event(row) for row in rows]


@cache
def _of_all_tables(network: str) -> Made:
    """One statement for all event tables that name tasks: the arguments come as one JSON object."""
    chain = sa.bindparam("chain", type_=sa.BigInteger(), required=False)
    task = sa.bindparam("task", type_=sa.LargeBinary(), required=False)
    parts = []
    for table in metadata.tables.values():
        key = next((name for name in KEYS if name in table.c), None)
        if table.schema == network and key is not None and "log_index" in table.c:
            x = table.alias("x")
            place = [x.c[name] for name in ("block_number", "log_index", "block_time", "tx_hash")]
            row = sa.func.to_jsonb(sa.literal_column("x"), type_=JSONB())
            known = sa.literal([*_PLACE, key], sa.ARRAY(sa.Text()), literal_execute=True)
            name = sa.literal(table.name, sa.Text(), literal_execute=True).label("event")
            found = sa.select(name, *place, row.op("-")(known).label("arguments"))
            parts.append(found.where(x.c.chain_id == chain, x.c[key] == task))
    return made(sa.union_all(*parts).order_by("block_number", "log_index"))


def _event(row: Row) -> Row:
    place = {"event": row["event"], "block": row["block_number"], "log_index": row["log_index"]}
    place |= {"time": row["block_time"], "tx": "0x" + row["tx_hash"].hex()}
    return place | {"arguments": {name: _shown(value) for name, value in row["arguments"].items() if value is not None}}


def _shown(value: Any) -> Any:
    """JSON has bytes as \\x and digits."""
    return "0x" + value[2:] if isinstance(value, str) and value.startswith("\\x") else value
