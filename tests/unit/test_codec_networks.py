"""Known deployments: addresses and blocks as the protocol pages give them, and what they must fit."""

import re

import pytest

from indexer.networks import NETWORKS
from indexer.networks.base import Network
from indexer.networks.chains import CHAINS


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
def test_deployments_are_well_formed(network: Network) -> None:
    roles = {role for role, _, _ in network.codecs}
    seen = set()
    for deployment in network.deployments:
        assert deployment.chain_id in CHAINS
        assert deployment.contracts[0].role == network.root_role
        assert deployment.created_in is None or re.fullmatch("0x[0-9a-f]{64}", deployment.created_in)
        for contract in deployment.contracts:
            assert re.fullmatch("0x[0-9a-f]{40}", contract.address)
            assert contract.role in roles
            assert (deployment.chain_id, contract.address) not in seen
            seen.add((deployment.chain_id, contract.address))


@pytest.mark.parametrize(
    ("name", "chain_id", "address", "role", "from_block"),
    [
        ("arbius", 42161, "0x9b51Ef044d3486A1fB0A2D55A6e0CeeAdd323E66", "engine", None),
        ("arbius", 42161, "0xecAba4E6a4bC1E3DE3e996a8B2c89e8B0626C9a1", "router", None),
        ("arbius", 42170, "0x399511EDEB7ca4A8328E801b1B3D0fe232aBc996", "engine", None),
        ("arbius", 42170, "0x3BF6050327Fa280Ee1B5F3e8Fd5EA2EfE8A6472a", "engine", None),
        ("arbius", 421614, "0xBb388FACEffd52941a789610a931CeaDb043B885", "engine", None),
        ("iexec", 42161, "0x098bFCb1E50ebcA0BaA92C12eA0c3F045A1aD9f0", "hub", 363864242),
        ("iexec", 42161, "0x9950D94fb074182ee93ff79A50Cd698C4983281F", "appregistry", 363864415),
        ("iexec", 42161, "0x07Cc4E1EA30dD02796795876509A3BfC5053128D", "datasetregistry", 363864422),
        ("iexec", 42161, "0xe3c13bb4A5068601c6A08041Cb50887B07B5F398", "workerpoolregistry", 363864429),
        ("iexec", 421614, "0xB2157BF2fAb286b2A4170E3491Ac39770111Da3E", "hub", 178282956),
        ("iexec", 421614, "0x9950D94fb074182ee93ff79A50Cd698C4983281F", "appregistry", 178283215),
        ("iexec", 421614, "0x07Cc4E1EA30dD02796795876509A3BfC5053128D", "datasetregistry", 178283257),
        ("iexec", 421614, "0xe3c13bb4A5068601c6A08041Cb50887B07B5F398", "workerpoolregistry", 178283233),
        ("iexec", 134, "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f", "hub", 4543300),
        ("iexec", 134, "0xB1C52075b276f87b1834919167312221d50c9D16", "appregistry", 4543300),
        ("iexec", 134, "0x799DAa22654128d0C64d5b79eac9283008158730", "datasetregistry", 4543300),
        ("iexec", 134, "0xC76A18c78B7e530A165c5683CB1aB134E21938B4", "workerpoolregistry", 4543300),
        ("iexec", 1, "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f", "hub", 9917600),
        ("iexec", 43113, "0x14B465079537655E1662F012e99EBa3863c8B9E0", "hub", 39496461),
        ("iexec", 43113, "0x4a6531ce5150ee716b2d93865D0fbB9ce5492D17", "appregistry", 39496461),
        ("iexec", 43113, "0x3441A0C9FE488c51fcABa2bAAA048720f4D4F72D", "datasetregistry", 39496461),
        ("iexec", 43113, "0xf81970E3CB0f8711bEaA79135e686873FfbBAC4A", "workerpoolregistry", 39496461),
        ("iexec", 1, "0x1383c16c927c4A853684d1a9c676986f25E22111", "hub", None),
        ("iexec", 134, "0xD5125A2d186E5266dA60e958043d32fE6fBA662f", "hub", None),
    ],
)
def test_deployments_are_those_of_the_pages(
    name: str, chain_id: int, address: str, role: str, from_block: int | None
) -> None:
    found = [
        (contract.role, contract.from_block)
        for deployment in NETWORKS[name].deployments
        for contract in deployment.contracts
        if (deployment.chain_id, contract.address) == (chain_id, address.lower())
    ]
    assert found == [(role, from_block)]


def test_creation_transactions_are_those_of_the_page() -> None:
    created = {(d.chain_id, d.contracts[0].address[:8]): d.created_in for d in NETWORKS["arbius"].deployments}
    assert created == {
        (42161, "0x9b51ef"): "0xcc3975fd25e9cb0850be521cb6b1276cadb6d7315c8cf896daceb0fb1dad0e20",
        (42170, "0x3bf605"): "0xff46bdd52ac2b872d8a7fc7a129cb4240380c5c737ee3a6416d910930c992364",
        (42170, "0x399511"): None,
        (421614, "0xbb388f"): None,
    }


def test_factories_name_columns_of_their_tables() -> None:
    network = NETWORKS["iexec"]
    for factory in network.factories:
        (codec,) = (c for (role, _, _), c in network.codecs.items() if (role, c.table) == (factory.role, factory.table))
        assert codec.columns[factory.argument] in ("token_id", "workerpool")
        assert all(codec.columns[n] == "from" for n in factory.where)
        assert any(role == factory.child_role for role, _, _ in network.codecs)


def test_chains_have_distinct_names() -> None:
    assert len({chain.name for chain in CHAINS.values()}) == len(CHAINS)
    assert CHAINS[42161].name == "arbitrum-one"
    assert all(url.startswith(("https://", "wss://")) for chain in CHAINS.values() for url in chain.rpc)
