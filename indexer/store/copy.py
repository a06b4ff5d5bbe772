"""Rows into event tables by binary COPY: the fastest way into PostgreSQL that keeps transactions. At the head, where
a few rows go into several tables, INSERTs that are sent all at once are faster: each COPY waits twice for the server.

Every event table begins with the same columns, each of fixed size, so the place of a log can be read back from a
packed row.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import psycopg
from psycopg import sql

from indexer.store.binary import FIELDS, Field, Packed, columns_of, row_start

Row = bytes  # a whole row in binary COPY format

FIXED_COLUMNS = (
    "chain_id", "block_number", "log_index", "block_hash", "block_time", "tx_hash", "tx_index", "address",
)  # fmt: skip
FIXED_TYPES = ("int8", "int8", "int4", "bytea", "timestamptz", "bytea", "int4", "bytea")

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_CHUNK_ROWS = 400  # about 100 kB: psycopg sends up to 128 kB at once
_BLOCK_AND_TX = struct.Struct(">2x 4x8x 4xq 4x4x 4x32x 4x8x 4x32s")

_FIXED = struct.Struct(">2x 12s12s8s 36s12s 36s8s 24s")  # FIXED_COLUMNS, each with its length before it
_PLACE = struct.Struct(">2x 4x8x 4xq 4xi 4x32s")


@dataclass(frozen=True, eq=False)
class Target:
    """A table to fill: `types` holds the PostgreSQL type of each of `columns`. Equal only to itself."""

    schema: str
    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @cached_property
    def start(self) -> bytes:
        """What every row of it begins with."""
        return row_start(len(self.columns))

    @cached_property
    def argument_fields(self) -> tuple[Field, ...]:
        """How the columns after the fixed ones are packed."""
        return tuple(FIELDS[kind] for kind in self.types[len(FIXED_TYPES) :])

    @cached_property
    def statement(self) -> sql.Composed:
        """The COPY statement of this table."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            sql.Identifier(self.schema, self.table), columns
        )

    @cached_property
    def insertion(self) -> bytes | None:
        """The INSERT of rows that are not there yet, an array per column. None where a column is an array itself:
        unnest would take it apart."""
        if any(kind.endswith("[]") for kind in self.types):
            return None
        columns = sql.SQL(", ").join(map(sql.Identifier, self.columns))
        arrays = sql.SQL(", ").join(sql.SQL("%b::{}[]").format(sql.SQL(kind)) for kind in self.types)
        insert = sql.SQL("INSERT INTO {} ({}) SELECT * FROM unnest({}) ON CONFLICT DO NOTHING")
        return insert.format(sql.Identifier(self.schema, self.table), columns, arrays).as_bytes(None)


def place(row: Row) -> tuple[int, bytes]:
    """Block number and transaction hash of a packed row."""
    block, tx_hash = _BLOCK_AND_TX.unpack_from(row)
    return block, tx_hash


def identity(row: Row) -> tuple[int, int, bytes]:
    """Block number, log index and block hash of a packed row."""
    block, index, block_hash = _PLACE.unpack_from(row)
    return block, index, block_hash


def copy_rows(connection: psycopg.Connection, target: Target, rows: Sequence[Row]) -> None:
    """COPY `rows`, packed in the order of the target's columns, inside the caller's transaction."""
    with connection.cursor() as cursor, cursor.copy(target.statement) as copy:
        copy.write(_SIGNATURE)
        for chunk in _chunks(rows):
            copy.write(chunk)
        copy.write(_END)


def insert_rows(connection: psycopg.Connection, rows: Mapping[Target, Sequence[Row]]) -> None:
    """INSERT those of a few `rows` that are not there yet, inside the caller's transaction."""
    with connection.pipeline():
        for target, lines in rows.items():
            if target.insertion:
                arrays = [Packed(column) for column in columns_of(target.types, lines, _FIXED)]
                connection.execute(target.insertion, arrays, prepare=True)


def _chunks(rows: Sequence[Row]) -> Iterator[bytes]:
    for n in range(0, len(rows), _CHUNK_ROWS):
        yield b"".join(rows[n : n + _CHUNK_ROWS])
