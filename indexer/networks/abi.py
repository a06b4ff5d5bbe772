"""Event declarations in the form people write them, parsed into what codecs and tables are built from.

`parse("TaskRetracted(bytes32 indexed id)")` gives an `Event`. Two events with one name fill one table; `-> name`
after a declaration names the table otherwise. The types are those of the Solidity contract ABI specification
(https://docs.soliditylang.org/en/latest/abi-spec.html).
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from eth_utils.crypto import keccak

FIXED_COLUMNS = (
    "chain_id",
    "block_number",
    "log_index",
    "block_hash",
    "block_time",
    "tx_hash",
    "tx_index",
    "address",
)
"""What every event table begins with. An argument of the same name gets `_arg`."""

_TOKEN = re.compile(r"->|\w+|\[\d*\]|\S")
_WORD = re.compile(r"address|bool|string|bytes([1-9]|[12]\d|3[0-2])?|u?int(\d+)")
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Column(NamedTuple):
    """A column of an event table: `pg_type` is PostgreSQL's name (`bytea`, `numeric`, `jsonb`, …)."""

    name: str
    pg_type: str
    nullable: bool = False


@dataclass(frozen=True)
class Arg:
    """An argument of an event, or a member of a tuple. `word` is an elementary type, or empty for a tuple."""

    name: str
    word: str
    suffix: str = ""
    indexed: bool = False
    components: tuple["Arg", ...] = ()

    @property
    def type(self) -> str:
        """The canonical ABI type, as it stands in the signature."""
        return (self.word or f"({','.join(part.type for part in self.components)})") + self.suffix

    @property
    def composite(self) -> bool:
        """An array or a tuple: kept as one JSON document."""
        return bool(self.suffix or self.components)

    @property
    def dynamic(self) -> bool:
        """Whether the log's data holds a pointer to it; an indexed one is only known by its keccak hash."""
        return self.composite or self.word in ("string", "bytes")

    @property
    def element(self) -> "Arg":
        """What an array is made of."""
        return Arg(self.name, self.word, self.suffix[: self.suffix.rindex("[")], False, self.components)

    @property
    def column(self) -> str:
        """The name of its column."""
        name = snake_case(self.name)
        return f"{name}_arg" if name in FIXED_COLUMNS else name

    @property
    def columns(self) -> tuple[Column, ...]:
        """A text that is not UTF-8 or holds NUL goes, as bytes, to a second column `<column>_raw`."""
        if self.word == "string" and not self.composite and not self.indexed:
            return Column(self.column, "text", True), Column(f"{self.column}_raw", "bytea", True)
        return (Column(self.column, self._pg_type()),)

    def _pg_type(self) -> str:
        if self.indexed and self.dynamic:
            return "bytea"
        if self.composite:
            return "jsonb"
        if self.word == "bool":
            return "bool"
        if "int" in self.word:
            bits = int(self.word.lstrip("uint"))
            return "int4" if bits < 32 else "int8" if bits == 32 else "numeric"
        return "bytea"


@dataclass(frozen=True)
class Event:
    """One declared event; `table` is the table that it fills."""

    name: str
    args: tuple[Arg, ...]
    table: str

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(arg.type for arg in self.args)})"

    @cached_property
    def topic0(self) -> str:
        """Keccak-256 of the signature, as lower-case hex text."""
        return "0x" + keccak(text=self.signature).hex()

    @property
    def topics(self) -> int:
        """How many topics its logs have: one for the signature and one for each indexed argument."""
        return 1 + sum(arg.indexed for arg in self.args)

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for arg in self.args for column in arg.columns)


@dataclass(frozen=True)
class Layout:
    """A table after the fixed columns: the union of the arguments of the events that fill it."""

    table: str
    events: tuple[Event, ...]
    columns: tuple[Column, ...]


def parse(text: str) -> tuple[Event, ...]:
    """The declarations in `text`, one after another. A mistake in one is a ValueError at import."""
    tokens = deque(_TOKEN.findall(text))
    events = []
    try:
        while tokens:
            events.append(_event(tokens))
    except IndexError:
        raise ValueError(f"the last declaration is cut off: {text[-60:]!r}") from None
    return tuple(events)


def layouts(events: Iterable[Event]) -> dict[str, Layout]:
    """One layout per table, in order of appearance. An argument that one of its events lacks is nullable."""
    tables: dict[str, list[Event]] = {}
    for event in dict.fromkeys(events):
        tables.setdefault(event.table, []).append(event)
    return {table: Layout(table, tuple(group), _union(table, group)) for table, group in tables.items()}


def snake_case(name: str) -> str:
    """`workClockTimeRef` → `work_clock_time_ref`; a leading `_` goes."""
    return _NEW_WORD.sub("_", name.lstrip("_")).lower()


def _union(table: str, events: list[Event]) -> tuple[Column, ...]:
    found: dict[str, Column] = {}
    for event in events:
        if len({column.name for column in event.columns}) != len(event.columns):
            raise ValueError(f"{event.signature} names two columns alike")
        for column in event.columns:
            if found.setdefault(column.name, column).pg_type != column.pg_type:
                raise ValueError(f"{table}.{column.name} has two types")
    held = [{column.name for column in event.columns} for event in events]
    return tuple(
        column._replace(nullable=column.nullable or not all(column.name in names for names in held))
        for column in found.values()
    )


def _event(tokens: deque[str]) -> Event:
    name = tokens.popleft()
    args = _arguments(tokens)
    table = snake_case(name)
    if tokens and tokens[0] == "->":
        tokens.popleft()
        table = tokens.popleft()
    return Event(name, args, table)


def _arguments(tokens: deque[str]) -> tuple[Arg, ...]:
    _expect(tokens, "(")
    args: list[Arg] = []
    while tokens and tokens[0] != ")":
        if args:
            _expect(tokens, ",")
        args.append(_argument(tokens))
    _expect(tokens, ")")
    return tuple(args)


def _argument(tokens: deque[str]) -> Arg:
    components = _arguments(tokens) if tokens[0] == "(" else ()
    word = "" if components else _elementary(tokens.popleft())
    suffix = ""
    while tokens[0][-1] == "]":
        suffix += tokens.popleft()
    indexed = tokens[0] == "indexed"
    if indexed:
        tokens.popleft()
    name = tokens.popleft()
    if not name.isidentifier():
        raise ValueError(f"an argument has no name before {name!r}")
    return Arg(name, word, suffix, indexed, components)


def _elementary(word: str) -> str:
    match = _WORD.fullmatch(word)
    if match is None or (match[2] and (int(match[2]) % 8 or not 8 <= int(match[2]) <= 256)):
        raise ValueError(f"{word!r} is no ABI type")
    return word


def _expect(tokens: deque[str], wanted: str) -> None:
    if not tokens or tokens[0] != wanted:
        raise ValueError(f"{wanted!r} expected before {' '.join(list(tokens)[:4])!r}")
    tokens.popleft()
