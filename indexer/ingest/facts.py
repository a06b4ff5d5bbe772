"""The columns that every event row begins with, made once per block where they repeat."""

from collections.abc import Mapping

from indexer.errors import Inconsistent
from indexer.rpc.types import Log
from indexer.store.copy import timestamp

Fixed = tuple[int, int, int, bytes, bytes, bytes, int, bytes]


class Facts:
    """Fixed columns of the logs of one chain.

    `times` gives the Unix time (seconds) of blocks, by hash as hex text, whose logs do not carry it.
    """

    def __init__(self, chain_id: int, times: Mapping[str, int]) -> None:
        self._chain_id = chain_id
        self._times = times
        self._blocks: dict[str, tuple[int, bytes, bytes]] = {}
        self._addresses: dict[str, bytes] = {}

    def of(self, log: Log) -> Fixed:
        """chain_id, block_number, log_index, block_hash, block_time (binary), tx_hash, tx_index, address."""
        number, block_hash, block_time = self._blocks.get(log.block_hash) or self._block(log)
        return (
            self._chain_id,
            number,
            int(log.log_index, 16),
            block_hash,
            block_time,
            bytes.fromhex(log.transaction_hash[2:]),
            int(log.transaction_index, 16),
            self._addresses.get(log.address) or self._address(log.address),
        )

    def _block(self, log: Log) -> tuple[int, bytes, bytes]:
        if log.block_timestamp is not None:
            seconds = int(log.block_timestamp, 16)
        elif log.block_hash in self._times:
            seconds = self._times[log.block_hash]
        else:
            raise Inconsistent(f"no header of block {log.block_number} has the hash its logs name", provider="")
        facts = int(log.block_number, 16), bytes.fromhex(log.block_hash[2:]), timestamp(seconds)
        self._blocks[log.block_hash] = facts
        return facts

    def _address(self, text: str) -> bytes:
        self._addresses[text] = address = bytes.fromhex(text[2:])
        return address
