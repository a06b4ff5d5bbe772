"""The way to PostgreSQL: engines, and its errors in words.

Everything that touches the database goes through `engine` and runs inside `in_words`, so that a server that is
down, read-only, full or of another schema is told in one sentence, without its password.
"""

import contextlib
from collections.abc import Iterator

import psycopg
import sqlalchemy as sa
from psycopg import errors as pg
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from indexer.errors import ConfigError, DatabaseDown, DatabaseRefused, TaskscanError

CONNECT_SECONDS = 10


def engine(url: str) -> Engine:
    """An engine for `url` (postgresql://…). Raises ConfigError for a URL of another kind."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("The database URL is not a URL; postgresql://user:password@host:port/name is one.") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigError(f"The database URL begins with {parsed.drivername}://; Taskscan needs postgresql://")
    return sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=4,
        connect_args={"connect_timeout": CONNECT_SECONDS, "options": "-c timezone=UTC", "application_name": "taskscan"},
        hide_parameters=True,
    )


def where(target: Engine) -> str:
    """The place of a database for messages: host:port/name, never user or password."""
    url = target.url
    return f"{url.host or url.query.get('host', 'localhost')}:{url.port or 5432}/{url.database or ''}"


def driver(connection: sa.Connection) -> psycopg.Connection:
    """The psycopg connection below a SQLAlchemy one: COPY is only there."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"{type(raw).__name__} is not a psycopg connection")
    return raw


@contextlib.contextmanager
def in_words(target: Engine) -> Iterator[None]:
    """Turn the driver's errors into DatabaseDown or DatabaseRefused; errors of our own pass."""
    try:
        yield
    except TaskscanError:
        raise
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise _said(cause, where(target)) from error


def _said(cause: BaseException | None, place: str) -> TaskscanError:
    text = _first_line(cause)
    match cause:
        case pg.DiskFull():
            return DatabaseRefused(f"The disk of the database at {place} is full ({text}). Free some space.")
        case pg.ReadOnlySqlTransaction():
            return DatabaseRefused(f"The database at {place} is read-only: use the primary server, or end recovery.")
        case pg.InsufficientPrivilege():
            return DatabaseRefused(f"The database at {place} denies it: {text}. Grant the right, or use another user.")
        case pg.InvalidPassword() | pg.InvalidAuthorizationSpecification():
            return DatabaseRefused(f"The database at {place} does not let this user in: {text}.")
        case pg.InvalidCatalogName():
            return DatabaseRefused(f"The server has no database {place}: create it with `createdb`.")
        case pg.UndefinedTable() | pg.UndefinedColumn() | pg.InvalidSchemaName():
            return DatabaseRefused(f"The tables at {place} are not as expected: {text}. Run `taskscan db upgrade`.")
        case pg.OperationalError() if "password authentication failed" in text:
            return DatabaseRefused(f"The database at {place} does not let this user in: {text}.")
        case pg.OperationalError() if "does not exist" in text:
            return DatabaseRefused(f"The server has no such database or user ({place}): {text}.")
        case pg.OperationalError() | pg.InterfaceError():
            return DatabaseDown(text, database=place)
        case _:
            return DatabaseRefused(f"The database at {place} refuses a statement: {text}.")


def _first_line(cause: BaseException | None) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__).rstrip(".")[:300]
