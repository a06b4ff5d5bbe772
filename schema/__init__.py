"""The tables of Taskscan as SQLAlchemy Core, one module per database schema, and the SQL of its views.

`metadata` holds them all; Alembic compares it with the database.
"""

from importlib.resources import files

from schema import aidbox, arbius, chain, facts, iexec, koii, rollups, work
from schema.base import metadata
from schema.folds import Fold

FOLDS: dict[str, tuple[Fold, ...]] = {"arbius": arbius.FOLDS, "iexec": iexec.FOLDS}
"""Per network: its entities, in the order in which they are folded."""

SCHEMAS = ("chain", "arbius", "iexec", "koii", "aidbox", "work", "analytics")

__all__ = [
    "FOLDS", "SCHEMAS", "aidbox", "arbius", "chain", "facts", "iexec", "koii", "metadata", "rollups", "script",
    "view_scripts", "work",
]  # fmt: skip


def view_scripts() -> list[str]:
    """The SQL that makes views, functions and rights: the numbered scripts in `schema/sql`, in their order."""
    names = sorted(entry.name for entry in (files("schema") / "sql").iterdir())
    return [script(name) for name in names if name[0].isdigit()]


def script(name: str) -> str:
    """The text of `schema/sql/<name>`."""
    return (files("schema") / "sql" / name).read_text("utf-8")
