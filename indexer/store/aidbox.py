"""Versions of Aidbox's resources into the tables, in the caller's transaction, in whatever order they come.

A version is written once; tasks, workflows and executions are made anew from all their versions whenever one is added,
so that order and repetition make no difference.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.networks.aidbox import LOG, TASK, WORKFLOW, Version
from indexer.store import incidents
from indexer.store.aidbox_fold import fold
from schema import aidbox

VERSIONS = {TASK: aidbox.task_versions, WORKFLOW: aidbox.workflow_versions, LOG: aidbox.task_log}
KEYS = {TASK: "task_id", WORKFLOW: "workflow_id", LOG: "log_id"}
HISTORY, UPDATED, LIST = "history", "updated", "list"
OVERLAP = timedelta(seconds=60)
"""Transactions that are open this long are numbered before others that are committed earlier: what came within this
time before the newest version is read again with each pass."""


@dataclass(frozen=True)
class Cursor:
    """How far a type of resource is read: see `schema.aidbox.cursors`."""

    mode: str
    read_at: datetime
    version: int | None = None
    updated_at: datetime | None = None
    floor_version: int | None = None
    floor_at: datetime | None = None
    swept_version: int | None = None
    swept_at: datetime | None = None


def cursor(connection: sa.Connection, chain_id: int, resource: str) -> Cursor | None:
    """Where the last pass that ended has left off; None before the first one."""
    c = aidbox.cursors.c
    query = sa.select(aidbox.cursors).where(c.chain_id == chain_id, c.resource == resource)
    row = connection.execute(query).mappings().one_or_none()
    return Cursor(**{name: row[name] for name in Cursor.__dataclass_fields__}) if row else None


def write(connection: sa.Connection, chain_id: int, versions: Sequence[Version], read_at: datetime) -> list[str]:
    """Write what is new among `versions`; the ids of the resources that have a new version."""
    added: list[str] = []
    for resource in {version.resource for version in versions}:
        mine = {(each.id, each.version): each for each in reversed(versions) if each.resource == resource}
        known = _known(connection, chain_id, resource, mine)
        new = [each for place, each in mine.items() if place not in known]
        other = [each for place, each in mine.items() if known.get(place, each.digest) != each.digest]
        _differ(connection, chain_id, resource, other, read_at)
        if new:
            table, key = VERSIONS[resource], KEYS[resource]
            rows = [_row(table, key, chain_id, each, read_at) for each in new]
            connection.execute(insert(table).on_conflict_do_nothing(), rows)
            ids = sorted({each.id for each in new})
            fold(connection, chain_id, resource, ids)
            _report(connection, chain_id, new, read_at)
            added += ids
    return added


def _known(
    connection: sa.Connection, chain_id: int, resource: str, places: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], bytes]:  # fmt: skip
    """(id, version) of all that is written of these resources -> digest."""
    table, key = VERSIONS[resource], KEYS[resource]
    ids = sorted({id for id, _ in places})
    mine = sa.and_(table.c.chain_id == chain_id, table.c[key] == sa.any_(sa.literal(ids)))
    query = sa.select(table.c[key], table.c.version, table.c.digest).where(mine)
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def _row(table: sa.Table, key: str, chain_id: int, version: Version, read_at: datetime) -> dict[str, Any]:
    empty = {column.name: None for column in table.columns}
    return empty | version.columns | {
        "chain_id": chain_id, key: version.id, "version": version.version, "version_number": version.number,
        "updated_at": version.updated_at, "created_at": version.created_at, "deleted": version.deleted,
        "extra": version.extra or None, "digest": version.digest, "read_at": read_at,
    }  # fmt: skip


def _differ(
    connection: sa.Connection, chain_id: int, resource: str, versions: Sequence[Version], read_at: datetime
) -> None:  # fmt: skip
    """Keep what was read before under the same version with other content: one of the two answers was wrong."""
    for each in versions:
        reason = f"Version {each.version} of {resource} {each.id} was read before with other content."
        data = msgspec.json.encode(each, enc_hook=str)
        keep_unreadable(connection, chain_id, resource, reason, data, read_at)


def keep_unreadable(
    connection: sa.Connection, chain_id: int, resource: str, reason: str, data: bytes, read_at: datetime
) -> None:  # fmt: skip
    """Keep what could not become a row, and report it once."""
    row = {
        "chain_id": chain_id, "digest": blake2b(data, digest_size=16).digest(), "resource": resource, "reason": reason,
        "data": data, "first_at": read_at,
    }  # fmt: skip
    new = insert(aidbox.unreadable).values(**row).on_conflict_do_nothing().returning(aidbox.unreadable.c.digest)
    if connection.execute(new).one_or_none():
        text = f"{reason} It is kept in aidbox.unreadable."
        incidents.note(connection, chain_id, "ResourceUnreadable", resource, text)


def _report(connection: sa.Connection, chain_id: int, versions: Iterable[Version], read_at: datetime) -> None:
    """Report each field and word that this version of Taskscan does not know when it is first seen."""
    first = {(v.resource, field, word): v.id for v in versions for field, word in v.odd}
    for (resource, field, word), id in first.items():
        row = {"resource": resource, "field": field, "word": word, "first_id": id, "first_at": read_at}
        new = insert(aidbox.novelties).values(chain_id=chain_id, **row).on_conflict_do_nothing()
        if connection.execute(new.returning(aidbox.novelties.c.field)).one_or_none() is None:
            continue
        what = f"{field} says {word!r}" if word else f"there is a field {field}, or it has a new form"
        text = (
            f"In {resource} {id} {what}, which this version of Taskscan does not know. It is kept"
            f"{'' if word else ' in the column extra'}; upgrade Taskscan to have it understood."
        )
        incidents.note(connection, chain_id, "UnknownWord" if word else "UnknownField", resource, text)


def newest(connection: sa.Connection, chain_id: int, resource: str, now: Cursor) -> Cursor:
    """`now` with the newest version that is written, and the floor from which the next pass has to read."""
    c = VERSIONS[resource].c
    mine = c.chain_id == chain_id
    last = sa.select(sa.func.max(c.version_number), sa.func.max(c.updated_at)).where(mine)
    version, updated_at = connection.execute(last).one()
    if updated_at is None:
        return replace(now, version=version, floor_version=None, floor_at=None)
    floor_at = updated_at - OVERLAP
    # Clocks that went back make later versions seem older: the lowest number within the overlap counts.
    within = sa.select(sa.func.min(c.version_number)).where(mine, c.updated_at > floor_at)
    floor = connection.scalar(within)
    return replace(now, version=version, updated_at=updated_at, floor_version=floor, floor_at=floor_at)


def finish(connection: sa.Connection, chain_id: int, resource: str, now: Cursor, *, swept: bool) -> Cursor:
    """Remember that everything up to now is read; `swept`: all of it anew. The cursor for the next pass."""
    then = newest(connection, chain_id, resource, now)
    if swept:
        then = replace(then, swept_version=then.floor_version, swept_at=now.read_at)
    row = {name: getattr(then, name) for name in Cursor.__dataclass_fields__}
    new = insert(aidbox.cursors).values(chain_id=chain_id, resource=resource, **row)
    connection.execute(new.on_conflict_do_update(index_elements=["chain_id", "resource"], set_=row))
    return then


def standing(connection: sa.Connection, chain_id: int, resource: str) -> dict[str, str]:
    """Id -> newest version of the resources that are believed to be there."""
    table = aidbox.tasks if resource == TASK else aidbox.workflows
    mine = sa.and_(table.c.chain_id == chain_id, table.c.cleaned_up_at.is_(None))
    query = sa.select(table.c[KEYS[resource]], table.c.version).where(mine)
    return {row[0]: row[1] for row in connection.execute(query)}


def write_absent(
    connection: sa.Connection, chain_id: int, resource: str, absent: dict[str, str], found_at: datetime
) -> None:  # fmt: skip
    """Resources (id -> newest version read) that Aidbox has no longer: it has cleaned them up.

    Only what is done is cleaned up (aidbox.md B4), so how the others have ended was not read: that is an incident.
    """
    rows = [
        {"chain_id": chain_id, "resource": resource, "id": id, "after_version": version, "found_at": found_at}
        for id, version in absent.items()
    ]
    if not rows:
        return
    connection.execute(insert(aidbox.absences).on_conflict_do_nothing(), rows)
    fold(connection, chain_id, resource, sorted(absent))
    if lost := _unended(connection, chain_id, resource, absent):
        text = (
            f"{len(lost):,} {resource} resources were cleaned up before their end was read, {lost[0]} among them: "
            "their outcome is not known. Keep them for longer than two reads are apart."
        )
        incidents.note(connection, chain_id, "OutcomeLost", resource, text)


def _unended(connection: sa.Connection, chain_id: int, resource: str, ids: Collection[str]) -> list[str]:
    table, key = (aidbox.tasks if resource == TASK else aidbox.workflows), KEYS[resource]
    mine = sa.and_(table.c.chain_id == chain_id, table.c[key] == sa.any_(sa.literal(sorted(ids))))
    query = sa.select(table.c[key]).where(mine, table.c.status.is_distinct_from("done")).order_by(table.c[key])
    return list(connection.scalars(query))
