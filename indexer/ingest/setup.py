"""Before reading: is this the right chain, which contracts are to be read, and from which block on?"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from indexer.config import Chain, Source
from indexer.errors import ConfigError, RpcRefused, TaskscanError
from indexer.networks import NETWORKS
from indexer.networks.base import Contract, Deployment, Network
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
    found: list[Wanted] = []
    for root, deployment in _roots(network, chain, source):
        family = await _family(provider, network, chain, root, deployment)
        created_in = deployment.created_in if deployment else None
        search = _Search(provider, source.start_block, created_in, head, known)
        starts = await asyncio.gather(*(_start(search, contract, contract is family[0]) for contract in family))
        found += [
            Wanted(contract.address, source.network, contract.role, start, source.evidence)
            for contract, start in zip(family, starts, strict=True)
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
) -> Sequence[Contract]:  # fmt: skip
    """The root and the contracts that belong to it."""
    if deployment:
        return deployment.contracts
    if await _code(provider, root, "latest") in NO_CODE:
        raise ConfigError(
            f"{root} on {chain.name} has no code: it is no {network.root_role} of {network.name}. "
            "Correct `addresses`, or the chain they are looked for on."
        )
    family = [Contract(root, network.root_role)]
    for role, selector in network.getters.items():
        family.append(Contract(await _named(provider, network, chain, root, role, selector), role))
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


class _Search(NamedTuple):
    """What there is to go by when the first block of a contract is looked for."""

    provider: Provider
    start_block: int | None
    created_in: str | None
    head: int
    known: dict[str, int]


async def _start(search: _Search, contract: Contract, is_root: bool) -> int:
    """First block to read: configured, else known, else of the creating transaction, else searched for."""
    if search.start_block is not None:
        return search.start_block
    if contract.from_block is not None:
        return contract.from_block
    if search.created_in and (is_root or contract.after_root):
        created = await _created_in(search.provider, search.created_in)
        if created is not None:
            return created
    return await first_code(search.provider, contract.address, search.head, search.known.get(contract.address))


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
