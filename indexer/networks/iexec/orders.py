"""Hashes of broadcast orders: `Broadcast…` events carry an order, all other events name it by its EIP-712 hash.

Source of types and domain: PoCo, contracts/libs/IexecLibOrders_v5.sol and IexecConfigurationExtraFacet.sol.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from eth_hash.auto import keccak
from sqlalchemy.dialects.postgresql import ARRAY

TYPES: dict[str, str] = {
    "app": (
        "AppOrder(address app,uint256 appprice,uint256 volume,bytes32 tag,address datasetrestrict,"
        "address workerpoolrestrict,address requesterrestrict,bytes32 salt)"
    ),
    "dataset": (
        "DatasetOrder(address dataset,uint256 datasetprice,uint256 volume,bytes32 tag,address apprestrict,"
        "address workerpoolrestrict,address requesterrestrict,bytes32 salt)"
    ),
    "workerpool": (
        "WorkerpoolOrder(address workerpool,uint256 workerpoolprice,uint256 volume,bytes32 tag,uint256 category,"
        "uint256 trust,address apprestrict,address datasetrestrict,address requesterrestrict,bytes32 salt)"
    ),
    "request": (
        "RequestOrder(address app,uint256 appmaxprice,address dataset,uint256 datasetmaxprice,address workerpool,"
        "uint256 workerpoolmaxprice,address requester,uint256 volume,bytes32 tag,uint256 category,uint256 trust,"
        "address beneficiary,address callback,string params,bytes32 salt)"
    ),
}
"""The EIP-712 type of each kind of order: every field but the signature."""

_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"

_EVENTS = sa.table(
    "order_broadcasts",
    *(sa.column(name) for name in ("chain_id", "address", "block_number", "log_index", "kind", "broadcast")),
    schema="iexec",
)
_HASHES = sa.table(
    "broadcasts",
    *(sa.column(name) for name in ("chain_id", "block_number", "event_index", "address", "hash")),
    schema="iexec",
)


def order_hash(kind: str, order: Mapping[str, object], chain_id: int, hub: bytes) -> bytes:
    """The hash under which the hub knows an order: 32 bytes.

    `order` has the fields as the event's JSON document gives them: numbers as int, all else as hex text, `params` as
    text or, when it is no valid text, as hex text under `params_raw`.
    """
    name, fields = TYPES[kind].rstrip(")").split("(")
    words = [keccak(f"{name}({fields})".encode())]
    words += [_word(field, order) for field in fields.split(",")]
    return keccak(b"\x19\x01" + _domain(chain_id, hub) + keccak(b"".join(words)))


def _word(field: str, order: Mapping[str, object]) -> bytes:
    kind, name = field.split(" ")
    value = order[name]
    if kind == "string":
        text = value.encode() if isinstance(value, str) else bytes.fromhex(str(order[f"{name}_raw"])[2:])
        return keccak(text)
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return bytes.fromhex(str(value)[2:]).rjust(32, b"\0")


def _domain(chain_id: int, hub: bytes) -> bytes:
    parts = (_DOMAIN.encode(), b"iExecODB", b"5.0.0")
    return keccak(b"".join(map(keccak, parts)) + chain_id.to_bytes(32, "big") + hub.rjust(32, b"\0"))


def hash_broadcasts(
    connection: sa.Connection, chain_id: int, hubs: Sequence[bytes], from_block: int, to_block: int
) -> None:
    """Make the rows of `iexec.broadcasts` for these blocks anew."""
    old = sa.and_(
        _HASHES.c.chain_id == chain_id,
        _HASHES.c.block_number.between(from_block, to_block),
        _HASHES.c.address == sa.any_(sa.cast(list(hubs), ARRAY(sa.LargeBinary))),
    )
    connection.execute(sa.delete(_HASHES).where(old))
    events = sa.select(_EVENTS).where(
        _EVENTS.c.chain_id == chain_id,
        _EVENTS.c.block_number.between(from_block, to_block),
        _EVENTS.c.address == sa.any_(sa.cast(list(hubs), ARRAY(sa.LargeBinary))),
    )
    rows = [
        {
            "chain_id": chain_id,
            "block_number": row.block_number,
            "event_index": row.log_index,
            "address": row.address,
            "hash": order_hash(row.kind, row.broadcast, chain_id, row.address),
        }
        for row in connection.execute(events)
    ]
    if rows:
        connection.execute(sa.insert(_HASHES), rows)
