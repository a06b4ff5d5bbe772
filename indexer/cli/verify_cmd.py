"""`taskscan verify`: is what the tables say right, and if not, where."""

import asyncio
import json
from collections.abc import Callable
from typing import Annotated

import typer
from sqlalchemy.engine import Engine

from indexer.audit.findings import Finding
from indexer.audit.verify import Result
from indexer.audit.verify import verify as run_checks
from indexer.cli.common import ConfigOption, choose, err, opened, out
from indexer.cli.display import telling
from indexer.config import Settings
from indexer.store.database import in_words

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line per check.")]


Repair = Annotated[bool, typer.Option("--repair", help="Read the blocks that are wrong again, and check once more.")]


def verify(config: ConfigOption = None, as_json: Json = False, repair: Repair = False) -> None:
    """Prove the tables right, or say in which blocks they are wrong (exit code 1).

    Example: taskscan verify --json | jq .checks[].findings
    """
    chosen = choose(config)
    with opened(chosen.settings) as engine, in_words(engine), telling("verify") as tick:
        results = _check(engine, tick, quiet=as_json)
        if repair and any(result.total for result in results):
            _repair(chosen.settings, engine, [found for result in results for found in result.findings])
            results = _check(engine, tick, quiet=as_json)
    wrong = sum(result.total for result in results)
    if as_json:
        print(json.dumps({"right": not wrong, "checks": [result.as_dict() for result in results]}, indent=2))
    if wrong:
        raise typer.Exit(1)


def _check(engine: Engine, tick: Callable[[str], None], *, quiet: bool) -> list[Result]:
    results = []
    for result in run_checks(engine, tick):
        results.append(result)
        if not quiet:
            _print(result)
    return results


def _repair(settings: Settings, engine: Engine, findings: list[Finding]) -> None:
    from indexer.ingest.mend import mend  # web3 takes a second to import, and only a repair needs it

    for chain, pieces in asyncio.run(mend(settings, engine, findings)).items():
        blocks = ", ".join(str(piece) for piece in pieces)
        err.print(f"{chain}: read the blocks {blocks} again and folded their entities anew")


def _print(result: Result) -> None:
    looked = ", ".join(f"{number:,} {name}" for name, number in result.counts.items())
    found = f"{result.total:,} finding{'s' if result.total > 1 else ''}" if result.total else "right"
    out.print("; ".join((f"{result.check}: {looked}: {found}", *result.notes)))
    for each in result.findings:
        blocks = f"blocks {each.first_block:,}..{each.last_block:,}"
        out.print(f"  {each.chain}, {blocks}: {each.subject}: {each.message}")
    if more := result.total - len(result.findings):
        out.print(f"  and {more:,} more")
