"""Orders of the iExec marketplace: their structs, EIP-712 hashes and signatures.

Source: `contracts/libs/IexecLibOrders_v5.sol` of `@iexec/poco` 6.1.0. Addresses are hex text, the rest as in the ABI.
"""

from typing import NamedTuple

from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from indexer.devnet.abi import ZERO_ADDRESS, ZERO_HASH

SIGN, CLOSE = 0, 1


class AppOrder(NamedTuple):
    """An app's owner offers `volume` runs at `appprice` nRLC each."""

    app: str
    appprice: int
    volume: int
    tag: bytes
    datasetrestrict: str
    workerpoolrestrict: str
    requesterrestrict: str
    salt: bytes
    sign: bytes = b""


class DatasetOrder(NamedTuple):
    """A dataset's owner offers `volume` uses at `datasetprice` nRLC each."""

    dataset: str
    datasetprice: int
    volume: int
    tag: bytes
    apprestrict: str
    workerpoolrestrict: str
    requesterrestrict: str
    salt: bytes
    sign: bytes = b""


class WorkerpoolOrder(NamedTuple):
    """A scheduler offers `volume` tasks of a category at `workerpoolprice` nRLC each."""

    workerpool: str
    workerpoolprice: int
    volume: int
    tag: bytes
    category: int
    trust: int
    apprestrict: str
    datasetrestrict: str
    requesterrestrict: str
    salt: bytes
    sign: bytes = b""


class RequestOrder(NamedTuple):
    """A requester asks for `volume` tasks."""

    app: str
    appmaxprice: int
    dataset: str
    datasetmaxprice: int
    workerpool: str
    workerpoolmaxprice: int
    requester: str
    volume: int
    tag: bytes
    category: int
    trust: int
    beneficiary: str
    callback: str
    params: str
    salt: bytes
    sign: bytes = b""


AnyOrder = AppOrder | DatasetOrder | WorkerpoolOrder | RequestOrder
_INTEGERS = {"volume", "category", "trust"}
_WORDS = {"tag", "salt"}
NO_DATASET = DatasetOrder(ZERO_ADDRESS, 0, 0, ZERO_HASH, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_HASH)


def kind_of(order: AnyOrder) -> str:
    """`app`, `dataset`, `workerpool` or `request`."""
    return type(order).__name__.removesuffix("Order").lower()


def _types(order: AnyOrder) -> tuple[bytes, list[str]]:
    """Type hash, and the ABI types of the type hash and the fields in the struct's hash."""
    names = order._fields[:-1]
    kinds = [_type(name) for name in names]
    text = ",".join(f"{kind} {name}" for kind, name in zip(kinds, names, strict=True))
    coded = ["bytes32" if kind == "string" else kind for kind in kinds]
    return keccak(text=f"{type(order).__name__}({text})"), ["bytes32", *coded]


def _type(field: str) -> str:
    if field in _INTEGERS or field.endswith("price"):
        return "uint256"
    if field in _WORDS:
        return "bytes32"
    return "string" if field == "params" else "address"


def order_hash(order: AnyOrder, domain_separator: bytes) -> bytes:
    """The EIP-712 hash that is signed and that events show. 32 bytes; zero for `NO_DATASET`."""
    if order == NO_DATASET:
        return ZERO_HASH
    type_hash, types = _types(order)
    values: list[object] = [type_hash, *order[:-1]]
    if isinstance(order, RequestOrder):
        values[1 + order._fields.index("params")] = keccak(text=order.params)
    return keccak(b"\x19\x01" + domain_separator + keccak(encode(types, values)))


def sign(key: PrivateKey, digest: bytes) -> bytes:
    """r, s, v (27 or 28) of a 32-byte digest."""
    signature = key.sign_msg_hash(digest).to_bytes()
    return signature[:64] + bytes([signature[64] + 27])


def sign_message(key: PrivateKey, message: bytes) -> bytes:
    """Signature of keccak(message) as an Ethereum signed message (EIP-191), which workers' authorisations use."""
    return sign(key, keccak(b"\x19Ethereum Signed Message:\n32" + keccak(message)))


def deal_id(request_hash: bytes, bot_first: int) -> bytes:
    """keccak(request order hash ++ first index), iexec.md section 0."""
    return keccak(request_hash + bot_first.to_bytes(32, "big"))


def task_id(deal: bytes, idx: int) -> bytes:
    """keccak(deal id ++ index), iexec.md section 0."""
    return keccak(deal + idx.to_bytes(32, "big"))
