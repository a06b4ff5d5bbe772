"""Chains that have no number of their own: they get negative ones, given by `chain.chains` to their names."""

from datetime import datetime

import sqlalchemy as sa

from indexer.errors import WrongChain
from schema.chain import chains

UNKNOWN = b""  # identity of a chain that no provider has told yet


def chain_number(connection: sa.Connection, name: str, kind: str, clock: str) -> int:
    """The chain's negative number; a name that is new gets the next one. Raises WrongChain for another kind."""
    driver_lock = sa.text("LOCK TABLE chain.chains IN SHARE ROW EXCLUSIVE MODE")  # two processes may start together
    connection.execute(driver_lock)
    row = connection.execute(sa.select(chains).where(chains.c.name == name)).one_or_none()
    if row is None:
        lowest = connection.scalar(sa.select(sa.func.least(sa.func.min(chains.c.chain_id), 0))) or 0
        new = {"chain_id": lowest - 1, "name": name, "kind": kind, "clock": clock}
        connection.execute(sa.insert(chains).values(**new, first_block=0, first_hash=UNKNOWN))
        return int(lowest) - 1
    if row.kind != kind:
        raise WrongChain(
            f"The chain {name} is of kind {kind} in the configuration, but of kind {row.kind} in the database. "
            "Give one of them another name."
        )
    connection.execute(sa.update(chains).where(chains.c.chain_id == row.chain_id).values(clock=clock))
    return int(row.chain_id)


def settle_identity(connection: sa.Connection, chain_id: int, provider: str, first: bytes) -> None:
    """Remember what identifies the chain, or check that it is the same one. Raises WrongChain."""
    row = connection.execute(sa.select(chains).where(chains.c.chain_id == chain_id)).one()
    if row.first_hash == UNKNOWN:
        connection.execute(sa.update(chains).where(chains.c.chain_id == chain_id).values(first_hash=first))
    elif row.first_hash != first:
        raise WrongChain(
            f"{provider} serves another chain than the one that {row.name} was filled from: their first blocks "
            "differ. Correct the URL, or use another name or database for this chain."
        )


def note_slot(connection: sa.Connection, chain_id: int, slot: int, at: datetime) -> None:
    """Remember the newest slot that a provider told of, and its time; an older one changes nothing."""
    known = sa.or_(chains.c.head_block.is_(None), chains.c.head_block <= slot)
    new = {"head_block": slot, "final_block": slot, "head_time": at, "seen_at": sa.func.now()}
    connection.execute(sa.update(chains).where(chains.c.chain_id == chain_id, known).values(**new))
