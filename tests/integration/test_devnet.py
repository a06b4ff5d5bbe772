"""The devnet's ledger against the chain by another road: the contracts' own views and Anvil's eth_getLogs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_utils.abi import event_abi_to_log_topic
from web3 import Web3
from web3.contract import Contract

from indexer.devnet import Devnet
from indexer.devnet.anvil import Anvil
from indexer.devnet.chain import Chain, Tx
from indexer.devnet.ledger import COMPLETED, FAILED, Ledger
from indexer.devnet.tools import install

TASKS = 60
END = 1_750_000_000
INTERFACE = "artifacts/contracts/IexecInterfaceToken.sol/IexecInterfaceToken.json"
KITTY = "0x99c2268479b93fde36232351229815df80837e23"
SEIZE = "0x1bccc549c38561cd5b57f0db11ceb8dde1b0b6ee05ab5e155b51c7c5ba64becb"


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    with Devnet(seed=7, end_time=END) as running:
        running.bulk(TASKS)
        yield running


@pytest.fixture(scope="module")
def web3(devnet: Devnet) -> Web3:
    return Web3(Web3.HTTPProvider(devnet.rpc_url))


@pytest.fixture(scope="module")
def hub(devnet: Devnet, web3: Web3) -> Contract:
    return web3.eth.contract(Web3.to_checksum_address(devnet.hub), abi=abi_of(devnet, INTERFACE))


def abi_of(devnet: Devnet, path: str) -> list[dict[str, Any]]:
    abi: list[dict[str, Any]] = json.loads((devnet.poco_package / path).read_text())["abi"]
    return abi


def text(value: object) -> object:
    """Values of web3 in the ledger's form: lower-case hex text."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, str):
        return value.lower() if value.startswith("0x") else value
    return [text(item) for item in value] if isinstance(value, list | tuple) else value


def test_every_task_is_as_view_task_says(devnet: Devnet, hub: Contract) -> None:
    assert len(devnet.ledger.tasks) == TASKS
    for task in devnet.ledger.tasks.values():
        seen = text(hub.functions.viewTask(task.task_id).call())
        started = task.status > 0
        assert seen == [
            task.status,
            task.deal_id if started else "0x" + 32 * "00",
            task.idx if started else 0,
            task.timeref,
            task.contribution_deadline,
            task.reveal_deadline,
            task.final_deadline,
            task.consensus_value,
            task.reveal_counter,
            task.winner_counter,
            task.contributors,
            task.result_digest,
            task.results,
            0,
            task.results_callback,
        ], task.flow


def test_every_deal_is_as_view_deal_says(devnet: Devnet, hub: Contract) -> None:
    deals = devnet.ledger.deals
    assert sum(deal.bot_size for deal in deals.values()) == TASKS
    for deal in deals.values():
        assert text(hub.functions.viewDeal(deal.deal_id).call()) == [
            [deal.app, deal.app_owner, deal.app_price],
            [deal.dataset, deal.dataset_owner, deal.dataset_price],
            [deal.workerpool, deal.workerpool_owner, deal.workerpool_price],
            deal.trust,
            deal.category,
            deal.tag,
            deal.requester,
            deal.beneficiary,
            deal.callback,
            deal.params,
            deal.start_time,
            deal.bot_first,
            deal.bot_size,
            deal.worker_stake,
            deal.scheduler_reward_ratio,
            deal.sponsor,
        ]


def test_every_contribution_is_as_view_contribution_says(devnet: Devnet, hub: Contract) -> None:
    contributions = devnet.ledger.contributions
    assert Counter(c.task_id for c in contributions) == {
        task.task_id: len(task.contributors) for task in devnet.ledger.tasks.values() if task.contributors
    }
    for c in contributions:
        worker = Web3.to_checksum_address(c.worker)
        seen = text(hub.functions.viewContribution(c.task_id, worker).call())
        assert seen == [c.status, c.result_hash, c.result_seal, c.enclave_challenge, c.weight]


def test_every_account_holds_what_the_ledger_says(devnet: Devnet, hub: Contract) -> None:
    for address, account in devnet.ledger.accounts.items():
        checked = Web3.to_checksum_address(address)
        assert hub.functions.viewAccount(checked).call() == (account.stake, account.locked), address
        assert hub.functions.viewScore(checked).call() == account.score, address


def test_money_in_the_hub_is_deposits_minus_withdrawals(devnet: Devnet, hub: Contract) -> None:
    sums = Counter[str]()
    for movement in devnet.ledger.movements:
        sums[movement.kind] += movement.amount
    assert set(sums) == {"deposit", "withdraw", "transfer"}
    assert hub.functions.totalSupply().call() == sums["deposit"] - sums["withdraw"]


def test_every_order_is_consumed_and_signed_as_the_hub_says(devnet: Devnet, hub: Contract) -> None:
    for digest, order in devnet.ledger.orders.items():
        assert hub.functions.viewConsumed(digest).call() == order.consumed, order
        assert text(hub.functions.viewPresigned(digest).call()) == order.presigned_by, order
    kinds = Counter((order.kind, order.closed) for order in devnet.ledger.orders.values())
    assert all(kinds[kind, closed] for kind in ("app", "dataset", "workerpool", "request") for closed in (True, False))


def test_entries_and_categories_are_as_registered(devnet: Devnet, web3: Web3, hub: Contract) -> None:
    for entry in devnet.ledger.entries.values():
        address = Web3.to_checksum_address(entry.address)
        view = {"app": hub.functions.viewApp, "dataset": hub.functions.viewDataset}.get(
            entry.kind, hub.functions.viewWorkerpool
        )
        seen = text(view(address).call())
        assert isinstance(seen, list)
        assert entry.owner in seen
        assert entry.name in seen
        if entry.kind == "workerpool":
            assert seen[-2:] == [entry.worker_stake_ratio, entry.scheduler_reward_ratio]
        assert web3.eth.get_code(address, entry.created_block)
        assert not web3.eth.get_code(address, entry.created_block - 1)
    assert hub.functions.countCategory().call() == len(devnet.ledger.categories)
    for category in devnet.ledger.categories:
        seen = hub.functions.viewCategory(category.cat_id).call()
        assert seen == (category.name, category.description, category.work_clock_time_ref)


def test_logs_are_those_of_the_whole_chain(devnet: Devnet, web3: Web3) -> None:
    assert_logs_equal(devnet.ledger, web3)


def assert_logs_equal(ledger: Ledger, web3: Web3) -> None:
    answer = web3.provider.make_request("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}])  # type: ignore[arg-type]
    numbers = ("blockNumber", "blockTimestamp", "transactionIndex", "logIndex")
    texts = ("address", "topics", "data", "blockHash", "transactionHash")
    numbers = ("blockNumber", "blockTimestamp", "transactionIndex", "logIndex")
    seen = [[*(log[name] for name in texts), *(int(log[name], 16) for name in numbers)] for log in answer["result"]]
    ours = ["address", "topics", "data", "block_hash", "tx_hash"]
    ours += ["block_number", "block_timestamp", "tx_index", "log_index"]
    kept = [[getattr(log, name) for name in ours] for log in ledger.logs]
    assert kept == seen
    assert ledger.head == web3.eth.block_number


def test_every_event_of_the_hub_and_the_registries_appears(devnet: Devnet) -> None:
    wanted = [entry for entry in abi_of(devnet, INTERFACE) if entry["type"] == "event"]
    topics = {log.topics[0] for log in devnet.ledger.logs_of(devnet.hub)}
    missing = {e["name"] for e in wanted if "0x" + event_abi_to_log_topic(e).hex() not in topics}  # type: ignore[arg-type]
    assert not missing
    assert (
        "0x" + Web3.keccak(text="DiamondCut((address,uint8,bytes4[])[],address,bytes)").hex().removeprefix("0x")
        in topics
    )
    registry = {log.topics[0] for log in devnet.ledger.logs_of(*devnet.registries.values())}
    assert len(registry) == len(["Transfer", "Approval", "ApprovalForAll", "OwnershipTransferred"])
    pools = devnet.ledger.logs_of(*devnet.ledger.workerpools())
    assert {log.topics[0] for log in pools} == {
        "0x61f37ef3a6d587ce2d6be79492e1fac570f2745787015db7ed95ad4397b05c1e"  # PolicyUpdate: iexec.md, section 1.4
    }


def test_every_flow_and_state_appears(devnet: Devnet) -> None:
    ledger = devnet.ledger
    tasks = ledger.tasks.values()
    assert {task.status for task in tasks} == {0, 1, 2, COMPLETED, FAILED}
    names = Counter(ledger.status_name(task.task_id, ledger.head_timestamp) for task in tasks)
    assert names["TIMEOUT"] >= 3
    assert names["ACTIVE"] + names["REVEALING"] + names["UNSET"] >= 3
    assert {c.status for c in ledger.contributions} == {1, 2, 3}
    deals = ledger.deals.values()
    assert any(deal.bot_first for deal in deals)
    assert max(deal.bot_size for deal in deals) == 8
    assert any(deal.sponsored for deal in deals)
    assert any(deal.workerpool_price == deal.app_price == 0 for deal in deals)
    created = {entry.address: entry.created_block for entry in ledger.entries.values()}
    assert any(created[deal.workerpool] == deal.block_number for deal in deals)
    results = {bytes.fromhex(task.results[2:])[:18] for task in tasks if task.status == COMPLETED}
    assert {b"", b'{ "storage": "ipfs', b'{ "storage": "drop', b'{ "storage": "ethe'} <= results
    assert any(start.startswith(b"\xff\xfe") for start in results)
    assert any(task.results_callback != "0x" for task in tasks)
    assert ledger.reverted >= 2
    kitty = "0x" + KITTY[2:].rjust(64, "0")
    assert any(log.topics[0] == SEIZE and log.data.startswith(kitty) for log in ledger.logs_of(devnet.hub))


def test_finality_moves_and_arbsys_answers(devnet: Devnet, web3: Web3) -> None:
    assert web3.eth.chain_id == 42161
    finalized = web3.eth.get_block("finalized")
    assert devnet.ledger.head - 8 <= finalized["number"] < devnet.ledger.head
    answer = web3.eth.call({"to": Web3.to_checksum_address("0x" + 38 * "0" + "64"), "data": "0xa3b1b31d"})  # type: ignore[typeddict-item]
    assert int.from_bytes(answer, "big") == devnet.ledger.head


def test_the_same_seed_sends_the_same_transactions(devnet: Devnet) -> None:
    with Devnet(seed=7, end_time=END) as twin:
        twin.bulk(TASKS)
        again = twin.ledger
    ledger = devnet.ledger
    assert [(x.address, x.topics, x.data, x.tx_hash) for x in again.logs] == [
        (x.address, x.topics, x.data, x.tx_hash) for x in ledger.logs
    ]
    assert (again.tasks, again.deals, again.contributions) == (ledger.tasks, ledger.deals, ledger.contributions)
    assert (again.accounts, again.contracts) == (ledger.accounts, ledger.contracts)


def test_live_blocks_follow_the_clock_and_the_ledger_them() -> None:
    with Devnet(seed=8) as devnet:
        first = devnet.ledger.head
        devnet.live(20.0)
        time.sleep(3)
        assert devnet.snapshot().head > first + 10
        devnet.pause()
        assert abs(devnet.ledger.head_timestamp - time.time()) < 5
        assert devnet.ledger.deals
        assert_logs_equal(devnet.ledger, Web3(Web3.HTTPProvider(devnet.rpc_url)))


def test_anvil_dies_with_a_killed_parent() -> None:
    code = (
        "import sys,time; from indexer.devnet.anvil import Anvil; from indexer.devnet.tools import install\n"
        "a = Anvil(install().anvil, chain_id=1, timestamp=1); print(a.port, a._folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        port, folder = parent.stdout.readline().split()
        assert is_open(int(port))
        parent.kill()
    assert within(3, lambda: not is_open(int(port)) and not Path(folder).exists())


def test_a_block_keeps_the_order_of_more_transactions_than_anvil_takes_in_turn() -> None:
    people = [f"0x{n:040x}" for n in range(1, 8)]
    with Anvil(install().anvil, chain_id=31337, timestamp=1_700_000_000) as anvil:
        chain = Chain(anvil.node, Ledger(31337, 1), 1_700_000_000)
        chain.fund(people)
        chain.mine([Tx(people[n * n % 7], people[0], f"0x{n:064x}") for n in range(400)], 1_700_000_001)
        block = anvil.node.call("eth_getBlockByNumber", "latest", True)
    assert [int(tx["input"], 16) for tx in block["transactions"]] == list(range(400))


def test_anvil_closes_at_once_and_leaves_nothing() -> None:
    anvil = Anvil(install().anvil, chain_id=31337, timestamp=1_700_000_000)
    folder, group = anvil._folder, anvil._process.pid
    started = time.monotonic()
    anvil.close()
    assert time.monotonic() - started < 2
    assert not folder.exists()
    assert within(3, lambda: not is_there(group)), "the guard that ended it ends, too"
    anvil.close()


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "end of input"])
def test_the_process_tells_where_it_is_and_stops_when_told(tmp_path: Path, way: str) -> None:
    ledger_file = tmp_path / "ledger.json"
    command = [sys.executable, "-m", "indexer.devnet", "--tasks", "5", "--live", "5", "--ledger", str(ledger_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        facts = json.loads(process.stdout.readline())
        assert set(facts["contracts"]) == {"hub", "appregistry", "datasetregistry", "workerpoolregistry", "token"}
        assert len(Ledger.from_json(ledger_file.read_bytes()).tasks) >= 5
        port = int(facts["rpc"].rpartition(":")[2])
        assert is_open(port)
        time.sleep(0.5)
        if way == "end of input":
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[way])
        assert process.wait(timeout=2) == 0
    saved = Ledger.from_json(ledger_file.read_bytes())
    assert saved.chain_id == facts["chain_id"]
    assert saved.start_block == facts["start_block"]
    assert saved.head_timestamp >= time.time() - 10
    assert not is_open(port)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def within(seconds: float, condition: Any) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False
