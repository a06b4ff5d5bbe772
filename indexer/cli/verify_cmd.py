"""`taskscan verify`: is what the tables say right, and if not, where."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import structlog
import typer

from indexer.audit.verify import Result
from indexer.audit.verify import verify as run_checks
from indexer.cli.common import ConfigOption, choose, err, opened, out
from indexer.store.database import in_words

log = structlog.get_logger(__name__)

LINE_SECONDS = 60
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line per check.")]


def verify(config: ConfigOption = None, as_json: Json = False) -> None:
    """Prove the tables right, or say in which blocks they are wrong (exit code 1).

    Example: taskscan verify --json | jq .checks[].findings
    """
    chosen = choose(config)
    results: list[Result] = []
    with opened(chosen.settings) as engine, in_words(engine), _progress() as tick:
        for result in run_checks(engine, tick):
            results.append(result)
            if not as_json:
                _print(result)
    wrong = sum(result.total for result in results)
    if as_json:
        print(json.dumps({"right": not wrong, "checks": [result.as_dict() for result in results]}, indent=2))
    if wrong:
        raise typer.Exit(1)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What a check is told to call: a status line on a terminal, one log line per minute elsewhere."""
    if err.is_terminal:
        with err.status("") as status:
            yield status.update
        return
    last = time.monotonic()

    def line(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            log.info("progress", action="verify", at=text)

    yield line


def _print(result: Result) -> None:
    looked = ", ".join(f"{number:,} {name}" for name, number in result.counts.items())
    found = f"{result.total:,} finding{'s' if result.total > 1 else ''}" if result.total else "right"
    out.print("; ".join((f"{result.check}: {looked}: {found}", *result.notes)))
    for each in result.findings:
        blocks = f"blocks {each.first_block:,}..{each.last_block:,}"
        out.print(f"  {each.chain}, {blocks}: {each.subject}: {each.message}")
    if more := result.total - len(result.findings):
        out.print(f"  and {more:,} more")
