"""What several commands share: which configuration, and the database that it names."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.engine import Engine

from indexer.config import Chain, Database, Settings, Source, find_file, load
from indexer.store import database as db
from indexer.store import migrate, server

# Paths and texts of servers are shown as they are: brackets in them are no markup.
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)

DEMO_DATA = Path(".taskscan") / "demo"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file. Default: TASKSCAN_CONFIG, ./taskscan.toml, the demo."),
]


@dataclass(frozen=True)
class Chosen:
    """The settings in force; `origin` says in words where they come from, `demo` that nothing is configured."""

    settings: Settings
    origin: str
    demo: bool = False


def choose(given: Path | None) -> Chosen:
    """Find and check the configuration and say on stderr which one it is. Raises ConfigError."""
    path = find_file(given)
    if path is None:
        chosen = Chosen(demo_settings(), "the built-in demo (no taskscan.toml here)", demo=True)
    else:
        chosen = Chosen(load(path), str(path))
    err.print(f"configuration: {chosen.origin}")
    return chosen


def demo_settings(chains: Sequence[Chain] = (), sources: Sequence[Source] = ()) -> Settings:
    """Settings of the demo: its own data folder, whatever the environment says."""
    database = Database(data_dir=DEMO_DATA)
    return Settings.model_construct(database=database, chains=list(chains), sources=list(sources))


@contextlib.contextmanager
def opened(settings: Settings, *, upgrade: bool = False, lasting: bool = True) -> Iterator[Engine]:
    """An engine for the database of `settings`, with this version's schema.

    The embedded server is started when needed, upgraded, and stopped with its last user; another server is
    upgraded only with `upgrade`. What is not `lasting` need not outlive a crash of the machine. Raises DatabaseDown,
    DatabaseRefused, SetupFailed.
    """
    with _url(settings, lasting) as url:
        engine = db.engine(url)
        try:
            if upgrade or not (settings.database.url or migrate.is_current(engine)):
                migrate.upgrade(engine)
            migrate.require_current(engine)
            yield engine
        finally:
            engine.dispose()


@contextlib.contextmanager
def _url(settings: Settings, lasting: bool) -> Iterator[str]:
    if settings.database.url:
        yield settings.database.url.get_secret_value()
    else:
        with server.using(settings.database.data_dir, fast=not lasting) as running:
            yield running.url
