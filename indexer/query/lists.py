"""Lists out of the analytics views, page by page, with filters that are written as `column=value`."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import UsageError
from indexer.query.as_of import chains_named, known_at_steps, newest, one_of, resolve_steps, tasks_at
from indexer.query.asking import Query, Row, Steps, ask, may_refuse
from indexer.query.filters import STATUSES, Listed, condition, constant, nearest_or_fail, value_of, works_of
from indexer.query.payments import Narrowed, narrowed_steps, parts_of_payments
from indexer.query.places import Part, conditions_of, parts_of, wanted
from schema.analytics import ASCENDING, ORDER, VIEWS, status_counts

__all__ = ["STATUSES", "Listing", "Page", "listed", "nearest_or_fail", "page_of", "rows", "tasks_by_status"]

MOST_ALIKE = 2**31
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
        self,
        past: Sequence[Listed] | None = None,
        *,
        upto: datetime | None = None,
        works: int | None = None,
        known: Narrowed | None = None,
    ) -> sa.Select[Any]:
        """The query, of `past` instead of the view where given: the names, then what its order goes by.

        `upto`: there is nothing later. `works`: of the filter `worker` only so many newest works count. `known`: where
        payments can be. Raises UsageError for unknown names and values.
        """
        names = self.names
        if (self.as_of or self.known_at) is not None and self.name != "tasks":
            raise UsageError("Only tasks are known as of the past: `query tasks --as-of …` or `--known-at …`.")
        one_of(self.as_of, self.known_at)
        if past is None and self.name == "payments":
            return _newest(parts_of_payments(self.filters, known), names, self)
        if past is None:
            return _newest(parts_of(self.name, self.filters, works), names, self)
        parts = [Part(then, [condition(then, text) for text in self.filters]) for then in past]
        if upto is not None:
            last = sa.literal(upto, sa.DateTime(timezone=True))
            parts = [part._replace(times=[part.view.c[ORDER[self.name][0]] <= last]) for part in parts]
        return _newest(parts, names, self)


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
    """The rows of `listing` and where the next page begins. Raises UsageError and its kinds."""

    def steps() -> Steps[Page]:
        query = _checked(listing)
        chain, worker = (wanted(listing.filters, name) for name in ("chain", "worker"))
        if listing.as_of is not None:
            past = yield from resolve_steps(listing.as_of, chain)
            found = yield listing.query(tasks_at(past), upto=newest(past))
        elif listing.known_at is not None:
            found = yield may_refuse(listing.query([(yield from known_at_steps(listing.known_at, chain))]))
        else:
            here = listing if chain is None else (yield from _of_chain(listing, chain))
            if listing.name == "tasks" and worker is not None:
                found = yield from _worked_on(here, worker)
            elif query is None:
                found = yield from _paid(here)
            else:
                found = yield query if here is listing else here.query()
        names = listing.names
        shown = [{name: row[name] for name in names} for row in found]
        return Page(shown, _cursor(listing, found) if len(found) == listing.limit and found else None)

    return Query(steps)


def _checked(listing: Listing) -> sa.Select[Any] | None:
    """The query, so that mistakes are told before anything is asked; None: what it is has to be looked up. Raises
    UsageError."""
    if listing.name != "payments" or (listing.as_of or listing.known_at) is not None:
        return listing.query()
    if listing.names and listing.after is not None:
        _place(VIEWS[listing.name], listing)
    conditions_of(VIEWS[listing.name], listing.filters)
    return None


def _of_chain(listing: Listing, chain: str) -> Steps[Listing]:
    """The same by the chain's number, by which the planner knows how many rows it has. Raises NotFound."""
    if chain.endswith("*"):
        return listing
    (found,) = yield from chains_named(chain)
    if "chain_id" not in VIEWS[listing.name].c:
        return listing
    others = [text for text in listing.filters if text != f"chain={chain}"]
    return replace(listing, filters=(*others, f"chain_id={found['chain_id']}"))


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


def _paid(listing: Listing) -> Steps[list[Row]]:
    """Payments at the newest times at which there are some, at ever more of them until none can be missing."""
    cursor = None if listing.after is None else _place(VIEWS[listing.name], listing)
    upto, times = (None, listing.limit) if cursor is None else (cursor.keys[0], listing.limit + cursor.shown)
    while True:
        known = yield from narrowed_steps(listing.filters, upto, times)
        found = yield listing.query(known=known)
        last = found[-1]["block_time"] if len(found) == listing.limit else None
        if known.since is None or (last is not None and last >= known.since):
            return found
        times *= FIRST_WORKS


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
    chosen = (*names, *(name for name in order if name not in names))
    cursor = None if listing.after is None else _place(VIEWS[listing.name], listing)
    most, pages = constant(listing.limit + (cursor.shown if cursor else 0)), []
    for view, conditions, times, timed, few in parts:
        after = [sa.true(), sa.true()] if cursor is None else _after(view, listing.name, cursor)
        first: sa.ColumnElement[Any] = view.c[order[0]]
        known = sa.and_(*times) if times else first.is_not(None)
        places = {True: sa.and_(known, after[0]), False: sa.and_(first.is_(None), after[1])}
        wanted_places = [place for has_time, place in places.items() if timed in (None, has_time)]
        for place in [sa.or_(*wanted_places)] if few else wanted_places:
            pages.append(_page_of(view, listing.name, chosen, few).where(*conditions, place).limit(most))
    found = sa.union_all(*pages).subquery()
    whole = _page(found, listing.name, chosen, last=True).limit(constant(listing.limit))
    return whole if cursor is None else whole.offset(constant(cursor.shown))


def _page(view: Listed, name: str, chosen: Sequence[str], last: bool) -> sa.Select[Any]:
    """Columns of a view in the order of its list; `last`: those without a time come last, where there can be some."""
    first, *others = _sorted(view, name)
    by = first.nulls_last() if last and name not in ASCENDING else first
    return sa.select(*(view.c[name] for name in chosen)).order_by(by, *others)


_page_of = lru_cache(64)(_page)  # a view is one object; to build its page takes longer than to read it


def _sorted(view: Listed, name: str) -> list[sa.ColumnElement[Any]]:
    first, *others = _keys(view, name)
    if name in ASCENDING:
        return [first.asc(), *others]
    return [first.desc(), *map(sa.desc, others)]


def _keys(view: Listed, name: str) -> list[sa.ColumnElement[Any]]:
    """What rows are sorted by; where it may be unknown it counts as the least, so that rows can be compared."""
    first, *others = (view.c[column] for column in ORDER[name])
    return [first, *(sa.func.coalesce(column, sa.cast(sa.literal(_least(column)), column.type)) for column in others)]


def _least(column: sa.ColumnElement[Any]) -> str:
    """A text of the value below all others."""
    return "-1" if isinstance(column.type, sa.BigInteger) else "" if isinstance(column.type, sa.Text) else "-infinity"


class Place(NamedTuple):
    """Where a page ended: the keys of its last row, and how many rows with these very keys have been shown."""

    keys: Sequence[Any]
    shown: int


def _after(view: Listed, name: str, cursor: Place) -> list[sa.ColumnElement[bool]]:
    """Which rows come after the cursor or are like it: of those whose first key is known, and of the others."""
    keys = _keys(view, name)
    first, *others = cursor.keys
    rest = sa.tuple_(*keys[1:]), sa.tuple_(*(sa.literal(v, k.type) for v, k in zip(others, keys[1:], strict=True)))
    tied = rest[0] >= rest[1] if name in ASCENDING else rest[0] <= rest[1]
    if first is None:
        return [sa.false(), tied]
    beyond = keys[0] > first if name in ASCENDING else keys[0] < first
    near = keys[0] >= first if name in ASCENDING else keys[0] <= first  # what an index can use
    return [sa.and_(near, sa.or_(beyond, tied)), sa.true()]


def _place(view: Listed, listing: Listing) -> Place:
    """What the cursor holds. Raises UsageError."""
    columns = [view.c[name] for name in ORDER[listing.name]]
    try:
        shown, *texts = json.loads(base64.urlsafe_b64decode((listing.after or "").encode()))
        values = [None if text is None else value_of(column, text) for text, column in zip(texts, columns, strict=True)]
        if not 0 < int(shown) < MOST_ALIKE:
            raise ValueError
    except (ValueError, TypeError, AttributeError, binascii.Error, UsageError):
        raise UsageError(f"{listing.after!r} is not where a page of {listing.name} ended.") from None
    others = zip(values[1:], columns[1:], strict=True)
    return Place([values[0], *(_least(column) if value is None else value for value, column in others)], int(shown))


def _cursor(listing: Listing, found: Sequence[Row]) -> str:
    """Rows can be wholly alike, such as two deposits of a block: how many of them were shown stands in it, too."""
    texts = [_texts(row, listing) for row in found]
    alike = next((n for n, text in enumerate(reversed(texts)) if text != texts[-1]), len(texts))
    if alike == len(texts) and listing.after is not None:
        before = json.loads(base64.urlsafe_b64decode(listing.after.encode()))
        alike += before[0] if before[1:] == texts[-1] else 0
    return base64.urlsafe_b64encode(json.dumps([alike, *texts[-1]], separators=(",", ":")).encode()).decode()


def _texts(row: Row, listing: Listing) -> list[str | None]:
    values = (row[name] for name in ORDER[listing.name])
    return [None if v is None else v.isoformat() if isinstance(v, date) else str(v) for v in values]
