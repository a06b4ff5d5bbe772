"""The command `taskscan`: it parses, calls, and turns errors into one sentence and an exit code."""

import logging
import os
import signal
import sys

import structlog
import typer

from indexer.cli import (
    config_cmd,
    db_cmd,
    demo_cmd,
    doctor_cmd,
    offchain_cmd,
    query_cmd,
    run_cmd,
    status_cmd,
    verify_cmd,
    why_cmd,
    work_cmd,
)
from indexer.errors import TaskscanError

INTERRUPTED = 130  # how typer ends after a KeyboardInterrupt
PIPE_CLOSED = 128 + signal.SIGPIPE  # how a shell tells of a tool that wrote into a pipe which nobody reads any more

app = typer.Typer(
    name="taskscan",
    help="Index decentralised compute tasks (Arbius, iExec, Koii, Aidbox) into one SQL database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_cmd.run)
app.command("demo")(demo_cmd.demo)
app.command("status")(status_cmd.status)
app.command("show")(query_cmd.show)
app.command("watch")(query_cmd.watch)
app.command("query")(query_cmd.query)
app.command("verify")(verify_cmd.verify)
app.command("doctor")(doctor_cmd.doctor)
app.command("why")(why_cmd.why)
app.add_typer(offchain_cmd.app, name="offchain")
app.command("backfill")(work_cmd.backfill)
app.command("worker")(work_cmd.worker)
app.add_typer(work_cmd.app, name="queue")
app.add_typer(db_cmd.app, name="db")
app.add_typer(config_cmd.app, name="config")


def main() -> None:
    """Entry point of the console script. Exit codes: 0 done, 1 failed, 2 usage or configuration, 141 where whoever
    reads the output, such as `head`, has enough of it."""
    _log_to_stderr()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a `kill` runs every `finally` too
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # Python writes at its end what is still in them
            os.dup2(nowhere, stream.fileno())
    sys.exit(code)


def _run() -> int | str | None:
    """Run the command; its exit code. Raises BrokenPipeError."""
    try:
        app()
    except TaskscanError as error:
        print(f"taskscan: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer and rich make 1 of it
            raise ended.__context__ from None
        if ended.code != INTERRUPTED:
            return ended.code
        print("taskscan: stopped", file=sys.stderr)
        return 1
    return 0


def _log_to_stderr() -> None:
    level = os.environ.get("TASKSCAN_LOG", "info").upper()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
