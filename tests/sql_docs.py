"""`python -m tests.sql_docs` (`make docs`): write the lists of docs/sql.md anew, from a fresh database.

Words of columns come from COMMENT ON: of tables from their declarations in `schema/`, of views from
`schema/sql/99_dictionary.sql`. Example questions of a view stand in `docs/questions/<view>.sql`.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from indexer.store import database as db
from indexer.store import migrate, server
from schema import SCHEMAS
from tests.support import FIXED

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "sql.md"
QUESTIONS = DOCS / "questions"
MARKED = re.compile(r"(<!-- made by `make docs` from the database: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

RELATIONS = """
    SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'v' AS is_view,
           obj_description(c.oid, 'pg_class') AS said,
           jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                        'said', col_description(c.oid, a.attnum)) ORDER BY a.attnum) AS columns
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'v') AND c.relname <> 'alembic_version'
    GROUP BY n.nspname, c.oid ORDER BY n.nspname, c.relname COLLATE "C"
"""
FUNCTIONS = """
    SELECT n.nspname AS schema, p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments,
           pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS said
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY (%s) ORDER BY n.nspname, p.proname COLLATE "C", 3
"""
NAMESPACES = """
    SELECT n.nspname AS schema, obj_description(n.oid, 'pg_namespace') AS said
    FROM pg_namespace n WHERE n.nspname = ANY (%s)
"""
Row = dict[str, Any]


def questions(view: str) -> list[tuple[str, str]]:
    """(question, SQL) of the examples for `view`: in its file, each question is a comment above its statement."""
    file = QUESTIONS / f"{view}.sql"
    return re.findall(r"^-- (.+)\n((?:(?!-- ).+\n?)+)", file.read_text(), re.MULTILINE) if file.exists() else []


def catalog(connection: psycopg.Connection, query: str) -> list[Row]:
    """Rows of the catalog about our schemas."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), [list(SCHEMAS)]).fetchall()


def made(page: str, connection: psycopg.Connection) -> str:
    """`page` with its marked lists as the database has them now."""
    parts = {"analytics": "\n".join(_analytics(connection)), "others": "\n".join(_others(connection))}
    return MARKED.sub(lambda found: f"{found[1]}\n{parts[found[2]]}\n{found[3]}", page)


def _analytics(connection: psycopg.Connection) -> Iterator[str]:
    for view in catalog(connection, RELATIONS):
        if view["schema"] == "analytics":
            yield from _relation(view)
            for question, statement in questions(view["name"]):
                yield f"{question}\n\n```sql\n{statement.strip()}\n```\n"
    yield "### Functions of `analytics`\n"
    yield from _functions(connection, "analytics")


def _others(connection: psycopg.Connection) -> Iterator[str]:
    relations = [row for row in catalog(connection, RELATIONS) if row["schema"] != "analytics"]
    said = {row["schema"]: row["said"] for row in catalog(connection, NAMESPACES)}
    for schema in sorted({row["schema"] for row in relations}):
        mine = [row for row in relations if row["schema"] == schema]
        yield f"### Schema `{schema}`\n\n{said[schema] or ''}\n"
        for row in mine:
            if not _is_event(row):
                yield from _relation(row, "####")
        if events := [row for row in mine if _is_event(row)]:
            yield "#### Event tables\n\n| table | event | arguments |\n|---|---|---|"
            yield from map(_event, events)
            yield ""
        yield from _functions(connection, schema, f"#### Functions of `{schema}`\n\n")
    yield "### Questions to these tables\n"
    for question, statement in questions("other"):
        yield f"{question}\n\n```sql\n{statement.strip()}\n```\n"


def _relation(row: Row, heading: str = "###") -> Iterator[str]:
    yield f"{heading} `{row['schema']}.{row['name']}`\n\n{row['said'] or ''}\n"
    yield "| column | type | |\n|---|---|---|"
    yield from (f"| `{column['name']}` | {column['type']} | {_cell(column['said'])} |" for column in row["columns"])
    yield ""


def _is_event(row: Row) -> bool:
    return row["schema"] != "chain" and {column["name"] for column in row["columns"]} >= FIXED


def _event(row: Row) -> str:
    own = [column for column in row["columns"] if column["name"] not in FIXED]
    listed = "; ".join(f"`{c['name']}` {c['type']}" + (f": {_cell(c['said'])}" if c["said"] else "") for c in own)
    return f"| `{row['schema']}.{row['name']}` | {_cell(row['said'])} | {listed} |"


def _functions(connection: psycopg.Connection, schema: str, heading: str = "") -> Iterator[str]:
    found = [row for row in catalog(connection, FUNCTIONS) if row["schema"] == schema]
    if found:
        yield f"{heading}| function | gives | |\n|---|---|---|"
        for row in found:
            call = f"{schema}.{row['name']}({row['arguments']})"
            yield f"| `{call}` | {_cell(_short(row['result']))} | {_cell(row['said'])} |"
        yield ""


def _short(result: str) -> str:
    """The columns of a table that a function gives, without their types."""
    inner = re.fullmatch(r"TABLE\((.*)\)", result)
    return ", ".join(part.split()[0] for part in inner[1].split(", ")) if inner else result


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write docs/sql.md from a database of its own."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-docs-"))
    try:
        with server.using(folder, fast=True) as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            engine.dispose()
            with psycopg.connect(running.url) as connection:
                PAGE.write_text(made(PAGE.read_text(), connection))
    finally:
        server.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
