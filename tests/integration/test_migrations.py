"""Migrations: from nothing, from each earlier revision, one step back, two at once, and where they are refused.

The oracle is PostgreSQL's own catalogue, and a database that was made anew.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Engine

import migrations
from indexer.errors import DatabaseRefused
from indexer.store import database as db
from indexer.store import migrate
from schema import SCHEMAS
from tests.support import FIXED, event_tables

REVISIONS = [found.revision for found in ScriptDirectory(Path(migrations.__file__).parent).walk_revisions()][::-1]
HEAD = REVISIONS[-1]

Rows = dict[str, list[dict[str, Any]]]

MADE = """
    SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), obj_description(c.oid), c.relacl::text
    FROM pg_class c WHERE c.relkind IN ('v', 'm') AND c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), obj_description(p.oid), p.proacl::text
    FROM pg_proc p WHERE p.prokind IN ('f', 'p') AND p.pronamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid), NULL, NULL
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'comment', c.oid::regclass || coalesce('.' || a.attname, ''), d.description, NULL, NULL
    FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    ORDER BY 1, 2
"""


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = db.engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


COUNTS = ("day_counts", "worker_counts", "worker_days")  # made anew from the entities by every upgrade


def made(url: str) -> list[Any]:
    """Views, functions, triggers and comments, as PostgreSQL tells them."""
    with psycopg.connect(url) as connection:
        return connection.execute(MADE, {"schemas": list(SCHEMAS)}).fetchall()


def tables(engine: Engine) -> list[sa.Table]:
    """The tables that are there, in an order in which they can be filled."""
    found = sa.MetaData()
    for schema in SCHEMAS:
        found.reflect(engine, schema=schema)
    hidden = {"alembic_version", *COUNTS}
    return [table for table in found.sorted_tables if table.name not in hidden]


def value(column: sa.Column[Any]) -> Any:
    """A value of the column's type; 1 for all keys, so that rows refer to each other."""
    match column.type:
        case sa.Numeric() if not isinstance(column.type, sa.Integer):
            return 2**256 - 1
        case sa.Integer():
            return 1
        case sa.Float():
            return 0.5
        case sa.Boolean():
            return True
        case sa.DateTime():
            return datetime(2025, 6, 1, tzinfo=UTC)
        case sa.LargeBinary():
            return b"\x01" * 32
        case JSONB():
            return {"a": ["\U0001f600", 2**70]}
        case sa.ARRAY(item_type=kind):
            return [b"", b"\xff"] if isinstance(kind, sa.LargeBinary) else [value(sa.Column("item", kind))]
        case sa.Text():
            return "truthful" if column.name == "blooms" else "head"
    raise AssertionError(f"no value for {column.type!r}")


def fill(engine: Engine) -> Rows:
    """Put a row into every table; all rows then."""
    with engine.begin() as connection:
        for table in tables(engine):
            columns = [column for column in table.columns if not column.identity and not column.computed]
            connection.execute(sa.insert(table).values({column.name: value(column) for column in columns}))
    return rows(engine)


def rows(engine: Engine) -> Rows:
    with engine.connect() as connection:
        return {
            str(table): [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in tables(engine)
        }


def kept(old: Rows, new: Rows) -> bool:
    """Whether the tables that are in both hold the same rows, in the columns that are in both."""
    return all(
        row[name] == before[name]
        for table in old.keys() & new.keys()
        for row, before in zip(new[table], old[table], strict=True)
        for name in row.keys() & before.keys()
    )


@pytest.fixture(scope="module")
def fresh(server_url: str, template: str) -> list[Any]:
    """What a database that was made anew holds beside tables."""
    found = made(psycopg_url(server_url, template))
    assert {kind for kind, *_ in found} >= {"view", "function", "comment"}
    return found


def psycopg_url(server_url: str, name: str) -> str:
    return server_url.rsplit("/", 1)[0] + f"/{name}"


def test_a_new_database_has_the_newest_schema(database: str) -> None:
    with opened(database) as engine:
        assert migrate.state(engine) == (None, HEAD, True)
        with pytest.raises(DatabaseRefused, match=r"has no tables of Taskscan; .* Run `taskscan db upgrade`"):
            migrate.require_current(engine)
        migrate.upgrade(engine)
        assert migrate.state(engine) == (HEAD, HEAD, True)
        migrate.require_current(engine)
        migrate.check(engine)


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_rows_and_ends_like_a_new_database(database: str, fresh: list[Any], revision: str) -> None:
    with opened(database) as engine:
        migrate.upgrade(engine, revision)
        before = fill(engine)
        assert before
        assert all(len(found) == 1 for found in before.values())
        if revision != HEAD:
            with pytest.raises(DatabaseRefused, match=f"has the schema {revision}; this version needs {HEAD}. Run"):
                migrate.require_current(engine)
        migrate.upgrade(engine)
        migrate.check(engine)
        assert kept(before, rows(engine))
        assert before.keys() <= rows(engine).keys()
        assert made(database) == fresh
        migrate.upgrade(engine)
        assert made(database) == fresh, "again changes nothing"


def test_one_step_down_and_up_again(database: str, fresh: list[Any]) -> None:
    with opened(database) as engine:
        migrate.upgrade(engine)
        before = fill(engine)
        for revision in [*REVISIONS[-2::-1], None]:
            migrate.downgrade(engine, "-1")
            assert migrate.state(engine).found == revision
            assert not [kind for kind, name, *_ in made(database) if kind in ("view", "function")]
            assert kept(before, rows(engine))
        assert rows(engine) == {}
        migrate.upgrade(engine)
        migrate.check(engine)
        assert made(database) == fresh
        with pytest.raises(DatabaseRefused, match="9999"):
            migrate.downgrade(engine, "9999")
        assert made(database) == fresh, "a downgrade that fails leaves everything"


def test_a_schema_of_a_newer_version_is_refused_and_left_alone(migrated: str, fresh: list[Any]) -> None:
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE chain.alembic_version SET version_num = '9999'")
    with opened(migrated) as engine:
        for attempt in (migrate.upgrade, migrate.require_current):
            with pytest.raises(DatabaseRefused, match=r"the schema 9999, which .* not know.* upgrade Taskscan"):
                attempt(engine)
    assert made(migrated) == fresh


def test_what_needs_no_upgrade_is_known(migrated: str) -> None:
    with opened(migrated) as engine:
        assert migrate.is_current(engine)
        with engine.begin() as connection:
            db.driver(connection).execute("COMMENT ON SCHEMA analytics IS 'views of another version'")
        assert not migrate.is_current(engine)
        migrate.upgrade(engine)
        assert migrate.is_current(engine)
        migrate.downgrade(engine, "-1")
        assert not migrate.is_current(engine)


def test_two_upgrades_at_the_same_time(database: str, fresh: list[Any]) -> None:
    failures: list[BaseException] = []
    together = threading.Barrier(2)

    def upgrade() -> None:
        try:
            with opened(database) as engine:
                migrate.state(engine)
                together.wait()
                migrate.upgrade(engine)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert made(database) == fresh


def test_a_read_only_database_is_refused_in_one_sentence(database: str) -> None:
    name = sql.Identifier(database.rsplit("/", 1)[1])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    with opened(database) as engine:
        with pytest.raises(DatabaseRefused, match=r"^The database at \S+ is read-only: [^\n]+\.$"):
            migrate.upgrade(engine)
        assert migrate.state(engine).found is None


def test_an_upgrade_that_fails_leaves_nothing(database: str) -> None:
    """A table of the user's own stands in the way of the last revision's tables."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE SCHEMA iexec CREATE TABLE withdraw (mine int)")
    with opened(database) as engine:
        with pytest.raises(DatabaseRefused, match='"withdraw" already exists'):
            migrate.upgrade(engine)
        assert migrate.state(engine).found is None
        assert [str(table) for table in tables(engine)] == ["iexec.withdraw"]


def test_every_table_says_what_it_holds(fresh: list[Any], migrated: str) -> None:
    said = {name for kind, name, *_ in fresh if kind == "comment"}
    with opened(migrated) as engine:
        assert {str(table) for table in tables(engine)} <= said
    assert not [name for kind, name, _, comment, _ in fresh if kind in ("view", "function") and not comment]


def test_event_tables_in_the_catalogue(migrated: str) -> None:
    """The fixed columns, the primary key, at most one index more, and none on text or bytes without a bound."""
    with psycopg.connect(migrated) as connection:
        found = event_tables(connection)
        indexes = """
            SELECT i.indisprimary, array_agg(a.attname::text ORDER BY k.n), array_agg(a.atttypid::regtype::text)
            FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
            WHERE i.indrelid = %s::regclass AND a.attrelid = i.indrelid AND a.attnum = k.attnum
            GROUP BY i.indexrelid, i.indisprimary
        """
        columns = (
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum LIMIT 8"
        )
        assert len(found) > 90
        for place in found:
            table = ".".join(place)
            assert {name for (name,) in connection.execute(columns, [table])} == FIXED, table
            keys = connection.execute(indexes, [table]).fetchall()
            assert [key[1] for key in keys if key[0]] == [["chain_id", "block_number", "log_index"]], table
            further = [key for key in keys if not key[0]]
            assert len(further) <= 1, table
            assert not {kind for _, _, kinds in further for kind in kinds} & {"text", "jsonb"}, table
            assert not {name for _, names, _ in further for name in names} & {"results", "data", "calldata"}, table
