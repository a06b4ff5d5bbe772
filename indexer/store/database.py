"""The way to PostgreSQL: engines, and its errors in words.

Everything that touches the database goes through `engine` and runs inside `in_words`, so that a server that is
down, read-only, full or of another schema is told in one sentence, without its password.
"""

import contextlib
import re
from collections.abc import Iterator

import psycopg
import sqlalchemy as sa
from psycopg import errors as pg
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from indexer.errors import ConfigError, DatabaseDown, DatabaseRefused, GivenUp, TaskscanError

CONNECT_SECONDS = 10
LIBPQ = re.compile(
    r"connection (failed|is bad): |connection to server (at|on) .+? failed: |(FATAL|ERROR): +|\[Errno -?\d+\] "
)


# A fold or a page is planned as dear and done in milliseconds: a server's JIT compiler would work longer than they do.
_OPTIONS = "-c timezone=UTC -c jit=off"
# Views of all networks take longer to plan than to read: a connection plans each of them once.
READING_OPTIONS = f"{_OPTIONS} -c plan_cache_mode=force_generic_plan"


def engine(url: str, *, reading: bool = False) -> Engine:
    """An engine for `url` (postgresql://…). Raises ConfigError for a URL of another kind.

    `reading`: for questions that come again and again; every statement is then planned once per connection.
    """
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
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "taskscan",
            "options": READING_OPTIONS if reading else _OPTIONS,
            "prepare_threshold": 0 if reading else 5,
        },
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


def lazily(connection: sa.Connection) -> None:
    """Do not wait for the disk when this transaction ends. Only for what the ledger has read or folded again when the
    server's machine crashes: transactions are lost whole and from the newest on, so rows and ledger stay one."""
    connection.execute(sa.text("SET LOCAL synchronous_commit = off"))


@contextlib.contextmanager
def in_words(target: Engine) -> Iterator[None]:
    """Turn the driver's errors into DatabaseDown, DatabaseRefused or GivenUp; errors of our own pass."""
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
        case psycopg.Error() if _is_full(cause):
            return DatabaseRefused(f"The disk of the database at {place} is full ({text}). Free some space.")
        case pg.ReadOnlySqlTransaction():
            remedy = "use the primary server, or set default_transaction_read_only off"
            return DatabaseRefused(f"The database at {place} is read-only: {remedy}.")
        case pg.InsufficientPrivilege():
            return DatabaseRefused(f"The database at {place} denies it: {text}. Grant the right, or use another user.")
        case pg.UndefinedTable() | pg.UndefinedColumn() | pg.InvalidSchemaName():
            return DatabaseRefused(f"The tables at {place} are not as expected: {text}. Run `taskscan db upgrade`.")
        case pg.DependentObjectsStillExist() | pg.FeatureNotSupported() if "depends on" in (_detail(cause) or ""):
            return DatabaseRefused(
                f"An upgrade of the database at {place} makes anew what others stand on: {_detail(cause)}. "
                "Keep their definitions (`pg_dump -s -t NAME`), drop them, upgrade, and make them again."
            )
        case pg.DeadlockDetected() | pg.SerializationFailure():
            return GivenUp(text, database=place)
        case pg.OperationalError() | pg.InterfaceError():
            return _not_connected(text, place)
        case _:
            return DatabaseRefused(f"The database at {place} refuses a statement: {text}.")


def _detail(cause: psycopg.Error) -> str | None:
    detail = cause.diag.message_detail
    return "; ".join(detail.splitlines())[:300] if detail else None


def _is_full(cause: psycopg.Error) -> bool:
    """A quota and a limit on the size of files have no SQLSTATE of their own, but PostgreSQL's hint is the same."""
    return isinstance(cause, pg.DiskFull) or cause.diag.message_hint == "Check free disk space."


def _not_connected(text: str, place: str) -> TaskscanError:
    """A connection that fails has no SQLSTATE in psycopg: its text alone tells why."""
    if re.fullmatch(r'database "[^"]*" does not exist', text):
        return DatabaseRefused(f"The server has no database {place}: create it with `createdb`.")
    if re.search(r"authentication failed|no password supplied|pg_hba\.conf|role .* does not exist", text):
        return DatabaseRefused(f"The database at {place} does not let this user in: {text}. Correct user and password.")
    if re.match(r"permission denied for database", text):
        return DatabaseRefused(f"The database at {place} denies it: {text}. Grant the right, or use another user.")
    return DatabaseDown(text, database=place)


def _first_line(cause: BaseException | None) -> str:
    """The cause in PostgreSQL's words, without the address that libpq puts before them: we name the place ourselves."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    return LIBPQ.sub("", text).rstrip(".")[:300]
