"""Arbius: an engine on which anyone asks for work on a model and validators solve, contest and vote."""

from indexer.networks.arbius.events import ROLES
from indexer.networks.base import Contract, Deployment, Network
from indexer.networks.codec import compile_codecs

# semperai/arbius: contract/scripts/config*.json and contract/.openzeppelin/*.json. The same address is the engine
# on one chain and an implementation on another: these are the engines (proxies), and never the implementations.
# No source tells the blocks; `created_in` leads to the first of them.
_DEPLOYMENTS = (
    Deployment(
        chain_id=42161,
        contracts=(
            Contract("0x9b51ef044d3486a1fb0a2d55a6e0ceeadd323e66", "engine"),
            Contract("0xecaba4e6a4bc1e3de3e996a8b2c89e8b0626c9a1", "router", after_root=True),
        ),
        label="Arbitrum One, since 2024-11",
        created_in="0xcc3975fd25e9cb0850be521cb6b1276cadb6d7315c8cf896daceb0fb1dad0e20",
    ),
    Deployment(
        chain_id=42170,
        contracts=(Contract("0x3bf6050327fa280ee1b5f3e8fd5ea2efe8a6472a", "engine"),),
        label="Arbitrum Nova v2, 2024-02 to 2024-09",
        created_in="0xff46bdd52ac2b872d8a7fc7a129cb4240380c5c737ee3a6416d910930c992364",
    ),
    Deployment(
        chain_id=42170,
        contracts=(Contract("0x399511edeb7ca4a8328e801b1b3d0fe232abc996", "engine"),),
        label="Arbitrum Nova v1, abandoned 2024-02-24",
    ),
    Deployment(
        chain_id=421614,
        contracts=(Contract("0xbb388faceffd52941a789610a931ceadb043b885", "engine"),),
        label="Arbitrum Sepolia",
    ),
)

NETWORK = Network(name="arbius", root_role="engine", codecs=compile_codecs(ROLES), deployments=_DEPLOYMENTS)
