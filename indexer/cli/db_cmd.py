"""`taskscan db`: the database itself."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import typer
from sqlalchemy.engine import URL

from indexer.cli.common import ConfigOption, choose, err, opened, out
from indexer.cli.display import telling
from indexer.config import Settings
from indexer.errors import UsageError
from indexer.store import migrate, server
from indexer.store.database import in_words, where
from indexer.store.rebuild import rebuild as make_anew
from indexer.store.shadow import Difference

app = typer.Typer(help="Upgrade, reach, start and stop the database.", no_args_is_help=True)


def _embedded(settings: Settings, verb: str) -> None:
    if settings.database.url:
        raise UsageError(f"The database is a server of yours (database.url); Taskscan does not {verb} it.")


@app.command("upgrade")
def upgrade(config: ConfigOption = None) -> None:
    """Bring the tables and views to this version of Taskscan, in one transaction.

    Example: taskscan db upgrade --config taskscan.toml
    """
    with opened(choose(config).settings, upgrade=True) as engine:
        err.print(f"{where(engine)} has the schema {migrate.state(engine).found}")


@app.command("rebuild")
def rebuild(config: ConfigOption = None) -> None:
    """Make all entities and counts anew from the stored events, without asking any chain, and show what changed.

    Everything is one transaction: an interruption leaves the old tables. A `run` on the same database waits meanwhile.

    Example: taskscan db rebuild
    """
    with (
        opened(choose(config).settings) as engine,
        in_words(engine),
        telling("rebuild") as tell,
        engine.begin() as connection,
    ):
        done = make_anew(connection, tell)
    for each in done.differences:
        _print(each)
    out.print(f"facts given again to {done.facts:,} rows")


def _print(each: Difference) -> None:
    told = [f"{n:,} {what}" for n, what in zip(each[2:5], ("added", "removed", "changed"), strict=True) if n]
    out.print(f"{each.table}: {each.rows:,} rows; {', '.join(told) or 'as before'}")
    for example in each.examples:
        out.print(f"  {example}")


@app.command("url")
def url(config: ConfigOption = None) -> None:
    """Print the URL of the database alone on a line; of the embedded one, whether it runs or not.

    Example: psql "$(taskscan db url)"
    """
    settings = choose(config).settings
    if settings.database.url:
        print(settings.database.url.get_secret_value())
        return
    known = server.describe(settings.database.data_dir)
    if known is None:
        with server.using(settings.database.data_dir) as known:
            pass
    print(known.url)


@app.command("shell", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def shell(context: typer.Context, config: ConfigOption = None) -> None:
    """Open psql on the database; further arguments go to psql.

    Example: taskscan db shell -- -c 'SELECT * FROM analytics.freshness'
    """
    settings = choose(config).settings
    with opened(settings) as engine:
        # The password goes by the environment: command lines are for all to see. `URL.set` cannot take it out.
        full = engine.url
        url = URL.create("postgresql", full.username, None, full.host, full.port, full.database, full.query)
        password = {"PGPASSWORD": str(full.password)} if full.password else {}
        with _interrupts_left_to_psql():
            command = [str(server.psql_path()), url.render_as_string(), *context.args]
            ended = subprocess.run(command, env=os.environ | password, check=False)
    raise typer.Exit(ended.returncode)


@contextlib.contextmanager
def _interrupts_left_to_psql() -> Iterator[None]:
    """Ctrl-C cancels psql's query; it must not end the shell. A handler, unlike SIG_IGN, is not inherited."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@app.command("start")
def start(config: ConfigOption = None) -> None:
    """Start the embedded server and keep it up for psql and BI tools until `db stop`.

    Example: taskscan db start
    """
    settings = choose(config).settings
    _embedded(settings, "start")
    with opened(settings) as engine:
        server.pin(settings.database.data_dir)
        out.print(f"running at {where(engine)}; `taskscan db url` prints the URL, `taskscan db stop` ends it")


@app.command("stop")
def stop(config: ConfigOption = None) -> None:
    """Stop the embedded server that `db start` keeps up.

    Example: taskscan db stop
    """
    settings = choose(config).settings
    _embedded(settings, "stop")
    stopped = server.unpin_and_stop(settings.database.data_dir)
    err.print("stopped" if stopped else "another command still uses it; it stops with that one")
