"""`taskscan config`: is the file right, and what may stand in it?"""

import json

import typer

from indexer.cli.common import ConfigOption, choose, out
from indexer.config import Settings

app = typer.Typer(help="Check a configuration, or print what one may hold.", no_args_is_help=True)


@app.command("check")
def check(config: ConfigOption = None) -> None:
    """Read the configuration and report every fault in it, without connecting anywhere.

    Example: taskscan config check --config taskscan.toml
    """
    chosen = choose(config)
    for source in chosen.settings.sources:
        contracts = ", ".join(source.addresses) or "the known deployments"
        out.print(f"{source.network} @ {source.chain}: {contracts}, evidence {source.evidence}")
    out.print(f"{chosen.origin} is right")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    Example: taskscan config schema > taskscan.schema.json
    """
    print(json.dumps(Settings.model_json_schema(), indent=2))
