"""`taskscan offchain`: what services outside the chains tell of a task, asked for when you ask."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from indexer.cli.common import ConfigOption, choose, opened, out
from indexer.config import Chain
from indexer.errors import NotSaved, UsageError
from indexer.query import offchain
from indexer.query.offchain import OffchainTask
from indexer.query.task_node import task_node_version
from indexer.rpc.web import in_bytes
from indexer.store.database import in_words

app = typer.Typer(help="Ask services outside the chains about one task.", no_args_is_help=True)

MIB = 1024**2

TaskId = Annotated[str, typer.Argument(help="The whole id of an iExec task.")]
KoiiTask = Annotated[str, typer.Argument(help="The id of a Koii task.")]
Folder = Annotated[Path, typer.Option("--to", file_okay=False, help="Folder for the result.")]
Most = Annotated[int, typer.Option("--most-mib", min=1, help="Largest result that is taken, in MiB.")]
ChallengeFile = Annotated[
    Path, typer.Option("--challenge", help="File of the challenge; written when there is no --signature.")
]
SignatureFile = Annotated[
    typer.FileText | None, typer.Option("--signature", help="File that holds the signature; - for standard input.")
]


@app.command()
def info(task_id: TaskId, config: ConfigOption = None) -> None:
    """Show how far an iExec workerpool's scheduler and its workers are with a task.

    Example: taskscan offchain info 0x74268c00…
    """
    chain, task = _known(task_id, config)
    print(json.dumps(asyncio.run(offchain.fetch_offchain_info(chain, task)), indent=2))


@app.command()
def results(task_id: TaskId, to: Folder = Path(), most_mib: Most = 1024, config: ConfigOption = None) -> None:
    """Download the result of a completed iExec task from the IPFS gateway.

    Example: taskscan offchain results 0x74268c00… --to results
    """
    chain, task = _known(task_id, config)
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotSaved(error.strerror or str(error), path=to) from None
    found = asyncio.run(offchain.fetch_results(chain, task, to, most_mib * MIB))
    proof = " (its bytes have this hash)" if found.proved else ""
    out.print(f"{found.path}  {in_bytes(found.size)}\ncid     {found.cid}{proof}\nsha256  {found.sha256}")


@app.command()
def logs(
    task_id: TaskId, challenge: ChallengeFile, signature: SignatureFile = None, config: ConfigOption = None
) -> None:
    """Show what the workers of your iExec task printed, for a challenge that its requester has signed.

    The first call writes the challenge: sign it in the requester's wallet (eth_signTypedData_v4). The second call, with
    --signature, shows the logs. No private key is asked for.

    Example: taskscan offchain logs 0x74268c00… --challenge challenge.json
    """
    chain, task = _known(task_id, config)
    if signature is None:
        _write(challenge, asyncio.run(offchain.log_challenge(chain, task)))
        out.print(f"Sign {challenge} as {task.requester} within an hour, then call again with --signature FILE.")
        return
    signed = signature.read().strip()
    for log in asyncio.run(offchain.fetch_logs(chain, task, _read(challenge), signed)):
        for name, text in (("stdout", log.stdout), ("stderr", log.stderr)):
            out.print(f"{log.worker} {name}:\n{text or ''}")


@app.command("node-version")
def node_version(task_id: KoiiTask, config: ConfigOption = None) -> None:
    """Show the version of your Koii task node.

    Example: taskscan offchain node-version 8Qu9XtPM…
    """
    settings = choose(config).settings
    chain = next((chain for chain in settings.chains if chain.kind == "k2"), None)
    if chain is None:
        raise UsageError("The configuration has no chain of kind k2. Add one with a [chains.task_node].")
    print(asyncio.run(task_node_version(chain, task_id)))


def _known(task_id: str, config: Path | None) -> tuple[Chain, OffchainTask]:
    settings = choose(config).settings
    with opened(settings) as engine, in_words(engine), engine.connect() as connection:
        task = offchain.offchain_task(connection, task_id)
    return offchain.chain_of(settings, task.chain), task


def _write(path: Path, challenge: offchain.Tree) -> None:
    try:
        path.write_text(json.dumps(challenge, indent=2))
    except OSError as error:
        raise NotSaved(error.strerror or str(error), path=path) from None


def _read(path: Path) -> offchain.Tree:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        raise UsageError(f"{path} holds no challenge. Call without --signature to get one.") from None
