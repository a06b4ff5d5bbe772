"""The traffic of the real contracts: every log of a watched contract is decoded, and as web3 does."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from indexer.networks import NETWORKS
from tests.unit import abi_oracle
from tests.unit.protocol_events import Fact, facts
from tests.unit.test_codec_web3 import row

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
WATCHED = {"arbius-engine": "engine", "iexec-poco-6.1": "hub", "iexec-workerpool": "workerpool"}


def recording(name: str) -> dict[str, Any]:
    with gzip.open(RECORDINGS / f"{name}-dev.json.gz") as file:
        return dict(json.load(file))


def roles(recorded: dict[str, Any]) -> dict[str, str]:
    """The role of each contract by address: a registry has its role as its name."""
    contracts = [c for c in recorded["contracts"] if c["protocol"] in WATCHED or c["protocol"] == "iexec-registry"]
    return {c["address"]: WATCHED.get(c["protocol"], c["name"]) for c in contracts}


def facts_of(network: str) -> dict[tuple[str, int], Fact]:
    return {(abi_oracle.topic0(fact), fact.topics): fact for fact in facts() if fact.network == network}


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside this checkout")
@pytest.mark.parametrize(("network", "kinds", "least"), [("arbius", 45, 2000), ("iexec", 35, 5000)])
def test_every_log_of_the_real_contracts(network: str, kinds: int, least: int) -> None:
    recorded = recording(network)
    role_of, known = roles(recorded), facts_of(network)
    seen: dict[tuple[str, int], int] = {}
    for log in recorded["logs"]:
        if log["address"] not in role_of:
            continue
        topics, data = log["topics"], log["data"]
        key = topics[0], len(topics)
        codec = NETWORKS[network].codecs[role_of[log["address"]], *key]
        said = abi_oracle.decode(known[key], topics, data)
        assert said is not None
        assert row(codec, known[key], topics, data) == abi_oracle.expected(known[key], said)
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) >= kinds
    assert sum(seen.values()) >= least


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside this checkout")
def test_the_hub_names_its_registries_and_they_their_workerpools() -> None:
    recorded, network = recording("iexec"), NETWORKS["iexec"]
    role_of = roles(recorded)
    (hub,) = (address for address, role in role_of.items() if role == "hub")
    for role, selector in network.getters.items():
        answer = recorded["calls"][f"{hub}:{selector}"]
        assert role_of["0x" + answer[-40:]] == role
    (minted, _) = network.factories
    found = set()
    for log in recorded["logs"]:
        codec = network.codecs.get((role_of.get(log["address"], ""), log["topics"][0], len(log["topics"])))
        if codec is None or (role_of[log["address"]], codec.table) != (minted.role, minted.table):
            continue
        values = codec.decode(log["topics"], log["data"])
        if all(values[n] == wanted for n, wanted in minted.where.items()):
            number = values[minted.argument]
            assert isinstance(number, int)
            found.add("0x" + number.to_bytes(20, "big").hex())
    assert found == {address for address, role in role_of.items() if role == minted.child_role}
