"""`taskscan backfill`, `worker` and `queue`: block ranges as jobs, done by many processes on any number of machines."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy.engine import Engine

from indexer.cli.common import Chosen, ConfigOption, choose, err, opened
from indexer.cli.display import follow, summary
from indexer.config import Settings, build, find_file
from indexer.errors import TaskscanError, UsageError, ungrouped
from indexer.store.database import in_words, where
from indexer.store.store import Store

if TYPE_CHECKING:
    from indexer.ingest.job import ChainJob
    from indexer.work.client import QueueClient

app = typer.Typer(help="Serve the job queue and say who may ask it.", no_args_is_help=True)

ListenOption = Annotated[str, typer.Option(help="HOST:PORT at which the queue is served; port 0 takes a free one.")]
ForADay = timedelta(days=1)


def backfill(
    config: ConfigOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Workers on this machine; 0 leaves it all to others.")] = 2,
    listen: ListenOption = "127.0.0.1:0",
    blocks: Annotated[
        int | None, typer.Option(min=1, help="Blocks of one job. Default: so many that there are 500 jobs.")
    ] = None,
) -> None:
    """Read all that is missing and final by several workers at once, through a queue of jobs; then fold it.

    Example: taskscan backfill --workers 4 --listen 0.0.0.0:8700
    """
    chosen = _configured(config)
    host, port = place_of(listen)
    with opened(chosen.settings) as engine:
        err.print(f"database: {where(engine)}")
        _run(lambda: _backfill(chosen, engine, workers, (host, port), blocks))


def worker(
    config: ConfigOption = None,
    queue: Annotated[str | None, typer.Option(help="URL of the queue. Default: queue.url, TASKSCAN_QUEUE_URL.")] = None,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input closes.")] = False,
) -> None:
    """Take jobs from a queue and read their blocks into the database, until Ctrl-C.

    Needs the database (database.url or TASKSCAN_DATABASE_URL) and the queue (TASKSCAN_QUEUE_URL, _CLIENT_ID,
    _CLIENT_SECRET): one of `taskscan backfill`, `taskscan queue serve`, or an Aidbox.

    Example: taskscan worker --queue http://10.0.0.5:8700
    """
    settings = _with_database(config, "A worker")
    client = _client(settings, queue)
    with opened(settings) as engine:
        _run(lambda: _work(settings, engine, client, with_parent))


@app.command("serve")
def serve(config: ConfigOption = None, listen: ListenOption = "127.0.0.1:8700") -> None:
    """Serve the job queue in the database until Ctrl-C; any number of servers may do so.

    Example: taskscan queue serve --listen 0.0.0.0:8700
    """
    settings = _with_database(config, "The queue")
    host, port = place_of(listen)
    with opened(settings) as engine:
        _run(lambda: _serve(engine, host, port, settings.queue.keep_days))


@app.command("client")
def client(
    name: Annotated[str, typer.Argument(help="Id of the client.")],
    config: ConfigOption = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let this client ask no more.")] = False,
) -> None:
    """Let a client ask the queue, and print its new secret, which is shown only once.

    Example: taskscan queue client worker-7
    """
    from indexer.work import clients

    if not name.isprintable() or ":" in name or not 0 < len(name) <= clients.LONGEST:
        raise UsageError("The id of a client is a short text without a colon.")
    with opened(_with_database(config, "The queue")) as engine, in_words(engine), engine.begin() as connection:
        if not remove:
            print(clients.add(connection, name))
        elif not clients.remove(connection, name):
            raise UsageError(f"There is no client {name}.")


def place_of(text: str) -> tuple[str, int]:
    """HOST:PORT taken apart. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {text} is not HOST:PORT, such as 127.0.0.1:8700.")
    return host.strip("[]"), int(port)


def _configured(config: Path | None) -> Chosen:
    chosen = choose(config)
    if chosen.demo:
        raise UsageError("There is nothing to backfill: give a configuration with --config FILE.")
    return chosen


def _with_database(config: Path | None, who: str) -> Settings:
    """The configuration, or where there is none what the environment says: worker and queue need no more."""
    if find_file(config) is None and os.environ.get("TASKSCAN_DATABASE_URL"):
        return build({}, "the environment")
    chosen = choose(config)
    if chosen.demo:
        raise UsageError(f"{who} needs a database: set TASKSCAN_DATABASE_URL, or name it by --config FILE.")
    return chosen.settings


def _client(settings: Settings, url: str | None) -> "QueueClient":
    from indexer.work.client import QueueClient

    queue, place = settings.queue, url or settings.queue.url
    if not place:
        raise UsageError("Which queue? Give --queue URL, or set TASKSCAN_QUEUE_URL.")
    return QueueClient(place, queue.client_id, queue.client_secret.get_secret_value())


def _run(do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it until it is done, or until SIGINT or SIGTERM; then let it end cleanly."""

    async def until_signal() -> None:
        task = asyncio.ensure_future(do())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            err.print("stopped: what is written stays")

    asyncio.run(until_signal())


async def _backfill(
    chosen: Chosen, engine: Engine, workers: int, place: tuple[str, int], blocks: int | None
) -> None:  # fmt: skip
    from indexer.work.backfill import backfill as fill

    chains: list[ChainJob] = []
    async with _queue(chosen, engine, workers, place) as client, _shown(chains):
        await fill(chosen.settings, engine, client, blocks=blocks, watch=chains.extend)


@contextlib.asynccontextmanager
async def _queue(
    chosen: Chosen, engine: Engine, workers: int, place: tuple[str, int]
) -> AsyncIterator["QueueClient"]:  # fmt: skip
    """The configured queue, or one of our own for as long as this lasts, with workers on this machine."""
    from indexer.work import local
    from indexer.work.client import QueueClient

    async with contextlib.AsyncExitStack() as stack:
        queue = chosen.settings.queue
        if queue.url:
            url, name, secret = queue.url, queue.client_id, queue.client_secret.get_secret_value()
        else:
            url, name, secret = await stack.enter_async_context(_own_queue(engine, place, queue.keep_days))
        client = QueueClient(url, name, secret)
        stack.push_async_callback(client.close)
        login = {"TASKSCAN_QUEUE_URL": url, "TASKSCAN_QUEUE_CLIENT_ID": name, "TASKSCAN_QUEUE_CLIENT_SECRET": secret}
        words = ["worker", "--with-parent", "--config", chosen.origin]
        alive = await stack.enter_async_context(local.workers(workers, words, login))
        stack.enter_context(_ended_with(alive))
        yield client


@contextlib.asynccontextmanager
async def _own_queue(
    engine: Engine, place: tuple[str, int], keep_days: int
) -> AsyncIterator[tuple[str, str, str]]:  # fmt: skip
    """A queue served by this process: its URL, and a client of it that is gone afterwards."""
    from indexer.work import clients
    from indexer.work.listen import serving

    store, name = Store(engine), f"backfill-{os.getpid()}"
    secret = await store.run(clients.add, name, ForADay)
    try:
        async with serving(engine, *place, keep_days) as url:
            err.print(f"queue: {url}/rpc; for workers elsewhere: `taskscan queue client NAME`, `taskscan worker`")
            yield url, name, secret
    finally:
        with contextlib.suppress(TaskscanError):  # it expires by itself
            await store.run(clients.remove, name)
        store.close()


@contextlib.contextmanager
def _ended_with(alive: "asyncio.Task[None]") -> Iterator[None]:
    """End what stands inside, with its error, when `alive` fails."""
    me = asyncio.current_task()

    def end(task: "asyncio.Task[None]") -> None:
        if me and not task.cancelled() and task.exception():
            me.cancel()

    alive.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if alive.done() and not alive.cancelled() and (error := alive.exception()):
            raise error from None
        raise


@contextlib.asynccontextmanager
async def _shown(chains: "list[ChainJob]") -> AsyncIterator[None]:
    display = asyncio.ensure_future(follow(chains))  # type: ignore[arg-type]
    try:
        yield
    finally:
        display.cancel()
        await asyncio.gather(display, return_exceptions=True)
        summary([chain for chain in chains if chain.progress.head is not None])


async def _work(settings: Settings, engine: Engine, client: "QueueClient", with_parent: bool) -> None:
    from indexer.work.worker import Worker

    store = Store(engine)
    task = Worker(client, store, [chain for chain in settings.chains if chain.kind == "evm"])
    err.print(f"worker: jobs from {client.name} into {where(engine)}")
    try:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(task.work())
                if with_parent:
                    tasks.create_task(_until_closed(working))
    finally:
        await client.close()
        store.close()


async def _until_closed(working: "asyncio.Task[None]") -> None:
    """Cancel `working` when standard input closes: whoever started us is gone."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    working.cancel()


async def _serve(engine: Engine, host: str, port: int, keep_days: int) -> None:
    from indexer.work.listen import serving

    async with serving(engine, host, port, keep_days) as url:
        print(f"{url}/rpc", flush=True)
        await asyncio.Event().wait()
