"""`taskscan query` and `taskscan show`: what is known of tasks, work, money and disputes."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.table import Table

from indexer.cli.common import ConfigOption, choose, opened, out
from indexer.cli.output import Format, plain, short, write_rows
from indexer.query import lists
from indexer.query.task import Task, find
from indexer.store.database import in_words

# What a table for people shows by default; other formats have all columns.
SHOWN = {
    "tasks": ("network", "chain", "task_id", "status", "network_status", "submitter", "subject", "submitted_at"),
    "work": ("network", "chain", "task_id", "worker", "state", "submitted_at", "settled_at", "reward"),
    "payments": ("network", "chain", "task_id", "kind", "from_address", "to_address", "amount", "token", "block_time"),
    "disputes": ("network", "chain", "task_id", "opened_by", "against", "yeas", "nays", "leading", "outcome"),
}
HIDDEN = ("network", "chain", "chain_id", "contract", "task_id")

Name = Annotated[str, typer.Argument(help="tasks, work, payments, disputes, workers or daily.")]
Filters = Annotated[
    list[str] | None, typer.Argument(help="column=value, column>value, column<value, column!=value; 0xab* is a prefix.")
]
Form = Annotated[Format, typer.Option("--format", "-f", help="How rows are written.")]
Columns = Annotated[str, typer.Option(help="Columns, separated by commas. Default: all; in tables the most telling.")]
Limit = Annotated[int, typer.Option(min=1, help="How many rows at most, newest first.")]
TaskId = Annotated[str, typer.Argument(help="A task id, or the beginning of one that fits no other.")]
AsOf = Annotated[
    str | None, typer.Option(metavar="BLOCK|TIME", help="As it was at a block, or at a time such as 2026-01-31T12:00Z.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def query(
    name: Name, filters: Filters = None, form: Form = Format.table, columns: Columns = "", limit: Limit = 50,
    as_of: AsOf = None, config: ConfigOption = None,
) -> None:  # fmt: skip
    """List tasks, work, payments, disputes, workers or days, newest first, filtered by any column.

    Example: taskscan query tasks network=iexec status=claimable "submitted_at>2026-01-01" --format csv
    """
    wanted = [part for part in columns.split(",") if part]
    if not wanted and form is Format.table:
        wanted = list(SHOWN.get(name, ()))
    listing = lists.Listing(name, tuple(filters or ()), tuple(wanted), limit, as_of)
    shown = list(listing.query().selected_columns.keys())
    with _connected(config) as connection:
        write_rows(lists.rows(connection, listing), shown, form)


def show(task_id: TaskId, as_of: AsOf = None, config: ConfigOption = None, as_json: Json = False) -> None:
    """Show one task: its state, who worked on it, what was paid, and all its events in order.

    Example: taskscan show 0x74268c00
    """
    with _connected(config) as connection:
        task = find(connection, task_id, as_of)
    if as_json:
        print(json.dumps(task._asdict(), default=plain, indent=2))
    else:
        _print(task)


@contextlib.contextmanager
def _connected(config: Path | None) -> Iterator[sa.Connection]:
    chosen = choose(config)
    with opened(chosen.settings) as engine, in_words(engine), engine.connect() as connection:
        yield connection


def _print(task: Task) -> None:
    for key, value in task.task.items():
        if value is not None:
            out.print(f"{key:>16}  {value if isinstance(value, str) else short(value)}")
    for title, rows in (("work", task.work), ("payments", task.payments), ("disputes", task.disputes)):
        if rows:
            _section(title, rows)
    table = Table(title="events", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("time", "block", "log", "event", "arguments"):
        table.add_column(name)
    for event in task.events:
        arguments = ", ".join(f"{key}={short(value)}" for key, value in event["arguments"].items())
        table.add_row(short(event["time"]), str(event["block"]), str(event["log_index"]), event["event"], arguments)
    out.print(table)


def _section(title: str, rows: list[dict[str, object]]) -> None:
    names = [key for key in rows[0] if key not in HIDDEN and any(row[key] is not None for row in rows)]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(short(row[name]) for name in names))
    out.print(table)
