"""Bringing a database to this version's schema, and telling when it is not there."""

from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Engine

import migrations
from indexer.errors import DatabaseRefused
from indexer.store.database import driver, in_words, where
from schema import metadata, script, view_scripts

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
        command.upgrade(_config(connection), revision)
        if revision == "head":
            _finish(connection)


def _finish(connection: sa.Connection) -> None:
    """Views, functions and comments: no revision makes them, so they always fit the newest tables."""
    for text in view_scripts():
        _run_script(connection, text)
    for table in metadata.sorted_tables:
        if table.comment:
            connection.execute(sa.schema.SetTableComment(table))
        for column in table.columns:
            if column.comment:
                connection.execute(sa.schema.SetColumnComment(column))


def _run_script(connection: sa.Connection, text: str) -> None:
    driver(connection).execute(text.encode())  # through SQLAlchemy a % would be taken for a parameter


def downgrade(target: Engine, revision: str) -> None:
    """Go back to `revision` (`-1`: one step), in one transaction. Views go: they fit the newest tables only."""
    with in_words(target), target.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(UPGRADE_LOCK)))
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
            f"The database at {where(target)} has the schema {now.found}, which this version of Taskscan does not know. "
            "It belongs to a newer one: upgrade Taskscan."
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
