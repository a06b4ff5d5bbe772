"""Queries are values: `ask` runs one on a connection, `ask_async` on an asynchronous one. What it does stands once.

    with connect(url) as database:
        for row in ask(database, claimable(account="0x…")):
            print(row.task_id, row.call)

A query is a generator: it yields a statement, is sent the rows, and returns the answer. Statements are read-only.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.rows import DictRow, dict_row
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

from indexer.errors import NotCovered
from indexer.store.database import READING_OPTIONS, driver, engine, in_words

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A statement as text: to build and compile one of a view takes longer than PostgreSQL needs for its few rows."""

    text: bytes
    values: Mapping[str, Any]

    def of(self, **values: Any) -> "Made":
        """The same with values for its parameters."""
        return Made(self.text, {**self.values, **values})


Steps = Generator[sa.Executable | Made, list[Row], T]

# The database's own words for what is not read (schema/sql/80_as_of.sql). They must not end the caller's transaction.
_NOT_READ = (psycopg.errors.NoDataFound, psycopg.errors.NumericValueOutOfRange)
_MAY_REFUSE = "taskscan_may_refuse"
_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Query(Generic[T]):
    """A question about the database; `T` is the type of its answer."""

    steps: Callable[[], Steps[T]]


def may_refuse(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Mark a statement that raises what is not covered; the query then gets NotCovered."""
    return statement.execution_options(**{_MAY_REFUSE: True})


def made(statement: sa.Executable) -> Made:
    """`statement` as text, to be kept by who asks it again and again; its parameters keep their names."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
    return Made(compiled.string.encode(), compiled.params)


def ask(connection: sa.Connection, query: Query[T]) -> T:
    """The answer. Raises UsageError and its kinds for what cannot be asked."""
    steps = query.steps()
    try:
        statement = next(steps)
        while True:
            try:
                rows = _rows(connection, statement)
            except NotCovered as refusal:
                statement = steps.throw(refusal)
            else:
                statement = steps.send(rows)
    except StopIteration as end:
        answer: T = end.value
        return answer


async def ask_async(connection: "psycopg.AsyncConnection[DictRow]", query: Query[T]) -> T:
    """The same on a connection of `connect_async`, which serves one question at a time."""
    steps = query.steps()
    try:
        statement = next(steps)
        while True:
            try:
                rows = await _rows_async(connection, statement)
            except NotCovered as refusal:
                statement = steps.throw(refusal)
            else:
                statement = steps.send(rows)
    except StopIteration as end:
        answer: T = end.value
        return answer


@contextlib.contextmanager
def connect(url: str) -> Iterator[sa.Connection]:
    """A connection to ask on; `taskscan db url` prints the URL. Raises DatabaseDown, DatabaseRefused, ConfigError."""
    target = engine(url, reading=True)
    try:
        with in_words(target), target.connect() as connection:
            yield connection
    finally:
        target.dispose()


@contextlib.asynccontextmanager
async def connect_async(url: str) -> "AsyncIterator[psycopg.AsyncConnection[DictRow]]":
    """The same for `ask_async`."""
    with in_words(engine(url)):
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, row_factory=dict_row, options=READING_OPTIONS, application_name="taskscan",
            prepare_threshold=0,
        )  # fmt: skip
        async with connection:
            yield connection


def _rows(connection: sa.Connection, statement: sa.Executable | Made) -> list[Row]:
    if isinstance(statement, Made):
        if not connection.in_transaction():
            connection.begin()  # or SQLAlchemy would not know of the one that the driver begins
        with driver(connection).cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.text, statement.values).fetchall()
    if not statement.get_execution_options().get(_MAY_REFUSE):
        return [dict(row) for row in connection.execute(statement).mappings()]
    try:
        with connection.begin_nested():
            return [dict(row) for row in connection.execute(statement).mappings()]
    except DBAPIError as error:
        if isinstance(error.orig, _NOT_READ):
            raise _refusal(error.orig) from None
        raise


async def _rows_async(connection: "psycopg.AsyncConnection[DictRow]", statement: sa.Executable | Made) -> list[Row]:
    asked = statement if isinstance(statement, Made) else made(statement)
    try:
        async with connection.transaction():
            return await (await connection.execute(asked.text, asked.values)).fetchall()
    except _NOT_READ as error:
        raise _refusal(error) from None


def _refusal(error: psycopg.Error) -> NotCovered:
    said = error.diag.message_primary or str(error)
    return NotCovered(f"{said[:1].upper()}{said[1:]}.")
