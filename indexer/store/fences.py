"""Fences: which execution of a job may write a range of blocks, whatever queue the job came from.

A worker that was taken for dead may still be alive, and write long after another one has been given its range. So an
execution first takes the fence of the range, and each of its transactions begins with `check`, which locks that row:
once a later execution has taken it, none of the earlier one's can commit.
"""

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.chain.ranges import Range
from indexer.errors import FenceLost
from schema.work import fences

KEY = (fences.c.chain_id, fences.c.group_id, fences.c.from_block, fences.c.to_block)


class Claim(NamedTuple):
    """An execution and its range; `attempt` tells the executions of one job apart by age."""

    chain_id: int
    group_id: int
    blocks: Range
    job_id: str
    exec_id: str
    attempt: int


def take(connection: sa.Connection, claim: Claim) -> None:
    """Let `claim` alone write its range from now on. Raises FenceLost when a later execution of its job has it."""
    mine = {"job_id": claim.job_id, "exec_id": claim.exec_id, "attempt": claim.attempt, "taken_at": sa.func.now()}
    place = dict(zip([column.name for column in KEY], (claim.chain_id, claim.group_id, *claim.blocks), strict=True))
    new = insert(fences).values(**place, **mine)
    same = sa.and_(fences.c.attempt == new.excluded.attempt, fences.c.exec_id == new.excluded.exec_id)
    older = sa.or_(fences.c.job_id != new.excluded.job_id, fences.c.attempt < new.excluded.attempt, same)
    taken = new.on_conflict_do_update(index_elements=KEY, set_=mine, where=older)
    if connection.execute(taken.returning(fences.c.attempt)).one_or_none() is None:
        raise _lost(claim)


def check(connection: sa.Connection, claim: Claim) -> None:
    """Begin a transaction that writes the range: nobody can take the fence before it ends. Raises FenceLost."""
    row = sa.select(fences.c.exec_id).where(_at(claim)).with_for_update()
    if connection.scalar(row) != claim.exec_id:
        raise _lost(claim)


def forget(connection: sa.Connection, chain_id: int) -> None:
    """Remove the fences of a chain: who still believes to have one is refused."""
    connection.execute(sa.delete(fences).where(fences.c.chain_id == chain_id))


def _at(claim: Claim) -> sa.ColumnElement[bool]:
    place = (claim.chain_id, claim.group_id, *claim.blocks)
    return sa.and_(*(column == value for column, value in zip(KEY, place, strict=True)))


def _lost(claim: Claim) -> FenceLost:
    return FenceLost(blocks=str(claim.blocks), chain_id=claim.chain_id)
