"""Answers as Arrow tables and pandas data frames."""

import importlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from indexer.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa


def as_arrow(rows: Sequence[Any]) -> "pa.Table":
    """Typed rows, or dicts, as an Arrow table. Amounts are text: Arrow cannot hold 78 digits."""
    import pyarrow as pa

    dicts = _dicts(rows)
    names = list(dicts[0]) if dicts else list(getattr(type(rows), "_fields", ()))
    return pa.table({name: [_storable(row[name]) for row in dicts] for name in names})


def as_pandas(rows: Sequence[Any]) -> Any:
    """Typed rows, or dicts, as a data frame. Amounts are Python's Decimal, so that none is rounded.

    Raises UsageError where pandas is not installed.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError:
        raise UsageError("Data frames need pandas, which is not installed here: pip install pandas.") from None
    return pandas.DataFrame(_dicts(rows))


def _dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(row) if isinstance(row, Mapping) else row._asdict() for row in rows]


def _storable(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal | dict) else value
