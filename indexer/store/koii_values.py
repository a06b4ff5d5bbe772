"""Values of Koii tasks that change: one row per value, from the snapshot that first shows it to the next other one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, Insert, insert

from indexer.networks.koii.rules import SlotClock
from indexer.networks.koii.state import State
from indexer.networks.text import holdable, split
from indexer.store import incidents
from schema import koii, metadata

LONGEST_NAME = 100  # characters of a field's name that is a key of its own
OTHER = "…"  # under which fields with other names are kept
Old = sa.RowMapping | None


@dataclass(frozen=True)
class Moment:
    """A task as of a slot. `clock` tells the time of slots."""

    chain_id: int
    task_id: str
    slot: int
    clock: SlotClock

    @property
    def time(self) -> datetime:
        """Of the slot."""
        return self.clock.time(self.slot)

    def mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """The rows of the task."""
        return sa.and_(table.c.chain_id == self.chain_id, table.c.task_id == self.task_id)


def from_rows(table: sa.Table, at: Moment, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Insert:
    """An insert of many rows in one statement, with the task's key beside the columns `names`.

    They go as one JSON text: psycopg takes ten times longer for arrays of text.
    """
    records = [dict(zip(names, row, strict=True)) for row in rows]
    text = msgspec.json.encode(records, enc_hook=str).decode()
    typed = [sa.column(name, table.c[name].type) for name in names]
    given = (
        sa.func.json_to_recordset(sa.cast(sa.literal(text, sa.Text), JSON))
        .table_valued(*typed)
        .render_derived(with_types=True)
    )
    key: list[sa.ColumnElement[Any]] = [sa.literal(at.chain_id, sa.BigInteger), sa.literal(at.task_id, sa.Text)]
    return insert(table).from_select(["chain_id", "task_id", *names], sa.select(*key, *(given.c[n] for n in names)))


def as_bytea(value: bytes | None) -> str | None:
    """Bytes as they stand in the JSON of `from_rows`."""
    return None if value is None else "\\x" + value.hex()


def static_columns(state: State, old: Old) -> dict[str, Any]:
    """The columns of static fields; one that the answer does not hold stays as it was."""
    found: dict[str, Any] = {}
    for name, kind in koii.STATIC.items():
        names = [name, f"{name}_raw"] if kind == "text" else [name]
        if name not in state.static:
            found |= {each: old[each] if old else None for each in names}
        elif kind == "text":
            found |= dict(zip(names, split(state.static[name]), strict=True))
        else:
            found[name] = state.static[name]
    return found


def version(connection: sa.Connection, at: Moment, columns: Mapping[str, Any], old: Old, before: int | None) -> None:
    """A row of `koii.task_versions` when a static field has changed."""
    if old is None or any(old[name] != value for name, value in columns.items()):
        _succeed(connection, at, koii.task_versions, columns, before)


def total(connection: sa.Connection, at: Moment, totals: Mapping[str, Any], old: Old, before: int | None) -> None:
    """A row of `koii.task_totals` when a total has changed."""
    if old is None or any(old[name] != value for name, value in totals.items()):
        _succeed(connection, at, koii.task_totals, totals, before)


def _succeed(
    connection: sa.Connection, at: Moment, table: sa.Table, values: Mapping[str, Any], before: int | None
) -> None:  # fmt: skip
    connection.execute(sa.update(table).where(at.mine(table), table.c.to_slot.is_(None)).values(to_slot=at.slot))
    connection.execute(sa.insert(table).values(**_key(at, before), **values))


def _key(at: Moment, before: int | None) -> dict[str, Any]:
    own = {"chain_id": at.chain_id, "task_id": at.task_id}
    return {**own, "from_slot": at.slot, "after_slot": before, "from_at": at.time}


def hold(
    connection: sa.Connection, at: Moment, name: str, held: Mapping[str, Any] | None, before: int | None
) -> int:  # fmt: skip
    """Rows of `koii.<name>` for what has changed in the map `held` by staker; how many. None: it was not told."""
    if held is None:
        return 0
    table = metadata.tables[f"koii.{name}"]
    values = ("ip_address", "ip_address_raw") if name == "ip_addresses" else ("amount",)
    now = {staker: split(value) if name == "ip_addresses" else (Decimal(value),) for staker, value in held.items()}
    current = sa.select(table.c.staker, table.c.listed, *(table.c[each] for each in values))
    query = current.where(at.mine(table), table.c.to_slot.is_(None))
    known = {row.staker: tuple(row[2:]) if row.listed else None for row in connection.execute(query)}
    changed = [(staker, *value, True) for staker, value in now.items() if known.get(staker) != value]
    nothing = (None, None) if name == "ip_addresses" else (Decimal(0),)
    changed += [(staker, *nothing, False) for staker, value in known.items() if value is not None and staker not in now]
    if changed:
        ended = sa.update(table).where(
            at.mine(table), table.c.to_slot.is_(None), table.c.staker == sa.any_(sa.literal([c[0] for c in changed]))
        )  # fmt: skip
        connection.execute(ended.values(to_slot=at.slot))
        names = ["staker", *values, "listed", "from_slot", "after_slot", "from_at"]
        if name == "ip_addresses":
            changed = [(staker, text, as_bytea(raw), listed) for staker, text, raw, listed in changed]
        connection.execute(from_rows(table, at, names, [(*row, at.slot, before, at.time) for row in changed]))
    return len(changed)


def keep_unknown(connection: sa.Connection, at: Moment, unknown: Mapping[str, Any], before: int | None) -> None:
    """Keep fields without a column, and report each one when it is first seen of a task."""
    table = koii.unknown_fields
    query = sa.select(table.c.field, table.c.value).where(at.mine(table), table.c.to_slot.is_(None))
    known = {row.field: row.value for row in connection.execute(query)} if unknown else {}
    for name, value in _named(unknown).items():
        if name in known and known[name] == value:
            continue
        mine = sa.and_(at.mine(table), table.c.field == name, table.c.to_slot.is_(None))
        connection.execute(sa.update(table).where(mine).values(to_slot=at.slot))
        connection.execute(sa.insert(table).values(**_key(at, before), field=name, value=value))
        if name not in known:
            text = (
                f"The state holds {name!r} in a form that this version of Taskscan does not know. It is kept in "
                "koii.unknown_fields; upgrade Taskscan to have it in tables."
            )
            incidents.note(connection, at.chain_id, "UnknownField", f"koii task {at.task_id}", text)


def _named(unknown: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in unknown.items():
        if len(name) <= LONGEST_NAME and name.isprintable() and split(name)[1] is None:
            found[name] = holdable(value)
        else:
            found.setdefault(OTHER, []).append([holdable(name), holdable(value)])
    return found
