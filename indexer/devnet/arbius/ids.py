"""The identifiers of Arbius, made from what was sent (arbius.md, section 2). All values are bytes."""

import hashlib

from eth_abi.abi import encode
from eth_utils.crypto import keccak


def cid(content: bytes) -> bytes:
    """CIDv0 (34 bytes) of an input or a template: one UnixFS file in one block."""
    size = _varint(len(content))
    file = b"\x08\x02\x12" + size + content + b"\x18" + size
    return b"\x12\x20" + hashlib.sha256(b"\x0a" + _varint(len(file)) + file).digest()


def task_id(sender: str, previous: bytes, model: bytes, fee: int, task_cid: bytes) -> bytes:
    """Id of the task that follows `previous` (32 zero bytes before the first) on the same engine."""
    types = ["address", "bytes32", "bytes32", "uint256", "bytes"]
    return keccak(encode(types, [sender, previous, model, fee, task_cid]))


def commitment(validator: str, task: bytes, solution_cid: bytes) -> bytes:
    """What a validator signals in an earlier block than its solution."""
    return keccak(encode(["address", "bytes32", "bytes"], [validator, task, solution_cid]))


def model_id(registrant: str, addr: str, fee: int, template: bytes) -> bytes:
    """Id of a model; the same on every engine where the same registrant registers the same."""
    return keccak(encode(["address", "address", "uint256", "bytes"], [registrant, addr, fee, cid(template)]))


def _varint(number: int) -> bytes:
    coded = b""
    while number >= 0x80:
        coded += bytes([number % 0x80 + 0x80])
        number //= 0x80
    return coded + bytes([number])
