"""Filters as people write them: `column=value`, `column>value`, `column=0xab*`."""

import difflib
import re
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from indexer.errors import UsageError
from schema.analytics import work
from schema.chain import chains

STATUSES = ("open", "running", "review", "disputed", "claimable", "succeeded", "failed", "cancelled")
NETWORKS = ("arbius", "iexec", "koii", "aidbox")
MOST_NAMED, FEW = 40, 6  # names in an error; of more than those
_CHOICES = {"status": STATUSES, "network": NETWORKS}
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "tasks": {"finality": ("final", "pending")},
    "work": {"state": ("submitted", "accepted", "rejected", "lost", "expired")},
    "disputes": {"leading": ("yeas", "nays"), "outcome": ("succeeded", "failed")},
    "payments": {
        "kind": ("fee", "reward", "award", "refund", "slash", "stake", "unstake", "deposit", "withdraw", "transfer")
    },
}
"""Columns of views that hold no other words."""
HEX = frozenset((
    "contract", "task_id", "requester", "submitter", "subject", "worker", "from_address", "to_address", "opened_by",
    "against", "account", "sender", "call_to", "call_data",
))  # fmt: skip
"""Columns of addresses, ids and bytes. Koii and Aidbox write theirs otherwise, but never with 0x."""
_UNTOLD = {"disputes": ("leading", "deadline")}
_MEASURED = {
    "tasks": ("requester",),
    "payments": ("task_id", "from_address", "to_address", "amount"),
}
"""Columns of which is looked up whether few rows pass (near.py, paying.py): where many do, a page goes by time."""

Listed = sa.TableClause | sa.Subquery | sa.TableValuedAlias


def condition(view: Listed, text: str, works: int | None = None) -> sa.ColumnElement[bool]:
    """What `text` asks of a row of `view`. Raises UsageError for an unknown name, operator or value.

    Tasks also have `owner`, which is the requester, and `worker`: tasks that this account worked on; `works`: only
    those of so many of its newest works.
    """
    name, operator, value = parts(text)
    whose = view.name.removeprefix("v_")  # of one network
    if whose == "tasks" and name == "worker" and operator == "=":
        return _worked_on(view, value, works)
    if whose == "tasks" and name == "owner":
        name = "requester"
    column = view.c[nearest_or_fail(name, view.c.keys(), f"column of {whose}")]
    words = _CHOICES.get(name) or WORDS.get(whose, {}).get(name)
    if words and operator in ("=", "!=") and not (operator == "=" and value.endswith("*")):
        nearest_or_fail(value, words, name)
    if name in HEX:
        _hex_or_fail(name, value.removesuffix("*") if operator == "=" else value)
    untold = name in _UNTOLD.get(whose, ())
    if operator != "=" or value.endswith("*"):
        untold |= name in ("contract", "chain_id") or name in _MEASURED.get(whose, ())
    if operator == "=" and value.endswith("*"):
        return likely(_begins(column, value[:-1], planned=False)) if untold else _begins(column, value[:-1])
    if whose == "tasks" and (name, operator, value) == ("finality", "=", "final"):
        return sa.and_(column == value, _any_final(view))
    typed = value_of(column, value)
    if name in _CHOICES or (name == "chain_id" and operator == "="):
        typed = constant(typed)
    found = compared(column, operator, typed)
    return likely(found) if untold else found


def compared(column: sa.ColumnElement[Any], operator: str, value: Any) -> sa.ColumnElement[bool]:
    """What the operator of a filter says of a column and a value."""
    told: dict[str, sa.ColumnElement[bool]] = {
        "=": column == value, "!=": column != value, "<": column < value, "<=": column <= value, ">": column > value,
        ">=": column >= value,
    }  # fmt: skip
    return told[operator]


def likely(found: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Of what no statistics tell PostgreSQL expects one row in 200, and sorts them all; in this form all but one."""
    return sa.case((found, constant(1)), else_=constant(0)) != constant(0)


def parts(text: str) -> tuple[str, str, str]:
    """Column, operator and value of a filter. Raises UsageError."""
    found = re.fullmatch(r"(\w+)(!=|<=|>=|=|<|>)(.*)", text, re.DOTALL)
    if found is None:
        raise UsageError(f"{text!r} is no filter: write column=value, column<value, column>value or column!=value.")
    return found[1], found[2], found[3]


def _hex_or_fail(name: str, value: str) -> None:
    """Raises UsageError for what begins as hex and is none: no row can have it, and none would be a false answer."""
    if value[:2].lower() == "0x" and not re.fullmatch(r"[0-9a-f]*", value[2:].lower()):
        raise UsageError(f"{value!r} is no value for {name}: after 0x only hexadecimal digits can follow.")


def nearest_or_fail(name: str, known: Iterable[str], what: str) -> str:
    """`name` if it is known. Raises UsageError that names the nearest known one and lists them, or some of a crowd."""
    names = list(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=FEW, cutoff=0.5)
    some = near or names[:FEW]
    listed = names if len(names) <= MOST_NAMED else [*some, f"{len(names) - len(some)} more"]
    hint = f"did you mean {near[0]}? Known are" if near else "known are"
    raise UsageError(f"There is no {what} {name!r}; {hint} {', '.join(listed)}.")


def value_of(column: sa.ColumnElement[Any], text: str) -> object:
    """`text` as a value of the column's type. Raises UsageError."""
    kind = column.type
    try:
        if isinstance(kind, sa.DateTime):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(kind, sa.Date):
            return date.fromisoformat(text)
        if isinstance(kind, sa.BigInteger):
            return _number(int(text), 2**63)
        if isinstance(kind, sa.Float):
            return _number(float(text), float("inf"))
        if isinstance(kind, sa.Numeric):
            return _number(Decimal(text), Decimal(10) ** 1000)
    except (ValueError, InvalidOperation):
        raise UsageError(f"{text!r} is no value for {column.name}, which holds {_what(kind)}.") from None
    if "\0" in text:
        raise UsageError(f"{text!r} is no value for {column.name}: no text of the database holds a NUL.")
    return text.lower() if text.startswith(("0x", "0X")) else text


def _number(value: Any, bound: Any) -> Any:
    if not -bound < value < bound:  # false for NaN, too
        raise ValueError
    return value


def works_of(worker: str) -> sa.Select[Any]:
    """The works of an account whose time is known, newest first. Raises UsageError."""
    known = condition(work, f"worker={worker}"), work.c.submitted_at.is_not(None)
    return sa.select(work).where(*known).order_by(work.c.submitted_at.desc())


def _worked_on(view: Listed, worker: str, works: int | None) -> sa.ColumnElement[bool]:
    names = ("chain_id", "contract", "task_id")
    if works is None:
        mine = sa.select(*(work.c[name] for name in names)).where(condition(work, f"worker={worker}"))
    else:
        some = works_of(worker).limit(constant(works)).subquery()
        mine = sa.select(*(some.c[name] for name in names))
    return sa.tuple_(*(view.c[name] for name in names)).in_(mine)


def _any_final(view: Listed) -> sa.ColumnElement[bool]:
    """True where something is final: as long as no chain has told of a final block, no task needs to be looked at."""
    told = sa.select(sa.func.bool_or(chains.c.final_block.is_not(None))).scalar_subquery()
    return sa.or_(view.c.network.in_([constant("koii"), constant("aidbox")]), told)


def _begins(column: sa.ColumnElement[Any], value: str, planned: bool = True) -> sa.ColumnElement[bool]:
    if not isinstance(column.type, sa.Text):
        raise UsageError(f"{column.name} holds {_what(column.type)}, which have no beginning: {value}* is no value.")
    value = value.lower() if value.startswith(("0x", "0X")) else value
    return begins(column, value, planned=planned)


def begins(column: sa.ColumnElement[Any], start: str, *, planned: bool = False) -> sa.ColumnElement[bool]:
    """Whether a text begins so, as a range: LIKE uses an index only where the text is known when it is planned.

    `planned`: it is known, where how many rows begin so decides on the way to read them.
    """
    by_bytes, end = sa.collate(column, "C"), beyond(start)
    least, most = (constant(text) if planned else text for text in (start, end))
    return sa.and_(by_bytes >= least, by_bytes < most if end else sa.true())


def constant(value: object) -> sa.BindParameter[Any]:
    """One of few known values, written into the statement: what it makes impossible is then not even planned."""
    return sa.literal(value, literal_execute=True)


def beyond(start: str) -> str:
    """The least text above all that begin with `start`; empty: there is none."""
    kept = start.rstrip(chr(sys.maxunicode))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # what lies between is no text


def _what(kind: sa.types.TypeEngine[Any]) -> str:
    if isinstance(kind, sa.DateTime):
        return "times like 2025-06-01 or 2025-06-01T12:00:00Z"
    return "dates like 2025-06-01" if isinstance(kind, sa.Date) else "numbers"
