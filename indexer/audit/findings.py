"""What checks find, what they count, and what they need to know of the contracts that are read."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from indexer.networks import NETWORKS
from schema import arbius, iexec
from schema.chain import chains, groups, sources

ROWS_AT_ONCE = 10_000  # of a result that is read as a stream
CREATION = (arbius.EVENTS["ownership_transferred"], iexec.EVENTS["ownership_transferred"])
NOBODY = bytes(20)


class Finding(NamedTuple):
    """Something that cannot be right. What is wrong or missing lies in the blocks `first_block` to `last_block`."""

    chain: str
    check: str
    subject: str
    first_block: int
    last_block: int
    message: str


@dataclass
class Tally:
    """What a check looked at, in words -> number, and what it could not check; `tick` is told how far it is."""

    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    tick: Callable[[str], None] = lambda text: None


class Check(NamedTuple):
    """A check: its name and a function that yields what it finds and counts what it looked at."""

    name: str
    run: Callable[[sa.Connection, Tally], Iterator[Finding]]


class Contract(NamedTuple):
    """A contract that is or was read. `born`: reading began with its creation, so that no event lies before."""

    chain_id: int
    chain: str
    address: bytes
    network: str
    role: str
    from_block: int
    group_id: int
    folded_to: int
    active: bool
    configured: bool
    born: bool


def contracts(connection: sa.Connection) -> dict[tuple[int, bytes], Contract]:
    """Every contract of `chain.sources` by (chain_id, address)."""
    created = _created(connection)
    query = sa.select(sources, chains.c.name, chains.c.first_block, groups.c.folded_to).select_from(
        sources.join(chains, sources.c.chain_id == chains.c.chain_id).join(
            groups, sources.c.group_id == groups.c.group_id
        )
    )
    found = {}
    for row in connection.execute(query):
        key = (row.chain_id, bytes(row.address))
        first = _deployed(row.network, *key)
        born = (
            row.found_in is not None
            or key in created
            or row.from_block <= row.first_block
            or (first is not None and row.from_block <= first)
        )
        folded_to = -1 if row.folded_to is None else row.folded_to
        found[key] = Contract(
            row.chain_id, row.name, key[1], row.network, row.role, row.from_block, row.group_id, folded_to,
            row.active, row.found_in is None, born,
        )  # fmt: skip
    return found


def _created(connection: sa.Connection) -> set[tuple[int, bytes]]:
    """Contracts whose creation was read: OpenZeppelin's Ownable gives them their first owner then, and only then."""
    queries = [sa.select(t.c.chain_id, t.c.address).where(t.c.previous_owner == NOBODY) for t in CREATION]
    return {(row.chain_id, bytes(row.address)) for row in connection.execute(sa.union(*queries))}


def _deployed(network: str, chain_id: int, address: bytes) -> int | None:
    """The first block of a contract of a known deployment."""
    known = (
        contract.from_block
        for deployment in NETWORKS[network].deployments
        if deployment.chain_id == chain_id
        for contract in deployment.contracts
        if bytes.fromhex(contract.address[2:]) == address
    )
    return next(known, None)


def hex_of(value: bytes) -> str:
    """Bytes as the hex text that people know: 0x…"""
    return "0x" + value.hex()


def some(values: list[str]) -> str:
    """The first of `values`, and how many more there are."""
    more = f" and {len(values) - 1:,} more" if len(values) > 1 else ""
    return f"{values[0]}{more}"
