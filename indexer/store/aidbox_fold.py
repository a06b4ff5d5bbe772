"""What follows from the versions of Aidbox's tasks and workflows: the newest state, and the executions."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from indexer.networks.aidbox import LOG, TASK
from indexer.networks.aidbox.words import DONE, IN_PROGRESS
from schema import aidbox, script

OWN = ("created_version", "started_at", "finished_at", "cleaned_up_at")
"""Columns of an entity that stand in no version."""


def fold(connection: sa.Connection, chain_id: int, resource: str, ids: Sequence[str]) -> None:
    """Make the rows of these tasks or workflows anew from their versions. The log has no state."""
    if resource == LOG or not ids:
        return
    task = resource == TASK
    table = aidbox.tasks if task else aidbox.workflows
    versions = aidbox.task_versions if task else aidbox.workflow_versions
    key = "task_id" if task else "workflow_id"
    state = _state(chain_id, resource, versions, key, ids)
    names = [column.name for column in table.columns]
    new = insert(table).from_select(names, sa.select(*(state.c[name] for name in names)))
    changed = {name: new.excluded[name] for name in names if name not in ("chain_id", key)}
    connection.execute(new.on_conflict_do_update(index_elements=["chain_id", key], set_=changed))
    if task:
        connection.execute(sa.text(script("aidbox_executions.sql")), {"chain_id": chain_id, "ids": list(ids)})


def _state(chain_id: int, resource: str, versions: sa.Table, key: str, ids: Sequence[str]) -> sa.Subquery:
    """The newest version of each with what all its versions tell. One without number or time counts as the oldest."""
    c = versions.c
    mine = sa.and_(c.chain_id == chain_id, c[key] == sa.any_(sa.literal(list(ids))))
    order = (c.version_number.desc().nulls_last(), c.updated_at.desc().nulls_last(), c.read_at.desc(), c.version)
    newest = sa.select(versions).where(mine).ext(distinct_on(c[key])).order_by(c[key], *order)
    last = newest.subquery("last")
    per = [
        c[key],
        sa.func.min(c.version_number).filter(c.updated_at == c.created_at).label("created_version"),
        sa.func.min(c.updated_at).filter(c.status == IN_PROGRESS).label("started_at"),
        sa.func.min(c.updated_at).filter(c.status == DONE).label("finished_at"),
    ]
    whole = sa.select(*per).where(mine).group_by(c[key]).subquery("whole")
    a = aidbox.absences.c
    absent = sa.select(a.found_at).where(
        a.chain_id == chain_id, a.resource == resource, a.id == last.c[key], a.after_version == last.c.version
    )
    cleaned_up = sa.case((last.c.deleted, sa.func.coalesce(last.c.updated_at, last.c.read_at)))
    own: list[sa.ColumnElement[Any]] = [
        whole.c.created_version, whole.c.started_at, whole.c.finished_at,
        sa.func.coalesce(cleaned_up, absent.scalar_subquery()).label("cleaned_up_at"),
    ]  # fmt: skip
    joined = last.join(whole, whole.c[key] == last.c[key])
    return sa.select(*last.c, *own).select_from(joined).subquery("state")
