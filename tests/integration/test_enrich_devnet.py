"""Enrichment on the devnet, against its ledger, with Multicall3's code in its place: every fact, in how many calls."""

from collections import Counter
from collections.abc import Iterator

import pytest
from psycopg import sql

from indexer.devnet import Devnet
from indexer.devnet.arbius.compile import contracts
from indexer.devnet.tools import install
from indexer.rpc.multicall import MULTICALL3
from indexer.rpc.transport import Provider
from tests.integration.conftest import fresh_database
from tests.integration.test_enrich import Row, enriched, facts_of, fetch, forget, raw
from tests.integration.test_scan import ingest
from tests.support import staked

CHAIN, END, TASKS = 42161, 1_750_000_000, 150


class World:
    """A devnet that was read and enriched, and the provider that enrichment asked."""

    def __init__(self, devnet: Devnet, database: str) -> None:
        self.devnet, self.database = devnet, database
        self.sources = [
            {"network": "iexec", "addresses": [devnet.hub]},
            {"network": "arbius", "addresses": [engine.address for engine in devnet.arbius.engines.values()]},
        ]
        ingest(database, devnet.rpc_url, self.sources, CHAIN)
        forget(database)
        self.provider = self.enrich()

    def enrich(self) -> Provider:
        return enriched(self.database, self.devnet.rpc_url, CHAIN, "arbius", "iexec")


@pytest.fixture(scope="module")
def world(server_url: str, template: str) -> Iterator[World]:
    tools = install()
    code = contracts(tools.solc, tools.cache)["Multicall"].code
    with Devnet(seed=5, end_time=END) as devnet, fresh_database(server_url, template) as database:
        devnet.bulk(TASKS)
        node = devnet._anvil.node
        runtime = node.call("eth_call", {"data": code}, "latest")  # creation code returns what it would deploy
        node.call("anvil_setCode", MULTICALL3, runtime)
        node.call("anvil_mine", hex(12))  # all of it is final then
        yield World(devnet, database)


def by_id(world: World, table: str, key: str) -> dict[bytes, Row]:
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(*table.split("."))).as_string()
    return {row[key]: row for row in fetch(world.database, query)}


def test_every_arbius_fact_is_as_in_the_ledger(world: World) -> None:
    inputs = by_id(world, "arbius.task_facts", "task_id")
    tasks, solutions = by_id(world, "arbius.tasks", "task_id"), by_id(world, "arbius.solutions", "task_id")
    disputes, models = by_id(world, "arbius.contestations", "task_id"), by_id(world, "arbius.models", "model_id")
    validators = {
        (row["address"], row["validator"]): row for row in fetch(world.database, "SELECT * FROM arbius.validators")
    }
    for engine in world.devnet.arbius.engines.values():
        for task in engine.tasks.values():
            row = tasks.pop(raw(task.task_id))
            assert (row["owner"], row["version"]) == (raw(task.owner), task.version), task.route
            assert (row["cid"], row["input_size"]) == (raw(task.cid), len(raw(task.input))), task.route
            assert inputs[row["task_id"]]["input"] == raw(task.input)
            if task.solution:
                found = solutions[row["task_id"]]
                assert found["cid"] == raw(task.solution.cid)
                assert (found["stake"] or 0) == task.solution.stake
            if task.contestation:
                assert disputes[row["task_id"]]["slash_amount"] == task.contestation.slash_amount
        for model in engine.models.values():
            assert models[raw(model.model_id)]["cid"] == raw(model.cid)
        for validator in engine.validators.values():
            assert validators[raw(engine.address), raw(validator.address)]["staked"] == validator.staked
    assert not tasks


def test_stakes_that_payments_add_up_to_are_those_of_the_ledger(world: World) -> None:
    upgrades = "SELECT analytics.hex(address) AS engine, block_number FROM arbius.initialized WHERE version = 9"
    v6 = {row["engine"]: row["block_number"] for row in fetch(world.database, upgrades)}
    payments = fetch(world.database, "SELECT * FROM arbius.v_payments")
    held = staked(payments, v6)
    assert {row["kind"] for row in payments} >= {"award", "slash", "unstake"}
    for engine in world.devnet.arbius.engines.values():
        told = {(engine.address, name): validator.staked for name, validator in engine.validators.items()}
        assert {key: held[key] for key in told} == told


def test_every_iexec_fact_is_as_in_the_ledger(world: World) -> None:
    deals, tasks = by_id(world, "iexec.deals", "dealid"), by_id(world, "iexec.tasks", "taskid")
    for deal in world.devnet.ledger.deals.values():
        row = deals[raw(deal.deal_id)]
        assert (row["app"], row["dataset"]) == (raw(deal.app), raw(deal.dataset))
        assert (row["category"], row["requester"]) == (deal.category, raw(deal.requester))
        assert (row["beneficiary"], row["callback"], row["params"]) == (
            raw(deal.beneficiary), raw(deal.callback), deal.params,
        )  # fmt: skip
        assert (row["worker_stake"], row["scheduler_reward_ratio"]) == (deal.worker_stake, deal.scheduler_reward_ratio)
    for task in world.devnet.ledger.tasks.values():
        row, deal = tasks[raw(task.task_id)], world.devnet.ledger.deals[task.deal_id]
        assert (row["requester"], row["category"]) == (raw(deal.requester), deal.category)
        assert not task.timeref or row["timeref"] == task.timeref
    assert len(tasks) == len(world.devnet.ledger.tasks)


def test_contracts_are_asked_in_three_calls_for_a_hundred_tasks_and_each_block_once(world: World) -> None:
    tasks = fetch(world.database, "SELECT (SELECT count(*) FROM arbius.tasks) + count(*) AS n FROM iexec.tasks")[0]["n"]
    asked = Counter(world.provider.methods)
    assert asked["eth_call"] + asked["eth_getCode"] <= 3 * tasks / 100
    made = "SELECT submitted_block AS n FROM arbius.tasks UNION SELECT registered_block FROM arbius.models"
    blocks = len(fetch(world.database, made))
    assert asked["eth_getBlockByNumber"] + asked["eth_getTransactionByHash"] <= blocks
    assert asked.keys() <= {"eth_call", "eth_getCode", "eth_getBlockByNumber", "eth_getTransactionByHash"}
    assert fetch(world.database, "SELECT sum(to_enrich)::int AS left FROM analytics.freshness") == [{"left": 0}]


def test_nothing_is_asked_twice(world: World) -> None:
    assert world.enrich().calls == 0


def test_batches_tell_the_same_where_multicall_is_not_deployed(world: World) -> None:
    before = facts_of(world.database)
    node = world.devnet._anvil.node
    code = node.call("eth_getCode", MULTICALL3, "latest")
    node.call("anvil_setCode", MULTICALL3, "0x00")
    node.call("anvil_mine", hex(12))
    try:
        ingest(world.database, world.devnet.rpc_url, world.sources, CHAIN)
        forget(world.database)
        asked = world.enrich()
    finally:
        node.call("anvil_setCode", MULTICALL3, code)
    assert asked.methods["eth_call"] > 300
    assert facts_of(world.database) == before
