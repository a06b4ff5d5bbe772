"""Reorgs of a real node: Anvil's `anvil_reorg` and `anvil_rollback`, with an Arbius engine of a few bytes that emits
what it is told. Anvil calls everything final that is four blocks old."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import psycopg
import pytest

from indexer.devnet.anvil import Anvil
from indexer.devnet.tools import install
from indexer.errors import FinalityBroken
from indexer.ingest.job import ChainJob
from indexer.query import watch
from indexer.store import database as db
from tests.support import open_job, settings_for

CHAIN = 31337
ENGINE = "0x" + "e1" * 20
SENDER = "0x" + "5e" * 20
# arbius.md: ValidatorDeposit(address indexed addr, address indexed validator, uint256 amount)
DEPOSIT = "8d4844488c19a90828439e71d14ebad860806d04f8ef8b25a82179fab2699b89"
# Topics and data of a LOG3 are the four words of the calldata.
EMIT = "0x606035600052604035602035600035" + "60206000a300"
# The same of a LOG4: TaskSubmitted(bytes32 indexed id, bytes32 indexed model, uint256 fee, address indexed sender)
TASKS = "0x" + "e2" * 20
EMIT_TASK = "0x608035600052606035604035602035600035" + "60206000a400"
SUBMITTED = "c3d3e0544c80e3bb83f62659259ae1574f72a91515ab3cae3dd75cf77e1b0aea"


class Chain:
    """Anvil under the hand of a test. Amounts count up, so that no two logs are alike."""

    def __init__(self, anvil: Anvil) -> None:
        self.url, self._call = anvil.rpc_url, anvil.node.call
        self._amount = 0
        self._call("anvil_setCode", ENGINE, EMIT)
        self._call("anvil_setCode", TASKS, EMIT_TASK)
        self._call("anvil_setBalance", SENDER, hex(10**24))

    def deposit(self) -> dict[str, str]:
        """A transaction that emits one log."""
        self._amount += 1
        words = [DEPOSIT, "11".rjust(64, "0"), "22".rjust(64, "0"), f"{self._amount:064x}"]
        return {"from": SENDER, "to": ENGINE, "data": "0x" + "".join(words), "gas": "0x30000", "gasPrice": "0x0"}

    def submit(self, task: str) -> None:
        """A block with a task of this id, 64 hex digits."""
        words = [SUBMITTED, task, "33".rjust(64, "0"), SENDER[2:].rjust(64, "0"), f"{7:064x}"]
        sent = {"from": SENDER, "to": TASKS, "data": "0x" + "".join(words), "gas": "0x30000", "gasPrice": "0x0"}
        self._call("eth_sendTransaction", sent)
        self._call("evm_mine")

    def mine(self, *counts: int) -> None:
        """One block for each count, with so many logs."""
        for count in counts:
            for _ in range(count):
                self._call("eth_sendTransaction", self.deposit())
            self._call("evm_mine")

    def reorg(self, *counts: int) -> None:
        """Replace as many of the newest blocks as there are counts by others, with so many logs."""
        offsets = [place for place, count in enumerate(counts) for _ in range(count)]
        self._call("anvil_reorg", len(counts), [[self.deposit(), place] for place in offsets])

    def roll_back(self, depth: int) -> None:
        """Forget the newest blocks."""
        self._call("anvil_rollback", depth)

    @property
    def head(self) -> int:
        """Number of the newest block."""
        return int(self._call("eth_blockNumber"), 16)

    def logs(self) -> set[tuple[int, int, str, int]]:
        """(block, log index, block hash, amount) of every log."""
        found = self._call("eth_getLogs", {"address": ENGINE, "fromBlock": "0x0", "toBlock": "latest"})
        return {
            (int(log["blockNumber"], 16), int(log["logIndex"], 16), log["blockHash"][2:], int(log["data"], 16))
            for log in found
        }


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Anvil(install().anvil, chain_id=CHAIN, timestamp=1_700_000_000) as anvil:
        made = Chain(anvil)
        made.mine(1, 0, 2, 1, 0, 0, 1, 1)
        yield made


Walk = Callable[[ChainJob], Coroutine[Any, Any, None]]


def follow(database: str, chain: Chain, walk: Walk, *addresses: str) -> None:
    """Run `walk` with a job that has read the chain."""
    engine = db.engine(database)
    source = {"network": "arbius", "addresses": list(addresses or (ENGINE,)), "start_block": 0}
    settings = settings_for(database, chain.url, CHAIN, [source])

    async def all_of_it() -> None:
        async with open_job(settings, engine) as job:
            await job.tick()
            await walk(job)

    asyncio.run(all_of_it())


def stored(database: str) -> set[tuple[int, int, str, int]]:
    query = "SELECT block_number, log_index, encode(block_hash, 'hex'), amount::bigint FROM arbius.validator_deposit"
    with psycopg.connect(database) as connection:
        return set(connection.execute(query).fetchall())


def depths(database: str) -> list[int]:
    with psycopg.connect(database) as connection:
        return [row[0] for row in connection.execute("SELECT depth FROM chain.reorgs ORDER BY reorg_id")]


REORGS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    # name: blocks before, those that take the place of the newest ones, blocks after
    "parent_mismatch_at_tip_plus_one": ((1, 1), (2,), (1,)),
    "sibling_at_the_same_height": ((1, 1), (2,), ()),
    "longer_branch_whose_head_jumps": ((1, 1, 1), (0, 2), (1, 0, 1)),
    "empty_block_becomes_non_empty": ((1, 0), (2,), ()),
    "non_empty_block_becomes_empty": ((1, 2), (0,), ()),
    "as_deep_as_the_window": ((1, 1, 1), (0, 1, 2), (0,)),
}


@pytest.mark.parametrize("case", REORGS)
def test_reorg(migrated: str, chain: Chain, case: str) -> None:
    before, instead, after = REORGS[case]

    async def walk(job: ChainJob) -> None:
        chain.mine(*before)
        await job.tick()
        assert stored(migrated) == chain.logs()
        chain.reorg(*instead)
        chain.mine(*after)
        await job.tick()
        await job.tick()

    follow(migrated, chain, walk)
    assert stored(migrated) == chain.logs()
    assert depths(migrated) == [len(instead)]


def test_reorg_while_offline(migrated: str, chain: Chain) -> None:
    async def read(job: ChainJob) -> None:
        chain.mine(1, 1)
        await job.tick()

    async def nothing(job: ChainJob) -> None:
        await job.tick()

    follow(migrated, chain, read)
    assert stored(migrated) == chain.logs()
    chain.reorg(2, 0)
    chain.mine(1)
    follow(migrated, chain, nothing)
    assert stored(migrated) == chain.logs()
    assert depths(migrated) == [2]


def test_a_head_that_goes_back_is_no_reorg_until_another_branch_shows(migrated: str, chain: Chain) -> None:
    async def walk(job: ChainJob) -> None:
        chain.mine(1, 1, 1)
        await job.tick()
        believed = stored(migrated)
        chain.roll_back(2)
        await job.tick()
        assert stored(migrated) == believed
        assert depths(migrated) == []
        chain.mine(0, 2, 1)
        await job.tick()
        await job.tick()

    follow(migrated, chain, walk)
    assert stored(migrated) == chain.logs()
    assert depths(migrated) == [2]


def test_many_reorgs_in_a_row(migrated: str, chain: Chain) -> None:
    async def walk(job: ChainJob) -> None:
        for turn in range(8):
            chain.mine(1, 0)
            chain.reorg(*((1, 0, 2)[: 1 + turn % 3]))
            await job.tick()
        await job.tick()

    follow(migrated, chain, walk)
    assert stored(migrated) == chain.logs()


def test_watch_tells_that_a_reorg_took_a_task_back(chain: Chain, migrated: str) -> None:
    task, changes = "77" * 32, []

    async def walk(job: ChainJob) -> None:
        told = watch(migrated, "0x" + task, every=0.02)
        for happens in (lambda: chain.submit(task), lambda: chain.reorg(0), lambda: chain.submit(task)):
            happens()
            await job.tick()
            changes.append(await asyncio.wait_for(anext(told), 60))

    head = chain.head
    follow(migrated, chain, walk, TASKS)
    assert [(c.kind, c.what, c.block) for c in changes] == [
        ("event", "TaskSubmitted", head + 1), ("gone", "TaskSubmitted", head + 1), ("event", "TaskSubmitted", head + 2)
    ]  # fmt: skip
    assert [(c.status, c.network_status) for c in changes] == [("open", "open"), (None, None), ("open", "open")]


def test_a_reorg_below_the_final_block_stops_and_changes_nothing(migrated: str, chain: Chain) -> None:
    """The last one: it leaves nothing of the chain behind that was final."""

    async def walk(job: ChainJob) -> None:
        chain.mine(1, 1, 1)
        await job.tick()
        believed = stored(migrated)
        chain.reorg(*(1 for _ in range(7)))
        chain.mine(1)
        for _ in range(2):
            await job.poll()
        assert isinstance(job.stopped, FinalityBroken)
        assert stored(migrated) == believed

    follow(migrated, chain, walk)
    with psycopg.connect(migrated) as connection:
        kinds = connection.execute("SELECT kind FROM chain.incidents").fetchall()
    assert ("FinalityBroken",) in kinds
