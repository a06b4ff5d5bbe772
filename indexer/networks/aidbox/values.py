"""JSON of an Aidbox as values that PostgreSQL can hold, whatever is in it."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

LONGEST_KEY = 500  # characters of a column that has an index; PostgreSQL allows 2,704 bytes
LONGEST_INT = 4000  # digits that Python makes a number of
DEEPEST = 200  # levels: the parser of the standard library runs out of stack somewhere beyond, and takes us along
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class TooDeep(ValueError):
    """JSON that is nested too deeply."""


def parse(body: bytes | bytearray) -> Any:
    """The JSON text as plain values; bytes that are not UTF-8 become surrogates. Raises ValueError.

    A number that neither Python nor jsonb holds exactly becomes {"number": its text}.
    """
    if _is_deep(bytes(body)):
        raise TooDeep("it is nested too deeply")
    text = bytes(body).decode("utf-8", "surrogateescape")
    return json.loads(text, parse_int=_integer, parse_float=_decimal, parse_constant=_odd)


def _is_deep(body: bytes) -> bool:
    """Whether brackets stand in more than DEEPEST others: each turn takes the innermost ones away."""
    brackets = STRING.sub(b"", body).translate(bytes.maketrans(b"{}", b"[]"), NO_BRACKETS)
    for _ in range(DEEPEST):
        less = brackets.replace(b"[]", b"")
        if len(less) == len(brackets):
            # What is left has no partner, and the parser says so, unless it is deep before it gets that far.
            return len(less) > DEEPEST
        brackets = less
    return bool(brackets)


def nested_too_deeply(value: object) -> bool:
    """Whether lists and objects stand in more than DEEPEST others. No limit of Python's tells: others may raise it."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []


def _integer(text: str) -> Any:
    return int(text) if len(text) <= LONGEST_INT else _odd(text)


def _decimal(text: str) -> Any:
    value = float(text)
    try:
        exact = Decimal(repr(value)) == Decimal(text)
    except InvalidOperation:
        exact = False
    return value if exact and abs(value) != float("inf") else _odd(text)


def _odd(text: str) -> dict[str, str]:
    return {"number": text}


def as_time(value: object) -> datetime | None:
    """An ISO 8601 time, UTC where it names no zone; None for anything else."""
    if not isinstance(value, str) or len(value) > LONGEST_KEY:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def as_number(value: object) -> Decimal | None:
    """A number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def as_version(value: object) -> int | None:
    """A version id as a number of the database's bigint; None for one that is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        number = int(value)
        return number if number < 2**63 else None
    return None
