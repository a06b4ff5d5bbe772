"""What a snapshot shows of rounds: written once and never changed, whatever the order in which snapshots come.

Only `first_slot` moves: to the oldest snapshot that shows the row.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from indexer.networks.koii import base58
from indexer.networks.koii.state import Audit, State
from indexer.networks.text import split
from indexer.store import incidents
from indexer.store.koii_values import Moment, as_bytea, from_rows
from schema import koii

FEW = 3  # contradictions that are told one by one


def write(connection: sa.Connection, at: Moment, state: State) -> None:
    """Write every row of every round that `state` holds and that is not there yet."""
    _keep(connection, at, koii.submissions, _submissions(at, state))
    _keep(connection, at, koii.submission_audits, _audits(at, "submitter", state.submission_audits))
    _keep(connection, at, koii.distribution_audits, _audits(at, "node", state.distribution_audits))
    for kind, votes in (("submission", state.submission_votes), ("distribution", state.distribution_votes)):
        fields = ("kind", "round", "subject", "voter", "slot", "is_valid")
        rows = [(kind, v.round, v.subject, v.voter, v.slot, v.is_valid) for v in votes or ()]
        _keep(connection, at, koii.audit_votes, (fields, rows))
    times = _times(at)
    lists = [(d.round, d.node, d.slot, d.account, times(d.slot)) for d in state.distributions or ()]
    names = ("round", "node", "slot", "account", "submitted_at")
    _keep(connection, at, koii.distribution_submissions, (names, lists))
    records = [(r.round, r.status, at.time) for r in state.records or ()]
    _keep(connection, at, koii.distribution_records, (("round", "status", "first_at"), records))
    successor = state.static.get("migrated_to")
    if successor and base58.is_key(successor):
        _keep(connection, at, koii.migrations, (("migrated_to", "first_at"), [(successor, at.time)]))


Rows = tuple[Sequence[str], Sequence[tuple[Any, ...]]]


def _submissions(at: Moment, state: State) -> Rows:
    times = _times(at)
    rows = [(s.round, s.submitter, *split(s.value), s.slot, times(s.slot)) for s in state.submissions or ()]
    return ("round", "submitter", "value", "value_raw", "slot", "submitted_at"), rows


def _audits(at: Moment, subject: str, audits: Sequence[Audit] | None) -> Rows:
    times = _times(at)
    rows = [(a.round, a.subject, a.slot, a.trigger_by, times(a.slot)) for a in audits or ()]
    return ("round", subject, "slot", "trigger_by", "opened_at"), rows


def _times(at: Moment) -> Callable[[int], Any]:
    return at.clock.time


def _keep(connection: sa.Connection, at: Moment, table: sa.Table, given: Rows) -> None:
    """Insert what is not there; tell of rows that were written otherwise before."""
    names, rows = given
    if not rows:
        return
    key = [column.name for column in table.primary_key][2:]
    by_key = dict(zip(_picked(rows, names, key), rows, strict=True))
    facts = [name for name in names if name not in key and not name.endswith("_at")]
    known = _known(connection, at, table, key, facts, by_key)
    told = zip(by_key, _picked(list(by_key.values()), names, facts), strict=True)
    differing = [(place, values) for place, values in told if place in known and known[place][1] != values]
    for place, values in differing[:FEW]:
        _contradiction(connection, at, table, zip(key, place, strict=True), known[place][1], values)
    new = [(*row, at.slot) for place, row in by_key.items() if place not in known or known[place][0] > at.slot]
    if new:
        moved = {"first_slot": at.slot, **({"first_at": at.time} if "first_at" in table.c else {})}
        if "value_raw" in names:
            raw = names.index("value_raw")
            new = [row if row[raw] is None else _plain(row) for row in new]
        insert = from_rows(table, at, [*names, "first_slot"], new)
        if len(new) + len(known) > len(by_key):  # else all of them are new
            insert = insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=moved)
        connection.execute(insert)


def _picked(rows: Sequence[tuple[Any, ...]], names: Sequence[str], wanted: Sequence[str]) -> list[tuple[Any, ...]]:
    """Of each row the columns `wanted`."""
    places = [names.index(name) for name in wanted]
    return [tuple([row[place] for place in places]) for row in rows]


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(as_bytea(value) if isinstance(value, bytes) else value for value in row)


def _known(
    connection: sa.Connection, at: Moment, table: sa.Table, key: Sequence[str], facts: Sequence[str],
    wanted: Iterable[tuple[Any, ...]],
) -> dict[tuple[Any, ...], tuple[int, tuple[Any, ...]]]:  # fmt: skip
    """Key -> (first slot, facts) of rows that are there."""
    query = sa.select(table.c.first_slot, *(table.c[name] for name in (*key, *facts))).where(at.mine(table))
    if "round" in key:
        rounds = {place[key.index("round")] for place in wanted}
        query = query.where(table.c.round == sa.any_(sa.literal(sorted(rounds))))
    end = 1 + len(key)
    return {tuple(row[1:end]): (row[0], tuple(row[end:])) for row in connection.execute(query)}


def _contradiction(
    connection: sa.Connection, at: Moment, table: sa.Table, place: Iterable[tuple[str, Any]], kept: tuple[Any, ...],
    told: tuple[Any, ...],
) -> None:  # fmt: skip
    where = ", ".join(f"{name} {value}" for name, value in place)
    text = (
        f"koii.{table.name}, {where}: an answer of slot {at.slot} says {_shown(told)}, an earlier one said "
        f"{_shown(kept)}, which stays. Compare the providers of this chain."
    )
    incidents.note(connection, at.chain_id, "Inconsistent", f"koii task {at.task_id}", text)


def _shown(values: tuple[Any, ...]) -> str:
    return ", ".join(repr(value)[:60] for value in values if value is not None)
