"""`taskscan query`, `show` and `watch`: what is known of tasks, work, money and disputes."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.table import Table

from indexer.cli.common import ConfigOption, choose, err, opened, out
from indexer.cli.output import Format, plain, short, show_table, write_rows
from indexer.query import ask
from indexer.query.lists import Listing, page_of
from indexer.query.rows import Moment
from indexer.query.task import Found, find
from indexer.query.watching import Change
from indexer.query.watching import watch as follow
from indexer.store.database import in_words
from schema.analytics import VIEWS

# What a table for people shows by default; other formats have all columns.
SHOWN = {
    "tasks": ("network", "chain", "task_id", "status", "network_status", "submitter", "subject", "submitted_at"),
    "work": ("network", "chain", "task_id", "worker", "state", "submitted_at", "settled_at", "reward"),
    "payments": ("network", "chain", "task_id", "kind", "from_address", "to_address", "amount", "token", "block_time"),
    "disputes": ("network", "chain", "task_id", "opened_by", "against", "yeas", "nays", "leading", "outcome"),
    "claimable": ("network", "chain", "task_id", "action", "role", "account", "gain", "token", "since", "lacks"),
    "stuck": ("network", "chain", "task_id", "reason", "role", "account", "stake", "token", "since", "until"),
    "expiring": ("network", "chain", "task_id", "window", "deadline", "seconds_left", "becomes"),
    "open_disputes": (
        "network",
        "chain",
        "task_id",
        "against",
        "yeas",
        "nays",
        "adder",
        "leading",
        "state",
        "deadline",
    ),
}
HIDDEN = ("network", "chain", "chain_id", "contract", "task_id")

Name = Annotated[str, typer.Argument(help=f"One of {', '.join(VIEWS)}.", show_default=False)]
Filters = Annotated[
    list[str] | None, typer.Argument(help="column=value, column>value, column<value, column!=value; 0xab* is a prefix.")
]
Form = Annotated[Format, typer.Option("--format", "-f", help="How rows are written.")]
Columns = Annotated[str, typer.Option(help="Columns, separated by commas. Default: all; in tables the most telling.")]
Limit = Annotated[int, typer.Option(min=1, help="How many rows at most, newest first.")]
TaskId = Annotated[str, typer.Argument(help="A task id, or the beginning of one that fits no other.")]
After = Annotated[str | None, typer.Option(metavar="PLACE", help="Begin where the page before ended, as it said.")]
AsOf = Annotated[
    str | None, typer.Option(metavar="BLOCK|TIME", help="As it was at a block, or at a time such as 2026-01-31T12:00Z.")
]
KnownAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="As it was shown at a time, with what a reorg has removed since.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def query(
    name: Name, filters: Filters = None, form: Form = Format.table, columns: Columns = "", limit: Limit = 50,
    after: After = None, as_of: AsOf = None, known_at: KnownAt = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """List rows of a view: tasks, work, claimable, stuck, expiring and more, filtered by any column.

    Newest first; claimable rows hold the ready transaction (call_to, call_data). tasks also take owner= and worker=.

    Example: taskscan query tasks network=iexec status=claimable "submitted_at>2026-01-01" --format csv
    """
    wanted = tuple(part for part in columns.split(",") if part)
    if not wanted and form is Format.table:
        wanted = SHOWN.get(name, ())
    listing = Listing(name, tuple(filters or ()), wanted, limit, as_of, after, known_at)
    listing.query()
    with _connected(config, steady=known_at is None) as connection:
        page = ask(connection, page_of(listing))
        write_rows(page.rows, listing.names, form)
    if page.next:
        err.print(f"more: --after {page.next}")


def show(
    task_id: TaskId, as_of: AsOf = None, known_at: KnownAt = None, config: ConfigOption = None, as_json: Json = False
) -> None:  # fmt: skip
    """Show one task: its state, who worked on it, what was paid, and all its events in order.

    Example: taskscan show 0x74268c00
    """
    with _connected(config, steady=known_at is None) as connection:
        task = find(connection, task_id, as_of, known_at)
    if as_json:
        print(json.dumps(task._asdict(), default=plain, indent=2))
    else:
        _print(task)


def watch(task_id: TaskId, config: ConfigOption = None, as_json: Json = False) -> None:
    """Follow one task: all that has happened to it and then what happens, until it is done.

    A whole id may be that of a task that is not there yet.

    Example: taskscan watch 0x74268c00
    """
    chosen = choose(config)
    with opened(chosen.settings) as engine:
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        asyncio.run(_follow(url, task_id, as_json))


async def _follow(url: str, task_id: str, as_json: bool) -> None:
    async for change in follow(url, task_id):
        print(_line(change, as_json), flush=True)


def _line(change: Change, as_json: bool) -> str:
    if as_json:
        return json.dumps(change._asdict(), default=plain)
    words = f"{short(change.at)}  {change.network_status or '-':<22}  {change.what}"
    told = [*([short(change.who)] if change.who else []), *_arguments(change.details)]
    return f"{words}{' (taken back by a reorg)' if change.kind == 'gone' else ''}  {', '.join(told)}".rstrip()


def _arguments(details: dict[str, object]) -> list[str]:
    return [f"{key}={short(value)}" for key, value in details.items()]


@contextlib.contextmanager
def _connected(config: Path | None, *, steady: bool) -> Iterator[sa.Connection]:
    """`steady`: all statements see the database as the first one did, whatever is written meanwhile. Not for what was
    known at a time: tables are changed for it, in their newest state."""
    chosen = choose(config)
    with opened(chosen.settings) as engine, in_words(engine), engine.connect() as connection:
        yield connection.execution_options(isolation_level="REPEATABLE READ") if steady else connection


def _print(task: Found) -> None:
    for key, value in task.task.items():
        if value is not None:
            out.print(f"{key:>16}  {value if isinstance(value, str) else short(value)}")
    for title, rows in (("work", task.work), ("payments", task.payments), ("disputes", task.disputes)):
        if rows:
            _section(title, rows)
    if not task.timeline:
        return
    table = Table(title="timeline", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("time", "block", "", "status", "who", "arguments"):
        table.add_column(name)
    for at in (Moment(**row) for row in task.timeline):
        what = f"{at.what} (due)" if at.kind == "due" else at.what
        place = short(at.at), short(at.block), what, at.network_status or "", short(at.who) if at.who else ""
        table.add_row(*place, ", ".join(_arguments(at.details)))
    show_table(table)


def _section(title: str, rows: list[dict[str, object]]) -> None:
    names = [key for key in rows[0] if key not in HIDDEN and any(row[key] is not None for row in rows)]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(short(row[name]) for name in names))
    show_table(table)
