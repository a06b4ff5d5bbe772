"""`taskscan doctor`: what the configured providers can do, and what is wrong with them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from indexer.cli.common import Chosen, ConfigOption, choose, err, opened, out
from indexer.cli.output import show_table
from indexer.config import Chain
from indexer.errors import TaskscanError, UsageError
from indexer.store import providers, server
from indexer.store.database import in_words

if TYPE_CHECKING:
    from indexer.rpc.profile import Profile

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
WORDS = ("provider", "verdict", "state", "blooms", "receipts", "times")
Found = dict[str, list["Profile"]]


def doctor(config: ConfigOption = None, as_json: Json = False) -> None:
    """Probe each provider for its limits, archive, blooms and head, with at most 40 calls each.

    Example: taskscan doctor --config taskscan.toml
    """
    chosen = choose(config)
    if chosen.demo:
        raise UsageError("There is no provider to probe: name a configuration with --config or TASKSCAN_CONFIG.")
    found = asyncio.run(_examine([chain for chain in chosen.settings.chains if chain.kind == "evm"]))
    _keep(chosen, found)
    if as_json:
        print(
            json.dumps(
                {chain: [_facts(profile) for profile in profiles] for chain, profiles in found.items()}, indent=2
            )
        )
    else:
        for chain, profiles in found.items():
            _show(chain, profiles)
    if any(profile.verdict == "unusable" for profiles in found.values() for profile in profiles):
        raise typer.Exit(1)


async def _examine(chains: Sequence[Chain]) -> Found:
    from indexer.ingest.job import connect  # web3 takes a second to import
    from indexer.rpc.doctor import examine_all

    async def one(chain: Chain) -> list["Profile"]:
        asked = [connect(rpc) for rpc in chain.http]
        try:
            return await examine_all(asked, chain.chain_id)
        finally:
            await asyncio.gather(*(provider.disconnect() for provider in asked))

    found = await asyncio.gather(*map(one, chains))
    return dict(zip((chain.name for chain in chains), found, strict=True))


def _facts(profile: "Profile") -> dict[str, Any]:
    return asdict(profile) | {"verdict": profile.verdict, "advice": profile.advice}


def _keep(chosen: Chosen, found: Found) -> None:
    """Keep the profiles where there is a database already; the scanner starts from them."""
    database = chosen.settings.database
    try:
        if not database.url and server.describe(database.data_dir) is None:
            return
        with opened(chosen.settings) as engine, in_words(engine), engine.begin() as connection:
            for profile in (profile for profiles in found.values() for profile in profiles):
                if profile.verdict != "unusable":
                    providers.keep_profile(connection, profile.chain_id, profile.provider, _facts(profile))
    except TaskscanError as error:
        err.print(f"the profiles are not kept: {error}")


def _show(chain: str, profiles: Sequence["Profile"]) -> None:
    table = Table(title=chain, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, _ in _columns(profiles[0]):
        table.add_column(name, justify="left" if name in WORDS else "right")
    for profile in profiles:
        table.add_row(*(text for _, text in _columns(profile)))
    show_table(table)
    for profile in profiles:
        for text in profile.advice:
            out.print(f"  {profile.provider}: {text}")


def _columns(p: "Profile") -> list[tuple[str, str]]:
    state = "all" if p.all_state else None if p.state_depth is None else f"{p.state_depth:,} blocks"
    return [
        ("provider", p.provider),
        ("verdict", p.verdict),
        ("latency", "-" if p.latency_ms is None else f"{p.latency_ms:,.0f} ms"),
        ("head", _number(p.head)),
        ("behind", _number(p.behind) if p.head is not None else "-"),
        ("final", _number(p.finalized_lag)),
        ("blocks", _cap(p.range_cap, p.range_tried)),
        ("logs", _cap(p.result_cap, p.results_tried)),
        ("batch", _cap(p.batch_cap, 0)),
        ("state", state or "-"),
        ("blooms", _word(p.blooms_truthful, "true", "false")),
        ("receipts", p.receipts or "-"),
        ("times", _word(p.block_timestamp, "in logs", "in headers")),
        ("calls", _number(p.calls)),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _cap(cap: int | None, tried: int) -> str:
    """A limit; where none was met, what was answered."""
    return f"{cap:,}" if cap else f"{tried:,} or more" if tried else "-" if cap is None else "12 or more"


def _word(value: bool | None, yes: str, no: str) -> str:
    return "-" if value is None else yes if value else no
