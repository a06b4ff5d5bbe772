"""What the rest of Taskscan needs to know of a network that speaks in EVM events.

Adding a network means one `Network` value in a folder here and one module of tables in `schema`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from indexer.networks.codec import Codec

Prepare = Callable[[Connection, int, Sequence[bytes], int, int], object]
Remake = Callable[[Connection, int, Sequence[bytes], int], object]


@dataclass(frozen=True)
class Contract:
    """A contract to read. `address` is lower-case hex text; `role` selects the codecs (`engine`, `hub`, …).

    `from_block` is the first block that may hold an event of it; None when nobody knows. `after_root`: it was
    created after the root of its deployment, whose first block is then a safe bound for it.
    """

    address: str
    role: str
    from_block: int | None = None
    after_root: bool = False


@dataclass(frozen=True)
class Deployment:
    """A known deployment of a network on one chain. The first contract is the root: the engine or the hub.

    `created_in` is the hash of the transaction that created the root where only that is known.
    """

    chain_id: int
    contracts: tuple[Contract, ...]
    label: str = ""
    created_in: str | None = None


@dataclass(frozen=True)
class Factory:
    """An event whose appearance means that a new contract exists and must be read from that block on.

    `argument` is the index of the decoded argument (bytes or int) that holds the child's address;
    a row counts only where the arguments in `where` have the given values.
    """

    role: str
    table: str
    argument: int
    child_role: str
    where: Mapping[int, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """Everything that differs between networks.

    `prepare(connection, chain_id, addresses, from_block, to_block)` runs before the folds of these blocks, for what
    SQL cannot do; `remake(connection, chain_id, addresses, to_block)` makes all of that anew. `codecs` is keyed
    `(role, topic0 as lower-case hex text, number of topics)`.
    `getters` names, for the root role, the contracts it knows: role -> 4-byte selector in hex text of a
    getter without arguments that returns their address.
    """

    name: str
    root_role: str
    codecs: Mapping[tuple[str, str, int], Codec]
    deployments: tuple[Deployment, ...] = ()
    getters: Mapping[str, str] = field(default_factory=dict)
    factories: tuple[Factory, ...] = ()
    prepare: Prepare | None = None
    remake: Remake | None = None
