"""What a provider is asked and what it answers, as typed structures read straight from the JSON bytes.

Only the fields that Taskscan needs are named; msgspec skips the rest without building objects for them.
Hex stays text here: `indexer.networks` turns it into values.
"""

from typing import NamedTuple

import msgspec

from indexer.errors import Inconsistent


class Call(NamedTuple):
    """One JSON-RPC call: a method name and its parameters (anything msgspec can encode)."""

    method: str
    params: tuple[object, ...] = ()


class Log(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """One entry of an `eth_getLogs` answer. Quantities are hex text as sent (`0x1a`)."""

    address: str
    topics: list[str]
    data: str
    block_hash: str
    block_number: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    block_timestamp: str | None = None
    removed: bool = False


class Header(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """The part of an `eth_getBlockByNumber(n, false)` answer that Taskscan uses."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str = "0x"
    receipts_root: str = "0x"

    @property
    def raw_hash(self) -> bytes:
        """`hash` as bytes. Raises Inconsistent for what is not hex text."""
        try:
            return bytes.fromhex(self.hash[2:])
        except ValueError:
            raise Inconsistent("a header whose hash is not hex text", provider="A provider") from None
