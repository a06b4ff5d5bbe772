"""The chains on which the networks live, and where the public can ask them."""

from typing import NamedTuple


class Chain(NamedTuple):
    """`rpc`: public URLs without a key, http first; empty where none is known, so that the user must name one.

    `ipfs_gateway`, `compass`: iExec's services; empty where the chain has none any more.
    """

    name: str
    rpc: tuple[str, ...] = ()
    ipfs_gateway: str = ""
    compass: str = ""


# URLs: docs.arbitrum.io, RPC endpoints; iExec's services: iexec-sdk 9.0.1, src/common/utils/config.js; Bellecour:
# the same before commit 04c07cf.
CHAINS: dict[int, Chain] = {
    42161: Chain(
        "arbitrum-one",
        ("https://arb1.arbitrum.io/rpc",),
        "https://ipfs-gateway.arbitrum-mainnet.iex.ec",
        "https://compass.arbitrum-mainnet.iex.ec",
    ),
    42170: Chain("arbitrum-nova", ("https://nova.arbitrum.io/rpc",)),
    421614: Chain(
        "arbitrum-sepolia",
        ("https://sepolia-rollup.arbitrum.io/rpc",),
        "https://ipfs-gateway.arbitrum-sepolia-testnet.iex.ec",
        "https://compass.arbitrum-sepolia-testnet.iex.ec",
    ),
    134: Chain("bellecour", ("https://bellecour.iex.ec", "wss://bellecour-ws.iex.ec")),
    1: Chain("ethereum"),
    43113: Chain("fuji"),
}

K2_MAINNET = "https://mainnet.koii.network"  # docs.koii.network; k2-web3.js, src/util/cluster.ts
