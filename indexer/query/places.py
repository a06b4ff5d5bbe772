"""Where the rows of a filter can be: parts of a view that an index gives in the order of a page.

A filter on what a view computes, such as a status, uses no index: a page would read millions of rows to find the few
that match. What follows from it for the columns of one network's own view does.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.query.filters import Listed, condition, constant
from schema.analytics import VIEWS, tasks_of, work_of
from schema.chain import chains, sources

Stage = tuple[str, str, object]  # network, column of its view, value

STATUS: dict[str, tuple[Stage, ...]] = {
    "open": (("arbius", "stage", "open"), ("iexec", "stage_number", 0)),
    "running": (("iexec", "stage_number", 1),),
    "review": (("arbius", "stage", "solved"), ("iexec", "stage_number", 2)),
    "disputed": (("arbius", "stage", "contested"),),
    "claimable": (("arbius", "stage", "solved"), *(("iexec", "stage_number", status) for status in range(3))),
    "failed": (("arbius", "stage", "contestation_succeeded"), ("iexec", "stage_number", 4)),
    "cancelled": (("arbius", "stage", "retracted"),),
}
"""Status -> the stages that tasks of this status can have."""
NETWORK_STATUS: dict[str, tuple[Stage, ...]] = {
    **{stage: (("arbius", "stage", stage),)
       for stage in ("open", "retracted", "claimed", "contestation_succeeded", "contestation_failed")},
    **dict.fromkeys(("challengeable", "claimable", "forfeited"), (("arbius", "stage", "solved"),)),
    **dict.fromkeys(("voting", "awaiting_finish"), (("arbius", "stage", "contested"),)),
    **{word: (("iexec", "stage_number", n),)
       for n, word in enumerate(("UNSET", "ACTIVE", "REVEALING", "COMPLETED", "FAILED"))},
    "TIMEOUT": tuple(("iexec", "stage_number", status) for status in range(3)),
}  # fmt: skip
"""The same of a network's own word."""
STATE: dict[str, tuple[str, ...]] = {
    "submitted": ("solved", "contested"),
    "rejected": ("contestation_succeeded",),
    "lost": ("solved",),
}
"""State of an Arbius solution -> its stages. Most are accepted: those need no index, and there are no other states."""
FEW = 1_000  # rows that are looked up one by one; where there are more, a page finds its own by time
DECIDING = ("open", "contested", "contestation_succeeded", "contestation_failed", "retracted", "claimed", 3, 4)
"""Stages that leave no other status: asking for it, too, would make PostgreSQL expect few rows, and sort them all."""
NARROWER = ("voting", "awaiting_finish")  # words for which a stage is deciding of the status alone
BY_CONTRACT = ("tasks", "work", "payments")  # lists that can be of millions


class Part(NamedTuple):
    """Rows of a view. `upto`: none of them that has a time is later. `timed`: whether all or none have a time."""

    view: Listed
    wanted: Sequence[sa.ColumnElement[bool]]
    upto: sa.ColumnElement[Any] | None = None
    timed: bool | None = None


def parts_of(name: str, filters: Sequence[str], works: int | None = None) -> list[Part]:
    """The rows of the view `name` that pass the filters, in parts that share none. Raises UsageError.

    `works`: of the filter `worker` on tasks only so many newest works count.
    """
    plain = Part(VIEWS[name], conditions_of(VIEWS[name], filters, works))
    if name == "tasks":
        return _tasks(filters, works, plain)
    if name == "work" and wanted(filters, "state") is not None:
        return _work(filters, plain)
    return [plain]


def conditions_of(view: Listed, filters: Sequence[str], works: int | None = None) -> list[sa.ColumnElement[bool]]:
    """What the filters ask of a view. Of a contract that is none nothing is read: few contracts emit all events."""
    conditions = [condition(view, text, works) for text in filters]
    contract = wanted(filters, "contract")
    if contract is not None and not contract.endswith("*") and view.name.removeprefix("v_") in BY_CONTRACT:
        known = sa.exists().where(sources.c.address == raw(contract))
        conditions.append(sa.or_(view.c.network.in_([constant("koii"), constant("aidbox")]), known))
    return conditions


def raw(address: str) -> sa.BindParameter[bytes]:
    """An address or id as bytes; of what is no hex there is none: empty."""
    try:
        return sa.literal(bytes.fromhex(address.lower().removeprefix("0x")), sa.LargeBinary())
    except ValueError:
        return sa.literal(b"", sa.LargeBinary())


def wanted(filters: Iterable[str], name: str) -> str | None:
    """The value that a filter asks the column `name` to have."""
    return next((text.removeprefix(f"{name}=") for text in filters if text.startswith(f"{name}=")), None)


def _tasks(filters: Sequence[str], works: int | None, plain: Part) -> list[Part]:
    for name, stages in (("network_status", NETWORK_STATUS), ("status", STATUS)):
        asked = wanted(filters, name)
        if asked in stages or (asked is not None and name == "network_status" and not asked.endswith("*")):
            staged = [part for stage in stages.get(asked, ()) for part in _staged(filters, works, name, asked, stage)]
            return [*staged, _others(plain, ("arbius", "iexec"))]
    if wanted(filters, "finality") != "pending":
        return [plain]
    view = tasks_of("arbius")
    endless = sa.exists().where(chains.c.kind == "evm", chains.c.final_block.is_(None))
    return [*_either(view, conditions_of(view, filters, works), "v_pending", [], endless), _others(plain, ("arbius",))]


def _others(plain: Part, networks: Sequence[str]) -> Part:
    """What is of none of these networks."""
    return Part(plain.view, [*plain.wanted, plain.view.c.network.not_in([*map(constant, networks)])])


def _staged(filters: Sequence[str], works: int | None, name: str, asked: str, stage: Stage) -> list[Part]:
    """Tasks at a stage: of the network's own view, for an index gives them in order of time only outside of a union."""
    network, column, at = stage
    view, decided = tasks_of(network), at in DECIDING and asked not in NARROWER
    texts = [text for text in filters if not (decided and text == f"{name}={asked}")]
    conditions = conditions_of(view, texts, works)
    there = view.c[column] == constant(at)
    if at != "solved":
        return [Part(view, [*conditions, there])]
    if asked == "forfeited":
        return [Part(view, [*conditions, there, _among(view, _named("v_forfeited_tasks"))], _younger())]
    if asked == "claimable":
        return [Part(view, [*conditions, there], _younger())]
    return _either(view, conditions, "v_challengeable", [there], sa.false())


def _work(filters: Sequence[str], plain: Part) -> list[Part]:
    state, view = wanted(filters, "state") or "", work_of("arbius")
    if state == "accepted" or state.endswith("*"):
        return [plain]
    conditions = conditions_of(view, filters)
    found = [_others(plain, ("arbius", "iexec"))]
    for stage in STATE.get(state, ()):
        there = [*conditions, view.c.stage == constant(stage)]
        lost = state == "lost"
        found.append(Part(view, [*there, _among(view, _named("v_forfeited_tasks"))] if lost else there,
                          _younger() if lost else None))  # fmt: skip
    iexec = work_of("iexec")
    texts = [text for text in filters if text != f"state={state}"]
    return [*found, Part(iexec, [*conditions_of(iexec, texts), iexec.c.state == constant(state)])]


def _either(
    view: Listed, conditions: Sequence[sa.ColumnElement[bool]], few: str, many: Sequence[sa.ColumnElement[bool]],
    surely_many: sa.ColumnElement[bool],
) -> list[Part]:  # fmt: skip
    """Rows that the view `few` names are looked up if there are few; else a page that goes by time finds some soon."""
    named = _named(few).limit(constant(FEW + 1)).cte(few)
    count = sa.select(sa.func.count()).select_from(named).scalar_subquery()
    are_few = sa.and_(count <= constant(FEW), sa.not_(surely_many))
    return [
        Part(view, [*conditions, _among(view, sa.select(*named.c)), are_few]),
        Part(view, [*conditions, *many, sa.not_(are_few)]),
    ]


def _named(view: str) -> sa.Select[Any]:
    columns = sa.column("chain_id", sa.BigInteger()), sa.column("contract", sa.Text()), sa.column("task_id", sa.Text())
    return sa.select(sa.table(view, *columns, schema="arbius"))


def _among(view: Listed, named: sa.Select[Any]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*(view.c[name] for name in ("chain_id", "contract", "task_id"))).in_(named)


def _younger() -> sa.ColumnElement[Any]:
    """A time before which a solution was handed in, and so its task, if its window is over."""
    c = [sa.column(name, sa.DateTime(timezone=True)) for name in ("now", "claim")]
    engines = sa.table("v_engines", *c, schema="arbius")
    forever = sa.cast(sa.literal("infinity"), sa.DateTime(timezone=True))
    return sa.select(sa.func.max(sa.func.coalesce(engines.c.now - engines.c.claim, forever))).scalar_subquery()
