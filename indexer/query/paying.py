"""When accounts or tasks pay that are asked for by a beginning or a range: the newest times.

A page of payments is read by time: where few payments pass a filter it would read millions to find them, and by the
filter's accounts all that one of them has ever paid. Statements are planned without values, so that what is few shows
only when one runs: of each way to pay accounts are counted up to `FEW_ACCOUNTS`, a step for each, and rows up to `FEW`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, array

from indexer.query.asking import Made, Steps, made
from indexer.query.filters import Listed, beyond, constant, parts, value_of
from indexer.query.near import hex_text
from schema import arbius_entities as ours
from schema import iexec
from schema.analytics import payments

FEW = 2_000
"""Rows whose times are looked up. Of more a page by time finds some soon."""
FEW_ACCOUNTS = 20
"""Accounts whose newest payments are looked up, however many they have."""
MOST = 6_000  # times at which a page is looked for
VIEWS = {"from_address": "v_payers", "to_address": "v_payees"}
COLUMNS = (*VIEWS, "task_id")
Paid = tuple[str, str]  # source_event and kind
_FINISH = "ContestationVoteFinish"
_NAMING = {
    "task_contribute": "taskid",
    "task_finalize": "taskid",
    "task_claimed": "taskid",
    "reward": "ref",
    "seize": "ref",
}
"""Events of iExec that name a task in blocks in which it is paid for, as in iexec.v_paid_tasks."""
PAID: dict[tuple[str, str], dict[str, tuple[Paid, ...]]] = {
    ("arbius", "from_address"): {
        "submitted": (("TaskSubmitted", "stake"),),
        "solved": (("SolutionSubmitted", "stake"),),
        "slashed": ((_FINISH, "slash"),),
        "voted": (("ContestationVote", "stake"),),
        "vote_lost": ((_FINISH, "slash"),),
        "deposited": (("ValidatorDeposit", "deposit"),),
        "withdrawn": (("ValidatorWithdraw", "withdraw"),),
    },
    ("arbius", "to_address"): {
        "released": (("FeesPaid", "fee"), ("RewardsPaid", "reward"), ("SolutionClaimed", "unstake")),
        "defended": ((_FINISH, "unstake"),),
        "refunded": ((_FINISH, "refund"),),
        "retracted": (("TaskRetracted", "refund"),),
        "contested": ((_FINISH, "slash"),),
        "vote_back": ((_FINISH, "unstake"),),
        "vote_won": ((_FINISH, "award"),),
        "deposited": (("ValidatorDeposit", "deposit"),),
        "withdrawn": (("ValidatorWithdraw", "withdraw"),),
    },
    ("arbius", "task_id"): {
        "tasks": (("TaskSubmitted", "stake"), (_FINISH, "refund"), ("TaskRetracted", "refund")),
        "solutions": (
            ("FeesPaid", "fee"),
            ("RewardsPaid", "reward"),
            ("SolutionSubmitted", "stake"),
            ("SolutionClaimed", "unstake"),
            (_FINISH, "unstake"),
            (_FINISH, "slash"),
        ),
        "votes": (("ContestationVote", "stake"), *((_FINISH, kind) for kind in ("slash", "unstake", "award"))),
    },
    ("iexec", "from_address"): {
        "burned": (("Transfer", "withdraw"),),
        "moved": (("Transfer", "transfer"),),
        "given": (("Transfer", "transfer"),),
        "locked": (("Lock", "stake"),),
        "seized": (("Seize", "fee"), ("Seize", "unstake"), ("Seize", "slash")),
        "deposited_for": (("DepositFor", "deposit"),),
        "withdrawn": (("Withdraw", "withdraw"),),
    },
    ("iexec", "to_address"): {
        "minted": (("Transfer", "deposit"),),
        "moved": (("Transfer", "transfer"),),
        "unlocked": (("Unlock", "unstake"), ("Unlock", "refund")),
        "rewarded": (("Reward", "reward"),),
        "deposited": (("Deposit", "deposit"),),
        "deposited_for": (("DepositFor", "deposit"),),
    },
    ("iexec", "task_id"): dict.fromkeys(
        _NAMING,
        (
            ("Lock", "stake"),
            ("Unlock", "unstake"),
            ("Unlock", "refund"),
            ("Reward", "reward"),
            *(("Seize", kind) for kind in ("fee", "unstake", "slash")),
        ),
    ),
}
"""Per network and column what is looked up at once (for accounts the view says how), and the payments it tells of."""
LAST = "~"  # above all hex text
DIGITS = "0123456789abcdef"
_TIME, _TEXTS = sa.DateTime(timezone=True), sa.Text()
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"pays": sa.Boolean(), "block_time": _TIME}
Span = tuple[str, str]  # of texts: from the first on, up to below the second
Condition = sa.ColumnElement[bool]


class Times(NamedTuple):
    """At which times something is paid where that is seldom, and in which ways there is much. `since`: of older times
    some may be missing; None: none is."""

    at: Sequence[datetime]
    seldom: Sequence[Paid]
    often: Sequence[Paid]
    since: datetime | None


def spans(filters: Sequence[str], name: str) -> list[Span] | None:
    """Which hex texts the filters let a column have; None: there is no filter, or one that asks for a whole text, by
    which an index finds rows. Raises UsageError."""
    asked = [parts(text)[1:] for text in filters if parts(text)[0] == name]
    if not asked or any(operator == "=" and not value.endswith("*") for operator, value in asked):
        return None
    found = [("", LAST)]
    for operator, text in asked:
        passing = _passing(operator, str(value_of(payments.c[name], text)))
        found = [(max(low, least), min(high, most)) for least, most in passing for low, high in found]
    return [(low, high) for low, high in found if low < high]


def _passing(operator: str, value: str) -> list[Span]:
    after = value + "\x01"  # no hex text lies between them
    return {
        "=": [(value[:-1], beyond(value[:-1]) or LAST)],
        "!=": [("", value), (after, LAST)],
        "<": [("", value)],
        "<=": [("", after)],
        ">": [(after, LAST)],
        ">=": [(value, LAST)],
    }[operator]


def least_above(text: str) -> bytes | None:
    """The least bytes whose hex text (0x…) is not below `text`; None: there are none."""
    if text <= "0x":
        return b""
    if not text.startswith("0x"):
        return None
    digits = text[2:]
    known = next((n for n, digit in enumerate(digits) if digit not in DIGITS), len(digits))
    kept, rest = digits[:known], digits[known:]
    above = [digit for digit in DIGITS if digit > rest[:1]]
    if rest and above:
        kept += above[0]
    elif rest:  # nothing goes on like this: what comes next
        kept = kept.rstrip("f")
        if not kept:
            return None
        kept = kept[:-1] + DIGITS[DIGITS.index(kept[-1]) + 1]
    return bytes.fromhex(kept + "0" * (len(kept) % 2))


def times_steps(network: str, name: str, among: Sequence[Span], upto: datetime | None, newest: int) -> Steps[Times]:
    """The newest times, so many of each that is looked up and none after `upto`, at which payments have a value of
    these spans in a column."""
    pairs: Sequence[tuple[Any, Any]] = among
    if (network, name) == ("iexec", "task_id"):
        raw = [(least_above(low), least_above(high)) for low, high in among]
        pairs = [(low, b"\xff" * 33 if high is None else high) for low, high in raw if low is not None]
    if not pairs:
        return Times([], [], [], None)
    lows, highs = map(list, zip(*pairs, strict=True))
    asked = max(1, min(newest, MOST))
    few = FEW, FEW_ACCOUNTS
    statement = _tasks(network, FEW, asked) if name == "task_id" else _accounts(network, name, few, asked)
    until = "infinity" if upto is None else upto.isoformat()
    rows = yield statement.of(lows=lows, highs=highs, upto=until)
    return _told(PAID[network, name], rows, asked, newest)


def _told(paid: dict[str, tuple[Paid, ...]], rows: Sequence[dict[str, Any]], asked: int, newest: int) -> Times:
    cut = [row for row in rows if len(row["times"]) == asked]
    many = {row["what"] for row in rows if row["are_many"]} | {row["what"] for row in cut if newest > asked}
    often = {each for what in many for each in paid[what]}
    seldom = {each for row in rows if row["times"] for each in paid[row["what"]]} - often
    known = {row["what"]: row["times"] for row in rows if seldom.intersection(paid[row["what"]])}
    since = max((known[row["what"]][-1] for row in cut if row["what"] in known), default=None)
    return Times(sorted({at for times in known.values() for at in times}), sorted(seldom), sorted(often), since)


def _among(kind: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    lows, highs = (sa.bindparam(name, [], type_=ARRAY(kind)) for name in ("lows", "highs"))
    columns = sa.column("low", kind), sa.column("high", kind)
    return sa.func.unnest(lows, highs).table_valued(*columns, name="spans").render_derived()


def _upto() -> sa.ColumnElement[datetime]:
    return sa.cast(sa.bindparam("upto", "", type_=sa.Text()), _TIME)


def _found(what: str, times: sa.Subquery, are_many: Condition, most: int) -> sa.Select[Any]:
    newest = sa.select(times.c.at).where(times.c.at <= _upto()).distinct().order_by(times.c.at.desc())
    known = sa.func.array(newest.limit(constant(most)).scalar_subquery(), type_=ARRAY(_TIME))
    return sa.select(constant(what).label("what"), are_many.label("are_many"), known.label("times"))


def _count(of: sa.CTE) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(of).scalar_subquery()


def _each(span: sa.TableValuedAlias, rows: sa.Select[Any], most: int) -> sa.Select[Any]:
    """So many rows of each span, and no more together."""
    some = rows.limit(constant(most)).lateral()
    return sa.select(some).select_from(span.join(some, sa.true())).limit(constant(most))


@lru_cache(64)
def _accounts(network: str, name: str, few: tuple[int, int], most: int) -> Made:
    """Sorted as the indexes are, accounts and rows are read off them whatever the planner thinks of their number."""
    names = "what", "account", "pays", "block_time"
    paid = sa.table(VIEWS[name], *(sa.column(each, _TYPES.get(each, _TEXTS)) for each in names), schema=network)
    counted = {what: (few[0], 0 if what == "contested" else few[1]) for what in PAID[network, name]}
    return made(sa.union_all(*(_of_accounts(paid, what, limits, most) for what, limits in counted.items())))


def _of_accounts(paid: sa.TableClause, what: str, few: tuple[int, int], most: int) -> sa.Select[Any]:
    span, (account, pays, at) = _among(_TEXTS), list(paid.c)[1:]
    here = sa.select(account).where(paid.c.what == constant(what))
    within = here.where(account >= span.c.low, account < span.c.high).order_by(account)

    first = within.limit(constant(1)).lateral()
    begun = sa.select(first.c.account, span.c.high, sa.literal_column("1").label("n"))
    least = begun.select_from(span.join(first, sa.true())).cte(f"accounts_{what}", recursive=True)
    above = here.where(account > least.c.account, account < least.c.high).order_by(account).limit(constant(1)).lateral()
    more = sa.select(above.c.account, least.c.high, least.c.n + constant(1)).select_from(least.join(above, sa.true()))
    accounts = least.union_all(more.where(least.c.n <= constant(few[1])))
    are_few = _count(accounts) <= constant(few[1])

    rows = _each(span, within.add_columns(at, pays), few[0] + 1).where(sa.not_(are_few)).cte(f"rows_{what}")
    are_many = _count(rows) > constant(few[0])
    own = here.with_only_columns(at).where(account == accounts.c.account, pays, at <= _upto())
    newest = own.order_by(at.desc()).limit(constant(most)).lateral()
    times = sa.union_all(
        sa.select(newest.c.block_time.label("at")).select_from(accounts.join(newest, sa.true())).where(are_few),
        sa.select(rows.c.block_time).where(rows.c.pays, sa.not_(are_many)),
    )
    return _found(what, times.subquery(), are_many, most)


@lru_cache(64)
def _tasks(network: str, few: int, most: int) -> Made:
    """By an index on ids; what is paid for a task stands in few rows."""
    found = []
    for what, (table, key, times) in _tables(network).items():
        span = _among(key.type)
        within = sa.select(array(times).label("times")).where(key >= span.c.low, key < span.c.high).select_from(table)
        rows = _each(span, within.order_by(key), few + 1).cte(what)
        at = sa.select(sa.func.unnest(rows.c.times, type_=_TIME).label("at")).subquery()
        found.append(_found(what, at, _count(rows) > constant(few), most))
    return made(sa.union_all(*found))


Told = tuple[Listed | sa.Table, sa.ColumnElement[Any], Sequence[sa.ColumnElement[Any]]]


def _tables(network: str) -> dict[str, Told]:
    """Tables that tell when a task's payments are, their ids as text, or of iExec as they are, and the times."""
    if network == "iexec":
        events = {name: iexec.EVENTS[name] for name in _NAMING}
        return {name: (event, event.c[_NAMING[name]], [event.c.block_time]) for name, event in events.items()}
    tasks, solutions, votes = ours.tasks.c, ours.solutions.c, ours.vote_payments.c
    fees = [sa.case((tasks.fee > constant(0), at)) for at in (tasks.blocktime, tasks.finished_at, tasks.retracted_at)]
    stakes = [sa.case((solutions.stake > constant(0), at)) for at in (solutions.blocktime, solutions.finished_at)]
    amounts = solutions.model_fee, solutions.remaining_fee, solutions.total_rewards, solutions.stake
    released = sa.case((sa.or_(*(amount > constant(0) for amount in amounts)), ours.RELEASED))
    return {
        "tasks": (ours.tasks, hex_text(tasks.task_id), fees),
        "solutions": (ours.solutions, hex_text(solutions.task_id), [*stakes, released]),
        "votes": (ours.vote_payments, hex_text(votes.task_id), [votes.block_time]),
    }
