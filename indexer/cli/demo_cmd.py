"""`taskscan demo`: real contracts on a local chain, indexed, with nothing to configure."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from indexer.cli import run_cmd
from indexer.cli.common import DEMO_DATA, demo_settings, err, opened
from indexer.config import Chain, Rpc, Settings, Source
from indexer.errors import SetupFailed
from indexer.store import server
from indexer.store.database import where

Tasks = Annotated[int, typer.Option(min=1, max=2000, help="Tasks that the local chain has when indexing begins.")]
Seed = Annotated[int, typer.Option(help="Another seed gives other traffic; the same seed the same.")]


def demo(tasks: Tasks = 200, seed: Seed = 1) -> None:
    """Run iExec, Arbius and Koii on local chains and an Aidbox stand-in, and index them, until Ctrl-C.

    Example: taskscan demo --tasks 500
    """
    with run_cmd.ended_by_signal():
        run_demo(tasks=tasks, seed=seed)


def run_demo(*, tasks: int = 200, seed: int = 1, until_synced: bool = False) -> None:
    """The demo, from an empty database in a data folder of its own. Raises SetupFailed."""
    server.remove(DEMO_DATA)
    err.print(
        f"demo: starting a local chain with {tasks} tasks on the real iExec contracts and as many on Arbius engines "
        "(the first time it downloads the chain and compiles the engines) …"
    )
    from indexer.devnet import aidbox, koii  # solders takes a while to import

    with _devnet(tasks, seed) as (chain, end), koii.live(seed) as k2, aidbox.live(seed) as clinic:
        settings = _settings(chain, k2, clinic, aidbox.CLIENT, aidbox.SECRET)
        with opened(settings, lasting=False) as engine:  # it begins from empty each time, and Ctrl-C is to end it soon
            err.print(
                f"demo: chain at {chain['rpc']}, Koii at {k2}, Aidbox at {clinic}, database at {where(engine)}; "
                "look at it with `taskscan db shell`"
            )
            try:
                run_cmd.start(settings, engine, until_synced=until_synced, count_tasks=True)
            finally:
                end()  # while the database does


def _settings(chain: dict[str, Any], k2: str, clinic: str, client_id: str, secret: str) -> Settings:
    rpc = [Rpc(url=SecretStr(url)) for url in (chain["rpc"], chain["rpc"].replace("http", "ws", 1))]
    return demo_settings(
        chains=[
            Chain(name="devnet", chain_id=chain["chain_id"], clock="head", rpc=rpc),
            Chain(name="koii-devnet", kind="k2", rpc=[Rpc(url=SecretStr(k2))]),
            Chain(
                name="clinic",
                kind="aidbox",
                url=SecretStr(clinic),
                client_id=client_id,
                client_secret=SecretStr(secret),
            ),
        ],
        sources=[
            Source(network="iexec", chain="devnet", addresses=[chain["contracts"]["hub"]]),
            Source(network="arbius", chain="devnet", addresses=[each["engine"] for each in chain["arbius"]]),
            Source(network="koii", chain="koii-devnet"),
            Source(network="aidbox", chain="clinic"),
        ],
    )


@contextlib.contextmanager
def _devnet(tasks: int, seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """The local chain in a process of its own, and what tells it to end.

    It ends when its standard input closes, so also when we are killed.
    """
    DEMO_DATA.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "indexer.devnet", "--seed", str(seed), "--tasks", str(tasks), "--live", "1.0"]
    command += ["--ledger", str(DEMO_DATA / "ledger.json")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SetupFailed("The local chain did not start; what it said stands above.")
        yield json.loads(line), process.terminate
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(4)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
