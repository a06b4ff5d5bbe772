"""iExec PoCo: a market of deals whose tasks workers compute, prove and get paid for."""

from indexer.networks.base import Contract, Deployment, Factory, Network
from indexer.networks.codec import compile_codecs
from indexer.networks.iexec.events import ROLES
from indexer.networks.iexec.task_ids import prepare, remake


def _deployment(
    chain_id: int,
    label: str,
    contracts: tuple[str, str, str, str],
    blocks: tuple[int, int, int, int],
) -> Deployment:
    """Hub, app, dataset and workerpool registry, in this order, with the first block of each."""
    roles = ("hub", "appregistry", "datasetregistry", "workerpoolregistry")
    return Deployment(chain_id, tuple(map(Contract, contracts, roles, blocks)), label)


_ARBITRUM_REGISTRIES = (
    "0x9950d94fb074182ee93ff79a50cd698c4983281f",
    "0x07cc4e1ea30dd02796795876509a3bfc5053128d",
    "0xe3c13bb4a5068601c6a08041cb50887b07b5f398",
)
_V5 = (
    "0x3eca1b216a7df1c7689aeb259ffb83adfb894e7f",
    "0xb1c52075b276f87b1834919167312221d50c9d16",
    "0x799daa22654128d0c64d5b79eac9283008158730",
    "0xc76a18c78b7e530a165c5683cb1ab134e21938b4",
)

# Blocks: iExecBlockchainComputing/PoCo-subgraph, networks.json. Addresses: PoCo, config/config.json and deployments.
# v3 on Ethereum: npm iexec-poco 3.0.35, networks["1"] of the build artifacts; the second hub is the clerk.
_DEPLOYMENTS = (
    _deployment(
        42161,
        "Arbitrum One, since 2025-08",
        ("0x098bfcb1e50ebca0baa92c12ea0c3f045a1ad9f0", *_ARBITRUM_REGISTRIES),
        (363864242, 363864415, 363864422, 363864429),
    ),
    _deployment(
        421614,
        "Arbitrum Sepolia",
        ("0xb2157bf2fab286b2a4170e3491ac39770111da3e", *_ARBITRUM_REGISTRIES),
        (178282956, 178283215, 178283257, 178283233),
    ),
    _deployment(134, "Bellecour v5, retired", _V5, (4543300,) * 4),
    _deployment(1, "Ethereum v5", _V5, (9917600,) * 4),
    _deployment(
        43113,
        "Avalanche Fuji",
        (
            "0x14b465079537655e1662f012e99eba3863c8b9e0",
            "0x4a6531ce5150ee716b2d93865d0fbb9ce5492d17",
            "0x3441a0c9fe488c51fcaba2baaa048720f4d4f72d",
            "0xf81970e3cb0f8711beaa79135e686873ffbbac4a",
        ),
        (39496461,) * 4,
    ),
    Deployment(
        chain_id=1,
        contracts=(
            Contract("0x1383c16c927c4a853684d1a9c676986f25e22111", "hub"),
            Contract("0x3780d894db2cb84135bba025ba9ef0ac518dc311", "hub"),
            Contract("0x3322d449a43e01178672a5fbea9e7af3b8c7bb29", "appregistry"),
            Contract("0xc28f63b8379087f02e09da1bc62148874e730ffd", "datasetregistry"),
            Contract("0xc398052563469e6ea7c442abf124aade7ec2cc92", "workerpoolregistry"),
        ),
        label="Ethereum v3, 2019",
        created_in="0x4b42a8f8c75561334d8dda1c5a689b6af0e723a9410a5a21f98b28539652611b",
    ),
    Deployment(
        chain_id=134,
        contracts=(Contract("0xd5125a2d186e5266da60e958043d32fe6fba662f", "hub"),),
        label="Bellecour v3, retired",
    ),
)

# keccak of appregistry(), datasetregistry() and workerpoolregistry(): the same getters in v3, v5 and v6.
_GETTERS = {
    "appregistry": "0x45b637a9",
    "datasetregistry": "0xb1b11d2c",
    "workerpoolregistry": "0x90a0f546",
}

# A workerpool is an ERC-721 token of its registry, minted from 0x0, whose id is its address; v3 has an own event.
_FACTORIES = (
    Factory("workerpoolregistry", "registry_transfer", 2, "workerpool", {0: bytes(20)}),
    Factory("workerpoolregistry", "create_workerpool", 1, "workerpool"),
)

NETWORK = Network(
    name="iexec",
    root_role="hub",
    codecs=compile_codecs(ROLES),
    deployments=_DEPLOYMENTS,
    getters=_GETTERS,
    factories=_FACTORIES,
    prepare=prepare,
    remake=remake,
)
