"""Lists out of the analytics views, page by page, with filters that are written as `column=value`."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import UsageError
from indexer.query.as_of import known_at_steps, newest, one_of, resolve_steps, tasks_at
from indexer.query.asking import Query, Row, Steps, ask, may_refuse
from indexer.query.filters import STATUSES, Listed, condition, constant, nearest_or_fail, value_of, works_of
from indexer.query.places import Part, parts_of, wanted
from schema.analytics import ASCENDING, ORDER, VIEWS, status_counts
from schema.chain import chains

__all__ = ["STATUSES", "Listing", "Page", "listed", "nearest_or_fail", "page_of", "rows", "tasks_by_status"]

FIRST_WORKS = 4  # times a page: how many of a worker's newest works are looked at first


@dataclass(frozen=True)
class Listing:
    """What to list: the name of a view, filters (`column=value`), columns (all when empty), and how many rows.

    `as_of`: a block number or a time, `known_at`: a time; of tasks only, and one of both. `after`: where the page
    before ended (`Page.next`).
    """

    name: str
    filters: Sequence[str] = field(default=())
    columns: Sequence[str] = field(default=())
    limit: int = 50
    as_of: str | None = None
    after: str | None = None
    known_at: str | None = None

    @property
    def names(self) -> list[str]:
        """The columns of the answer. Raises UsageError for unknown ones."""
        view = VIEWS[nearest_or_fail(self.name, VIEWS, "query")]
        return [nearest_or_fail(name, view.c.keys(), f"column of {view.name}") for name in self.columns] or [
            *view.c.keys()
        ]

    def query(
        self, past: Sequence[Listed] | None = None, *, upto: datetime | None = None, works: int | None = None
    ) -> sa.Select[Any]:
        """The query, of `past` instead of the view where given: the names, then what its order goes by.

        `upto`: there is nothing later. `works`: of the filter `worker` only so many newest works count. Raises
        UsageError for unknown names and values.
        """
        names = self.names
        if (self.as_of or self.known_at) is not None and self.name != "tasks":
            raise UsageError("Only tasks are known as of the past: `query tasks --as-of …` or `--known-at …`.")
        one_of(self.as_of, self.known_at)
        if past is None:
            return _newest(parts_of(self.name, self.filters, works), names, self)
        parts = [Part(then, [condition(then, text) for text in self.filters]) for then in past]
        last = None if upto is None else sa.literal(upto, sa.DateTime(timezone=True))
        return _newest([part._replace(upto=last) for part in parts], names, self)


class Page(NamedTuple):
    """Rows, one dict per row, and where the next page begins: None after the last one."""

    rows: list[Row]
    next: str | None


def listed(listing: Listing) -> Query[list[Row]]:
    """The rows of `listing`, one dict per row, as a query."""

    def steps() -> Steps[list[Row]]:
        page = yield from page_of(listing).steps()
        return page.rows

    return Query(steps)


def rows(connection: sa.Connection, listing: Listing) -> list[Row]:
    """The rows of `listing`, newest first, one dict per row. Raises UsageError."""
    return ask(connection, listed(listing))


def page_of(listing: Listing) -> Query[Page]:
    """The rows of `listing` and where the next page begins. Raises UsageError."""

    def steps() -> Steps[Page]:
        query = listing.query()  # mistakes in names are told first
        chain, worker = (wanted(listing.filters, name) for name in ("chain", "worker"))
        if listing.as_of is not None:
            past = yield from resolve_steps(listing.as_of, chain)
            found = yield listing.query(tasks_at(past), upto=newest(past))
        elif listing.known_at is not None:
            found = yield may_refuse(listing.query([(yield from known_at_steps(listing.known_at, chain))]))
        else:
            here = listing if chain is None else (yield from _of_chain(listing, chain))
            if here is None:
                found = []
            elif listing.name == "tasks" and worker is not None:
                found = yield from _worked_on(here, worker)
            else:
                found = yield query if here is listing else here.query()
        names, more = listing.names, len(found) == listing.limit and listing.name != "payments"
        shown = [{name: row[name] for name in names} for row in found]
        return Page(shown, _cursor(found[-1], ORDER[listing.name]) if more and found else None)

    return Query(steps)


def _of_chain(listing: Listing, chain: str) -> Steps[Listing | None]:
    """The same by the chain's number, by which the planner knows how many rows it has; None: there is no such chain."""
    if chain.endswith("*") or "chain_id" not in VIEWS[listing.name].c:
        return listing
    found = yield sa.select(chains.c.chain_id).where(chains.c.name == chain)
    others = [text for text in listing.filters if text != f"chain={chain}"]
    return replace(listing, filters=(*others, f"chain_id={found[0]['chain_id']}")) if found else None


def _worked_on(listing: Listing, worker: str) -> Steps[list[Row]]:
    """Tasks of its newest works, of ever more of them until none can be missing: work comes after its task."""
    works = FIRST_WORKS * listing.limit
    while True:
        beyond = yield works_of(worker).offset(constant(works)).limit(constant(1))
        if not beyond:
            return (yield listing.query())
        found = yield listing.query(works=works)
        last = found[-1]["submitted_at"] if len(found) == listing.limit else None
        if last is not None and last > beyond[0]["submitted_at"]:
            return found
        works *= FIRST_WORKS


def tasks_by_status(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Network -> status -> how many tasks."""
    c = status_counts.c
    query = sa.select(c.network, c.status, sa.cast(sa.func.sum(c.tasks), sa.BigInteger)).group_by(c.network, c.status)
    found: dict[str, dict[str, int]] = {}
    for network, status, count in connection.execute(query):
        found.setdefault(network, {})[status or "unknown"] = count
    return found


def _newest(parts: Sequence[Part], names: Sequence[str], listing: Listing) -> sa.Select[Any]:
    """The first rows of all parts, those without a time last: each part can be read off an index, the whole cannot."""
    order = ORDER[listing.name]
    chosen = [*names, *(name for name in order if name not in names)]
    pages = []
    for view, conditions, upto in parts:
        after = _after(view, listing) if listing.after is not None else [sa.true(), sa.true()]
        first: sa.ColumnElement[Any] = view.c[order[0]]
        timed: sa.ColumnElement[bool] = first.is_not(None) if upto is None else first <= upto
        for known, rest in zip((timed, first.is_(None)), after, strict=True):
            page = sa.select(*(view.c[name] for name in chosen)).where(*conditions, known, rest)
            pages.append(page.order_by(*_sorted(view, listing.name)).limit(constant(listing.limit)).subquery())
    found = sa.union_all(*(sa.select(page) for page in pages)).subquery()
    first, *others = _sorted(found, listing.name)
    last = [first if listing.name in ASCENDING else first.nulls_last(), *others]
    return sa.select(*(found.c[name] for name in chosen)).order_by(*last).limit(constant(listing.limit))


def _sorted(view: Listed, name: str) -> list[sa.ColumnElement[Any]]:
    first, *others = _keys(view, name)
    if name in ASCENDING:
        return [first.asc(), *others]
    return [first.desc(), *map(sa.desc, others)]


def _keys(view: Listed, name: str) -> list[sa.ColumnElement[Any]]:
    """What rows are sorted by; where it may be unknown it counts as the least, so that rows can be compared."""
    first, *others = (view.c[column] for column in ORDER[name])
    return [first, *(sa.func.coalesce(column, _least(column)) for column in others)]


def _least(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    least = -1 if isinstance(column.type, sa.BigInteger) else "" if isinstance(column.type, sa.Text) else "-infinity"
    return sa.literal(least, sa.Text()).cast(column.type) if least == "-infinity" else sa.literal(least, column.type)


def _after(view: Listed, listing: Listing) -> list[sa.ColumnElement[bool]]:
    """Which rows come after the cursor: of those whose first key is known, and of the others."""
    if listing.name == "payments":
        raise UsageError("Payments have no pages: narrow them with block_time<… instead.")
    assert listing.after is not None
    keys = _keys(view, listing.name)
    first, *others = _places(view, listing)
    rest = sa.tuple_(*keys[1:]), sa.tuple_(*(sa.literal(v, k.type) for v, k in zip(others, keys[1:], strict=True)))
    tied = rest[0] > rest[1] if listing.name in ASCENDING else rest[0] < rest[1]
    if first is None:
        return [sa.false(), tied]
    beyond = keys[0] > first if listing.name in ASCENDING else keys[0] < first
    near = keys[0] >= first if listing.name in ASCENDING else keys[0] <= first  # what an index can use
    return [sa.and_(near, sa.or_(beyond, tied)), sa.true()]


def _places(view: Listed, listing: Listing) -> list[Any]:
    """The values in the cursor. Raises UsageError."""
    columns = [view.c[name] for name in ORDER[listing.name]]
    try:
        texts = json.loads(base64.urlsafe_b64decode((listing.after or "").encode()))
        values = [None if text is None else value_of(column, text) for text, column in zip(texts, columns, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error, UsageError):
        raise UsageError(f"{listing.after!r} is not where a page of {listing.name} ended.") from None
    return [values[0], *(_known(value, column) for value, column in zip(values[1:], columns[1:], strict=True))]


def _known(value: Any, column: sa.ColumnElement[Any]) -> Any:
    if value is not None:
        return value
    return -1 if isinstance(column.type, sa.BigInteger) else "" if isinstance(column.type, sa.Text) else "-infinity"


def _cursor(row: Row, names: Sequence[str]) -> str:
    texts = [None if (value := row[name]) is None else value.isoformat() if isinstance(value, date) else str(value)
             for name in names]  # fmt: skip
    return base64.urlsafe_b64encode(json.dumps(texts, separators=(",", ":")).encode()).decode()
