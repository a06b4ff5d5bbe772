"""How events become entities: the fold functions in `schema/sql`, seen from Python."""

from dataclasses import dataclass

from sqlalchemy import Column, Table


@dataclass(frozen=True)
class Fold:
    """An entity table with its two SQL functions, `fold_<table>` and `touched_<table>` in the table's schema.

    `key` is the column by which the fold is keyed, beside chain_id and address; it may be coarser than the primary
    key. `enriched` are columns that no event fills: a fold never changes them. `by_range`: there is also a form of
    `fold_<table>` that takes the block from which on the keys have events.
    """

    table: Table
    key: str
    enriched: frozenset[str] = frozenset()
    by_range: bool = False

    @property
    def schema(self) -> str:
        """The database schema of the table and its functions."""
        return self.table.schema or ""

    @property
    def folded(self) -> list[Column[object]]:
        """The columns that the fold fills, in the table's order."""
        return [column for column in self.table.columns if column.name not in self.enriched]
