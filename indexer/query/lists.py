"""Lists out of the analytics views, with filters that are written as `column=value`."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from indexer.errors import UsageError
from indexer.query.as_of import resolve, tasks_at
from schema.analytics import NEWEST, VIEWS, status_counts, tasks_by_stage

STATUSES = ("open", "running", "review", "disputed", "claimable", "succeeded", "failed", "cancelled")

STAGES: dict[str, tuple[tuple[str, str, object], ...]] = {
    "open": (("arbius", "stage", "open"), ("iexec", "stage_number", 0)),
    "running": (("iexec", "stage_number", 1),),
    "review": (("arbius", "stage", "solved"), ("iexec", "stage_number", 2)),
    "disputed": (("arbius", "stage", "contested"),),
    "claimable": (("arbius", "stage", "solved"), *(("iexec", "stage_number", status) for status in range(3))),
    "failed": (("arbius", "stage", "contestation_succeeded"), ("iexec", "stage_number", 4)),
    "cancelled": (("arbius", "stage", "retracted"),),
}
"""Status -> the stages (network, column of `analytics.tasks_by_stage`, value) that tasks of this status can have."""


@dataclass(frozen=True)
class Listing:
    """What to list: the name of a view, filters (`column=value`), columns (all when empty), and how many rows.

    `as_of`: a block number or a time; of tasks only.
    """

    name: str
    filters: Sequence[str] = field(default=())
    columns: Sequence[str] = field(default=())
    limit: int = 50
    as_of: str | None = None

    def query(self, past: sa.Subquery | None = None) -> sa.Select[Any]:
        """The query, of `past` instead of the view where given. Raises UsageError for unknown names and values."""
        view: sa.TableClause | sa.Subquery = VIEWS[nearest_or_fail(self.name, VIEWS, "query")]
        if past is not None:
            view = past
        elif self.as_of is not None and self.name != "tasks":
            raise UsageError("Only tasks are known as of the past: `query tasks --as-of …`.")
        names = [nearest_or_fail(name, view.c.keys(), f"column of {view.name}") for name in self.columns]
        conditions = [_condition(view, text) for text in self.filters]
        if past is None and self.name == "tasks" and (stages := _stages(self.filters)):
            c = tasks_by_stage.c
            wanted = [_condition(tasks_by_stage, text) for text in self.filters]
            parts: list[Part] = [
                (tasks_by_stage, [*wanted, c.network == network, c[name] == at]) for network, name, at in stages
            ]
            staged = {network for places in STAGES.values() for network, _, _ in places}
            parts.append((tasks_by_stage, [*wanted, c.network.not_in(sorted(staged))]))
            return _newest(parts, names or view.c.keys(), NEWEST[self.name], self.limit)
        return _newest([(view, conditions)], names or view.c.keys(), NEWEST[self.name], self.limit)


Part = tuple[sa.TableClause | sa.Subquery, Sequence[sa.ColumnElement[bool]]]


def _newest(parts: Sequence[Part], names: Sequence[str], order: Sequence[str], limit: int) -> sa.Select[Any]:
    """The newest rows of all parts, those without a time last: each part can be read off an index, the whole cannot."""
    hidden = [name for name in order if name not in names]
    pages = []
    for view, wanted in parts:
        chosen = [view.c[name] for name in (*names, *hidden)]
        newest = [view.c[name].desc() for name in order]
        for known in (view.c[order[0]].is_not(None), view.c[order[0]].is_(None)):
            pages.append(sa.select(*chosen).where(*wanted, known).order_by(*newest).limit(limit).subquery())
    found = sa.union_all(*(sa.select(page) for page in pages)).subquery()
    last = [found.c[name].desc().nulls_last() for name in order]
    return sa.select(*(found.c[name] for name in names)).order_by(*last).limit(limit)


def _stages(filters: Iterable[str]) -> Sequence[tuple[str, str, object]]:
    """Where tasks of the status that is asked for can be; nothing where an index on stages is of no use."""
    status = next((text.removeprefix("status=") for text in filters if text.startswith("status=")), "")
    return STAGES.get(status, ())


def rows(connection: sa.Connection, listing: Listing) -> list[dict[str, Any]]:
    """The rows of `listing`, newest first, one dict per row. Raises UsageError."""
    listing.query()  # mistakes in names are told first
    past = None
    if listing.as_of is not None:
        chain = next((text.removeprefix("chain=") for text in listing.filters if text.startswith("chain=")), None)
        past = tasks_at(resolve(connection, listing.as_of, chain))
    return [dict(row) for row in connection.execute(listing.query(past)).mappings()]


def tasks_by_status(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Network -> status -> how many tasks."""
    c = status_counts.c
    query = sa.select(c.network, c.status, sa.cast(sa.func.sum(c.tasks), sa.BigInteger)).group_by(c.network, c.status)
    found: dict[str, dict[str, int]] = {}
    for network, status, count in connection.execute(query):
        found.setdefault(network, {})[status or "unknown"] = count
    return found


def nearest_or_fail(name: str, known: Iterable[str], what: str) -> str:
    """`name` if it is known. Raises UsageError that names the nearest known one."""
    names = list(known)
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}."
    raise UsageError(f"There is no {what} {name!r}; {hint}")


def _condition(view: sa.TableClause | sa.Subquery, text: str) -> sa.ColumnElement[bool]:
    name, operator, value = _parts(text)
    column = view.c[nearest_or_fail(name, view.c.keys(), f"column of {view.name}")]
    if name == "status":
        nearest_or_fail(value, STATUSES, "status")
    if operator == "=" and value.endswith("*"):
        return column.startswith(value[:-1].lower(), autoescape=True)
    typed = _value(column, value)
    return {"=": column == typed, "<": column < typed, ">": column > typed, "!": column != typed}[operator]


def _parts(text: str) -> tuple[str, str, str]:
    for n, sign in enumerate(text):
        if sign in "=<>!" and n:
            return text[:n], sign, text[n + 1 :].removeprefix("=")
    raise UsageError(f"{text!r} is no filter: write column=value, column<value, column>value or column!=value.")


def _value(column: sa.ColumnElement[Any], text: str) -> object:
    """`text` as a value of the column's type. Raises UsageError."""
    kind = column.type
    try:
        if isinstance(kind, sa.DateTime):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(kind, sa.Date):
            return date.fromisoformat(text)
        if isinstance(kind, sa.BigInteger):
            return int(text)
        if isinstance(kind, sa.Numeric):
            return Decimal(text)
    except (ValueError, InvalidOperation):
        raise UsageError(f"{text!r} is no value for {column.name}, which holds {_what(kind)}.") from None
    return text.lower() if text.startswith("0x") else text


def _what(kind: sa.types.TypeEngine[Any]) -> str:
    if isinstance(kind, sa.DateTime):
        return "times like 2025-06-01 or 2025-06-01T12:00:00Z"
    return "dates like 2025-06-01" if isinstance(kind, sa.Date) else "numbers"
