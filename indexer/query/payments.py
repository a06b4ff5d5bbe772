"""Where the payments of a filter can be: in views of one network each, of events that can pay so, at times known.

Each arm of those views has constant words for what pays (`source_event`) and for the roles of both sides, so that a
filter leaves arms out.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa

from indexer.query.asking import Steps
from indexer.query.filters import Listed, constant, parts, value_of
from indexer.query.places import Part, conditions_of, raw, wanted
from schema import arbius_entities as arbius
from schema.analytics import payments, payments_of
from schema.chain import sources

SIDES = {"from_address": "from_role", "to_address": "to_role"}
NETWORKS = ("arbius", "iexec", "koii")
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
LARGEST = 10**100  # no amount is above it
Arm = tuple[str, str, str]  # source_event, kind and to_role, which are constant in an arm of a view


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
    """Where payments of the amounts asked for can be in a network: in arms with few, at these times, and in others."""

    least: int
    most: int
    few: Sequence[Arm]
    times: Sequence[datetime]
    many: Sequence[Arm]


class Narrowed(NamedTuple):
    """What is known of where payments can be; None: everywhere."""

    reach: Sequence[Reach] | None = None
    amounts: Mapping[str, Amounts] | None = None


def narrowed_steps(filters: Sequence[str]) -> Steps[Narrowed]:
    """Where the payments of the filters can be, as far as that has to be looked up. Raises UsageError."""
    reach = yield from reach_steps(filters)
    return Narrowed(reach, (yield from _amount_steps(filters)))


def _amount_steps(filters: Sequence[str]) -> Steps[Mapping[str, Amounts] | None]:
    least, most = _bounds(filters, "amount", LARGEST)
    if (least, most) == (0, LARGEST):
        return None
    names = "network", "source_event", "kind", "to_role", "block_time"
    told = sa.func.analytics.paying_amounts(sa.cast(least, sa.Numeric), sa.cast(most, sa.Numeric), FEW + 1)
    paying = told.table_valued(*names)
    rows = yield sa.select(*(paying.c[name] for name in names))
    times: dict[str, dict[Arm, list[datetime]]] = {"arbius": {}, "iexec": {}}
    for network, *arm, at in (row.values() for row in rows):
        times[network].setdefault((arm[0], arm[1], arm[2]), []).append(at)
    found = {}
    for network, arms in times.items():
        few = {arm: at for arm, at in arms.items() if len(at) <= FEW}
        many = [arm for arm in arms if arm not in few]
        found[network] = Amounts(least, most, list(few), sorted({at for known in few.values() for at in known}), many)
    return found


def parts_of_payments(filters: Sequence[str], known: Narrowed | None = None) -> list[Part]:
    """The payments that pass the filters, in parts that share none. Raises UsageError."""
    reach, amounts = known or Narrowed()
    found: list[Part] = []
    for network in NETWORKS:
        there = [None] if reach is None or network == "koii" else [x for x in reach if x.network == network]
        if amounts is None or network == "koii":
            found += [part for at in there for part in _of_network(network, filters, at)]
        else:
            others = [text for text in filters if not _bounded("amount", *parts(text))]
            found += _by_amount([part for at in there for part in _of_network(network, others, at)], amounts[network])
    return found or [Part(payments, [sa.false()], timed=True)]


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
        account = wanted(filters, side)
        if account is None or account.endswith("*"):
            continue
        known = sa.exists().where(sources.c.address == raw(account), sources.c.network == constant(network))
        found.append(sa.or_(view.c[role] != constant("contract"), known))
        if network == "arbius" and side == "to_address":
            ours = sa.exists().where(arbius.parameters.c.treasury == raw(account))
            found.append(sa.or_(view.c[role] != constant("treasury"), ours))
    return found


def _at_times_of(view: Listed, task: str) -> sa.ColumnElement[bool]:
    """Most payments of iExec tell their task only by other events of the block: those are found by an index."""
    columns = sa.column("taskid", sa.LargeBinary()), sa.column("block_time", sa.DateTime(timezone=True))
    named = sa.table("v_paid_tasks", *columns, schema="iexec")
    times = sa.select(named.c.block_time).where(named.c.taskid == raw(task)).scalar_subquery()
    return view.c.block_time == sa.any_(sa.func.array(times, type_=sa.ARRAY(sa.DateTime(timezone=True))))


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
            at = sa.literal(list(amounts.times), sa.ARRAY(sa.DateTime(timezone=True)))
            there = [_one_of(part.view, amounts.few), part.view.c.block_time == sa.any_(at), amount.between(*bounds)]
            narrowed.append(part._replace(wanted=[*part.wanted, *there]))
        if amounts.many:
            # So the planner takes most rows to pass, and goes by time: else it reads and sorts millions.
            beyond = (amount < bounds[0]).is_not(True), (amount > bounds[1]).is_not(True), amount.is_not(None)
            narrowed.append(part._replace(wanted=[*part.wanted, _one_of(part.view, amounts.many), *beyond]))
    return narrowed


def _one_of(view: Listed, arms: Sequence[Arm]) -> sa.ColumnElement[bool]:
    columns = [view.c[name] for name in ("source_event", "kind", "to_role")]
    return sa.or_(*(sa.and_(*(c == constant(word) for c, word in zip(columns, arm, strict=True))) for arm in arms))
