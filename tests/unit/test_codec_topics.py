"""Every event of both pages has a codec, with the topics, names, types and roles that the pages state."""

import pytest

from indexer.networks import NETWORKS
from indexer.networks.codec import Codec
from tests.unit.abi_oracle import topic0
from tests.unit.protocol_events import Fact, facts

FACTS = facts()


def codecs_of(fact: Fact) -> list[Codec]:
    """The codec in each role that emits the event. A missing one is a KeyError."""
    codecs = NETWORKS[fact.network].codecs
    return [codecs[role, topic0(fact), fact.topics] for role in fact.roles]


def test_pages_are_read_whole() -> None:
    arbius = [fact for fact in FACTS if fact.network == "arbius" and fact.roles == ("engine",)]
    own = [fact for fact in arbius if fact.name not in ("Upgraded", "AdminChanged")]
    assert len(own) == 46
    assert len({fact.name for fact in own}) == 44
    assert len(FACTS) == 46 + 2 + 2 + 48, "engine, proxy, router, iExec"


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_topic0_is_the_one_of_the_page(fact: Fact) -> None:
    for codec in codecs_of(fact):
        assert codec.event.topic0.startswith(fact.topic0)
        assert len(codec.event.topic0) == 66
        assert len(fact.topic0) in (66, 10)


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_arguments_are_those_of_the_page(fact: Fact) -> None:
    for codec in codecs_of(fact):
        assert codec.event.name == fact.name
        stated = [(part["name"], part["indexed"]) for part in fact.inputs]
        assert [(arg.name, arg.indexed) for arg in codec.event.args] == stated
        for arg, part in zip(codec.event.args, fact.inputs, strict=True):
            members = [inner["name"] for inner in part.get("components", ())]
            assert [inner.name for inner in arg.components] == members


def test_nothing_is_declared_that_no_page_states() -> None:
    stated = {(fact.network, topic0(fact), fact.topics) for fact in FACTS}
    declared = {(name, *key[1:]) for name, network in NETWORKS.items() for key in network.codecs}
    assert declared == stated


def test_selectors_of_the_hub_getters() -> None:
    """As an eth_call to the real hub in the recordings has them."""
    assert NETWORKS["iexec"].getters == {
        "appregistry": "0x45b637a9",
        "datasetregistry": "0xb1b11d2c",
        "workerpoolregistry": "0x90a0f546",
    }


def test_transfer_of_hub_and_registry_differ_by_role_and_topics() -> None:
    codecs = NETWORKS["iexec"].codecs
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert codecs["hub", transfer, 3].table == "transfer"
    for registry in ("appregistry", "datasetregistry", "workerpoolregistry"):
        assert codecs[registry, transfer, 4].table == "registry_transfer"
        assert (registry, transfer, 3) not in codecs
    assert ("hub", transfer, 4) not in codecs


def test_two_signatures_of_one_name_share_a_table() -> None:
    codecs = NETWORKS["arbius"].codecs
    old = codecs["engine", "0x7549ffd4263adb791c2272344b6ad397f6b0d29e098d92f4d816ad43a0640dc0", 1]
    new = codecs["engine", "0x59f2a8de577b4a5b7c3332ad65c6e929ed6ef0302d2518a843e45a9e2229b020", 4]
    assert old.table == new.table == "fees_paid"
    names = ("model", "task", "validator", "model_fee", "treasury_fee", "remaining_fee", "validator_fee")
    assert old.columns == new.columns == names
    data = "0x" + "".join(f"{n:064x}" for n in (1, 2, 3, 4))
    assert old.decode([old.event.topic0], data) == (None, None, None, 1, 2, 3, 4)
    topics = [new.event.topic0, "0x" + "aa" * 32, "0x" + "bb" * 32, "0x" + "00" * 12 + "cc" * 20]
    assert new.decode(topics, data) == (b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 20, 1, 2, 3, 4)
