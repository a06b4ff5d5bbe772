"""Migrations: from nothing, from each earlier revision, one step back, two at once, and where they are refused.

The oracle is PostgreSQL's own catalogue, and a database that was made anew.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from sqlalchemy.engine import Engine

import migrations
from indexer.errors import DatabaseRefused
from indexer.store import database as db
from indexer.store import migrate
from schema import SCHEMAS
from tests.integration.conftest import fresh_database
from tests.support import FIXED, PAYING, event_tables

REVISIONS = [found.revision for found in ScriptDirectory(Path(migrations.__file__).parent).walk_revisions()][::-1]
HEAD = REVISIONS[-1]

Rows = dict[str, list[dict[str, Any]]]

DERIVED = """
    SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid), obj_description(c.oid), c.relacl::text
    FROM pg_class c WHERE c.relkind IN ('v', 'm') AND c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid), obj_description(p.oid), p.proacl::text
    FROM pg_proc p WHERE p.prokind IN ('f', 'p') AND p.pronamespace::regnamespace::text = ANY (%(schemas)s)
    ORDER BY 1, 2
"""
STORED = """
    SELECT 'trigger', t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid), NULL, NULL
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'comment', c.oid::regclass || coalesce('.' || a.attname, ''), d.description, NULL, NULL
    FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'column', a.attrelid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
           pg_get_expr(d.adbin, d.adrelid), concat_ws(' ', a.attnotnull, a.attidentity, a.attgenerated, a.attcollation)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'constraint', o.conrelid::regclass || '.' || o.conname, pg_get_constraintdef(o.oid), NULL, NULL
    FROM pg_constraint o WHERE o.connamespace::regnamespace::text = ANY (%(schemas)s)
    UNION ALL
    SELECT 'index', i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), NULL, NULL
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
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


COUNTS = ("day_counts", "worker_counts", "worker_days", "task_sums", "vote_payments", "gifts")  # made anew by upgrades
EARLIER = (
    "CREATE FUNCTION arbius.recount() RETURNS void LANGUAGE sql AS ''",
    "CREATE FUNCTION iexec.recount() RETURNS void LANGUAGE sql AS ''",
    "CREATE FUNCTION arbius.counted_task(text, timestamptz, timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    """CREATE FUNCTION iexec.counted_task(integer, timestamptz, timestamptz, numeric, numeric) RETURNS int
       LANGUAGE sql AS 'SELECT 1'""",
    """CREATE FUNCTION arbius.counted_solution(timestamptz, timestamptz, numeric, numeric, numeric, numeric, numeric[])
       RETURNS int LANGUAGE sql AS 'SELECT 1'""",
    """CREATE FUNCTION arbius.settled_votes(chain bigint, engine bytea, task bytea, block bigint, log_index int,
                                            start_idx bigint, end_idx bigint)
       RETURNS TABLE (kind text, voter bytea, amount numeric) LANGUAGE sql STABLE AS 'SELECT NULL, NULL::bytea, 1.0'""",
    "CREATE FUNCTION arbius.add_slashed(bigint, bytea, numeric) RETURNS void LANGUAGE sql AS ''",
)
"""Functions that this version has under other names, or not at all, as databases of earlier ones hold them."""
COLUMNS = """
    SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
           array_agg(format_type(a.atttypid, NULL) ORDER BY a.attnum) FILTER (WHERE a.attgenerated = ''),
           array_agg(a.attname::text) FILTER (WHERE a.attidentity <> '')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind = 'r' AND n.nspname = ANY (%s) AND c.relname <> ALL (%s) GROUP BY 1, 2
"""
REFERENCES = "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"


class Table(NamedTuple):
    """A table as the catalogue tells of it, with its columns that may be written and their types."""

    schema: str
    name: str
    columns: dict[str, str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def derived(url: str) -> list[Any]:
    """Views and functions, as PostgreSQL tells them."""
    with psycopg.connect(url) as connection:
        return connection.execute(DERIVED, {"schemas": list(SCHEMAS)}).fetchall()


def made(url: str) -> list[Any]:
    """The same, and columns, constraints, indexes, triggers and comments."""
    with psycopg.connect(url) as connection:
        return derived(url) + connection.execute(STORED, {"schemas": list(SCHEMAS)}).fetchall()


def tables(url: str) -> list[Table]:
    """The tables that are there, in an order in which they can be filled."""
    with psycopg.connect(url) as connection:
        found = connection.execute(COLUMNS, [list(SCHEMAS), ["alembic_version", *COUNTS]]).fetchall()
        order = TopologicalSorter({f"{schema}.{name}": set[str]() for schema, name, *_ in found})
        for table, needed in connection.execute(REFERENCES):
            if table != needed:
                order.add(table, needed)
    named = {
        f"{schema}.{name}": Table(
            schema, name, {c: k for c, k in zip(columns, kinds, strict=True) if c not in (own or ())}
        )
        for schema, name, columns, kinds, own in found
    }
    return [named[name] for name in order.static_order()]


VALUES = {
    "numeric": 2**256 - 1,
    **dict.fromkeys(("bigint", "integer", "smallint"), 1),  # 1 for all keys, so that rows refer to each other
    "double precision": 0.5,
    "boolean": True,
    "timestamp with time zone": datetime(2025, 6, 1, tzinfo=UTC),
    "bytea": b"\x01" * 32,
    "bytea[]": [b"", b"\xff"],
    "jsonb": Jsonb({"a": ["\U0001f600", 2**70]}),
    "text": "head",
}


def value(column: str, kind: str) -> Any:
    """A value of the type."""
    if column == "blooms":
        return "truthful"
    if column == "commitment_age":
        return 0  # as an upgrade finds it: solution and commitment are of one time
    return VALUES[kind] if kind in VALUES else [VALUES[kind.removesuffix("[]")]]


def fill(url: str) -> Rows:
    """Put a row into every table; all rows then."""
    with psycopg.connect(url) as connection:
        for table in tables(url):
            given = {column: value(column, kind) for column, kind in table.columns.items()}
            insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(table.schema, table.name),
                sql.SQL(", ").join(map(sql.Identifier, given)),
                sql.SQL(", ").join([sql.Placeholder()] * len(given)),
            )
            connection.execute(insert, list(given.values()))
    return rows(url)


def rows(url: str) -> Rows:
    found: Rows = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for table in tables(url):
            every = sql.SQL("SELECT * FROM {}").format(sql.Identifier(table.schema, table.name))
            found[str(table)] = connection.execute(every).fetchall()
    return found


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
    """What a database that was made anew holds."""
    found = made(psycopg_url(server_url, template))
    assert {kind for kind, *_ in found} >= {"view", "function", "comment", "column", "constraint", "index"}
    return found


def psycopg_url(server_url: str, name: str) -> str:
    return server_url.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="module")
def at_revision(server_url: str) -> Iterator[Callable[[str], str]]:
    """The name of a database with the tables of a revision, to be copied: that of the one before, a step further."""
    with ExitStack() as databases:
        made_so_far: dict[str, str] = {}

        def template_of(revision: str) -> str:
            if revision not in made_so_far:
                place = REVISIONS.index(revision)
                before = template_of(REVISIONS[place - 1]) if place else "template0"
                url = databases.enter_context(fresh_database(server_url, before))
                with opened(url) as engine:
                    migrate.upgrade(engine, revision)
                made_so_far[revision] = url.rsplit("/", 1)[1]
            return made_so_far[revision]

        yield template_of


def test_a_new_database_has_the_newest_schema(database: str, fresh: list[Any]) -> None:
    with opened(database) as engine:
        assert migrate.state(engine) == (None, HEAD, True)
        with pytest.raises(DatabaseRefused, match=r"has no tables of Taskscan; .* Run `taskscan db upgrade`"):
            migrate.require_current(engine)
        migrate.upgrade(engine)
        assert migrate.state(engine) == (HEAD, HEAD, True)
        migrate.require_current(engine)
        migrate.check(engine)
        assert made(database) == fresh, "so what equals it needs no check of its own"


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_keeps_rows_and_ends_like_a_new_database(
    server_url: str, at_revision: Callable[[str], str], fresh: list[Any], revision: str
) -> None:
    with fresh_database(server_url, at_revision(revision)) as database, opened(database) as engine:
        before = fill(database)
        assert before
        assert all(len(found) == 1 for found in before.values())
        if revision != HEAD:
            with pytest.raises(DatabaseRefused, match=f"has the schema {revision}; this version needs {HEAD}. Run"):
                migrate.require_current(engine)
        migrate.upgrade(engine)
        after = rows(database)
        assert kept(before, after)
        assert before.keys() <= after.keys()
        assert made(database) == fresh
        migrate.upgrade(engine)
        assert made(database) == fresh, "again changes nothing"


def test_a_view_of_the_user_outlasts_an_upgrade_or_is_named(server_url: str, at_revision: Callable[[str], str]) -> None:
    """One view in `analytics` grows at its end; the other one is made anew, for a collation cannot be replaced."""
    with fresh_database(server_url, at_revision("0018")) as database, opened(database) as engine:
        with psycopg.connect(database) as connection:
            connection.execute("CREATE VIEW analytics.tasks AS SELECT 'arbius'::text AS network, 'a'::text AS chain")
            connection.execute("CREATE VIEW analytics.tasks_by_stage AS SELECT network FROM analytics.tasks")
            connection.execute("CREATE VIEW public.mine AS SELECT network FROM analytics.tasks")
            connection.execute("CREATE VIEW public.stages AS SELECT network FROM analytics.tasks_by_stage")
        with pytest.raises(
            DatabaseRefused, match=r"view stages depends on view analytics\.tasks_by_stage\. Keep .*drop"
        ):
            migrate.upgrade(engine)
        assert migrate.state(engine).found == "0018"
        with psycopg.connect(database) as connection:
            connection.execute("DROP VIEW public.stages")
        migrate.upgrade(engine)
        with psycopg.connect(database) as connection:
            assert connection.execute("SELECT * FROM public.mine").fetchall() == []


def test_a_view_on_a_view_that_goes_is_named(server_url: str, at_revision: Callable[[str], str]) -> None:
    """Nothing that a user has built goes along with what it stands on: not in a revision, not in a step back."""
    with fresh_database(server_url, at_revision("0012")) as database, opened(database) as engine:
        with psycopg.connect(database) as connection:
            connection.execute("CREATE VIEW arbius.v_inputs AS SELECT input FROM arbius.tasks")
            connection.execute("CREATE VIEW public.mine AS SELECT input FROM arbius.v_inputs")
        with pytest.raises(DatabaseRefused, match=r"view mine depends on view arbius\.v_inputs\. Keep .*drop"):
            migrate.upgrade(engine)
        with psycopg.connect(database) as connection:
            connection.execute("DROP VIEW public.mine")
        migrate.upgrade(engine)
        with psycopg.connect(database) as connection:
            connection.execute("CREATE VIEW public.mine AS SELECT input FROM arbius.v_inputs")
        with pytest.raises(DatabaseRefused, match=r": view mine depends on view arbius\.v_inputs\. Keep .*drop"):
            migrate.downgrade(engine, "-1")
        assert migrate.is_current(engine), "all is as it was"


def test_functions_of_earlier_versions_go(migrated: str, fresh: list[Any]) -> None:
    with psycopg.connect(migrated) as connection:
        for function in EARLIER:
            connection.execute(function.encode())
        found = connection.execute("SELECT pg_get_viewdef('arbius.v_payments'::regclass)").fetchall()
        calls = " AS p WHERE EXISTS (SELECT FROM arbius.settled_votes(1, '', '', 1, 1, 1, 1))"
        view = "".join(
            ["CREATE OR REPLACE VIEW arbius.v_payments AS SELECT * FROM (", found[0][0].rstrip(";"), ")", calls]
        )
        connection.execute(view.encode())  # so what it calls may go only after it was made anew
    assert made(migrated) != fresh
    with opened(migrated) as engine:
        migrate.upgrade(engine)
    assert made(migrated) == fresh


def test_one_step_down_and_up_again(migrated: str, fresh: list[Any]) -> None:
    with opened(migrated) as engine:
        before = fill(migrated)
        for revision in [*REVISIONS[-2::-1], None]:
            migrate.downgrade(engine, "-1")
            assert migrate.state(engine).found == revision
            assert not derived(migrated)
            assert kept(before, rows(migrated))
        assert rows(migrated) == {}
        migrate.upgrade(engine)
        assert made(migrated) == fresh
        with pytest.raises(DatabaseRefused, match="9999"):
            migrate.downgrade(engine, "9999")
        assert made(migrated) == fresh, "a downgrade that fails leaves everything"


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


def test_an_upgrade_waits_for_who_writes_before_it_touches_what_he_needs(migrated: str) -> None:
    """One of the two would be given up otherwise. Who learns of facts locks his chain, then entities one by one."""
    with opened(migrated) as engine, psycopg.connect(migrated) as writer, psycopg.connect(migrated) as other:
        writer.execute("SELECT FROM chain.chains FOR NO KEY UPDATE")
        writer.execute("UPDATE arbius.tasks SET fee = fee")
        failures: list[BaseException] = []

        def upgrade() -> None:
            try:
                migrate.upgrade(engine)
            except BaseException as error:
                failures.append(error)

        going = threading.Thread(target=upgrade)
        going.start()
        waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while going.is_alive() and not other.execute(waits).fetchall():
            other.rollback()
            going.join(0.02)
        writer.execute("UPDATE arbius.contestations SET slash_amount = slash_amount")
        writer.commit()
        going.join()
        assert failures == []


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
        assert [str(table) for table in tables(database)] == ["iexec.withdraw"]


def test_every_table_says_what_it_holds(fresh: list[Any], migrated: str) -> None:
    said = {name for kind, name, *_ in fresh if kind == "comment"}
    assert {str(table) for table in tables(migrated)} <= said
    assert not [name for kind, name, _, comment, _ in fresh if kind in ("view", "function") and not comment]


def test_event_tables_in_the_catalogue(migrated: str) -> None:
    """The fixed columns, the primary key, at most one index more but for payments, none on text or bytes unbounded."""
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
            assert len(further) <= 1 or table in PAYING, table
            assert not {kind for _, _, kinds in further for kind in kinds} & {"text", "jsonb"}, table
            assert not {name for _, names, _ in further for name in names} & {"results", "data", "calldata"}, table
