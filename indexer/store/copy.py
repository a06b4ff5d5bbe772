"""Rows into event tables by binary COPY: the fastest way into PostgreSQL that keeps transactions.

psycopg formats the fields in C. Binary COPY carries no type names, so a value that is already in PostgreSQL's
binary form passes as `bytea`; that is how times and jsonb go, without a Python call per row.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

POSTGRES_EPOCH = 946_684_800  # seconds from 1970 to 2000, where timestamptz begins
INFINITY = struct.pack(">q", 2**63 - 1)
LAST_SECOND = (2**63 - 2) // 1_000_000 + POSTGRES_EPOCH


@dataclass(frozen=True)
class Target:
    """A table to fill: `types` holds the PostgreSQL type of each of `columns`."""

    schema: str
    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def ready_made(self) -> tuple[str, ...]:
        """The types as told to psycopg: what comes in binary form already goes as bytea."""
        return tuple("bytea" if kind in ("timestamptz", "jsonb") else kind for kind in self.types)

    def statement(self) -> sql.Composed:
        """The COPY statement of this table."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(self.schema, self.table), columns
        )


def timestamp(seconds: int) -> bytes:
    """A Unix time as binary timestamptz; `infinity` for a time that PostgreSQL cannot hold."""
    return struct.pack(">q", (seconds - POSTGRES_EPOCH) * 1_000_000) if seconds <= LAST_SECOND else INFINITY


def jsonb(text: str | None) -> bytes | None:
    """JSON text as binary jsonb (version 1, then the text)."""
    return None if text is None else b"\x01" + text.encode()


def copy_rows(connection: psycopg.Connection, target: Target, rows: Iterable[Sequence[object]]) -> None:
    """COPY `rows`, complete and in the order of the target's columns, inside the caller's transaction."""
    documents = [n for n, kind in enumerate(target.types) if kind == "jsonb"]
    with connection.cursor() as cursor, cursor.copy(target.statement()) as copy:
        copy.set_types(target.ready_made)
        for row in rows:
            copy.write_row(_with_documents(row, documents) if documents else row)


def _with_documents(row: Sequence[object], documents: list[int]) -> list[object]:
    values = list(row)
    for n in documents:
        values[n] = jsonb(values[n])  # type: ignore[arg-type]
    return values
