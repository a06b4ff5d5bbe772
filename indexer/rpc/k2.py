"""K2, the chain of Koii: Solana's JSON-RPC and five methods of its own, over the same `Provider` as every chain.

Methods and parameters: koii.md A2 (k2-web3.js, src/connection.ts). All is read as `finalized`, so nothing that was
read is taken back by the chain.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from indexer.errors import MalformedAnswer, NotThereYet, RpcRefused
from indexer.rpc.limits import METHOD_NOT_FOUND
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call

T = TypeVar("T")
FINALIZED = {"commitment": "finalized"}
ALL_ROUNDS = -1
# Solana's own codes, which say that another moment or another node will do: rpc-client-api, custom_error.rs.
BEHIND = (-32004, -32005, -32014, -32016)
NO_STAKE = "No stake available on this task"


class Account(NamedTuple):
    """An account as of `slot`; `data` is None when there is none. `owner` is None where the method does not tell."""

    slot: int
    data: bytes | None
    owner: str | None = None


class _Context(msgspec.Struct):
    slot: int


class _Value(msgspec.Struct):
    data: Any
    owner: str | None = None


class _Answer(msgspec.Struct):
    context: _Context
    value: _Value | None


class _Keyed(msgspec.Struct):
    pubkey: str


async def slot(provider: Provider) -> int:
    """The newest finalized slot."""
    return await _ask(provider, Call("getSlot", (FINALIZED,)), int)


async def block_time(provider: Provider, at: int) -> int | None:
    """Unix time of a slot; None where the node does not know it: slots can be skipped, and are forgotten."""
    try:
        return await _ask(provider, Call("getBlockTime", (at,)), int | None)  # type: ignore[arg-type]
    except RpcRefused:
        return None


async def genesis(provider: Provider) -> str:
    """Hash of the chain's beginning, base58: which chain it is."""
    return await _ask(provider, Call("getGenesisHash"), str)


async def account(provider: Provider, address: str, length: int | None = None) -> Account:
    """An account, with its owner; of its data the first `length` bytes, or all."""
    options: dict[str, Any] = {"encoding": "base64", **FINALIZED}
    if length is not None:
        options["dataSlice"] = {"offset": 0, "length": length}
    return await _account(provider, Call("getAccountInfo", (address, options)))


async def task_account(provider: Provider, task_id: str, sections: Iterable[str]) -> Account:
    """State of a KOII task with its static fields and the `sections` of submission, distribution, balance, stake.

    A section that is left out comes back as `{}`, which does not mean that it is empty.
    """
    flags = {name: name in set(sections) for name in ("submission", "distribution", "balance", "stake")}
    return await _account(provider, Call("getTaskAccountInfo", (task_id, {"encoding": "base64", **FINALIZED, **flags})))


async def submission_info(provider: Provider, task_id: str, round_: int = ALL_ROUNDS) -> Account:
    """Submissions and their audits of a KOII task. Raises RpcRefused for a round that never was."""
    return await _of_round(provider, "getTaskSubmissionInfo", task_id, round_)


async def distribution_info(provider: Provider, task_id: str, round_: int = ALL_ROUNDS) -> Account:
    """Distribution lists, their audits and records of a KOII task. Raises RpcRefused for a round that never was."""
    return await _of_round(provider, "getTaskDistributionInfo", task_id, round_)


async def my_submission_round(provider: Provider, task_id: str, staker: str, round_: int) -> Any:
    """What `staker` handed in for a round, as JSON."""
    options = {**FINALIZED, "round": round_}
    answer = await _ask(provider, Call("getMyTaskSubmissionRoundInfo", (task_id, staker, options)), _Answer)
    return answer.value.data if answer.value else None


async def my_stake(provider: Provider, task_id: str, staker: str) -> int:
    """Stake of `staker` in roe; 0 for who has none."""
    try:
        answer = await _ask(provider, Call("getMyTaskStakeInfo", (task_id, staker, FINALIZED)), _Answer)
    except RpcRefused as error:
        if NO_STAKE in str(error):
            return 0
        raise
    if answer.value is None or not isinstance(answer.value.data, int):
        raise MalformedAnswer("a stake is no number", provider=provider.name)
    return answer.value.data


async def program_accounts(provider: Provider, program: str, filters: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Addresses of the accounts that `program` owns and that pass all `filters`; their data is not sent."""
    options = {"encoding": "base64", **FINALIZED, "dataSlice": {"offset": 0, "length": 0}, "filters": list(filters)}
    found = await _ask(provider, Call("getProgramAccounts", (program, options)), list[_Keyed])
    return [each.pubkey for each in found]


def is_unknown_method(error: RpcRefused) -> bool:
    """Whether the node does not know the method: a stock Solana node, for K2's own five."""
    return error.facts.get("code") == METHOD_NOT_FOUND


async def _of_round(provider: Provider, method: str, task_id: str, round_: int) -> Account:
    options = {"encoding": "base64", **FINALIZED, "round": round_}
    return await _account(provider, Call(method, (task_id, options)))


async def _account(provider: Provider, call: Call) -> Account:
    answer = await _ask(provider, call, _Answer)
    if answer.value is None:
        return Account(answer.context.slot, None)
    return Account(answer.context.slot, _bytes(provider, answer.value.data), answer.value.owner)


def _bytes(provider: Provider, data: object) -> bytes:
    """`["<base64>", "base64"]` as bytes. Raises MalformedAnswer for anything else."""
    if isinstance(data, list) and len(data) == 2 and data[1] == "base64" and isinstance(data[0], str):
        try:
            return base64.b64decode(data[0], validate=True)
        except binascii.Error:
            pass
    raise MalformedAnswer("the data of an account is not base64", provider=provider.name)


async def _ask(provider: Provider, call: Call, wanted: type[T]) -> T:
    try:
        return await provider.call(call, wanted)
    except RpcRefused as error:
        code, said = error.facts.get("code"), str(error.facts["message"])
        if code in BEHIND:
            raise NotThereYet(said, provider=provider.name, block="as new as the one asked for") from None
        raise
