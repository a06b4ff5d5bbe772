"""Schema `analytics`: the views that SQL users and the query module see, as light tables without DDL.

Their SQL is in `schema/sql`; a test compares these columns with the views of a fresh database.
"""

from typing import Any

from sqlalchemy import BigInteger, Date, DateTime, Numeric, Text
from sqlalchemy.sql.expression import TableClause, column, table
from sqlalchemy.types import TypeEngine

_TEXT, _BIG, _AMOUNT, _TIME = Text(), BigInteger(), Numeric(), DateTime(timezone=True)
_NUMBERS: dict[str, TypeEngine[Any]] = {
    "chain_id": _BIG, "submitted_block": _BIG, "last_block": _BIG, "block": _BIG, "round": _BIG, "yeas": _BIG,
    "nays": _BIG, "submitted": _BIG, "accepted": _BIG, "lost": _BIG, "tasks": _BIG, "succeeded": _BIG,
    "failed": _BIG, "disputed": _BIG, "workers": _BIG, "fee": _AMOUNT, "fee_amount": _AMOUNT, "amount": _AMOUNT,
    "reward": _AMOUNT, "earned": _AMOUNT, "slashed": _AMOUNT, "fees": _AMOUNT, "rewards": _AMOUNT, "day": Date(),
    "stage_number": _BIG,
}  # fmt: skip


def _view(name: str, columns: str) -> TableClause:
    return table(name, *(column(c, _type(c)) for c in columns.split()), schema="analytics")


def _type(name: str) -> TypeEngine[Any]:
    if name.endswith("_at") or name in ("block_time", "deadline"):
        return _TIME
    return _NUMBERS.get(name, _TEXT)


tasks = _view(
    "tasks",
    "network chain chain_id contract task_id status network_status requester submitter subject fee fee_token"
    " fee_amount submitted_at finished_at submitted_block last_block finality",
)
tasks_by_stage = _view("tasks_by_stage", " ".join([*tasks.c.keys(), "stage", "stage_number"]))
work = _view(
    "work", "network chain chain_id contract task_id worker state submitted_at settled_at reward reward_token round"
)
payments = _view(
    "payments",
    "network chain chain_id contract task_id kind from_address to_address amount token block block_time source_event",
)
disputes = _view(
    "disputes",
    "network chain chain_id contract task_id opened_by against opened_at yeas nays leading deadline outcome settled_at",
)
workers = _view("workers", "network chain worker submitted accepted lost earned slashed first_at last_at")
status_counts = _view("status_counts", "network chain chain_id status tasks")
daily = _view("daily", "network chain day tasks succeeded failed disputed workers fees rewards")

VIEWS: dict[str, TableClause] = {view.name: view for view in (tasks, work, payments, disputes, workers, daily)}
"""The views that `taskscan query` knows, by name."""

NEWEST: dict[str, tuple[str, ...]] = {
    "tasks": ("submitted_at", "task_id"),
    "work": ("submitted_at", "task_id"),
    "payments": ("block_time", "task_id"),
    "disputes": ("opened_at", "task_id"),
    "workers": ("last_at", "worker"),
    "daily": ("day", "network"),
}
"""By which columns each view is listed, newest first."""
