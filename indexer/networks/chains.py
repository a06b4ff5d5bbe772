"""The chains on which the networks live, and where the public can ask them."""

from typing import NamedTuple


class Chain(NamedTuple):
    """`rpc`: public URLs without a key, http first; empty where none is known, so that the user must name one."""

    name: str
    rpc: tuple[str, ...] = ()


# URLs: docs.arbitrum.io, RPC endpoints; Bellecour: iexec-sdk, src/common/utils/config.js before commit 04c07cf.
CHAINS: dict[int, Chain] = {
    42161: Chain("arbitrum-one", ("https://arb1.arbitrum.io/rpc",)),
    42170: Chain("arbitrum-nova", ("https://nova.arbitrum.io/rpc",)),
    421614: Chain("arbitrum-sepolia", ("https://sepolia-rollup.arbitrum.io/rpc",)),
    134: Chain("bellecour", ("https://bellecour.iex.ec", "wss://bellecour-ws.iex.ec")),
    1: Chain("ethereum"),
    43113: Chain("fuji"),
}

K2_MAINNET = "https://mainnet.koii.network"  # docs.koii.network; k2-web3.js, src/util/cluster.ts
