"""Where the rows of a filter can be: parts of a view that an index gives in the order of a page.

A filter on what a view computes, such as a status, uses no index: a page would read millions of rows to find the few
that match. What follows from it for the columns of one network's own view does.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.query import idle, near
from indexer.query.filters import WORDS, Listed, condition, constant, parts
from schema.analytics import VIEWS, disputes_of, tasks_of, work_of
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
OF_NETWORK = {"tasks": tasks_of, "work": work_of, "disputes": disputes_of}
BY_CONTRACT = ("tasks", "work", "payments", "disputes")  # lists that can be of millions

EMITTERS = ("engine", "hub")  # roles of contracts whose tasks and payments are shown


class Part(NamedTuple):
    """Rows of a view. `times`: what is known of the time of those that have one. `timed`: whether all or none have one.
    `few`: all of them are read, in any order."""

    view: Listed
    wanted: Sequence[sa.ColumnElement[bool]]
    times: Sequence[sa.ColumnElement[bool]] = ()
    timed: bool | None = None
    few: bool = False


def parts_of(name: str, filters: Sequence[str], works: int | None = None) -> list[Part]:
    """The rows of the view `name` that pass the filters, in parts that share none. Raises UsageError.

    `works`: of the filter `worker` on tasks only so many newest works count.
    """
    filters = [_plainly(name, text) for text in filters]
    rest = _rest(name, filters, works)  # mistakes in filters are told of the view that is known
    if name == "tasks":
        found = _tasks(filters, works, rest)
    elif name == "work" and wanted(filters, "state") is not None:
        found = _work(filters, rest)
    elif name in idle.LISTS:
        found = _idle(name, filters)
    else:
        found = rest()
    return found if not near.tells(name, filters) else [each for part in found for each in _near(name, filters, part)]


def _idle(name: str, filters: Sequence[str]) -> list[Part]:
    view = VIEWS[name]
    given = dict(zip(filters, conditions_of(view, filters), strict=True))  # mistakes are told of any
    asked = [*(given[text] for text in idle.plain(filters)), *idle.conditions(name, view, filters)]
    found = []
    for there, ids in idle.few(name, view, filters):
        found.append(Part(view, [*asked, there, view.c.task_id == sa.any_(ids)], few=True))
        asked.append(sa.or_(sa.not_(there), ids.is_(None)))
    return [*found, Part(view, asked)]


def _plainly(name: str, text: str) -> str:
    """Not to be one of two words is to be the other."""
    column, operator, value = parts(text)
    words = WORDS.get(name, {}).get(column, ())
    if operator != "!=" or len(words) != 2 or value not in words:
        return text
    return f"{column}={words[1 - words.index(value)]}"


def _rest(name: str, filters: Sequence[str], works: int | None) -> Callable[..., list[Part]]:
    """What is of none of the networks that are given: apart where filters tell more of the rows of one network."""
    view = VIEWS[name]
    conditions = conditions_of(view, filters, works)
    known = [network for network in near.NETWORKS if near.tells(name, filters) and (name, network) in near.AXES]

    def rest(*taken: str) -> list[Part]:
        apart = [network for network in known if network not in taken]
        views = [OF_NETWORK[name](network) for network in apart]
        others = [view.c.network.not_in([*map(constant, (*taken, *apart))])] if taken or apart else []
        return [
            *(Part(each, conditions_of(each, filters, works)) for each in views),
            Part(view, [*conditions, *others]),
        ]

    return rest


def _near(name: str, filters: Sequence[str], part: Part) -> list[Part]:
    """A part of one network by what filters tell of it: rows that are few by their places, many by their time."""
    view, network = part.view, (part.view.schema if isinstance(part.view, sa.TableClause) else None) or ""
    if (name, network) not in near.AXES:
        return [part]
    found, wanted = [], [*part.wanted, *near.implied(view, network, filters)]
    times = [*part.times, *near.times(name, view, network, filters)]
    for places in near.places(name, view, network, filters):
        found.append(Part(view, [*wanted, view.c.place == sa.any_(places)], few=True))
        wanted = [*wanted, places.is_(None)]
    return [*found, Part(view, wanted, times)]


def conditions_of(view: Listed, filters: Sequence[str], works: int | None = None) -> list[sa.ColumnElement[bool]]:
    """What the filters ask of a view. Of a chain or contract that is none nothing is read."""
    conditions, whose = [condition(view, text, works) for text in filters], view.name.removeprefix("v_")
    for text in filters if whose in BY_CONTRACT else ():
        column = parts(text)[0]
        if column in ("chain", "chain_id"):
            known = sa.select(chains.c.name.label("chain"), chains.c.chain_id).subquery()
            conditions.append(sa.exists().where(condition(known, text)))
        if column == "contract":  # few contracts emit all events
            emitters = sa.select(sources.c.network, near.hex_text(sources.c.address).label("contract"))
            known = emitters.where(sources.c.role.in_([*map(constant, EMITTERS)])).subquery()
            others = view.c.network.in_([constant("koii"), constant("aidbox")])
            there = sa.exists().where(known.c.network == view.c.network, condition(known, text))
            conditions.append(sa.or_(others, there))
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


def _tasks(filters: Sequence[str], works: int | None, rest: Callable[..., list[Part]]) -> list[Part]:
    for name, stages in (("network_status", NETWORK_STATUS), ("status", STATUS)):
        asked = wanted(filters, name)
        if asked in stages or (asked is not None and name == "network_status" and not asked.endswith("*")):
            staged = [part for stage in stages.get(asked, ()) for part in _staged(filters, works, name, asked, stage)]
            return [*staged, *rest("arbius", "iexec")]
    if wanted(filters, "finality") != "pending":
        return rest()
    view = tasks_of("arbius")
    endless = sa.exists().where(chains.c.kind == "evm", chains.c.final_block.is_(None))
    return [*_either(view, conditions_of(view, filters, works), "v_pending", [], endless), *rest("arbius")]


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
        return [Part(view, [*conditions, there, _among(view, _named("v_forfeited_tasks"))], [_younger(view)])]
    if asked == "claimable":
        return [Part(view, [*conditions, there], [_younger(view)])]
    return _either(view, conditions, "v_challengeable", [there], sa.false())


def _work(filters: Sequence[str], rest: Callable[..., list[Part]]) -> list[Part]:
    state, view = wanted(filters, "state") or "", work_of("arbius")
    if state == "accepted" or state not in WORDS["work"]["state"]:
        return rest()
    conditions = conditions_of(view, filters)
    found = rest("arbius", "iexec")
    for stage in STATE.get(state, ()):
        there = [*conditions, view.c.stage == constant(stage)]
        lost = state == "lost"
        found.append(Part(view, [*there, _among(view, _named("v_forfeited_tasks"))] if lost else there,
                          [_younger(view)] if lost else []))  # fmt: skip
    iexec = work_of("iexec")
    texts = [text for text in filters if text != f"state={state}"]
    there = [*conditions_of(iexec, texts), iexec.c.state == constant(state)]
    return [*found, Part(iexec, [*there, iexec.c.settled_at.is_(None)] if state == "submitted" else there)]


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


def _younger(view: Listed) -> sa.ColumnElement[bool]:
    """That a solution was handed in, and so its task, before what can still be challenged."""
    c = [sa.column(name, sa.DateTime(timezone=True)) for name in ("now", "claim")]
    engines = sa.table("v_engines", *c, schema="arbius")
    forever = sa.cast(sa.literal("infinity"), sa.DateTime(timezone=True))
    newest = sa.select(sa.func.max(sa.func.coalesce(engines.c.now - engines.c.claim, forever))).scalar_subquery()
    return view.c.submitted_at <= newest
