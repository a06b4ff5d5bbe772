"""`taskscan status`: what is read, how far, and how large it is."""

import json
import shutil
from typing import Annotated

import typer
from rich.table import Table

from indexer.cli.common import Chosen, ConfigOption, choose, opened, out
from indexer.cli.output import show_table
from indexer.store.database import in_words, where
from indexer.store.status import Status, read_status

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def status(config: ConfigOption = None, as_json: Json = False) -> None:
    """Say what is read, how far and how large it is; exit code 1 where data is older than its chain's pace allows.

    Example: taskscan status --json | jq .late
    """
    chosen = choose(config)
    with opened(chosen.settings) as engine, in_words(engine), engine.connect() as connection:
        found = read_status(connection)
        place = where(engine)
    facts = {"database": place, "free_disk_bytes": _free(chosen), **found._asdict()}
    if as_json:
        print(json.dumps(facts, default=str, indent=2))
    else:
        _show(found, place, _free(chosen))
    if found.late:
        raise typer.Exit(1)


def _free(chosen: Chosen) -> int | None:
    """Free bytes on the disk of the embedded database; None for a server elsewhere."""
    folder = chosen.settings.database.data_dir
    return None if chosen.settings.database.url else shutil.disk_usage(folder if folder.exists() else ".").free


def _show(found: Status, place: str, free: int | None) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("network", "chain", "contracts", "read from", "read to", "head", "to enrich", "lag", "evidence"):
        table.add_column(name, justify="left" if name in ("network", "chain", "evidence") else "right")
    for row in found.sources:
        lag = "-" if row["lag_seconds"] is None else f"{row['lag_seconds']:,.0f} s"
        numbers = [_number(row[name]) for name in ("contracts", "from_block", "read_to", "head_block", "to_enrich")]
        table.add_row(row["network"], row["chain"], *numbers, lag, row["evidence"] or "-")
    if found.sources:
        show_table(table)
    else:
        out.print("nothing is read yet: run `taskscan run`")
    for reason in found.late:
        out.print(f"late: {reason}")
    size = sum(row["bytes"] for row in found.tables)
    rows = sum(row["rows"] for row in found.tables)
    out.print(f"\n{place}: {len(found.tables)} tables with rows, about {rows:,} rows, {size / 1e6:,.1f} MB")
    for row in found.tables[:5]:
        out.print(f"  {row['table']}: about {row['rows']:,} rows, {row['bytes'] / 1e6:,.1f} MB")
    if free is not None:
        out.print(f"free disk: {free / 1e9:,.1f} GB")
    out.print(f"unknown logs: {found.unknown_logs:,}; incidents in the last day: {found.incidents:,}")


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
