"""Before reading: is this the right chain, which contracts are to be read, and from which block on?"""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from indexer.config import Chain, Source
from indexer.errors import ConfigError, RpcRefused, TaskscanError
from indexer.networks import NETWORKS
from indexer.networks.base import Deployment, Network
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call
from indexer.store.sources import Wanted

NO_CODE = ("0x", "0x0", "")
T = TypeVar("T")


class Receipt(msgspec.Struct, rename="camel"):
    """The part of an `eth_getTransactionReceipt` answer that is used here."""

    block_number: str


async def wanted_contracts(
    provider: Provider, chain: Chain, sources: Sequence[Source], head: int, known: dict[str, int]
) -> list[Wanted]:
    """The contracts that `sources` ask for on `chain`, each with its first block.

    `head` is the newest block; `known` maps addresses that the database already reads to their first block.
    Raises ConfigError for an address without code, a start above the head, or a chain without known deployment.
    """
    wanted: dict[str, Wanted] = {}
    for source in sources:
        if source.start_block is not None and source.start_block > head:
            raise ConfigError(
                f"start_block {source.start_block} of {source.network} lies above the newest block {head} of "
                f"{chain.name}. Lower it, or leave it out to begin where the contract begins."
            )
        for contract in await _contracts(provider, chain, source, head, known):
            wanted.setdefault(contract.address, contract)
    return list(wanted.values())


async def _contracts(
    provider: Provider, chain: Chain, source: Source, head: int, known: dict[str, int]
) -> list[Wanted]:  # fmt: skip
    network = NETWORKS[source.network]
    roots = _roots(network, chain, source)
    found: list[Wanted] = []
    for root, deployment in roots:
        contracts = await _family(provider, network, chain, root, deployment)
        starts = await asyncio.gather(
            *(_start(provider, deployment, source, address, first, head, known) for address, _, first in contracts)
        )
        found += [
            Wanted(address, source.network, role, start, source.evidence)
            for (address, role, _), start in zip(contracts, starts, strict=True)
        ]
    return found


def _roots(network: Network, chain: Chain, source: Source) -> list[tuple[str, Deployment | None]]:
    """Engines or hubs to read, each with what is known of its deployment."""
    here = {d.contracts[0].address: d for d in network.deployments if d.chain_id == chain.chain_id}
    if source.addresses:
        return [(address, here.get(address)) for address in source.addresses]
    if not here:
        where = sorted({d.chain_id for d in network.deployments})
        raise ConfigError(
            f"No deployment of {network.name} on chain {chain.chain_id} ({chain.name}) is known; known are chains "
            f"{', '.join(map(str, where))}. Set `addresses` of this [[sources]] entry."
        )
    return list(here.items())


async def _family(
    provider: Provider, network: Network, chain: Chain, root: str, deployment: Deployment | None
) -> list[tuple[str, str, int | None]]:  # fmt: skip
    """(address, role, first block if known) of the root and of the contracts that belong to it."""
    if deployment:
        return [(c.address, c.role, c.from_block) for c in deployment.contracts]
    if await _code(provider, root, "latest") in NO_CODE:
        raise ConfigError(
            f"{root} on {chain.name} has no code: it is no {network.root_role} of {network.name}. "
            "Correct `addresses`, or the chain they are looked for on."
        )
    family: list[tuple[str, str, int | None]] = [(root, network.root_role, None)]
    for role, selector in network.getters.items():
        family.append((await _named(provider, network, chain, root, role, selector), role, None))
    return family


async def _named(
    provider: Provider, network: Network, chain: Chain, root: str, role: str, selector: str
) -> str:  # fmt: skip
    try:
        word = await _ask(provider, Call("eth_call", ({"to": root, "data": selector}, "latest")), str)
    except RpcRefused:
        word = "0x"
    if len(word) != 66 or int(word, 16) == 0:
        raise ConfigError(
            f"{root} on {chain.name} names no {role}: it is no {network.root_role} of {network.name}. "
            "Correct `addresses` of this [[sources]] entry."
        )
    return "0x" + word[-40:].lower()


async def _start(
    provider: Provider, deployment: Deployment | None, source: Source, address: str, first: int | None,
    head: int, known: dict[str, int],
) -> int:  # fmt: skip
    """First block to read: configured, else known, else of the creating transaction, else searched for."""
    if source.start_block is not None:
        return source.start_block
    if first is not None:
        return first
    if deployment and deployment.created_in:
        created = await _created_in(provider, deployment.created_in)
        if created is not None:
            return created
    return await first_code(provider, address, head, known.get(address))


async def _created_in(provider: Provider, tx_hash: str) -> int | None:
    wanted: type[Receipt | None] = Receipt | None  # type: ignore[assignment]
    receipt = await _ask(provider, Call("eth_getTransactionReceipt", (tx_hash,)), wanted)
    return int(receipt.block_number, 16) if receipt else None


async def first_code(provider: Provider, address: str, head: int, guess: int | None = None) -> int:
    """First block at which `address` has code, by bisection; 0 where the provider keeps no old state.

    A block that is too low costs requests, one that is too high would lose events. `guess` saves the search when
    it is right.
    """
    try:
        if guess and await _code(provider, address, hex(guess - 1)) in NO_CODE:
            return guess
        low, high = 0, head
        while low < high:
            middle = (low + high) // 2
            if await _code(provider, address, hex(middle)) in NO_CODE:
                low = middle + 1
            else:
                high = middle
    except TaskscanError:
        return 0
    return low


async def _code(provider: Provider, address: str, block: str) -> str:
    return await _ask(provider, Call("eth_getCode", (address, block)), str)


async def _ask(provider: Provider, call: Call, wanted: type[T]) -> T:
    return await with_retries(lambda: provider.call(call, wanted))
