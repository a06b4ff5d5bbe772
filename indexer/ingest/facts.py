"""The columns that every event row begins with, made once per block and per transaction where they repeat.

They are hex text of packed fields (`indexer.store.binary`), like the arguments that `packed` adds to them.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from indexer.errors import Contradiction, MalformedAnswer
from indexer.rpc.types import Log
from indexer.store.binary import of_bytes, of_int4, of_int8, timestamp

_HASH_LENGTH = f"{32:08x}"
_HASH_TEXT = 66
NOT_A_QUANTITY = (ValueError, OverflowError, struct.error)


class Block(NamedTuple):
    """A block's number, and its columns: those `before` log_index and those `after` it."""

    number: int
    before: str
    after: str


class Facts:
    """Fixed columns of the logs of one chain, all from one provider.

    `times` gives the Unix time (seconds) of blocks, by hash as hex text, whose logs do not carry it. Everything
    raises MalformedAnswer for what is no number or no hash, and Contradiction where no header tells a block's time.
    """

    def __init__(self, chain_id: int, times: Mapping[str, int], provider: str) -> None:
        self._chain_id = of_int8(chain_id).hex()
        self._times = times
        self._provider = provider
        self._blocks: dict[str, Block] = {}
        self._transaction = ("", "", "")

    def block(self, log: Log) -> Block:
        """The block of `log`."""
        return self._blocks.get(log.block_hash) or self._new_block(log)

    def index(self, log: Log) -> str:
        """Its log_index."""
        try:
            return _index(log.log_index)
        except NOT_A_QUANTITY as error:
            raise self._malformed(log, error) from None

    def transaction(self, log: Log) -> str:
        """Its tx_hash and tx_index."""
        tx_hash, tx_index, packed = self._transaction
        return packed if log.transaction_hash == tx_hash and log.transaction_index == tx_index else self._new(log)

    def _new(self, log: Log) -> str:
        try:
            packed = _hash(log.transaction_hash) + _index(log.transaction_index)
        except NOT_A_QUANTITY as error:
            raise self._malformed(log, error) from None
        self._transaction = (log.transaction_hash, log.transaction_index, packed)
        return packed

    def _new_block(self, log: Log) -> Block:
        try:
            number = int(log.block_number, 16)
            after = _hash(log.block_hash) + of_bytes(timestamp(self._seconds(log))).hex()
            block = Block(number, self._chain_id + of_int8(number).hex(), after)
        except NOT_A_QUANTITY as error:
            raise self._malformed(log, error) from None
        self._blocks[log.block_hash] = block
        return block

    def _seconds(self, log: Log) -> int:
        if log.block_timestamp is not None:
            return int(log.block_timestamp, 16)
        if log.block_hash in self._times:
            return self._times[log.block_hash]
        message = f"no header of block {log.block_number} has the hash its logs name"
        raise Contradiction(message, provider=self._provider)

    def _malformed(self, log: Log, error: Exception) -> MalformedAnswer:
        return MalformedAnswer(f"a log of block {log.block_number[:20]}: {error}"[:200], provider=self._provider)


@lru_cache(maxsize=4096)
def _index(text: str) -> str:
    number = int(text, 16)
    if number < 0:
        raise ValueError(f"a negative index {text}")
    return of_int4(number).hex()


def _hash(text: str) -> str:
    """Whether the rest is hex digits shows when the row is made."""
    if len(text) != _HASH_TEXT or text[:2] != "0x":
        raise ValueError(f"a hash of {len(text)} characters")
    return f"{_HASH_LENGTH}{text[2:]}"
