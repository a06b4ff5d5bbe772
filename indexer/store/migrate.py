"""Bringing a database to this version's schema, and telling when it is not there."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy.engine import Engine

import migrations
from indexer.errors import DatabaseRefused
from indexer.store.database import driver, in_words, where
from schema import metadata, script, view_scripts

log = structlog.get_logger(__name__)

VERSION_SCHEMA = "chain"
UPGRADE_LOCK = 0x7A5C  # two commands that start together must not both migrate


class SchemaState(NamedTuple):
    """`found`: revision of the database (None when empty); `wanted`: this version's; `known`: whether we know it."""

    found: str | None
    wanted: str
    known: bool


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def state(target: Engine) -> SchemaState:
    """Which revision the database has and which one this version wants."""
    scripts = ScriptDirectory.from_config(_config())
    with in_words(target), target.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": VERSION_SCHEMA})
        found = context.get_current_revision()
    known = found is None or found in {script.revision for script in scripts.walk_revisions()}
    return SchemaState(found, scripts.get_current_head() or "", known)


def upgrade(target: Engine, revision: str = "head") -> None:
    """Upgrade to `revision`, in one transaction; at the head make views and functions anew. Raises DatabaseRefused."""
    refuse_newer(target)
    with in_words(target), target.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        _run_script(connection, script("keep_writers_out.sql"))
        command.upgrade(_config(connection), revision)
        if revision == "head":
            _finish(connection)
    if revision == "head":
        _let_read(target)


def _let_read(target: Engine) -> None:
    """Make the role `taskscan_read` and let it read; where that is refused, say which SQL somebody else must run."""
    text = script("rights.sql")
    try:
        with in_words(target), target.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
            _run_script(connection, text)
    except DatabaseRefused as error:
        log.warning("no read-only role", action="role_refused", error=str(error), run_as_a_superuser=text)


def is_current(target: Engine) -> bool:
    """Whether an upgrade would change nothing. It locks nothing, so that nobody's query has to wait for it."""
    now = state(target)
    with in_words(target), target.connect() as connection:
        analytics = sa.func.to_regnamespace("analytics")
        made = connection.scalar(sa.select(sa.func.obj_description(analytics, "pg_namespace")))
    return now.found == now.wanted and made == _made()


def _made() -> str:
    """What stands on the schema `analytics`: which views, functions and comments were made last."""
    comments = [
        repr((str(table), table.comment, [c.comment for c in table.columns])) for table in metadata.sorted_tables
    ]
    digest = hashlib.sha256("\0".join([*view_scripts(), *comments]).encode()).hexdigest()
    return f"What analysts read. Views of Taskscan, version {digest[:16]}."


def _finish(connection: sa.Connection) -> None:
    """Views, functions and comments: no revision makes them, so they always fit the newest tables."""
    driver(connection).execute(sql.SQL("COMMENT ON SCHEMA analytics IS {}").format(sql.Literal(_made())))
    for text in view_scripts():
        _run_script(connection, text)
    # A thousand sentences: sent as one text they take a third of the time.
    driver(connection).execute(sql.SQL(";").join(_comments()))


def _comments() -> Iterator[sql.Composed]:
    for table in metadata.sorted_tables:
        place = sql.Identifier(table.schema or "public", table.name)
        if table.comment:
            yield sql.SQL("COMMENT ON TABLE {} IS {}").format(place, sql.Literal(table.comment))
        for column in table.columns:
            if column.comment:
                name = sql.Identifier(table.schema or "public", table.name, column.name)
                yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(name, sql.Literal(column.comment))


def _run_script(connection: sa.Connection, text: str) -> None:
    driver(connection).execute(text.encode())  # through SQLAlchemy a % would be taken for a parameter


def downgrade(target: Engine, revision: str) -> None:
    """Go back to `revision` (`-1`: one step), in one transaction. Views go: they fit the newest tables only."""
    with in_words(target), target.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        _run_script(connection, script("keep_writers_out.sql"))
        _run_script(connection, script("drop_views.sql"))
        try:
            command.downgrade(_config(connection), revision)
        except CommandError as error:
            raise DatabaseRefused(f"{where(target)}: {error}") from None


def check(target: Engine) -> None:
    """Raise DatabaseRefused unless tables of the database equal this version's (`alembic check`)."""
    with in_words(target), target.begin() as connection:
        try:
            command.check(_config(connection))
        except CommandError as error:
            raise DatabaseRefused(f"{where(target)}: {error}") from None


def refuse_newer(target: Engine) -> SchemaState:
    """The state of the schema. Raises DatabaseRefused for one that this version does not know."""
    now = state(target)
    if not now.known:
        raise DatabaseRefused(
            f"The database at {where(target)} has the schema {now.found}, which this version of Taskscan does not "
            "know. It belongs to a newer one: upgrade Taskscan."
        )
    return now


def require_current(target: Engine) -> None:
    """Raise DatabaseRefused unless the database has exactly this version's schema."""
    now = refuse_newer(target)
    if now.found != now.wanted:
        what = f"the schema {now.found}" if now.found else "no tables of Taskscan"
        raise DatabaseRefused(
            f"The database at {where(target)} has {what}; this version needs {now.wanted}. Run `taskscan db upgrade`."
        )
