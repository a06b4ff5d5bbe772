"""What filters tell of where the rows of one network are: when they can have begun, and which ones they are if few.

A page is read by the time when rows began. Where few rows pass a filter, or all of them lie at the other end, it would
read a table of millions to find them. Statements are planned once for all values, so that what is few shows only when
one runs: an index then counts up to `FEW`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from indexer.query.filters import Listed, begins, compared, condition, constant, parts, value_of
from schema import arbius, iexec
from schema import arbius_entities as ours
from schema import iexec_entities as theirs
from schema.analytics import ORDER, Place
from schema.chain import chains, sources

Condition = sa.ColumnElement[bool]
Filter = tuple[str, str, str]  # column, operator, value

FEW = 5_000
"""Rows that are looked up by their places: among 5 million tasks that takes as long as to find a page of so many by
time, where they lie evenly. Of more that are all very old a page reads all that is younger."""
NETWORKS = ("arbius", "iexec")  # whose tables can be of millions


class Axis(NamedTuple):
    """What an index of a table begins with; `timed`: it goes on with when rows began, so that equal ones are a page."""

    table: sa.Table
    by: sa.ColumnElement[Any]
    timed: bool = False


def hex_text(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    """Bytes as the views show them."""
    return sa.func.analytics.hex(column, type_=sa.Text()).collate("C")


def _axes(table: sa.Table, texts: str, **others: tuple[sa.ColumnElement[Any], bool]) -> dict[str, Axis]:
    """`texts`: pairs like submitter=sender, columns of the view and of the table that holds their bytes."""
    pairs = [pair.split("=") for pair in texts.split()]
    found = {shown: Axis(table, hex_text(table.c[kept]), True) for shown, kept in pairs}
    return found | {shown: Axis(table, by, timed) for shown, (by, timed) in others.items()}


AXES: dict[tuple[str, str], dict[str, Axis]] = {
    ("tasks", "arbius"): _axes(
        ours.tasks, "task_id=task_id requester=owner submitter=sender subject=model", fee=(ours.tasks.c.fee, True),
        finished_at=(ours.FINISHED, False), last_block=(ours.tasks.c.last_block, False),
    ),
    ("tasks", "iexec"): _axes(
        theirs.tasks, "task_id=taskid requester=requester submitter=payer subject=app", fee=(theirs.tasks.c.fee, True),
        finished_at=(theirs.FINISHED, False), last_block=(theirs.tasks.c.last_block, False),
    ),
    ("work", "arbius"): _axes(
        ours.solutions, "task_id=task_id worker=validator", settled_at=(ours.SETTLED, False), reward=(ours.REWARD, True)
    ),
    ("work", "iexec"): _axes(
        theirs.contributions, "task_id=taskid worker=worker", settled_at=(theirs.contributions.c.settled_at, False),
        reward=(theirs.contributions.c.reward, True),
    ),
    ("disputes", "arbius"): _axes(
        ours.contestations, "task_id=task_id opened_by=validator against=solver",
        yeas=(ours.YEAS, True), nays=(ours.NAYS, True),
        settled_at=(ours.contestations.c.finished_at, False),
    ),
}  # fmt: skip
"""Per list and network the columns by which an index finds rows."""
UNIT = {"arbius": 10**18, "iexec": 10**9}
ENDS = ("finished_at", "settled_at", "deadline")  # times that are not before the beginning
SUBMITTED: dict[str, sa.Table] = {
    "arbius": arbius.EVENTS["task_submitted"],
    "iexec": iexec.EVENTS["orders_matched"],
}
"""The event that begins a task. The time of blocks never goes back."""
PENDING = ("finality", "=", "pending")
UPTO, FROM = ("<", "<=", "="), (">", ">=", "=")


def tells(name: str, filters: Sequence[str]) -> bool:
    """Whether the filters of a list tell where rows are, more than what each of them does by itself."""
    axes = [AXES[name, network] for network in NETWORKS if (name, network) in AXES][:1]
    given = [parts(text) for text in filters if axes]
    return any(
        each == PENDING or each[0] in ("fee_amount", "submitted_block", *ENDS) or _sought(axes[0], *each)
        for each in given
    )


def _sought(axes: Mapping[str, Axis], column: str, operator: str, value: str) -> Axis | None:
    """The axis by which rows that pass a filter are looked for."""
    axis = axes.get({"fee_amount": "fee", "owner": "requester"}.get(column, column))
    if operator == "=" and value.endswith("*"):  # statistics of the others tell how many begin so
        return axis if column in ("requester", "owner") else None
    return axis if axis is not None and (operator != "=" or not axis.timed) else None


def times(name: str, view: Listed, network: str, filters: Sequence[str]) -> list[Condition]:
    """What the filters tell of the time when a row began, where it is known."""
    given, began = [parts(text) for text in filters], view.c[ORDER[name][0]]
    found: list[Condition] = []
    for column, operator, value in given:
        if column in ENDS and operator in UPTO:
            found.append(began <= typed(view, column, value))
        if column == "deadline" and operator in FROM:
            longest = sa.select(sa.func.arbius.longest_vote(type_=sa.Interval())).scalar_subquery()
            found.append(began >= typed(view, column, value) - longest)
        if operator != "!=" and name == "tasks" and column in ("submitted_block", "last_block"):
            oldest, newest = _of_block(network, operator, value, [each for each in given if each[0] == "chain_id"])
            if operator in UPTO:
                found.append(began <= newest)
            if operator in FROM and column == "submitted_block":
                found.append(began >= oldest)
    return found


def _of_block(
    network: str, operator: str, value: str, of_chain: Sequence[Filter]
) -> tuple[sa.ScalarSelect[Any], sa.ScalarSelect[Any]]:
    """Between which times tasks of these blocks were submitted: of all chains, each of which has numbers of its own."""
    events = SUBMITTED[network]
    number = events.c.block_number
    there = [condition(chains, "".join(each)) for each in of_chain]
    passing = compared(number, operator, sa.literal(value_of(number, value), sa.BigInteger()))
    of_one = sa.select(events.c.block_time).where(events.c.chain_id == chains.c.chain_id, passing).limit(constant(1))
    first, last = (of_one.order_by(by).scalar_subquery() for by in (number, number.desc()))
    of_all = sa.select().select_from(chains).where(*there)
    oldest, newest = (of_all.add_columns(by).scalar_subquery() for by in (sa.func.min(first), sa.func.max(last)))
    return oldest, newest


def places(name: str, view: Listed, network: str, filters: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    """Per column that an index knows the places of the rows that pass its filters: NULL where they are not few."""
    axes, asked = AXES.get((name, network), {}), dict[Axis, list[list[Condition]]]()
    for column, operator, value in map(parts, filters):
        if (axis := _sought(axes, column, operator, value)) is not None:
            if operator == "=" and value.endswith("*"):
                ranges = [begins(axis.by, value[:-1].lower())]
            else:
                shown = typed(view, column, value)
                ranges = [_range(axis, network, column, each, shown) for each in either(operator)]
            asked.setdefault(axis, []).append(ranges)
        if (column, operator, value) == PENDING and network == "iexec":
            asked.setdefault(axes["last_block"], []).append([_pending(axes["last_block"], network)])
    return [_places(f"few_{network}_{n}", axis, each) for n, (axis, each) in enumerate(asked.items())]


def _pending(last_block: Axis, network: str) -> Condition:
    """What is not final has an event above the final block of its chain, and so above the lowest of all."""
    theirs = chains.c.chain_id.in_(sa.select(sources.c.chain_id).where(sources.c.network == constant(network)))
    lowest = sa.select(sa.func.min(sa.func.coalesce(chains.c.final_block, constant(-1)))).where(theirs)
    return last_block.by > lowest.scalar_subquery()


def either(operator: str) -> Sequence[str]:
    """Operators that stand for one, each of which is a range of an index."""
    return ("<", ">") if operator == "!=" else (operator,)


def typed(view: Listed, column: str, text: str) -> sa.ColumnElement[Any]:
    """The value of a filter, of the type of its column."""
    shown = view.c["requester" if column == "owner" else column]
    return sa.literal(value_of(shown, text), shown.type)


def _range(axis: Axis, network: str, column: str, operator: str, value: sa.ColumnElement[Any]) -> Condition:
    return compared(axis.by, operator, value * _unit(network) if column == "fee_amount" else value)


def _unit(network: str) -> sa.ColumnElement[Any]:
    return sa.literal(UNIT[network], sa.Numeric())


def implied(view: Listed, network: str, filters: Sequence[str]) -> list[Condition]:
    """What an index can use of a filter that it cannot use as it stands."""
    amounts = [value for column, operator, value in map(parts, filters) if (column, operator) == ("fee_amount", "=")]
    return [view.c.fee == typed(view, "fee_amount", value) * _unit(network) for value in amounts]


def _places(name: str, axis: Axis, asked: Sequence[Sequence[Condition]]) -> sa.ColumnElement[Any]:
    return found_by(name, axis, asked, sa.literal_column(f"{axis.table.fullname}.ctid", Place()), FEW)


def found_by(
    name: str, axis: Axis, asked: Sequence[Sequence[Condition]], what: sa.ColumnElement[Any], most: int
) -> sa.ColumnElement[Any]:  # fmt: skip
    """`what` of the rows that meet one condition of each of `asked`, as an array; NULL where they are more than `most`.

    Sorted as the index is, each range is read off it whatever the planner thinks of its size.
    """
    ranges = list(itertools.product(*asked))
    counted = sa.union_all(*(_some(sa.literal_column("1"), axis, each, most) for each in ranges)).subquery()
    count = sa.select(sa.func.count()).select_from(counted).scalar_subquery()
    found = sa.func.array(sa.union_all(*(_some(what, axis, each, most) for each in ranges)).scalar_subquery())
    few = sa.select(sa.case((count <= constant(most), found)).label("places")).cte(name)
    return sa.cast(sa.select(few.c.places).scalar_subquery(), ARRAY(what.type))


def _some(what: sa.ColumnElement[Any], axis: Axis, ranges: Sequence[Condition], most: int) -> sa.Select[Any]:
    few = sa.select(what.label("place")).select_from(axis.table).where(*ranges).order_by(axis.by)
    return sa.select(few.limit(constant(most + 1)).subquery().c.place)
