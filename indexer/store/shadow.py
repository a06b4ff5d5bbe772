"""A table made anew beside the one that holds: what differs, and taking it over. All in the caller's transaction."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import insert

from indexer.store.database import driver

EXAMPLES = 3  # of each kind of difference
KINDS = ("added", "removed", "changed")
LONGEST = 80  # characters of a value in an example


class Difference(NamedTuple):
    """How `table` changes. `rows`: how many it has then; `examples`: a few differences of each kind, in words."""

    table: str
    rows: int
    added: int
    removed: int
    changed: int
    examples: list[str]


class Side(NamedTuple):
    """Rows to compare: those of `table` for which `mine` is true."""

    table: sa.Table
    mine: sa.ColumnElement[bool]

    def rows(self, names: Sequence[str]) -> sa.Select[Any]:
        """These columns of the rows."""
        return sa.select(*(self.table.c[name] for name in names)).where(self.mine)


def whole(table: sa.Table) -> Side:
    """All rows of `table`."""
    return Side(table, sa.true())


def beside(connection: sa.Connection, table: sa.Table, names: Sequence[str]) -> sa.Table:
    """An empty temporary table with the columns `names` of `table` and its key; it ends with the transaction."""
    columns = [
        sa.Column(c.name, c.type, primary_key=c.primary_key, autoincrement=False)
        for c in table.columns
        if c.name in names
    ]
    return _temporary(connection, f"beside_{table.schema}_{table.name}", columns)


def copy(connection: sa.Connection, side: Side) -> sa.Table:
    """The rows of `side` in a temporary table."""
    names = [column.name for column in side.table.columns]
    made = beside(connection, side.table, names)
    connection.execute(sa.insert(made).from_select(names, side.rows(names)))
    return made


def settle(connection: sa.Connection, held: Side, made: sa.Table) -> Difference:
    """Make the rows of `held` those of `made`, columns that `made` lacks left alone, and drop `made`.

    Only rows that differ are written: indexes and rollups have nothing to do with the others.
    """
    unlike = _unlike(connection, held, whole(made))
    found = _told(connection, held.table.fullname, held.table, made, unlike)
    _take_over(connection, held.table, made, unlike)
    unlike.drop(connection)
    made.drop(connection)
    return found


def compare(connection: sa.Connection, before: sa.Table, held: Side) -> Difference:
    """How the rows of `held` differ from `before`, a temporary copy, which is dropped."""
    unlike = _unlike(connection, whole(before), held)
    found = _told(connection, held.table.fullname, before, held.table, unlike)
    unlike.drop(connection)
    before.drop(connection)
    return found


def _temporary(connection: sa.Connection, name: str, columns: Sequence[sa.Column[Any]]) -> sa.Table:
    made = sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")
    made.create(connection)
    return made


def _unlike(connection: sa.Connection, old: Side, new: Side) -> sa.Table:
    """A temporary table of the keys that differ, each with its kind."""
    lesser = min(old.table, new.table, key=lambda table: len(table.columns))
    names, primary = [c.name for c in lesser.columns], [c.name for c in lesser.primary_key]
    for side in (old, new):
        _analyze(connection, side.table)
    before, after = old.rows(names).subquery("before"), new.rows(names).subquery("after")
    both = before.join(after, sa.and_(*(before.c[name] == after.c[name] for name in primary)), full=True)
    lead = primary[0]
    kind = sa.case((before.c[lead].is_(None), "added"), (after.c[lead].is_(None), "removed"), else_="changed")
    keys = [sa.func.coalesce(after.c[name], before.c[name]) for name in primary]
    differs = sa.or_(*(before.c[name].is_distinct_from(after.c[name]) for name in names))
    found = _temporary(
        connection, "unlike", [*(sa.Column(c.name, c.type) for c in lesser.primary_key), sa.Column("kind", sa.Text())]
    )
    rows = sa.select(*keys, kind).select_from(both).where(differs)
    connection.execute(sa.insert(found).from_select([*primary, "kind"], rows))
    _analyze(connection, found)
    return found


def _told(connection: sa.Connection, name: str, old: sa.Table, new: sa.Table, unlike: sa.Table) -> Difference:
    """The differences counted and shown; `new` has the rows that will hold."""
    by_kind = sa.select(unlike.c.kind, sa.func.count().label("n")).group_by(unlike.c.kind)
    counts = {row.kind: int(row.n) for row in connection.execute(by_kind)}
    rows = connection.scalar(sa.select(sa.func.count()).select_from(new)) or 0
    examples = [text for kind in KINDS if kind in counts for text in _examples(connection, old, new, unlike, kind)]
    added, removed, changed = (counts.get(kind, 0) for kind in KINDS)
    return Difference(name, rows, added, removed, changed, examples)


def _take_over(connection: sa.Connection, table: sa.Table, made: sa.Table, unlike: sa.Table) -> None:
    names, primary = [c.name for c in made.columns], [c.name for c in made.primary_key]
    gone = sa.and_(*(table.c[name] == unlike.c[name] for name in primary), unlike.c.kind == "removed")
    connection.execute(sa.delete(table).where(gone))
    same = sa.and_(*(made.c[name] == unlike.c[name] for name in primary), unlike.c.kind != "removed")
    statement = insert(table).from_select(names, sa.select(made).join(unlike, same))
    rest = {name: statement.excluded[name] for name in names if name not in primary}
    connection.execute(statement.on_conflict_do_update(index_elements=primary, set_=rest))


def _examples(
    connection: sa.Connection, old: sa.Table, new: sa.Table, unlike: sa.Table, kind: str
) -> Iterator[str]:  # fmt: skip
    keys = [column for column in unlike.columns if column.name != "kind"]
    few = sa.select(*keys).where(unlike.c.kind == kind).order_by(*keys).limit(EXAMPLES)
    for key in connection.execute(few).mappings().all():
        named = " ".join(_shown(value) for name, value in key.items() if name not in ("chain_id", "address"))
        if kind != "changed":
            yield f"{kind} {named}"
            continue
        before, after = (_row(connection, side, dict(key)) for side in (old, new))
        names = [name for name in before if name in after and before[name] != after[name]]
        yield f"changed {named}: " + ", ".join(f"{n} {_shown(before[n])} -> {_shown(after[n])}" for n in names)


def _row(connection: sa.Connection, table: sa.Table, key: dict[str, Any]) -> dict[str, Any]:
    same = sa.and_(*(table.c[name] == value for name, value in key.items()))
    return dict(connection.execute(sa.select(table).where(same)).mappings().one())


def _shown(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else "NULL" if value is None else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _analyze(connection: sa.Connection, table: sa.Table) -> None:
    """A new table has no statistics, and a planner without any would join millions of rows one by one."""
    if table.schema is None:
        driver(connection).execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table.name)))
