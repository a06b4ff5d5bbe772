"""What filters tell of money that waits for a transaction, of which a network has tens of thousands: where it can be.

Each arm of the views has constant words for network, action and reason, so that a condition about some of them leaves
the other arms out, or alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.query import near
from indexer.query.filters import Listed, begins, compared, condition, constant, parts
from schema import arbius_entities as ours
from schema.chain import chains, sources

LISTS = ("claimable", "stuck")
FEW = 1_000
"""Claimable solutions that are looked up one by one: to work out the state of each costs more than to find it."""
ENDS = {"claimable": ("since",), "stuck": ("since", "until")}  # times that are not before work or task began
OFF_CHAIN = "the results, which are off-chain"
"""What iExec's transactions can lack; of Arbius `arbius.hindrance` tells it."""


class Arm(NamedTuple):
    """Rows of Arbius of which there can be many: those with one of `words`, whose `column` is that of an index, `by`,
    of the rows that pass `among`."""

    words: Sequence[str]
    column: str
    by: sa.Column[Any]
    among: Sequence[sa.ColumnElement[bool]] = ()


WORD = {"claimable": "action", "stuck": "reason"}
"""List -> the column that tells arms apart."""
SOLVED = {"claimable": ("claim",), "stuck": ("claimable", "forfeited")}
"""List -> words of solutions with nothing but time behind them."""
ARMS = {
    "claimable": (
        Arm(SOLVED["claimable"], "gain", ours.tasks.c.fee, [ours.tasks.c.stage == constant("solved")]),
        Arm(("settle",), "since", ours.contestations.c.finished_at),
    ),
    "stuck": (
        Arm(
            SOLVED["stuck"], "stake", ours.solutions.c.stake, [ours.solutions.c.stake > sa.literal_column("0::numeric")]
        ),
        Arm(("unsettled",), "since", ours.contestations.c.finished_at),
    ),
}


class Call(NamedTuple):
    """What a ready call does. `by_task`: its first argument is the task's id."""

    network: str
    actions: Sequence[str]
    by_task: bool = True


CALLS = {
    "0x77286d17": Call("arbius", ("claim",)),
    "0x8b4d7b35": Call("arbius", ("finish", "settle")),
    "0x763253bb": Call("arbius", ("withdraw",), by_task=False),
    "0xbd66528a": Call("iexec", ("claim",)),
    "0xf6c68e10": Call("iexec", ("reopen",)),
    "0xf722cb32": Call("iexec", ("claim",), by_task=False),
}
"""By the first bytes of their data (functions `…_call` in schema/sql/90_calls.sql)."""
ID = 64  # digits of a task's id


def conditions(name: str, view: Listed, filters: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """What follows from the filters of a list for columns that an index has, or for whole arms. Raises UsageError."""
    found: list[sa.ColumnElement[bool]] = []
    for text in filters:
        column, operator, value = parts(text)
        if column in ENDS[name] and operator in near.UPTO:
            found.append(view.c.begun_at <= near.typed(view, column, value))
        if column == "since" and operator in near.FROM:
            found.append(
                sa.or_(
                    sa.not_(_is_one(name, view, SOLVED[name])),
                    view.c.begun_at >= near.typed(view, column, value) - _window(),
                )
            )
        if column in ("chain", "chain_id"):
            known = sa.select(chains.c.name.label("chain"), chains.c.chain_id).subquery("known_chains")
            found.append(sa.exists().where(condition(known, text)))
        if column in ("contract", "call_to"):
            found.append(_known(view, column, text))
        if column == "lacks":
            found.append(_lacking(view, text))
        if column == "call_data" and operator == "=":
            found.append(_calling(view, value.lower()))
    return found


def few(name: str, view: Listed, filters: Sequence[str]) -> list[tuple[sa.ColumnElement[bool], sa.ColumnElement[Any]]]:
    """Arms of which filters ask for something that an index has: the condition of each, and the ids of all its tasks
    that can pass, NULL where they are not few."""
    found = []
    for n, arm in enumerate(ARMS[name]):
        asked = [
            [compared(arm.by, each, near.typed(view, column, value)) for each in near.either(operator)]
            for column, operator, value in map(parts, filters)
            if column == arm.column
        ]
        if asked:
            table = arm.by.table
            ids = near.hex_text(table.c.task_id)
            axis, conditions = near.Axis(table, arm.by), [*([each] for each in arm.among), *asked]
            found.append((_is_one(name, view, arm.words), near.found_by(f"few_{n}", axis, conditions, ids, FEW)))
    return found


def plain(filters: Sequence[str]) -> list[str]:
    """The filters without those of which `conditions` tell all, and which a planner would take for rare."""
    return [text for text in filters if not _is_told(*parts(text))]


def _is_told(column: str, operator: str, value: str) -> bool:
    start = value.lower().removesuffix("*")
    if (column, operator) != ("call_data", "=") or start == value.lower():
        return False
    # Two calls of iExec are one action, and what a withdrawal is called with is no column.
    return all(
        call.network == "arbius"
        and (len(start) <= len(selector) or (call.by_task and len(start) <= len(selector) + ID))
        for selector, call in CALLS.items()
        if start.startswith(selector) or selector.startswith(start)
    )


def _known(view: Listed, column: str, text: str) -> sa.ColumnElement[bool]:
    """Few contracts take calls: what asks for another one reads nothing. Network by network, an arm knows at once."""
    found: list[sa.ColumnElement[bool]] = [view.c.network.not_in([*map(constant, near.NETWORKS)])]
    for network in near.NETWORKS:
        mine = sa.select(near.hex_text(sources.c.address).label(column)).where(sources.c.network == constant(network))
        there = sa.exists().where(condition(mine.subquery(f"contracts_of_{network}"), text))
        found.append(sa.and_(view.c.network == constant(network), there))
    return sa.or_(*found)


def _is_one(name: str, view: Listed, words: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether a row is one of Arbius with one of these words."""
    word = view.c[WORD[name]].in_([*map(constant, words)])
    return sa.and_(view.c.network == constant("arbius"), sa.func.coalesce(word, sa.false()))


def _window() -> sa.ColumnElement[Any]:
    """How long after their submission solutions can be challenged, at most."""
    engines = sa.table("v_engines", sa.column("claim", sa.Interval()), schema="arbius")
    return sa.select(sa.func.max(engines.c.claim)).scalar_subquery()


def _lacking(view: Listed, text: str) -> sa.ColumnElement[bool]:
    """What has no words that match is left out: all of Arbius where no engine hinders so, and of iExec."""
    p = ours.parameters.c
    words = sa.select(sa.func.arbius.hindrance(p.chain_id, p.address, type_=sa.Text()).label("lacks")).where(p.paused)
    hinders = sa.exists().where(condition(words.subquery("hindrances"), text))
    only = sa.select(constant(OFF_CHAIN).cast(sa.Text()).label("lacks")).subquery("off_chain")
    is_off_chain = sa.exists().where(condition(only, text))
    others = view.c.network.not_in([*map(constant, near.NETWORKS)])
    return sa.or_(
        others,
        sa.and_(view.c.network == constant("arbius"), hinders),
        sa.and_(view.c.network == constant("iexec"), is_off_chain),
    )


def _calling(view: Listed, data: str) -> sa.ColumnElement[bool]:
    """Rows whose call can be `data`, or begin so where that ends with `*`: of few actions, and mostly of one task."""
    start, is_part = data.removesuffix("*"), data.endswith("*")
    found = []
    for selector, call in CALLS.items():
        if not (start.startswith(selector) or (is_part and selector.startswith(start))):
            continue
        words = [*map(constant, call.actions)]
        here = [view.c.network == constant(call.network), view.c.action.in_(words)]
        argument = start[len(selector) :][:ID]
        if call.by_task and len(argument) == ID:
            here.append(view.c.task_id == sa.literal(f"0x{argument}", sa.Text()))
        elif call.by_task and argument:
            here.append(begins(view.c.task_id, f"0x{argument}", planned=True))
        found.append(sa.and_(*here))
    return sa.or_(*found) if found else sa.false()
