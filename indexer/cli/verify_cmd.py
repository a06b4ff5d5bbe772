"""`taskscan verify`: is what the tables say right, and if not, where."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from sqlalchemy.engine import Engine

from indexer.audit.findings import Finding
from indexer.audit.verify import Result
from indexer.audit.verify import verify as run_checks
from indexer.chain.ranges import Range
from indexer.cli.common import ConfigOption, choose, err, opened, out
from indexer.cli.display import telling
from indexer.config import Settings
from indexer.errors import UsageError
from indexer.store.database import in_words

if TYPE_CHECKING:
    from indexer.ingest.second import Second

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a line per check.")]


Repair = Annotated[bool, typer.Option("--repair", help="Read the blocks that are wrong again, and check once more.")]
AgainstProvider = Annotated[
    str, typer.Option("--provider", help="Also compare with what this provider says: a configured host, or a URL.")
]
Blocks = Annotated[str, typer.Option("--blocks", metavar="FIRST..LAST", help="With --provider: only these blocks.")]
Sample = Annotated[
    float, typer.Option("--sample", min=0.0, max=1.0, help="With --provider: this share of the blocks, at random.")
]


class _Asked(NamedTuple):
    """A comparison with second providers: of these blocks (None: all), of this share of them."""

    seconds: list["Second"]
    within: Range | None
    share: float


def verify(
    config: ConfigOption = None, as_json: Json = False, repair: Repair = False, provider: AgainstProvider = "",
    blocks: Blocks = "", sample: Sample = 1.0,
) -> None:  # fmt: skip
    """Prove the tables right, or say in which blocks they are wrong (exit code 1).

    Example: taskscan verify --provider https://rpc.example.org --sample 0.05
    """
    chosen = choose(config)
    settings, asked = _asked(chosen.settings, provider, _range(blocks), sample)
    with opened(settings) as engine, in_words(engine), telling("verify") as tick:
        results = _check(engine, tick, asked, quiet=as_json)
        if repair and any(result.total for result in results):
            _repair(settings, engine, [found for result in results for found in result.findings])
            results = _check(engine, tick, asked, quiet=as_json)
    wrong = sum(result.total for result in results)
    if as_json:
        print(json.dumps({"right": not wrong, "checks": [result.as_dict() for result in results]}, indent=2))
    if wrong:
        raise typer.Exit(1)


def _asked(settings: Settings, given: str, within: Range | None, share: float) -> tuple[Settings, _Asked | None]:
    """Whom to compare with, and the settings with them among their chains' providers."""
    if not given:
        if within or share < 1:
            raise UsageError("--blocks and --sample say what to compare with a second provider: name it by --provider.")
        return settings, None
    from indexer.ingest import second  # web3 takes a second to import, and only this needs it

    seconds = asyncio.run(second.named(settings, given))
    return second.joined(settings, seconds), _Asked(seconds, within, share)


def _range(text: str) -> Range | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d+)\.\.(\d+)", text.replace(",", "").replace("_", ""))
    if not match or int(match[1]) > int(match[2]):
        raise UsageError(f"{text!r} is no range of blocks: write FIRST..LAST, as in 1000..2000.")
    return Range(int(match[1]), int(match[2]))


def _check(engine: Engine, tick: Callable[[str], None], asked: _Asked | None, *, quiet: bool) -> list[Result]:
    results = []
    for result in _results(engine, tick, asked):
        results.append(result)
        if not quiet:
            _print(result)
    return results


def _results(engine: Engine, tick: Callable[[str], None], asked: _Asked | None) -> Iterator[Result]:
    yield from run_checks(engine, tick)
    if asked:
        from indexer.ingest import second

        yield asyncio.run(second.compared(engine, *asked, tick))


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
