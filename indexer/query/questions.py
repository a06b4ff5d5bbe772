"""The questions, typed: each function makes a query whose answer is rows of one view of `analytics`.

Every one of them also exists as that view, for SQL users. Ids and addresses are hex text or, of Koii, base58.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa

from indexer.query import rows as typed
from indexer.query.asking import Query, Steps
from indexer.query.lists import Listing, Page, page_of
from indexer.query.task import find_steps
from schema.analytics import latencies as latency_view

R = TypeVar("R")
Moment = datetime | str | None
PAGE = 50


class Rows(NamedTuple, Generic[R]):
    """Typed rows and where the next page begins (`after`); None after the last one."""

    rows: list[R]
    next: str | None


def task_by_id(task_id: str) -> Query[typed.Task]:
    """The task of this id, or of the only one that begins so, with its whole timeline.

    Raises UsageError for what is no id, NotFound for none, Ambiguous for several.
    """

    def steps() -> Steps[typed.Task]:
        found = yield from find_steps(task_id)
        return typed.Task(
            typed.TaskRow(**found.task),
            [typed.WorkRow(**row) for row in found.work],
            [typed.PaymentRow(**row) for row in found.payments],
            [typed.DisputeRow(**row) for row in found.disputes],
            [typed.Moment(**row) for row in found.timeline],
        )

    return Query(steps)


def tasks(
    *, network: str | None = None, chain: str | None = None, status: str | None = None, requester: str | None = None,
    owner: str | None = None, submitter: str | None = None, worker: str | None = None, subject: str | None = None,
    since: Moment = None, until: Moment = None, as_of: str | None = None, limit: int = PAGE, after: str | None = None,
) -> Query[Rows[typed.TaskRow]]:  # fmt: skip
    """Tasks, newest first. `since` ≤ submitted_at < `until`; `owner` is the requester; `worker` worked on it.

    `as_of`: a block number or a time at which they are looked at. `after`: `next` of the page before.
    """
    filters = _filters(
        network=network, chain=chain, status=status, requester=requester or owner, submitter=submitter, worker=worker,
        subject=subject, submitted_at=(since, until),
    )  # fmt: skip
    return _rows(typed.TaskRow, Listing("tasks", filters, limit=limit, as_of=as_of, after=after))


def work(
    *, network: str | None = None, worker: str | None = None, state: str | None = None, since: Moment = None,
    until: Moment = None, limit: int = PAGE, after: str | None = None,
) -> Query[Rows[typed.WorkRow]]:  # fmt: skip
    """Pieces of work, newest first."""
    filters = _filters(network=network, worker=worker, state=state, submitted_at=(since, until))
    return _rows(typed.WorkRow, Listing("work", filters, limit=limit, after=after))


def claimable(
    account: str | None = None, *, worker: str | None = None, requester: str | None = None, network: str | None = None,
    action: str | None = None, limit: int = PAGE, after: str | None = None,
) -> Query[Rows[typed.Claimable]]:  # fmt: skip
    """What a transaction would bring an account now, each with the ready transaction (`call`).

    `account` in any role, `worker` and `requester` in this one. Nothing is signed or sent.
    """
    role = "worker" if worker else "requester" if requester else None
    filters = _filters(network=network, account=account or worker or requester, role=role, action=action)
    return _rows(typed.Claimable, Listing("claimable", filters, limit=limit, after=after))


def stuck(
    account: str | None = None, *, network: str | None = None, reason: str | None = None, limit: int = PAGE,
    after: str | None = None,
) -> Query[Rows[typed.Stuck]]:  # fmt: skip
    """Money of an account that is locked in what waiting alone does not bring forward."""
    filters = _filters(network=network, account=account, reason=reason)
    return _rows(typed.Stuck, Listing("stuck", filters, limit=limit, after=after))


def expiring(
    *, network: str | None = None, requester: str | None = None, worker: str | None = None, before: Moment = None,
    limit: int = PAGE, after: str | None = None,
) -> Query[Rows[typed.Expiring]]:  # fmt: skip
    """Windows that time will close, the next one first."""
    filters = _filters(network=network, requester=requester, worker=worker, deadline=(None, before))
    return _rows(typed.Expiring, Listing("expiring", filters, limit=limit, after=after))


def open_disputes(
    *, network: str | None = None, against: str | None = None, opened_by: str | None = None, limit: int = PAGE,
    after: str | None = None,
) -> Query[Rows[typed.OpenDispute]]:  # fmt: skip
    """Disputes that are not decided, with the leading side and the deadline, newest first."""
    filters = _filters(network=network, against=against, opened_by=opened_by)
    return _rows(typed.OpenDispute, Listing("open_disputes", filters, limit=limit, after=after))


def worker_records(
    worker: str | None = None, *, network: str | None = None, limit: int = PAGE, after: str | None = None
) -> Query[Rows[typed.WorkerRecord]]:
    """Work, success, money and latencies of a worker, or of those who worked last."""
    filters = _filters(network=network, worker=worker)
    return _rows(typed.WorkerRecord, Listing("worker_records", filters, limit=limit, after=after))


def subjects(
    *, network: str | None = None, limit: int = PAGE, after: str | None = None
) -> Query[Rows[typed.Subject]]:  # fmt: skip
    """Models and apps, those with most tasks first."""
    return _rows(typed.Subject, Listing("subjects", _filters(network=network), limit=limit, after=after))


def daily(
    *, network: str | None = None, chain: str | None = None, since: date | None = None, limit: int = PAGE,
    after: str | None = None,
) -> Query[Rows[typed.DayRow]]:  # fmt: skip
    """Networks day by day, newest first."""
    filters = _filters(network=network, chain=chain, day=(since, None))
    return _rows(typed.DayRow, Listing("daily", filters, limit=limit, after=after))


def pool_depth(
    *, network: str | None = None, chain: str | None = None, since: date | None = None, limit: int = PAGE,
    after: str | None = None,
) -> Query[Rows[typed.PoolDepth]]:  # fmt: skip
    """How many tasks lay in the pool at the end of each day, newest first."""
    filters = _filters(network=network, chain=chain, day=(since, None))
    return _rows(typed.PoolDepth, Listing("pool_depth", filters, limit=limit, after=after))


def latencies(*, since: datetime | None = None, until: datetime | None = None) -> Query[list[typed.Latency]]:
    """How long work, settlement and commitments take, of what was submitted between two times."""
    span = [sa.literal(at, sa.DateTime(timezone=True)) if at is not None else sa.cast(sa.literal(end), _TIME)
            for at, end in ((since, "-infinity"), (until, "infinity"))]  # fmt: skip
    columns = [sa.column(column.name, column.type) for column in latency_view.c]
    made = sa.func.analytics.latencies_between(*span).table_valued(*columns).alias("latencies")

    def steps() -> Steps[list[typed.Latency]]:
        found = yield sa.select(made).order_by(made.c.network, made.c.chain_id, made.c.measure)
        return [typed.Latency(**row) for row in found]

    return Query(steps)


def parameter_history(
    *, network: str | None = None, contract: str | None = None, parameter: str | None = None, limit: int = PAGE,
    after: str | None = None,
) -> Query[Rows[typed.Parameter]]:  # fmt: skip
    """Values that parameters had, the newest change first."""
    filters = _filters(network=network, contract=contract, parameter=parameter)
    return _rows(typed.Parameter, Listing("parameter_history", filters, limit=limit, after=after))


_TIME = sa.DateTime(timezone=True)


def _filters(**wanted: Any) -> Sequence[str]:
    """Filters as text: equal to a value, or between two (from the first on, before the second)."""
    found = []
    for name, value in wanted.items():
        if isinstance(value, tuple):
            signs = zip((">=", "<"), value, strict=True)
            found += [f"{name}{sign}{_text(limit)}" for sign, limit in signs if limit is not None]
        elif value is not None:
            found.append(f"{name}={value}")
    return tuple(found)


def _text(value: date | str) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _rows(kind: Callable[..., R], listing: Listing) -> Query[Rows[R]]:
    def steps() -> Steps[Rows[R]]:
        page: Page = yield from page_of(listing).steps()
        return Rows([kind(**row) for row in page.rows], page.next)

    return Query(steps)
