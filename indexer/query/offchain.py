"""What is known of an iExec task only outside the chain, asked for on demand: progress, results, logs.

Services, paths and shapes: iexec.md section 4 (iexec-sdk 9.0.1, src/common/execution/debug.js and result.js;
iexec-core, TaskController.java). No private key is ever asked for: the requester's wallet signs a challenge.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from eth_utils.address import to_checksum_address
from pydantic import SecretStr

from indexer.config import Chain, Settings
from indexer.errors import ConfigError, MalformedAnswer, UsageError
from indexer.networks.arbius.facts import ipfs_cid
from indexer.networks.koii import base58
from indexer.query.signing import challenge_hash, signer_of
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.web import Question, Saved, ask, save
from schema.chain import chains
from schema.iexec_entities import deals, tasks

COMPLETED = 3
MOST_RESULT = 1024**3  # bytes of a result unless the caller allows more
ONE_BLOCK = 262_144  # bytes; a longer file is several IPFS blocks, cut as its uploader liked
LOCATION = re.compile(r"/ipfs/([A-Za-z0-9]+)((?:/[\w.-]+)*)")

Tree = dict[str, Any]


class OffchainTask(NamedTuple):
    """A task as its services know it. Addresses are hex text; `requester` is None until the deal is enriched."""

    chain: str
    chain_id: int
    task_id: str
    status: int
    workerpool: str | None
    requester: str | None
    results: bytes | None


class Result(NamedTuple):
    """A result in a file. `proved`: its bytes have the hash that `cid` is. Otherwise nothing is said: it may be longer
    than one IPFS block, or of another kind than Qm…, and then the bytes alone do not give the CID."""

    path: Path
    size: int
    sha256: str
    cid: str
    proved: bool


class Log(msgspec.Struct, frozen=True):
    """What a worker's run of the application printed."""

    worker: str = msgspec.field(name="walletAddress")
    stdout: str | None = None
    stderr: str | None = None


class _Workerpool(msgspec.Struct):
    api_url: str | None = msgspec.field(default=None, name="apiUrl")


class _Logs(msgspec.Struct):
    logs: list[Log] = msgspec.field(default_factory=list, name="computeLogsList")


class _Replicate(msgspec.Struct, rename="camel"):
    wallet_address: str
    app_exit_code: int | None = None
    current_status: str | None = None
    status_update_list: list[Tree] = []


class _Task(msgspec.Struct, rename="camel"):
    current_status: str
    date_status_list: list[Tree] = []
    replicates: list[_Replicate] = []


def offchain_task(connection: sa.Connection, task_id: str) -> OffchainTask:
    """The iExec task with this id, from the database; UNSET ones too. Raises UsageError."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", task_id):
        raise UsageError(f"{task_id!r} is no id of an iExec task: 0x and 64 hexadecimal digits are needed.")
    t, d = tasks.c, deals.c
    same = sa.and_(d.chain_id == t.chain_id, d.address == t.address, d.dealid == t.dealid)
    pool = sa.func.coalesce(t.workerpool, d.workerpool).label("workerpool")
    columns = (chains.c.name, t.chain_id, t.taskid, t.status, pool, d.requester, t.results)
    found = sa.select(*columns).select_from(
        tasks.join(chains, chains.c.chain_id == t.chain_id).outerjoin(deals, same)
    ).where(t.taskid == bytes.fromhex(task_id[2:]))  # fmt: skip
    row = connection.execute(found.limit(1)).one_or_none()
    if row is None:
        raise UsageError(f"No iExec task {task_id} is in the database. `taskscan status` tells how far it is read.")
    parties = _hex(row.workerpool), _hex(row.requester)
    return OffchainTask(row.name, row.chain_id, task_id.lower(), row.status, *parties, row.results)


def chain_of(settings: Settings, name: str) -> Chain:
    """The configured chain `name`. Raises ConfigError where the database knows it and the configuration does not."""
    found = next((chain for chain in settings.chains if chain.name == name), None)
    if found is None:
        raise ConfigError(f"The configuration has no [[chains]] named {name}, so its services are not known.")
    return found


async def fetch_offchain_info(chain: Chain, task: OffchainTask) -> Tree:
    """How far the workerpool's scheduler is, with each worker's steps, in the shape of the SDK's fetchOffchainInfo.

    Raises ConfigError without a compass, NotKnownThere, MalformedAnswer and what services do (`rpc.web.ask`).
    """
    api = await _scheduler(chain, task)
    told = await ask(api, Question(f"/tasks/{task.task_id}", f"task {task.task_id}"), _Task)
    replicates = [
        {"worker": r.wallet_address, "exitCode": r.app_exit_code, "status": r.current_status,
         "statusHistory": r.status_update_list}
        for r in told.replicates
    ]  # fmt: skip
    return {"task": {"status": told.current_status, "statusHistory": told.date_status_list}, "replicates": replicates}


async def fetch_results(chain: Chain, task: OffchainTask, folder: Path, most: int = MOST_RESULT) -> Result:
    """Stream the result of a completed task from the IPFS gateway into `folder`, as `<task id>.zip`.

    Raises UsageError where there is nothing to download, ConfigError without a gateway, NotKnownThere, TooLargeToKeep
    (more than `most` bytes), NotSaved, and what services do.
    """
    location, cid, inside = result_location(task)
    question = Question(location, f"the result of task {task.task_id}", redirects=True)
    saved = await save(_service(chain, "ipfs_gateway"), question, folder / f"{task.task_id}.zip", most)
    return Result(saved.path, saved.size, saved.sha256, cid + inside, not inside and _proved(saved, cid))


def result_location(task: OffchainTask) -> tuple[str, str, str]:
    """Path on an IPFS gateway, its CID and what follows it. Raises UsageError that says why there is none."""
    if task.status != COMPLETED:
        raise UsageError(f"Task {task.task_id} is not completed, so it has no result.")
    try:
        link = msgspec.json.decode(task.results or b"", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError):
        raise UsageError(f"Task {task.task_id} says nothing of where its result is.") from None
    storage, location = link.get("storage"), link.get("location")
    if storage != "ipfs":
        raise UsageError(f"The result of task {task.task_id} is stored on {str(storage)[:40]!r}, not on ipfs.")
    found = LOCATION.fullmatch(location) if isinstance(location, str) else None
    if found is None or ".." in found[2]:
        raise UsageError(f"The result of task {task.task_id} has no location of the form /ipfs/CID.")
    return found[0], found[1], found[2]


async def log_challenge(chain: Chain, task: OffchainTask) -> Tree:
    """The EIP-712 data that the task's requester has to sign (eth_signTypedData_v4) to see its logs; good for an hour.

    Raises UsageError while the requester is not known, and what `fetch_offchain_info` raises.
    """
    query = {"chainId": str(chain.chain_id), "address": _requester(task)}
    question = Question("/tasks/logs/challenge", "the challenge for logs", query)
    told = await ask(await _scheduler(chain, task), question, Tree)
    challenge = told.get("data") or told
    challenge_hash(challenge)  # of the right shape, or it is not worth a signature
    return dict(challenge)


async def fetch_logs(chain: Chain, task: OffchainTask, challenge: Mapping[str, Any], signature: str) -> list[Log]:
    """What each worker's run printed. `signature`: hex text of `log_challenge` signed by the requester's wallet.

    Raises UsageError for a signature of somebody else, SignatureRefused where the service does not take it, and what
    `fetch_offchain_info` raises. The signature opens the logs for an hour: it is sent to the scheduler and not kept.
    """
    requester = _requester(task)
    signer = signer_of(challenge, signature)
    if signer != requester.lower():
        raise UsageError(f"The signature is of {signer}, but the requester of the task is {requester.lower()}.")
    token = SecretStr(f"{challenge_hash(challenge)}_{signature}_{requester}")
    api = await _scheduler(chain, task, {"Authorization": token.get_secret_value()})
    question = Question(f"/tasks/{task.task_id}/logs", f"the logs of task {task.task_id}", proof="the signature")
    return (await ask(api, question, _Logs)).logs


async def _scheduler(chain: Chain, task: OffchainTask, headers: Mapping[str, str] | None = None) -> Endpoint:
    """The service of the task's workerpool, which the compass knows."""
    if task.workerpool is None:
        raise UsageError(
            f"The workerpool of task {task.task_id} is not known yet. `taskscan status` tells how far it is."
        )
    pool = to_checksum_address(task.workerpool)
    question = Question(f"/{chain.chain_id}/workerpools/{pool}", f"workerpool {pool}")
    compass = _service(chain, "compass")
    told = await ask(compass, question, _Workerpool)
    try:
        return Endpoint(told.api_url or "", headers or {})
    except ConfigError:
        raise MalformedAnswer(f"no URL for workerpool {pool}", provider=compass.name) from None


def _service(chain: Chain, kind: str) -> Endpoint:
    url: SecretStr | None = getattr(chain, kind)
    if url is None:
        raise ConfigError(f"Chain {chain.name} has no {kind}: set it in its [[chains]] entry.")
    return Endpoint(url.get_secret_value())


def _requester(task: OffchainTask) -> str:
    if task.requester is None:
        raise UsageError(
            f"The requester of task {task.task_id} is not known yet. `taskscan status` tells how far it is."
        )
    return str(to_checksum_address(task.requester))


def _proved(saved: Saved, cid: str) -> bool:
    if saved.size > ONE_BLOCK:
        return False
    return base58.encode(ipfs_cid(saved.path.read_bytes())) == cid


def _hex(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()
