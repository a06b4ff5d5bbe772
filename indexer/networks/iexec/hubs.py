"""Which hub a contract belongs to: rows of `iexec.contracts`, without which the folds see no event."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from indexer.networks.base import Deployment

_SOURCES = sa.table(
    "sources", sa.column("chain_id"), sa.column("address"), sa.column("network"), sa.column("role"), schema="chain"
)
_CONTRACTS = sa.table(
    "contracts", sa.column("chain_id"), sa.column("address"), sa.column("role"), sa.column("hub"), schema="iexec"
)


def map_contracts(connection: sa.Connection, chain_id: int, deployments: Sequence[Deployment]) -> None:
    """Bring `iexec.contracts` in step with `chain.sources`.

    Contracts of a known deployment belong to its first hub. Any other hub is its own, and any other registry is of
    the one hub that is left; where several are left nobody can tell, and such a registry has no row. A workerpool
    belongs where its registry does.
    """
    query = sa.select(_SOURCES.c.address, _SOURCES.c.role).where(
        _SOURCES.c.chain_id == chain_id, _SOURCES.c.network == "iexec"
    )
    roles = {bytes(row.address): str(row.role) for row in connection.execute(query)}
    hubs = _hubs(roles, chain_id, deployments)
    pools = [address for address, role in roles.items() if role == "workerpool" and address not in hubs]
    hubs |= {pool: hubs[registry] for pool, registry in _registries(connection, chain_id, pools) if registry in hubs}
    known = sa.select(_CONTRACTS.c.address, _CONTRACTS.c.hub).where(_CONTRACTS.c.chain_id == chain_id)
    stored = {bytes(row.address): bytes(row.hub) for row in connection.execute(known)}
    rows = [
        {"chain_id": chain_id, "address": address, "role": roles[address], "hub": hub}
        for address, hub in hubs.items()
        if stored.get(address) != hub
    ]
    if rows:
        statement = insert(_CONTRACTS).values(rows)
        update = {"role": statement.excluded.role, "hub": statement.excluded.hub}
        connection.execute(statement.on_conflict_do_update(index_elements=["chain_id", "address"], set_=update))


def _hubs(roles: Mapping[bytes, str], chain_id: int, deployments: Sequence[Deployment]) -> dict[bytes, bytes]:
    """The hub of every contract of which it is clear without looking at events."""
    deployed = {
        _binary(contract.address): _binary(deployment.contracts[0].address)
        for deployment in deployments
        if deployment.chain_id == chain_id
        for contract in deployment.contracts
    }
    found = {
        address: deployed.get(address, address)
        for address, role in roles.items()
        if role == "hub" or address in deployed
    }
    ours = {hub for address, hub in found.items() if address not in deployed}
    if len(ours) == 1:
        (hub,) = ours
        alone = set(found.values()) == ours
        found |= {a: hub for a, role in roles.items() if a not in found and (alone or role != "workerpool")}
    return found


def _registries(connection: sa.Connection, chain_id: int, pools: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    if not pools:
        return []
    given = sa.func.iexec.registries_of(chain_id, sa.cast(list(pools), ARRAY(sa.LargeBinary)))
    rows = given.table_valued("workerpool", "registry")
    return [(bytes(row.workerpool), bytes(row.registry)) for row in connection.execute(sa.select(rows))]


def _binary(address: str) -> bytes:
    return bytes.fromhex(address[2:])
