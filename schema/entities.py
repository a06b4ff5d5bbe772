"""Entity tables, declared compactly: one line per column."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    func,
    literal,
)
from sqlalchemy.sql import ColumnElement
from sqlalchemy.types import TypeEngine

_TYPES: dict[str, TypeEngine[Any]] = {
    "bytea": LargeBinary(),
    "bool": Boolean(),
    "int": Integer(),
    "int8": BigInteger(),
    "amount": Numeric(78, 0),
    "sum": Numeric(),
    "text": Text(),
    "time": DateTime(timezone=True),
}


def entity(metadata: MetaData, name: str, key: str, lines: str, comment: str) -> Table:
    """The table `schema.name`, keyed by chain_id, address and `key` (`name type, …`).

    Each of `lines` is `name type[!] [comment]`; `!` forbids NULL. Types: see `_TYPES`; `amount` is a uint256, `sum`
    a sum of them.
    """
    schema, _, table = name.partition(".")
    place: list[Column[Any]] = [
        Column("chain_id", BigInteger(), primary_key=True, autoincrement=False),
        Column("address", LargeBinary(), primary_key=True, comment="the engine or hub"),
    ]
    pairs = [part.split() for part in key.split(", ")]
    keys = [Column(column, _TYPES[kind], primary_key=True, autoincrement=False) for column, kind in pairs]
    columns = [*place, *keys, *(_column(line) for line in lines.strip().splitlines())]
    return Table(table, metadata, *columns, schema=schema, comment=comment)


def _column(line: str) -> Column[Any]:
    name, kind, *comment = line.split(None, 2)
    said = comment[0].replace("(enriched)", "(no event tells it; NULL until enriched)") if comment else None
    return Column(name, _TYPES[kind.rstrip("!")], nullable=not kind.endswith("!"), comment=said)


def hex_text(column: Column[Any]) -> ColumnElement[str]:
    """What `analytics.hex(column)` comes down to: an index on it serves filters on hex text, prefixes included.

    Migrations add COLLATE "C", which PostgreSQL keeps beside the expression, so that it is not compared here.
    """
    return literal("0x", Text()).op("||")(func.encode(column, literal("hex", Text())))
