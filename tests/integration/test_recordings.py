"""Recorded traffic of the real contracts, read through the whole program: every argument of every event, in SQL."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer.ingest.run import run
from indexer.store import database as db
from tests.support import (
    FIXED,
    addresses,
    needs_recordings,
    recorded_logs,
    recording,
    replay,
    settings_for,
    stored_logs,
)
from tests.unit import abi_oracle
from tests.unit.protocol_events import Fact, facts

pytestmark = needs_recordings

ROLES = {
    "arbius-engine": "engine",
    "iexec-poco-6.1": "hub",
    "iexec-registry": "appregistry",  # all three registries emit the same events
    "iexec-workerpool": "workerpool",
}
CASES = {"arbius-dev": ("arbius", 42161, ["arbius-engine"]), "iexec-dev": ("iexec", 31337, ["iexec-poco-6.1"])}


def snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.lstrip("_"))
    return words.lower()


def column(name: str) -> str:
    return snake(name) + ("_arg" if snake(name) in FIXED else "")


def table_of(fact: Fact, role: str) -> str:
    erc721 = role.endswith("registry") and fact.name in ("Transfer", "Approval")
    return ("registry_" if erc721 else "") + snake(fact.name)


def fact_of(network: str, role: str, log: dict[str, Any]) -> Fact:
    """The event that the protocol's page states for this log."""
    (fact,) = (
        fact
        for fact in facts()
        if fact.network == network
        and role in fact.roles
        and fact.topics == len(log["topics"])
        and abi_oracle.topic0(fact) == log["topics"][0]
    )
    return fact


def expected_row(fact: Fact, log: dict[str, Any], chain_id: int) -> dict[str, Any]:
    values = abi_oracle.decode(fact, log["topics"], log["data"])
    assert values is not None
    arguments = {column(name): value for name, value in abi_oracle.expected(fact, values).items()}
    return arguments | {
        "chain_id": chain_id,
        "block_number": int(log["blockNumber"], 16),
        "log_index": int(log["logIndex"], 16),
        "block_hash": bytes.fromhex(log["blockHash"][2:]),
        "block_time": datetime.fromtimestamp(int(log["blockTimestamp"], 16), UTC),
        "tx_hash": bytes.fromhex(log["transactionHash"][2:]),
        "tx_index": int(log["transactionIndex"], 16),
        "address": bytes.fromhex(log["address"][2:]),
    }


def as_read(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the columns of other signatures of its table; numeric as int."""
    return {key: int(value) if type(value).__name__ == "Decimal" else value for key, value in row.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_event_of_every_watched_contract_is_in_its_table(migrated: str, name: str) -> None:
    network, chain_id, roots = CASES[name]
    with replay(name, "--max-range", "60", "--max-results", "900", "--style", "quicknode") as chain:
        engine = db.engine(migrated)
        source = {"network": network, "addresses": addresses(name, *roots)}
        settings = settings_for(migrated, chain.url, chain_id, [source])
        asyncio.run(run(settings, engine, until_synced=True, watch=lambda jobs: None))
        engine.dispose()
    watched = {c["address"]: ROLES[c["protocol"]] for c in recording(name)["contracts"] if c["protocol"] in ROLES}
    stored, logs = stored_logs(migrated), recorded_logs(name, list(watched))
    assert set(stored) == set(logs)
    for key, log in logs.items():
        fact = fact_of(network, watched[log["address"]], log)
        table, row = stored[key]
        wanted = expected_row(fact, log, chain_id)
        assert table == f"{network}.{table_of(fact, watched[log['address']])}"
        assert {k: v for k, v in as_read(row).items() if k in wanted or v is not None} == wanted
