"""Values in PostgreSQL's binary COPY format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".

A field is its length in bytes (int32, -1 for NULL) and its value as the type's `send` function writes it; a row is the
number of its fields (int16) and the fields. Rows are packed where they are decoded: as bytes they take a fifth of the
memory of tuples, and the thread that writes has nothing left to do but send.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

POSTGRES_EPOCH = 946_684_800  # seconds from 1970 to 2000, where timestamptz begins
INFINITY = struct.pack(">q", 2**63 - 1)
LAST_SECOND = 9_224_318_015_999  # of the year 294276, with which timestamptz ends

NULL = b"\xff\xff\xff\xff"
BYTEA_OID, NUMERIC_OID = 17, 1700

_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_count = struct.Struct(">h").pack
_length = struct.Struct(">i").pack
# psycopg writes it in C.
_numeric = cast(Callable[[int], bytes], adapters.get_dumper_by_oid(NUMERIC_OID, Format.BINARY)(int).dump)
_LENGTHS = [_length(n) for n in range(256)]


def timestamp(seconds: int) -> bytes:
    """A Unix time as binary timestamptz; `infinity` for a time that PostgreSQL cannot hold."""
    return struct.pack(">q", (seconds - POSTGRES_EPOCH) * 1_000_000) if seconds <= LAST_SECOND else INFINITY


def of_bytes(value: bytes) -> bytes:
    """The field of a bytea, or of any value that is in binary form already."""
    size = len(value)
    return (_LENGTHS[size] if size < 256 else _length(size)) + value


def of_int4(value: int) -> bytes:
    """The field of an int4. Raises struct.error beyond it."""
    return _int4(4, value)


def of_int8(value: int) -> bytes:
    """The field of an int8. Raises struct.error beyond it."""
    return _int8(8, value)


def of_integer(value: int) -> bytes:
    """The field of a numeric without fraction, of any number of digits."""
    return of_bytes(_numeric(value))


def of_bool(value: bool) -> bytes:
    """The field of a bool."""
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def of_text(value: str) -> bytes:
    """The field of a text."""
    return of_bytes(value.encode())


def of_json(value: str) -> bytes:
    """The field of a jsonb that is given as JSON text: version 1, then the text."""
    return of_bytes(b"\x01" + value.encode())


def of_list(values: Sequence[bytes]) -> bytes:
    """The field of a bytea[]: dimensions, no NULLs, type, then length and lower bound of the one dimension."""
    shape = struct.pack(">iii", 1, 0, BYTEA_OID) + struct.pack(">ii", len(values), 1)
    empty = struct.pack(">iii", 0, 0, BYTEA_OID)
    return of_bytes(shape + b"".join(map(of_bytes, values)) if values else empty)


class Packed(bytes):
    """A parameter in binary form; the statement says of which type."""


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


adapters.register_dumper(Packed, _PackedDumper)


def bytea_array(values: Sequence[bytes]) -> Packed:
    """A bytea[] as a parameter: psycopg would write a list out as text, each value through two regular expressions."""
    return Packed(of_list(values)[4:])


Field = Callable[[Any], bytes]

FIELDS: dict[str, Field] = {
    "bool": of_bool,
    "bytea": of_bytes,
    "bytea[]": of_list,
    "int4": of_int4,
    "int8": of_int8,
    "jsonb": of_json,
    "numeric": of_integer,
    "text": of_text,
    "timestamptz": of_bytes,
}
"""How a value of each type is packed; a timestamptz comes from `timestamp`."""


_OIDS = {
    "bool": 16, "bytea": BYTEA_OID, "int4": 23, "int8": 20, "jsonb": 3802, "numeric": NUMERIC_OID, "text": 25,
    "timestamptz": 1184,
}  # fmt: skip


def columns_of(types: Sequence[str], rows: Sequence[bytes], fixed: struct.Struct) -> list[bytes]:
    """Packed rows turned round: of each column the binary form of an array of its values, no length before it.

    `fixed` takes the first fields of a row, whose sizes are the same in all rows, at once.
    """
    fields = zip(*(_fields_of(row, len(types), fixed) for row in rows), strict=True)
    return [
        struct.pack(">iiiii", 1, NULL in column, _OIDS[kind], len(rows), 1) + b"".join(column)
        for kind, column in zip(types, fields, strict=True)
    ]


def _fields_of(row: bytes, count: int, fixed: struct.Struct) -> list[bytes]:
    fields, start = list(fixed.unpack_from(row)), fixed.size
    for _ in range(count - len(fields)):
        end = start + 4 + max(0, int.from_bytes(row[start : start + 4], signed=True))
        fields.append(row[start:end])
        start = end
    return fields


def row_start(fields: int) -> bytes:
    """What a row of so many fields begins with."""
    return _count(fields)
