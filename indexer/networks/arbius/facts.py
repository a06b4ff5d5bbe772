"""Arbius: what no event carries, from calldata and getters.

Sources: github.com/semperai/arbius, contract/contracts/V2_EngineV5_2.sol (structs, getters, hashTask, hashModel) and
libraries/IPFS.sol. Calldata is believed where hashes prove it: an id commits to the input's cid, a model's id to all
that it was registered with.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from eth_utils.crypto import keccak

from indexer.networks.facts import Asker, Facts, Key, Unreadable, Words, asked
from indexer.rpc.multicall import View
from indexer.rpc.transactions import Transaction

MOST_INPUT = 65_536  # bytes; the engine takes no more
ROUTERS = {bytes.fromhex("ecaba4e6a4bc1e3de3e996a8b2c89e8b0626c9a1")}  # hand owner and input on as they are given
TASKS, SOLUTIONS, STAKES = "e579f500", "75c70509", "b4dc35b7"
CONTESTATIONS, MODELS, VALIDATORS = "d33b2ef5", "e236f46b", "fa52c7d8"
REGISTER, REGISTER_ALLOWED = bytes.fromhex("4ff03efa"), bytes.fromhex("346b5c1e")
CID_BYTES = 34
ZERO = bytes(32)


def ipfs_cid(content: bytes) -> bytes:
    """The CIDv0 that the engine computes of an input: sha2-256 of a UnixFS file in one block (libraries/IPFS.sol)."""
    size = _varint(len(content))
    meat = b"\x08\x02\x12" + size + content + b"\x18" + size
    return b"\x12\x20" + sha256(b"\x0a" + _varint(len(meat)) + meat).digest()


def task_id(sender: bytes, before: bytes, model: bytes, fee: int, cid: bytes) -> bytes:
    """What the engine calls a task; `before` is the task before it, 32 zero bytes for the first."""
    return keccak(_encoded([sender, before, model, fee.to_bytes(32, "big")], cid))


def commitment(validator: bytes, task: bytes, cid: bytes) -> bytes:
    """What a solver has to signal before the solution."""
    return keccak(_encoded([validator, task], cid))


def model_id(registrant: bytes, addr: bytes, fee: int, cid: bytes) -> bytes:
    """What the engine calls a model."""
    return keccak(_encoded([registrant, addr, fee.to_bytes(32, "big")], cid))


def _encoded(words: Sequence[bytes], tail: bytes) -> bytes:
    """abi.encode of static words and then `bytes`."""
    head = [word.rjust(32, b"\0") for word in words]
    offset = 32 * (len(head) + 1)
    padded = tail.ljust((len(tail) + 31) // 32 * 32, b"\0")
    return b"".join([*head, offset.to_bytes(32, "big"), len(tail).to_bytes(32, "big"), padded])


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def submissions(data: bytes, model: bytes, fee: int) -> Iterator[Facts]:
    """Every (version, owner, model, fee, input) in calldata that asks for `model` at `fee`.

    The engine's submitTask and bulkSubmitTask, the router's three ways and the known bulk helpers all begin their
    arguments with these five, at whatever depth a wallet wraps them.
    """
    mark = model + fee.to_bytes(32, "big")
    at = data.find(mark)
    while at >= 0:
        with contextlib.suppress(Unreadable):
            yield _submission(Words(data, at - 64))
        at = data.find(mark, at + 1)


def _submission(words: Words) -> Facts:
    version, owner, content = words.number(0), words.address(1), words.content(4)
    if version > 255 or len(content) > MOST_INPUT:
        raise Unreadable
    return {"version": version, "owner": owner, "cid": ipfs_cid(content), "input": content, "input_size": len(content)}


def _is_of(key: Key, cid: bytes) -> bool:
    """Whether the task's id commits to `cid`; true where the task before it is not known."""
    if key["before"] is None or key["sender"] is None or key["fee"] is None:
        return True
    made = task_id(key["sender"], key["before"], key["model"], int(key["fee"]), cid)
    return bool(made == key["task_id"])


def _submitted(key: Key, tx: Transaction | None) -> Facts | None:
    """What calldata says of a task."""
    if tx is None or key["model"] is None:
        return None
    found = submissions(tx.data, key["model"], int(key["fee"]))
    return next((facts for facts in found if _is_of(key, facts["cid"])), None)


def _tasks_from_calldata(keys: Sequence[Key], txs: Mapping[bytes, Transaction]) -> dict[int, Facts]:
    """Only of calls to the engine or a router: any other contract may put another owner in."""
    found = {}
    for n, key in enumerate(keys):
        tx = txs.get(key["tx"])
        direct = tx is not None and tx.parties[1] in {key["address"], *ROUTERS}
        if direct and (facts := _submitted(key, tx)):
            found[n] = facts
    return found


def _read_task(key: Key, answers: Sequence[bytes | None], tx: Transaction | None) -> Facts | None:
    """struct Task { bytes32 model; uint256 fee; address owner; uint64 blocktime; uint8 version; bytes cid; }"""
    given = _submitted(key, tx)
    by_calldata = given and given | {"enriched_from": "calldata"}
    if answers[0] is None:
        return by_calldata
    words = Words(answers[0])
    cid = words.content(5)
    if words.word(0) == ZERO:  # retracted, or not there yet
        return by_calldata
    if not _is_of(key, cid) or words.number(4) > 255:
        return None
    content = given["input"] if given else _search(tx.data, cid) if tx else None
    facts: Facts = {"owner": words.address(2), "version": words.number(4), "cid": cid, "input": content}
    if content is None:
        return facts
    return facts | {"input_size": len(content), "enriched_from": "calldata, eth_call"}


def _search(data: bytes, cid: bytes) -> bytes | None:
    """The content with this cid anywhere in calldata: whoever wrapped it, the hash proves it."""
    for at in range(4, len(data) - 31, 4):
        size = int.from_bytes(data[at : at + 32], "big")
        content = data[at + 32 : at + 32 + size] if size <= MOST_INPUT else b""
        if len(content) == size and ipfs_cid(content) == cid:
            return content
    return None


def _read_solution(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Solution { address validator; uint64 blocktime; bool claimed; bytes cid; }; stakes since V2_EngineV2.

    An engine without the getter locks nothing; after its upgrade it says so itself, so that it is 0 whenever asked.
    """
    if answers[0] is None:
        return None
    words = Words(answers[0])
    validator, cid = words.address(0), words.content(3)
    if validator != key["validator"]:
        return None
    stake = 0 if answers[1] is None else Words(answers[1]).number(0)
    return {"cid": cid, "stake": stake, "commitment": commitment(validator, key["task_id"], cid)}


def _read_contestation(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Contestation { address validator; uint64 blocktime; uint32 finish_start_index; uint256 slashAmount; }"""
    if answers[0] is None:
        return None
    words = Words(answers[0])
    known = words.address(0) in ({key["validator"]} if key["validator"] else {words.address(0)} - {bytes(20)})
    return {"slash_amount": words.number(3)} if known else None


def _models_from_calldata(keys: Sequence[Key], txs: Mapping[bytes, Transaction]) -> dict[int, Facts]:
    found = {}
    for n, key in enumerate(keys):
        tx = txs.get(key["tx"])
        facts = _registered(tx.data) if tx else None
        if tx is None or facts is None:
            continue
        parts = facts["registered_addr"], facts["registered_fee"], facts["cid"]
        for who in tx.parties:
            if who and model_id(who, *parts) == key["model_id"]:
                found[n] = facts | {"registrant": who}
    return found


def _registered(data: bytes) -> Facts | None:
    """registerModel(addr, fee, template) and registerModelWithAllowList(…, solvers)."""
    words = Words(data, 4)
    try:
        if data[:4] not in (REGISTER, REGISTER_ALLOWED):
            return None
        allowed = words.addresses(3) if data[:4] == REGISTER_ALLOWED else None
        template = words.content(2)
        return {
            "registered_addr": words.address(0),
            "registered_fee": words.number(1),
            "cid": ipfs_cid(template),
            "template": template,
            "allow_list": None if allowed is None else ",".join("0x" + solver.hex() for solver in allowed),
        }
    except Unreadable:
        return None


def _read_model(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Model { uint256 fee; address addr; uint256 rate; bytes cid; }: fee and addr as they are now."""
    if answers[0] is None:
        return None
    words = Words(answers[0])
    if not (cid := words.content(3)):
        return None
    unchanged = key["fee"] is None
    addr, fee = words.address(1), words.number(0)
    return {"cid": cid, "registered_fee": fee if unchanged else None, "registered_addr": addr if unchanged else None}


def _read_validator(key: Key, answers: Sequence[bytes | None], _tx: Transaction | None) -> Facts | None:
    """struct Validator { uint256 staked; uint256 since; address addr; }"""
    if answers[0] is None:
        return None
    words = Words(answers[0])
    return {"staked": words.number(0), "since": _time(words.number(1))}


def _time(seconds: int) -> datetime | None:
    """None for 0 (never) and for what no clock reaches."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 253_402_300_800 else None


def _by_id(*selectors: str, name: str = "task_id") -> Any:
    return lambda key: [View(key["address"], asked(selector, key[name])) for selector in selectors]


ASKERS: dict[str, Asker] = {
    "models": Asker(_by_id(MODELS, name="model_id"), _read_model, _models_from_calldata),
    "tasks": Asker(_by_id(TASKS), _read_task, _tasks_from_calldata),
    "solutions": Asker(_by_id(SOLUTIONS, STAKES), _read_solution),
    "contestations": Asker(_by_id(CONTESTATIONS), _read_contestation),
    "validators": Asker(_by_id(VALIDATORS, name="validator"), _read_validator),
}
"""By the name of the entity's table."""
