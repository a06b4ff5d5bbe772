"""Where the payments of a filter can be: in views of one network each, of events that can pay so, at times known.

Each arm of those views has constant words for what pays (`source_event`) and for the roles of both sides, so that a
filter leaves arms out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.query.asking import Made, Steps, made
from indexer.query.filters import Listed, condition, constant, likely, parts, value_of
from indexer.query.near import hex_text
from indexer.query.paying import COLUMNS, Times, spans, times_steps
from indexer.query.places import Part, conditions_of, raw, wanted
from schema import arbius_entities as arbius
from schema.analytics import payments, payments_of
from schema.chain import sources

SIDES = {"from_address": "from_role", "to_address": "to_role"}
NETWORKS = ("arbius", "iexec", "koii")
LARGE = ("arbius", "iexec")  # that can have millions of payments
PAYING: dict[str, dict[str, tuple[str, ...]]] = {
    "arbius": {
        "fee": ("FeesPaid",),
        "reward": ("RewardsPaid",),
        "stake": ("TaskSubmitted", "SolutionSubmitted", "ContestationVote"),
        "unstake": ("SolutionClaimed", "ContestationVoteFinish"),
        "refund": ("TaskRetracted", "ContestationVoteFinish"),
        "slash": ("ContestationVoteFinish",),
        "award": ("ContestationVoteFinish",),
        "deposit": ("ValidatorDeposit",),
        "withdraw": ("ValidatorWithdraw",),
    },
    "iexec": {
        "fee": ("Seize",),
        "reward": ("Reward",),
        "stake": ("Lock",),
        "unstake": ("Unlock", "Seize"),
        "refund": ("Unlock",),
        "slash": ("Seize",),
        "deposit": ("Transfer", "Deposit", "DepositFor"),
        "withdraw": ("Transfer", "Withdraw"),
        "transfer": ("Transfer",),
    },
}
"""Network -> kind -> events that pay so."""
TOKEN = {"arbius": "AIUS", "iexec": "RLC"}
FURTHEST = 2**63 - 1
FEW = 2_000
"""Payments of an amount that are looked up one by one; where there are more, a page that goes by time finds some."""
_TIME = sa.DateTime(timezone=True)
LARGEST = 10**100  # no amount is above it
ARM = "source_event", "kind", "to_role"  # what is constant in an arm of a view
Arm = tuple[str, str, str]


class Reach(NamedTuple):
    """From when to when a network pays on a chain in the blocks that are asked for."""

    network: str
    chain_id: int
    since: datetime
    until: datetime


def reach_steps(filters: Sequence[str]) -> Steps[list[Reach] | None]:
    """Where and when the blocks of the filters pay; None: no filter bounds them. Time follows the block, and indexes
    are by time. Raises UsageError."""
    first, last = _bounds(filters, "block", FURTHEST)
    if (first, last) == (0, FURTHEST):
        return None
    times = sa.func.analytics.paying_times(first, last).table_valued("network", "chain_id", "since", "until")
    found = yield sa.select(times.c.network, times.c.chain_id, times.c.since, times.c.until)
    return [Reach(**row) for row in found]


def _bounds(filters: Sequence[str], name: str, most: int) -> tuple[int, int]:
    """The least and the largest whole number from 0 to `most` that the filters let a column have. Raises UsageError."""
    low, high = 0, most
    for column, operator, value in map(parts, filters):
        if not _bounded(name, column, operator, value):
            continue
        number = Decimal(str(value_of(payments.c[name], value)))
        if operator in ("=", ">", ">="):
            low = max(low, math.floor(number) + 1 if operator == ">" else math.ceil(number))
        if operator in ("=", "<", "<="):
            high = min(high, math.ceil(number) - 1 if operator == "<" else math.floor(number))
    return low, high


def _bounded(name: str, column: str, operator: str, value: str) -> bool:
    return column == name and operator != "!=" and not (operator == "=" and value.endswith("*"))


class Amounts(NamedTuple):
    """Where payments of the amounts asked for can be in a network: in arms with few, at these times, and in others.
    `since`: of older times some may be missing; None: none is."""

    least: int
    most: int
    few: Sequence[Arm]
    times: Sequence[datetime]
    many: Sequence[Arm]
    since: datetime | None


class Narrowed(NamedTuple):
    """What is known of where payments can be; None: everywhere. `times`: of accounts or tasks, by network and column;
    where they are left out there are many."""

    reach: Sequence[Reach] | None = None
    amounts: Mapping[str, Amounts] | None = None
    times: Mapping[tuple[str, str], Times] = MappingProxyType({})

    @property
    def since(self) -> datetime | None:
        """Of what is older some may be missing; None: nothing is."""
        told = [times.since for times in self.times.values()]
        told += [amounts.since for amounts in (self.amounts or {}).values()]
        return max((since for since in told if since is not None), default=None)


def narrowed_steps(filters: Sequence[str], upto: datetime | None = None, newest: int = 50) -> Steps[Narrowed]:
    """Where the payments of the filters can be, as far as that has to be looked up: of accounts or tasks the `newest`
    times of those that are not after `upto`. Raises UsageError."""
    reach = yield from reach_steps(filters)
    amounts = yield from _amount_steps(filters, upto, max(1, newest))
    times = {}
    for name in COLUMNS:
        among = spans(filters, name)
        for network in () if among is None else LARGE:
            times[network, name] = yield from times_steps(network, name, among or (), upto, newest)
    return Narrowed(reach, amounts, times)


def _amount_steps(filters: Sequence[str], upto: datetime | None, newest: int) -> Steps[Mapping[str, Amounts] | None]:
    least, most = _bounds(filters, "amount", LARGEST)
    others = sorted({number for number in _excluded(filters) if least <= number <= most})
    if (least, most) == (0, LARGEST) and not others:
        return None
    lows, highs = [least, *(number + 1 for number in others)], [*(number - 1 for number in others), most]
    # Of most payments one number is not the amount: only where nearly all have it a page by time is none.
    few = FEW if (least, most) != (0, LARGEST) else FEW // 10
    until = "infinity" if upto is None else upto.isoformat()
    rows = yield _paying_amounts(few).of(lows=lows, highs=highs, upto=until, newest=newest)
    found = {}
    for network in LARGE:
        arms = {(row["source_event"], row["kind"], row["to_role"]): row for row in rows if row["network"] == network}
        few_of = {arm: row["times"] for arm, row in arms.items() if row["n"] <= few}
        times = sorted({at for known in few_of.values() for at in known})
        since = max((known[-1] for known in few_of.values() if len(known) == newest), default=None)
        found[network] = Amounts(least, most, list(few_of), times, [arm for arm in arms if arm not in few_of], since)
    return found


def _excluded(filters: Sequence[str]) -> Iterable[int]:
    for column, operator, value in map(parts, filters):
        if (column, operator) == ("amount", "!="):
            number = Decimal(str(value_of(payments.c.amount, value)))
            if number == math.floor(number):
                yield math.floor(number)


@lru_cache(4)
def _paying_amounts(few: int) -> Made:
    """In how many payments of each arm amounts are, counted up to few and one of each span, and the newest times."""
    lows, highs = (sa.bindparam(name, [], type_=sa.ARRAY(sa.Numeric())) for name in ("lows", "highs"))
    columns = sa.column("low", sa.Numeric()), sa.column("high", sa.Numeric())
    span = sa.func.unnest(lows, highs).table_valued(*columns, name="spans").render_derived()
    names = "network", "source_event", "kind", "to_role", "block_time"
    told = sa.func.analytics.paying_amounts(span.c.low, span.c.high, constant(few + 1))
    paying = told.table_valued(*names).lateral()
    arm = [paying.c[name] for name in names[:-1]]
    times = sa.func.array_agg(paying.c.block_time, type_=sa.ARRAY(_TIME)).label("times")
    counted = sa.select(*arm, sa.func.count().label("n"), times).select_from(span.join(paying, sa.true()))
    each = counted.group_by(*arm).subquery()
    at = sa.func.unnest(each.c.times).column_valued("at")
    upto = sa.cast(sa.bindparam("upto", "", type_=sa.Text()), _TIME)
    newest = sa.select(at).where(at <= upto, each.c.n <= constant(few)).distinct().order_by(at.desc())
    known = sa.func.array(newest.limit(sa.bindparam("newest", 1, type_=sa.Integer())).scalar_subquery())
    return made(sa.select(*(each.c[name] for name in (*names[:-1], "n")), known.label("times")))


def parts_of_payments(filters: Sequence[str], known: Narrowed | None = None) -> list[Part]:
    """The payments that pass the filters, in parts that share none. Raises UsageError."""
    reach, amounts, times = known or Narrowed()
    found: list[Part] = []
    for network in NETWORKS:
        there = [None] if reach is None or network == "koii" else [x for x in reach if x.network == network]
        found_of = (amounts or {}).get(network)  # not of Koii, which has few
        others = [text for text in filters if found_of is None or not _bounded("amount", *parts(text))]
        here = [part for at in there for part in _of_network(network, others, at)]
        for (whose, name), known_times in times.items():
            here = here if whose != network else [each for part in here for each in _at(part, name, known_times)]
        found += here if found_of is None else _by_amount(here, found_of)
    return found or [Part(payments, [sa.false()], timed=True)]


def _at(part: Part, name: str, times: Times) -> list[Part]:
    """The part at these times where payments are seldom. Of what contracts pay or get all is read as it is."""
    if not part.timed:
        return [part]
    view, found = part.view, []
    accounts = [view.c[SIDES[name]] == constant("account")] if name in SIDES else []
    if times.seldom and times.at:
        at = sa.literal(list(times.at), sa.ARRAY(_TIME))
        there = [_one_of(view, ("source_event", "kind"), times.seldom), view.c.block_time == sa.any_(at)]
        found.append([*accounts, *there])
    if times.often:
        found.append([*accounts, _one_of(view, ("source_event", "kind"), times.often)])
    if accounts:
        found.append([sa.not_(accounts[0])])
    return [part._replace(wanted=[*part.wanted, *more]) for more in found]


def _of_network(network: str, filters: Sequence[str], reach: Reach | None) -> list[Part]:
    view = payments_of(network)
    conditions = conditions_of(view, filters)
    if any((asked := wanted(filters, name)) not in (None, there) and not str(asked).endswith("*")
           for name, there in (("network", network), ("token", TOKEN.get(network))) if there):  # fmt: skip
        return []
    if network == "koii":
        return [Part(view, conditions, timed=True)]
    events = _events(network, filters)
    if events == []:
        return []
    if events is not None:
        conditions.append(view.c.source_event.in_([*map(constant, events)]))
    conditions += _roles(network, view, filters)
    task = wanted(filters, "task_id")
    if network == "iexec" and task is not None and not task.endswith("*"):
        conditions.append(_at_times_of(view, task))
    if reach is not None:
        conditions += [view.c.chain_id == constant(reach.chain_id), view.c.block_time.between(reach.since, reach.until)]
    found = [Part(view, conditions, timed=True)]
    if network == "arbius" and reach is None:  # the stake of a solution that was handed in before reading began
        found.append(Part(view, [*conditions, view.c.source_event == constant("SolutionSubmitted")], timed=False))
    return found


def _events(network: str, filters: Sequence[str]) -> list[str] | None:
    """Events that can pay what the filters ask for; None: all."""
    kinds, kind, event = PAYING[network], wanted(filters, "kind"), wanted(filters, "source_event")
    known = {name for names in kinds.values() for name in names}
    if kind is not None and not kind.endswith("*"):
        known &= set(kinds.get(kind, ()))
    if event is not None and not event.endswith("*"):
        known &= {event}
    return None if (kind, event) == (None, None) else sorted(known)


def _roles(network: str, view: Listed, filters: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """What is paid to or by contracts and treasuries counts only where the account is one: there are few."""
    found: list[sa.ColumnElement[bool]] = []
    for side, role in SIDES.items():
        asked = [text for text in filters if parts(text)[0] == side]
        if not asked:
            continue
        emitters = sa.select(hex_text(sources.c.address).label(side)).where(sources.c.network == constant(network))
        found.append(sa.or_(view.c[role] != constant("contract"), _any(emitters, asked)))
        if network == "arbius" and side == "to_address":
            treasuries = sa.select(hex_text(arbius.parameters.c.treasury).label(side))
            found.append(sa.or_(view.c[role] != constant("treasury"), _any(treasuries, asked)))
    return found


def _any(accounts: sa.Select[Any], asked: Sequence[str]) -> sa.ColumnElement[bool]:
    known = accounts.subquery()
    return sa.exists().where(*(condition(known, text) for text in asked))


def _at_times_of(view: Listed, task: str) -> sa.ColumnElement[bool]:
    """Most payments of iExec tell their task only by other events of the block: those are found by an index."""
    columns = sa.column("taskid", sa.LargeBinary()), sa.column("block_time", sa.DateTime(timezone=True))
    named = sa.table("v_paid_tasks", *columns, schema="iexec")
    times = sa.select(named.c.block_time).where(named.c.taskid == raw(task)).scalar_subquery()
    return view.c.block_time == sa.any_(sa.func.array(times, type_=sa.ARRAY(_TIME)))


def _by_amount(found: Sequence[Part], amounts: Amounts) -> list[Part]:
    """The parts, each where an amount is seldom and where it is not; what has no time is looked through as it is."""
    narrowed = []
    for part in found:
        amount = part.view.c.amount
        bounds = sa.literal(amounts.least, sa.Numeric()), sa.literal(amounts.most, sa.Numeric())
        if not part.timed:
            narrowed.append(part._replace(wanted=[*part.wanted, amount.between(*bounds)]))
            continue
        if amounts.few:
            at = sa.literal(list(amounts.times), sa.ARRAY(_TIME))
            there = [
                _one_of(part.view, ARM, amounts.few),
                part.view.c.block_time == sa.any_(at),
                amount.between(*bounds),
            ]
            narrowed.append(part._replace(wanted=[*part.wanted, *there]))
        if amounts.many:  # by time: else millions are read and sorted
            beyond = likely(amount.between(*bounds))
            narrowed.append(part._replace(wanted=[*part.wanted, _one_of(part.view, ARM, amounts.many), beyond]))
    return narrowed


def _one_of(view: Listed, names: Sequence[str], words: Iterable[Sequence[str]]) -> sa.ColumnElement[bool]:
    columns = [view.c[name] for name in names]
    return sa.or_(*(sa.and_(*(c == constant(w) for c, w in zip(columns, each, strict=True))) for each in words))
