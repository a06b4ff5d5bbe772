"""Rows on standard output: as a table for people, as JSON, CSV or Parquet for programs."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from indexer.cli.common import err, out

Row = dict[str, Any]
WIDE = 400  # columns of a table that goes to a file or a pipe: nothing is cut off there


class Format(StrEnum):
    """How rows are written. `parquet` holds amounts as text: they have up to 78 digits."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"


def write_rows(rows: Sequence[Row], columns: Sequence[str], form: Format) -> None:
    """Write `rows` to standard output."""
    match form:
        case Format.table:
            _table(rows, columns)
        case Format.json:
            print(json.dumps([{key: plain(value) for key, value in row.items()} for row in rows], indent=2))
        case Format.csv:
            writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: plain(value) for key, value in row.items()} for row in rows)
        case Format.parquet:
            _parquet(rows, columns)


def plain(value: Any) -> Any:
    """A value of a row as JSON knows it: amounts as int, or as text where they have a fraction."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value.normalize())
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def short(value: Any) -> str:
    """A value for people: long hex abbreviated, times to the second."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, str) and value.startswith("0x") and len(value) > 22:
        return f"{value[:10]}…{value[-6:]}"
    return str(plain(value))


def show_table(table: Table) -> None:
    """Print it as wide as it is, where no terminal limits that; there nothing of a number is cut off."""
    for column in table.columns:
        column.overflow = "ellipsis" if column.no_wrap else "fold"
    console = out if out.is_terminal else Console(highlight=False, width=WIDE)
    console.print(table)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        number = bool(rows) and isinstance(rows[0].get(name), int | Decimal)
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(short(row[name]) for name in columns))
    show_table(table)
    err.print(f"{len(rows)} rows")


def _parquet(rows: Sequence[Row], columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: [_storable(row[name]) for row in rows] for name in columns}
    pq.write_table(pa.table(arrays), pa.PythonFile(sys.stdout.buffer, mode="w"))


def _storable(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
