"""Schema `analytics`: the views that SQL users and the query module see, as light tables without DDL.

Their SQL is in `schema/sql`; a test compares these columns with the views of a fresh database.
"""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Date, DateTime, Double, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import ColumnClause, TableClause, column, table
from sqlalchemy.types import TypeEngine, UserDefinedType

_TEXT, _BIG, _AMOUNT, _TIME = Text(), BigInteger(), Numeric(), DateTime(timezone=True)
_NUMBERS: dict[str, TypeEngine[Any]] = {
    "chain_id": _BIG, "submitted_block": _BIG, "last_block": _BIG, "block": _BIG, "round": _BIG, "yeas": _BIG,
    "nays": _BIG, "submitted": _BIG, "accepted": _BIG, "lost": _BIG, "tasks": _BIG, "succeeded": _BIG,
    "failed": _BIG, "disputed": _BIG, "workers": _BIG, "fee": _AMOUNT, "fee_amount": _AMOUNT, "amount": _AMOUNT,
    "reward": _AMOUNT, "earned": _AMOUNT, "slashed": _AMOUNT, "fees": _AMOUNT, "rewards": _AMOUNT, "day": Date(),
    "stage_number": _BIG, "adder": _BIG, "pending": _BIG, "cancelled": _BIG, "settled": _BIG, "waiting": _BIG,
    "unsettled": _BIG, "n": _BIG, "since_block": _BIG, "log_index": _BIG, "gain": _AMOUNT, "stake": _AMOUNT,
    "seconds_left": _AMOUNT, "success_rate": Double(), "details": JSONB(),
}  # fmt: skip


def _view(name: str, columns: str) -> TableClause:
    return table(name, *(column(c, _type(c)) for c in columns.split()), schema="analytics")


def _type(name: str) -> TypeEngine[Any]:
    if name.endswith("_at") or name in ("at", "block_time", "deadline", "since", "until"):
        return _TIME
    if name.endswith("_seconds"):
        return _BIG
    return _NUMBERS.get(name, _TEXT)


tasks = _view(
    "tasks",
    "network chain chain_id contract task_id status network_status requester submitter subject fee fee_token"
    " fee_amount submitted_at finished_at submitted_block last_block finality",
)
tasks_by_stage = _view("tasks_by_stage", " ".join([*tasks.c.keys(), "stage", "stage_number"]))


class Place(UserDefinedType[object]):
    """Where a row stands in its table: it holds for one statement."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Its name in PostgreSQL."""
        return "tid"


def _place(network: str) -> list[ColumnClause[Any]]:
    return [column("place", Place())] if network in ("arbius", "iexec") else []


@cache
def tasks_of(network: str) -> TableClause:
    """The arm of `tasks_by_stage` of one network, without the others; EVM networks have the place of their rows."""
    return table("v_tasks", *(column(c.name, c.type) for c in tasks_by_stage.c), *_place(network), schema=network)


work = _view(
    "work", "network chain chain_id contract task_id worker state submitted_at settled_at reward reward_token round"
)


@cache
def work_of(network: str) -> TableClause:
    """The arm of `work` of one network; Arbius has the stage of its solutions, EVM networks the place of their rows."""
    stage = [column("stage", _TEXT)] if network == "arbius" else []
    return table("v_work", *(column(c.name, c.type) for c in work.c), *stage, *_place(network), schema=network)


payments = _view(
    "payments",
    "network chain chain_id contract task_id kind from_address to_address amount token block block_time source_event",
)


@cache
def payments_of(network: str) -> TableClause:
    """The arm of `payments` of one network; EVM networks have what from_address and to_address are."""
    roles = [] if network == "koii" else [column(name, _TEXT) for name in ("from_role", "to_role")]
    return table("v_payments", *(column(c.name, c.type) for c in payments.c), *roles, schema=network)


disputes = _view(
    "disputes",
    "network chain chain_id contract task_id opened_by against opened_at yeas nays leading deadline outcome settled_at",
)


@cache
def disputes_of(network: str) -> TableClause:
    """The arm of `disputes` of one network, with the place of its rows."""
    return table("v_disputes", *(column(c.name, c.type) for c in disputes.c), *_place(network), schema=network)


workers = _view("workers", "network chain worker submitted accepted lost earned slashed first_at last_at")
status_counts = _view("status_counts", "network chain chain_id status tasks")
daily = _view("daily", "network chain day tasks succeeded failed disputed workers fees rewards")

claimable = _view(
    "claimable",
    "network chain chain_id contract task_id action role account gain token begun_at since sender call_to call_data"
    " lacks",
)
stuck = _view(
    "stuck", "network chain chain_id contract task_id reason role account stake token begun_at since until action"
)
expiring = _view(
    "expiring", "network chain chain_id contract task_id window deadline seconds_left becomes requester worker"
)
open_disputes = _view(
    "open_disputes",
    "network chain chain_id contract task_id opened_by against opened_at yeas nays adder leading state deadline"
    " seconds_left call_to call_data",
)
worker_records = _view(
    "worker_records",
    "network chain chain_id worker submitted accepted lost pending earned slashed first_at last_at p50_seconds"
    " p90_seconds p99_seconds",
)
subjects = _view(
    "subjects",
    "network chain chain_id contract subject tasks succeeded failed disputed cancelled success_rate fees first_at"
    " last_at",
)
pool_depth = _view("pool_depth", "network chain chain_id day submitted settled waiting unsettled")
latencies = _view("latencies", "network chain chain_id measure n p50_seconds p90_seconds p99_seconds max_seconds")
parameter_history = _view(
    "parameter_history",
    "network chain chain_id contract parameter value previous since_block since_at until_at",
)
timeline = _view(
    "timeline",
    "network chain chain_id contract task_id at block log_index kind what status network_status who details tx_hash",
)
"""A function of a task id."""

VIEWS: dict[str, TableClause] = {
    view.name: view
    for view in (
        *(tasks, work, payments, disputes, workers, daily, claimable, stuck, expiring, open_disputes),
        *(worker_records, subjects, pool_depth, latencies, parameter_history),
    )
}
"""The views that `taskscan query` knows, by name."""

_PLACE = ("contract", "chain_id")
ORDER: dict[str, tuple[str, ...]] = {
    "tasks": ("submitted_at", "task_id", *_PLACE),
    "work": ("submitted_at", "task_id", "worker", "round", *_PLACE),
    "payments": (
        "block_time",
        "task_id",
        "kind",
        "from_address",
        "to_address",
        "amount",
        "source_event",
        *_PLACE,
        "block",
        "token",
    ),
    "disputes": ("opened_at", "task_id", *_PLACE),
    "workers": ("last_at", "worker", "network", "chain"),
    "daily": ("day", "network", "chain"),
    "claimable": ("begun_at", "task_id", "account", "role", "call_data", *_PLACE),
    "stuck": ("begun_at", "task_id", "account", "role", "since", *_PLACE),
    "expiring": ("deadline", "task_id", *_PLACE),
    "open_disputes": ("opened_at", "task_id", *_PLACE),
    "worker_records": ("last_at", "worker", "network", "chain_id"),
    "subjects": ("tasks", "subject", *_PLACE),
    "pool_depth": ("day", "network", "chain_id"),
    "latencies": ("measure", "network", "chain_id"),
    "parameter_history": ("since_at", "parameter", "since_block", *_PLACE),
}
"""By which columns each view is listed, newest or largest first. Rows that they do not tell apart are wholly alike."""

ASCENDING = frozenset({"expiring", "latencies"})
"""Views that are listed the other way round: what ends next comes first."""
