"""A synthetic chain of Arbius logs, made once, as the bytes that an `eth_getLogs` answer holds.

The logs are true to the ABI and come in the mix of real traffic, about five per task: it is submitted, solved, and
`LAG` tasks later claimed; some are contested, retracted or left alone, and one in five earns a reward beside its fee.
Everything follows from the options, so two runs read the same bytes.
"""

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from eth_utils.crypto import keccak

CHAIN_ID = 42161
ENGINE = "0x" + "5c" * 20
FIRST_TIME = 1_700_000_000  # Unix time in seconds of block 0
LAG = 300  # tasks that are submitted between a solution and its claim: an hour of a busy engine
ETHER = 10**18

_SIGNATURES = (
    "TaskSubmitted(bytes32,bytes32,uint256,address)",
    "SignalCommitment(address,bytes32)",
    "SolutionSubmitted(address,bytes32)",
    "SolutionClaimed(address,bytes32)",
    "FeesPaid(bytes32,bytes32,address,uint256,uint256,uint256,uint256)",
    "RewardsPaid(bytes32,bytes32,address,uint256,uint256,uint256,uint256)",
    "TaskRetracted(bytes32)",
    "ContestationSubmitted(address,bytes32)",
    "ContestationVote(address,bytes32,bool)",
    "ContestationVoteFinish(bytes32,uint32,uint32)",
    "ValidatorDeposit(address,address,uint256)",
)
_TOPIC = {signature.partition("(")[0]: "0x" + keccak(text=signature).hex() for signature in _SIGNATURES}


FATES = {0: "wins", 1: "loses", 2: "retracted", 3: "open", 4: "open", 5: "solved"}
"""What becomes of a task by the last two digits of its number; the others are claimed."""

Event = tuple[tuple[str, ...], str]  # topics, and data in hex


class Task(NamedTuple):
    """One task; ids and addresses in hex, `fee` in the smallest unit."""

    number: int
    id: str
    model: str
    sender: str
    solver: str
    fee: int
    fate: str


@dataclass(frozen=True)
class Chain:
    """`logs` in `blocks` blocks, `per_block` of them in each block that has any, evenly spread.

    `data` holds every log as JSON followed by a comma; `ends[n]` is where those of the first n busy blocks end.
    """

    logs: int
    blocks: int
    per_block: int
    data: bytes
    ends: "array[int]"

    @property
    def step(self) -> int:
        """Blocks from one busy block to the next."""
        return max(1, self.blocks * self.per_block // self.logs)

    def between(self, first: int, last: int) -> memoryview:
        """The logs of blocks `first` to `last`, both included, with commas between them."""
        low = min(-(-first // self.step), len(self.ends) - 1)
        high = min(last // self.step + 1, len(self.ends) - 1)
        return memoryview(self.data)[self.ends[low] : max(self.ends[low], self.ends[high] - 1)]


def make(logs: int, blocks: int, per_block: int) -> Chain:
    """Build the chain; about 900 bytes and 20 µs per log."""
    data, ends = bytearray(), array("Q", [0])
    for block in busy_blocks(logs, blocks, per_block):
        data += block
        ends.append(len(data))
    return Chain(logs, blocks, per_block, bytes(data), ends)


def busy_blocks(logs: int, blocks: int, per_block: int) -> Iterator[bytes]:
    """The logs of one busy block after the other, each log followed by a comma."""
    step, coming, made = Chain(logs, blocks, per_block, b"", array("Q")).step, transactions(), 0
    for n in range(-(-logs // per_block)):
        data, tx_index, first = bytearray(), 0, made
        while made < min(logs, (n + 1) * per_block):
            tx_index += 1
            for topics, words in next(coming)[: logs - made]:
                data += _log(n * step, made - first, tx_index, topics, words)
                made += 1
        yield bytes(data)


def block_hash(number: int) -> str:
    """The hash of block `number`."""
    return "0x" + _hash("block", number)


def block_time(number: int) -> int:
    """Its Unix time in seconds: four blocks per second, as on Arbitrum."""
    return FIRST_TIME + number // 4


def _log(block: int, index: int, tx_index: int, topics: tuple[str, ...], data: str) -> bytes:
    listed = '","'.join(topics)
    return (
        f'{{"address":"{ENGINE}","topics":["{listed}"],"data":"0x{data}","blockNumber":"{block:#x}",'
        f'"transactionHash":"0x{_hash("tx", block, tx_index)}","transactionIndex":"{tx_index:#x}",'
        f'"blockHash":"{block_hash(block)}","blockTimestamp":"{block_time(block):#x}",'
        f'"logIndex":"{index:#x}","removed":false}},'
    ).encode()


def transactions() -> Iterator[list[Event]]:
    """The logs of one transaction after the other, as topics and data, without end."""
    for n in itertools.count():
        task = _task(n)
        yield [_event("TaskSubmitted", task.id, task.model, _word(task.sender), data=(task.fee,))]
        if n >= 3 and _task(n - 3).fate not in ("open", "retracted"):
            yield from _solved(_task(n - 3))
        if n >= LAG:
            yield from _settled(_task(n - LAG))


def _task(n: int) -> Task:
    fate = FATES.get(n % 100, "claimed")
    hashes = "0x" + _hash("task", n), "0x" + _hash("model", n % 40)
    return Task(
        n, *hashes, _address("sender", n % 500), _address("solver", n % 200), (n % 7919 + 1) * ETHER // 1000, fate
    )


def _solved(task: Task) -> Iterator[list[Event]]:
    yield [_event("SignalCommitment", _word(task.solver), "0x" + _hash("commitment", task.number))]
    yield [_event("SolutionSubmitted", _word(task.solver), task.id)]
    if task.fate in ("wins", "loses"):
        votes = [_event("ContestationVote", _word(who), task.id, data=(yea,))
                 for who, yea in ((task.sender, 1), (task.solver, 0))]  # fmt: skip
        yield [_event("ContestationSubmitted", _word(task.sender), task.id), *votes]
        yea = int(task.fate == "wins")
        for n in range(3):
            yield [_event("ContestationVote", _word(_address("solver", task.number + n + 1)), task.id, data=(yea,))]


def _settled(task: Task) -> Iterator[list[Event]]:
    finish = _event("ContestationVoteFinish", task.id, f"0x{0:064x}", data=(2,))
    fees = (task.fee // 10, task.fee // 20, task.fee // 2, task.fee // 3)
    paid = _event("FeesPaid", task.model, task.id, _word(task.solver), data=fees)
    rewards = (ETHER, ETHER // 10, ETHER // 5, ETHER // 2)
    reward = _event("RewardsPaid", task.model, task.id, _word(task.solver), data=rewards)
    match task.fate:
        case "claimed":
            claim = _event("SolutionClaimed", _word(task.solver), task.id)
            yield [claim, paid, reward] if task.number % 5 == 0 else [claim, paid]
        case "loses":
            yield [paid, finish]
        case "wins":
            yield [finish]
        case "retracted":
            yield [_event("TaskRetracted", task.id)]
    if task.number % 1000 == 0:
        deposit = (_word(task.sender), _word(task.solver))
        yield [_event("ValidatorDeposit", *deposit, data=(task.fee * 3,))]


def _event(name: str, *topics: str, data: tuple[int, ...] = ()) -> Event:
    return (_TOPIC[name], *topics), "".join(f"{word:064x}" for word in data)


def _hash(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=32).hexdigest()


def _address(kind: str, number: int) -> str:
    return _hash(kind, number)[:40]


def _word(address: str) -> str:
    return "0x" + address.rjust(64, "0")


def header(number: int) -> bytes:
    """The JSON of block `number` without transactions."""
    return (
        f'{{"number":"{number:#x}","hash":"{block_hash(number)}","parentHash":"{block_hash(number - 1)}",'
        f'"timestamp":"{block_time(number):#x}","logsBloom":"0x{"0" * 512}","transactions":[]}}'
    ).encode()
