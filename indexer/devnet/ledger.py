"""What the devnet did: every log from the receipts of its own transactions, and the facts it sent.

Nothing here comes from an indexer or its codecs. Hex values are lower-case text with `0x`, amounts are nRLC,
times are Unix seconds, statuses are the numbers of the contracts (iexec.md, section 2).
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from indexer.devnet.arbius.facts import Arbius

UNSET, ACTIVE, REVEALING, COMPLETED, FAILED = range(5)
STATUS_NAMES = ("UNSET", "ACTIVE", "REVEALING", "COMPLETED", "FAILED")
CONTRIBUTED, PROVED, REJECTED = 1, 2, 3
ZERO_HASH_TEXT = "0x" + 32 * "00"


class RawLog(msgspec.Struct, frozen=True):
    """One log as the node gave it in a receipt."""

    address: str
    topics: list[str]
    data: str
    block_number: int
    block_hash: str
    block_timestamp: int
    tx_hash: str
    tx_index: int
    log_index: int


class Deal(msgspec.Struct):
    """One match of orders. `app`, `dataset`, `workerpool` with owner and price as they were at the match."""

    deal_id: str
    app: str
    app_owner: str
    app_price: int
    dataset: str
    dataset_owner: str
    dataset_price: int
    workerpool: str
    workerpool_owner: str
    workerpool_price: int
    trust: int
    category: int
    tag: str
    requester: str
    beneficiary: str
    callback: str
    params: str
    start_time: int
    bot_first: int
    bot_size: int
    worker_stake: int
    scheduler_reward_ratio: int
    sponsor: str
    sponsored: bool
    app_hash: str
    dataset_hash: str
    workerpool_hash: str
    request_hash: str
    final_time: int
    block_number: int


class Task(msgspec.Struct):
    """One task with the values that `viewTask` must show; all but ids and flow are zero while it is UNSET."""

    task_id: str
    deal_id: str
    idx: int
    flow: str
    status: int = UNSET
    timeref: int = 0
    contribution_deadline: int = 0
    reveal_deadline: int = 0
    final_deadline: int = 0
    consensus_value: str = ZERO_HASH_TEXT
    reveal_counter: int = 0
    winner_counter: int = 0
    contributors: list[str] = msgspec.field(default_factory=list)
    result_digest: str = ZERO_HASH_TEXT
    results: str = "0x"
    results_callback: str = "0x"


class Contribution(msgspec.Struct):
    """One worker's contribution to one task. `weight` is the base-2 logarithm that the contract stores."""

    task_id: str
    worker: str
    status: int
    result_hash: str
    result_seal: str
    enclave_challenge: str
    weight: int


class Account(msgspec.Struct):
    """Free and locked nRLC in the hub, and the worker's score."""

    stake: int = 0
    locked: int = 0
    score: int = 0


class Order(msgspec.Struct):
    """One order by its hash. `kind`: app, dataset, workerpool, request. `presigned_by` is zero if signed off-chain."""

    kind: str
    order_hash: str
    volume: int
    consumed: int = 0
    presigned_by: str = "0x" + 20 * "00"
    closed: bool = False
    broadcasts: int = 0


class Entry(msgspec.Struct):
    """An app, dataset or workerpool. The two ratios are those of a workerpool, in percent."""

    kind: str
    address: str
    owner: str
    name: str
    created_block: int
    worker_stake_ratio: int = 30
    scheduler_reward_ratio: int = 1


class Movement(msgspec.Struct, frozen=True):
    """RLC that entered (`deposit`), left (`withdraw`) or changed hands in the hub (`transfer`)."""

    kind: str
    source: str
    target: str
    amount: int
    block_number: int


class Category(msgspec.Struct, frozen=True):
    """A category; `work_clock_time_ref` in seconds."""

    cat_id: int
    name: str
    description: str
    work_clock_time_ref: int


class Ledger(msgspec.Struct):
    """All that happened. `contracts`: role -> address; `reverted`: transactions sent to fail, which leave no log.

    `logs`, `transactions` and `reverted` are those of the whole chain, `arbius` holds the facts of the Arbius engines,
    all else those of iExec.
    """

    chain_id: int
    seed: int
    contracts: dict[str, str] = msgspec.field(default_factory=dict)
    start_block: int = 0
    head: int = 0
    head_timestamp: int = 0
    transactions: int = 0
    reverted: int = 0
    logs: list[RawLog] = msgspec.field(default_factory=list)
    categories: list[Category] = msgspec.field(default_factory=list)
    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    orders: dict[str, Order] = msgspec.field(default_factory=dict)
    deals: dict[str, Deal] = msgspec.field(default_factory=dict)
    tasks: dict[str, Task] = msgspec.field(default_factory=dict)
    contributions: list[Contribution] = msgspec.field(default_factory=list)
    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    movements: list[Movement] = msgspec.field(default_factory=list)
    arbius: Arbius = msgspec.field(default_factory=Arbius)

    def record(self, receipts: Iterable[Mapping[str, Any]], *, number: int, timestamp: int) -> None:
        """Add the receipts of block `number`, as `eth_getBlockReceipts` answers them."""
        self.head, self.head_timestamp = number, timestamp
        for receipt in receipts:
            self.transactions += 1
            self.reverted += receipt["status"] == "0x0"
            self.logs += [_raw(log) for log in receipt["logs"]]

    def logs_of(self, *addresses: str) -> list[RawLog]:
        """The logs of these contracts in chain order."""
        wanted = {address.lower() for address in addresses}
        return [log for log in self.logs if log.address in wanted]

    def workerpools(self) -> list[str]:
        """Addresses of the workerpool contracts."""
        return [entry.address for entry in self.entries.values() if entry.kind == "workerpool"]

    def status_name(self, task_id: str, at: int) -> str:
        """A task's status at Unix time `at`; TIMEOUT if only a claim is left to be done (iexec.md, section 3)."""
        task = self.tasks[task_id]
        timed_out = task.status < COMPLETED and at >= self.deals[task.deal_id].final_time
        return "TIMEOUT" if timed_out else STATUS_NAMES[task.status]

    def to_json(self) -> bytes:
        """The whole ledger as one JSON object."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> "Ledger":
        """The ledger that `to_json` wrote. Raises msgspec.MsgspecError if the text is something else."""
        return msgspec.json.decode(text, type=cls)

    def save(self, path: Path) -> None:
        """Write the ledger to `path`, whole or not at all. Raises OSError."""
        side = path.with_name(f".{path.name}.{os.getpid()}")
        side.write_bytes(self.to_json())
        side.replace(path)


def _raw(log: Mapping[str, Any]) -> RawLog:
    return RawLog(
        address=log["address"].lower(),
        topics=log["topics"],
        data=log["data"],
        block_number=int(log["blockNumber"], 16),
        block_hash=log["blockHash"],
        block_timestamp=int(log["blockTimestamp"], 16),
        tx_hash=log["transactionHash"],
        tx_index=int(log["transactionIndex"], 16),
        log_index=int(log["logIndex"], 16),
    )
