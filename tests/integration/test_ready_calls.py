"""On the devnet's real contracts: ready calls are sent and succeed, nothing else would; `watch` sees tasks live."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from indexer.devnet import Devnet
from indexer.devnet.arbius import disputes
from indexer.devnet.arbius.lives import CLAIM, LOST
from indexer.devnet.arbius.lives import run as live
from indexer.devnet.arbius.plans import Plan as Fates
from indexer.devnet.chain import Block, Tx
from indexer.devnet.deals import Plan, run_deal
from indexer.errors import NotFound, RpcRefused
from indexer.query import Call, Change, ask, claim_all, claimable, connect, finalize, watch
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import ingest
from tests.support import held

CHAIN, END = 42161, 1_750_000_000
ANYBODY = "0x" + "5e" * 20
Claims = list[Any]


class World:
    """A devnet and what was read of it."""

    def __init__(self, devnet: Devnet, database: str) -> None:
        self.devnet, self.database, self.node = devnet, database, devnet._anvil.node
        self.sources = [
            {"network": "iexec", "addresses": [devnet.hub]},
            {"network": "arbius", "addresses": [engine.address for engine in devnet.arbius.engines.values()]},
        ]

    def read(self) -> None:
        ingest(self.database, self.devnet.rpc_url, self.sources, CHAIN)

    def claims(self) -> Claims:
        with connect(self.database) as connection:
            return ask(connection, claimable(limit=10_000)).rows

    def sent(self, call: Call) -> bool:
        """Whether the transaction succeeds, from whoever has to send it. The chain forgets it again."""
        sender, at = call.sender or ANYBODY, self.node.call("evm_snapshot")
        self.node.call("anvil_setBalance", sender, hex(10**20))
        gas = {"gas": hex(6_000_000), "gasPrice": "0x1"}
        made = self.node.call("eth_sendTransaction", {"from": sender, "to": call.to, "data": call.data, **gas})
        self.node.call("evm_setNextBlockTimestamp", self.devnet.ledger.head_timestamp + 1)
        self.node.call("evm_mine")
        status = self.node.call("eth_getTransactionReceipt", made)["status"]
        self.node.call("evm_revert", at)
        return bool(status == "0x1")

    def would(self, to: str, signature: str, *arguments: Any, sender: str = ANYBODY) -> bool:
        """Whether the contract would take this call."""
        types = signature[signature.index("(") + 1 : -1].split(",")
        data = "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()
        try:
            self.node.call("eth_call", {"from": sender, "to": to, "data": data}, "latest")
        except RpcRefused:
            return False
        return True


@pytest.fixture(scope="module")
def world(server_url: str, template: str) -> Iterator[World]:
    with Devnet(seed=5, end_time=END) as devnet, fresh_database(server_url, template) as database:
        devnet.bulk(60)
        world = World(devnet, database)
        leave_voters_unpaid(devnet)
        leave_in_the_middle(devnet)
        world.read()
        yield world


def leave_in_the_middle(devnet: Devnet) -> None:
    """One task whose winners never revealed in time, then one that only waits for its scheduler."""
    drive, tasks = devnet._drive, devnet.ledger.tasks
    for flow, ready in (
        ("hidden", lambda task: task.status == 2),
        ("nominal", lambda task: task.status == 2 and task.reveal_counter == task.winner_counter),
    ):
        before = set(tasks)
        drive.spawn(run_deal(drive.world, Plan((flow,), category=0, replicated=True, claims=False)))
        while not any(ready(tasks[key]) for key in set(tasks) - before):
            drive.step(drive.world.chain.head.timestamp + 5)
        drive._ready.clear()
        if flow == "hidden":
            drive.step(drive.world.chain.head.timestamp + 2 * 300 + 1)


def leave_voters_unpaid(devnet: Devnet) -> None:
    """A contestation whose votes were counted, but not all paid off."""
    traffic, engine = devnet._traffic, devnet._traffic.world.engines["one"]
    before = set(engine.facts.tasks)
    traffic.spawn(live(traffic.world, Fates("one", (LOST,))))
    while True:
        _step(traffic)
        contested = [engine.facts.tasks[key] for key in set(engine.facts.tasks) - before]
        for task in contested:
            if task.contestation and traffic._ready[0][0] >= (end := engine.facts.deadline(task.contestation)):
                traffic._ready.clear()
                count = disputes._finish(engine, task, task.contestation.contester, 1)
                traffic.world.chain.mine([count], end + 5)
                return


def test_every_ready_call_succeeds(world: World) -> None:
    found = world.claims()
    assert {(row.network, row.action) for row in found} == {
        *(("arbius", action) for action in ("claim", "finish", "settle")),
        *(("iexec", action) for action in ("claim", "finalize", "reopen")),
    }
    calls = {row.call for row in found if row.call is not None and row.lacks is None}
    for row in found:
        if row.action == "finalize":
            assert row.call is None
            calls.add(finalize(row, b"results"))
            assert not world.sent(finalize(row, b"results")._replace(sender=ANYBODY)), "only the scheduler may"
    calls |= set(claim_all(found))
    assert [call for call in calls if not world.sent(call)] == []
    assert len(calls) > 15


def test_no_other_call_would_succeed(world: World) -> None:
    """Asked of the contracts for every task, by the time of the head."""
    found = {(row.action, row.task_id) for row in world.claims()}
    wanted = set()
    for engine in world.devnet.arbius.engines.values():
        for key, task in engine.tasks.items():
            if task.solution and world.would(engine.address, "claimSolution(bytes32)", bytes.fromhex(key[2:])):
                wanted.add(("claim", key))
            undecided = task.contestation is not None and task.contestation.outcome is None
            if undecided and world.would(
                engine.address, "contestationVoteFinish(bytes32,uint32)", bytes.fromhex(key[2:]), 1
            ):
                wanted.add(("finish", key))
    for key, one in world.devnet.ledger.tasks.items():
        deal, raw = world.devnet.ledger.deals[one.deal_id], bytes.fromhex(key[2:])
        scheduler = deal.workerpool_owner
        if world.would(world.devnet.hub, "claim(bytes32)", raw) or world.would(
            world.devnet.hub,
            "initializeAndClaimArray(bytes32[],uint256[])",
            [bytes.fromhex(deal.deal_id[2:])],
            [one.idx],
        ):
            wanted.add(("claim", key))
        if world.would(world.devnet.hub, "reopen(bytes32)", raw, sender=scheduler):
            wanted.add(("reopen", key))
        if deal.callback == "0x" + "00" * 20 and world.would(
            world.devnet.hub, "finalize(bytes32,bytes,bytes)", raw, b"", b"", sender=scheduler
        ):
            wanted.add(("finalize", key))
    named = {action for action, _ in wanted}
    assert {one for one in found if one[0] in named} == wanted
    assert named == {"claim", "finish", "reopen", "finalize"}


async def lived(world: World, key: str, step: Callable[[], bool]) -> list[Change]:
    """What `watch` tells of a task, begun before the database has it, while the chain goes on step by step."""
    changes: asyncio.Queue[Change | None] = asyncio.Queue()

    async def listen(told: AsyncIterator[Change]) -> None:
        async for change in told:
            changes.put_nowait(change)
        changes.put_nowait(None)

    listener = asyncio.create_task(listen(watch(world.database, key, every=0.05)))
    await asyncio.sleep(0.3)
    assert changes.empty(), "the task is not there yet"
    more, found = True, []
    while more:
        more = step()
        await asyncio.to_thread(world.read)
    while (change := await asyncio.wait_for(changes.get(), 20)) is not None:
        found.append(change)
    await listener
    return found


def named_in_logs(world: World, key: str) -> set[tuple[int, str]]:
    """(block, who emitted with which topic) of every log of the chain that names the task."""
    watched = {world.devnet.hub, *(engine.address for engine in world.devnet.arbius.engines.values())}
    return {
        (log.block_number, log.topics[0]) for log in world.devnet.ledger.logs
        if log.address in watched and (key in log.topics or key[2:] in log.data)
    }  # fmt: skip


SIGNATURES = (
    "TaskSubmitted(bytes32,bytes32,uint256,address)", "SolutionSubmitted(address,bytes32)",
    "ContestationSubmitted(address,bytes32)", "ContestationVote(address,bytes32,bool)",
    "ContestationVoteFinish(bytes32,uint32,uint32)", "TaskInitialize(bytes32,address)",
    "TaskContribute(bytes32,address,bytes32)", "TaskConsensus(bytes32,bytes32)", "TaskReveal(bytes32,address,bytes32)",
    "TaskFinalize(bytes32,bytes)", "AccurateContribution(address,bytes32)", "FaultyContribution(address,bytes32)",
    "Reward(address,uint256,bytes32)", "Seize(address,uint256,bytes32)", "SolutionClaimed(address,bytes32)",
    "FeesPaid(bytes32,bytes32,address,uint256,uint256,uint256,uint256)",
    "RewardsPaid(bytes32,bytes32,address,uint256,uint256,uint256,uint256)",
)  # fmt: skip
TOPICS = {signature.partition("(")[0]: "0x" + keccak(text=signature).hex() for signature in SIGNATURES}


@pytest.mark.parametrize("fate", ["arbius claimed", "arbius lost", "iexec revealed"])
def test_watch_sees_every_change_of_a_task_that_is_not_there_yet(world: World, fate: str) -> None:
    drive, traffic = world.devnet._drive, world.devnet._traffic
    running: Any = drive if fate.startswith("iexec") else traffic
    running._ready.clear()
    before = _ids(world)
    if running is drive:
        drive.spawn(run_deal(drive.world, Plan(("liar",), category=0, replicated=True)))
    else:
        traffic.spawn(live(traffic.world, Fates("one", (CLAIM,) if fate == "arbius claimed" else (LOST,))))
    while not (born := _ids(world) - before):
        _step(running)
    (key,) = born
    found = asyncio.run(lived(world, key, lambda: _step(running)))
    seen = {(c.block, TOPICS[c.what]) for c in found if c.kind == "event" and c.what in TOPICS}
    last = max(block for block, _ in seen)
    assert seen == {one for one in named_in_logs(world, key) if one[0] <= last}, "votes may be paid later"
    assert [change.kind for change in found if change.kind == "gone"] == []
    states = list(dict.fromkeys(change.network_status for change in found))
    assert (
        states
        == {
            "arbius claimed": ["open", "challengeable", "claimable", "claimed"],
            "arbius lost": ["open", "challengeable", "voting", "awaiting_finish", "contestation_succeeded"],
            "iexec revealed": ["UNSET", "ACTIVE", "REVEALING", "COMPLETED"],
        }[fate]
    )
    assert found[-1].status in ("succeeded", "failed")


def _ids(world: World) -> set[str]:
    engines = world.devnet.arbius.engines.values()
    return {*world.devnet.ledger.tasks, *(key for engine in engines for key in engine.tasks)}


def _step(running: Any) -> bool:
    """One block; whether there is more to come."""
    head: Block = running.world.chain.head
    running.step(max(head.timestamp + 5, running._ready[0][0] if running._ready else 0))
    return bool(running._ready)


def _money(world: World) -> dict[str, tuple[int, int]]:
    with connect(world.database) as connection:
        found = connection.execute(sa.text("SELECT * FROM analytics.payments WHERE network = 'iexec'"))
        return held(found.mappings())


def test_payments_of_every_account_add_up_to_what_the_hub_says(world: World) -> None:
    hub, chain = world.devnet.hub, world.devnet._drive.world.chain
    _, giver = max((sums, account) for account, sums in _money(world).items() if account != hub)
    for taker in (ANYBODY, hub):  # what is given to the hub looks like a stake, but for the Lock
        data = keccak(text="transfer(address,uint256)")[:4] + encode(["address", "uint256"], [taker, 12_345])
        chain.mine([Tx(giver, hub, "0x" + data.hex())], chain.head.timestamp + 5)
    world.read()
    sums = _money(world)
    assert sums[ANYBODY] == (12_345, 0)
    assert len(sums) > 10
    for account, mine in sums.items():
        data = keccak(text="viewAccount(address)")[:4] + encode(["address"], [account])
        answer = world.node.call("eth_call", {"to": hub, "data": "0x" + data.hex()}, "latest")
        told = (int(answer[2:66], 16), int(answer[66:130], 16))
        if account != hub:  # it holds what is locked of everybody
            assert mine == told, account


def test_stake_that_a_validator_may_take_out(world: World) -> None:
    """Last: the clock moves on by days."""
    engine = world.devnet.arbius.engines["one"]
    validator = max(engine.validators.values(), key=lambda one: one.staked).address
    chain = world.devnet._drive.world.chain
    data = "0x" + (keccak(text="initiateValidatorWithdraw(uint256)")[:4] + encode(["uint256"], [10**15])).hex()
    chain.mine([Tx(validator, engine.address, data)], chain.head.timestamp + 5)
    world.read()
    assert [row for row in world.claims() if row.action == "withdraw" and row.account == validator] == []
    chain.mine([], chain.head.timestamp + engine.params["exitValidatorMinUnlockTime"] + 1)
    world.read()
    (row,) = [row for row in world.claims() if row.action == "withdraw" and row.account == validator]
    assert (row.gain, row.sender, row.task_id) == (10**15, validator, None)
    assert row.call is not None
    assert world.sent(row.call)
    assert not world.sent(row.call._replace(sender=ANYBODY))


def test_watch_does_not_wait_for_a_part_of_an_id(world: World) -> None:
    async def first() -> None:
        async for _ in watch(world.database, "0x" + "f" * 40):
            pass

    with pytest.raises(NotFound, match="No task"):
        asyncio.run(first())
