"""Lists out of the analytics views, with filters that are written as `column=value`."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from indexer.errors import UsageError
from schema.analytics import NEWEST, VIEWS

STATUSES = ("open", "running", "review", "disputed", "claimable", "succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Listing:
    """What to list: the name of a view, filters (`column=value`), columns (all when empty), and how many rows."""

    name: str
    filters: Sequence[str] = field(default=())
    columns: Sequence[str] = field(default=())
    limit: int = 50

    def query(self) -> sa.Select[Any]:
        """The query. Raises UsageError for names and values that the view does not know."""
        view = VIEWS[nearest_or_fail(self.name, VIEWS, "query")]
        names = [nearest_or_fail(name, view.c.keys(), f"column of {view.name}") for name in self.columns]
        chosen = [view.c[name] for name in names or view.c.keys()]
        query = sa.select(*chosen).where(*(_condition(view, text) for text in self.filters))
        order = [view.c[name].desc().nulls_last() for name in NEWEST[view.name]]
        return query.order_by(*order).limit(self.limit)


def rows(connection: sa.Connection, listing: Listing) -> list[dict[str, Any]]:
    """The rows of `listing`, newest first, one dict per row. Raises UsageError."""
    return [dict(row) for row in connection.execute(listing.query()).mappings()]


def tasks_by_status(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Network -> status -> how many tasks."""
    tasks = VIEWS["tasks"]
    query = sa.select(tasks.c.network, tasks.c.status, sa.func.count()).group_by(tasks.c.network, tasks.c.status)
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


def _condition(view: sa.TableClause, text: str) -> sa.ColumnElement[bool]:
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


def _value(column: sa.ColumnClause[Any], text: str) -> object:
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
