"""Event tables, built from the declarations that the codecs are compiled from, so that the two cannot differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from indexer.networks.abi import Event, Layout, layouts
from schema.entities import hex_text

_TYPES: dict[str, TypeEngine[Any]] = {
    "bytea": LargeBinary(),
    "bool": Boolean(),
    "int4": Integer(),
    "int8": BigInteger(),
    "jsonb": JSONB(),
    "numeric": Numeric(78, 0),
    "text": Text(),
}

_IDS = (
    ("id", "task", "taskid", "dealid", "deal_id", "ref", "commitment", "model", "token_id"),
    ("app_hash", "dataset_hash", "workerpool_hash", "request_hash"),
)
"""Arguments that identify, the most telling first: a table gets an index on the first one that it has."""


def event_tables(
    metadata: MetaData, schema: str, roles: Mapping[str, Sequence[Event]], units: Mapping[str, str]
) -> dict[str, Table]:
    """One table per name of event, by name.

    `roles` gives the events that a contract of a role can emit. `units` is the unit of a column by `table.column`
    or by `column`, for the comments.
    """
    emitters: dict[str, list[str]] = {}
    for role, events in roles.items():
        for event in events:
            emitters.setdefault(event.table, []).append(role)
    found = layouts(event for events in roles.values() for event in events)
    return {name: _table(metadata, schema, layout, emitters[name], units) for name, layout in found.items()}


def paid_by(table: Table, when: str | None, accounts: Sequence[str], amounts: Sequence[str], name: str = "") -> None:
    """Indexes for payments: pages by time, by account and time, and by amount. `when`: rows that pay, as SQL."""
    only, of = None if when is None else text(when), f"{name}_" if name else ""
    Index(f"ix_{table.name}_{of}block_time", table.c.block_time, postgresql_where=only)
    for account in accounts:
        who = hex_text(table.c[account]), table.c.block_time
        Index(f"ix_{table.name}_{of}{account}_hex", *who, postgresql_where=only)
    for amount in amounts:
        Index(f"ix_{table.name}_{of}{amount}", table.c[amount], postgresql_where=only)


def _table(metadata: MetaData, schema: str, layout: Layout, emitters: Sequence[str], units: Mapping[str, str]) -> Table:
    arguments = [
        Column(
            name,
            _TYPES[kind],
            nullable=nullable,
            comment=units.get(f"{layout.table}.{name}", units.get(name)),
        )
        for name, kind, nullable in layout.columns
    ]
    signatures = ", ".join(event.signature for event in layout.events)
    comment = f"{signatures}, emitted by: {', '.join(dict.fromkeys(emitters))}"
    table = Table(layout.table, metadata, *_fixed(), *arguments, schema=schema, comment=comment)
    names = {column.name for column in layout.columns}
    for name in [name for group in _IDS for name in group if name in names][:1]:
        Index(None, table.c[name])
    return table


def _fixed() -> list[Column[Any]]:
    """Where a log stands on its chain. The first three are its key. `address` is the contract that emitted it."""
    key: list[Column[Any]] = [Column(name, kind, primary_key=True, autoincrement=False) for name, kind in _KEY]
    return key + [Column(name, kind, nullable=False) for name, kind in _PLACE]


_KEY = (("chain_id", BigInteger()), ("block_number", BigInteger()), ("log_index", Integer()))
_PLACE = (
    ("block_hash", LargeBinary()),
    ("block_time", DateTime(timezone=True)),
    ("tx_hash", LargeBinary()),
    ("tx_index", Integer()),
    ("address", LargeBinary()),
)
