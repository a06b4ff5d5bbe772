"""What each network's events and states mean. Adding a network: one folder here, one module in `schema`."""

from indexer.networks.arbius import NETWORK as ARBIUS
from indexer.networks.base import Network
from indexer.networks.iexec import NETWORK as IEXEC

NETWORKS: dict[str, Network] = {network.name: network for network in (ARBIUS, IEXEC)}
"""Every network that speaks in EVM events, by name."""
