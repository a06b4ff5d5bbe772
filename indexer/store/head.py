"""The head window in the database: unfinalised blocks with the rows of their logs, and the final block below them.

`chain.blocks` holds every block that the window holds, the final one included, so that a reorg that happens while
nobody looks is found at the next start. All functions work inside the caller's transaction.
"""

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from indexer.chain.window import Block, Point
from indexer.errors import Inconsistent
from indexer.store import fold, ledger
from indexer.store.binary import bytea_array
from indexer.store.sources import time_of
from indexer.store.write import Batch, write_locked
from schema.chain import blocks, chains, reads, reorgs

# Asked with every block: to build these anew each time costs more than to run them.
_CHAIN = sa.bindparam("chain", type_=sa.BigInteger)
_OPEN = sa.select(reorgs).where(reorgs.c.chain_id == _CHAIN, reorgs.c.rows_added.is_(None))
_NEWEST = (
    sa.select(blocks.c.block_number, blocks.c.block_hash, _OPEN.exists().label("counting"))
    .where(blocks.c.chain_id == _CHAIN)
    .order_by(blocks.c.block_number.desc())
    .limit(1)
)
_RAISED = (
    sa.update(chains)
    .where(
        chains.c.chain_id == _CHAIN,
        sa.or_(chains.c.head_block.is_(None), chains.c.head_block <= sa.bindparam("number", type_=sa.BigInteger)),
    )
    .values(
        head_block=sa.bindparam("number", type_=sa.BigInteger),
        head_time=sa.bindparam("time", type_=chains.c.head_time.type),
        seen_at=sa.func.now(),
    )
)
_TAKEN = sa.func.unnest(
    sa.cast(sa.bindparam("numbers"), ARRAY(sa.BigInteger)), sa.cast(sa.bindparam("hashes"), ARRAY(sa.LargeBinary)),
    sa.cast(sa.bindparam("parents"), ARRAY(sa.LargeBinary)),
    sa.cast(sa.bindparam("times"), ARRAY(blocks.c.block_time.type)),
).table_valued("block_number", "block_hash", "parent_hash", "block_time").render_derived()  # fmt: skip
_HELD = (
    insert(blocks)
    .from_select(["chain_id", *_TAKEN.c.keys()], sa.select(_CHAIN, *_TAKEN.c))
    .add_cte(_RAISED.cte("raised"))
)


class Stored(NamedTuple):
    """What is known of a chain's head: number of its final block, held blocks (any order), whether blooms are true."""

    final: int | None
    blocks: list[Block]
    blooms: bool | None


def load(connection: sa.Connection, chain_id: int) -> Stored:
    """The stored window of a chain that `sources.settle_chain` has made."""
    chain = connection.execute(sa.select(chains).where(chains.c.chain_id == chain_id)).one()
    rows = connection.execute(sa.select(blocks).where(blocks.c.chain_id == chain_id))
    held = [Block(r.block_number, r.block_hash, r.parent_hash, int(r.block_time.timestamp())) for r in rows]
    return Stored(chain.final_block, held, None if chain.blooms is None else chain.blooms == "truthful")


def note_blooms(connection: sa.Connection, chain_id: int, truthful: bool) -> None:
    """Remember whether the blooms in this chain's headers can be relied on."""
    word = "truthful" if truthful else "false"
    connection.execute(sa.update(chains).where(chains.c.chain_id == chain_id).values(blooms=word))


def extend(
    connection: sa.Connection, chain_id: int, tip: Point, held: Sequence[Block], batches: Sequence[Batch]
) -> int:  # fmt: skip
    """Hold `held` above `tip` and write the rows of `batches`, in one transaction; how many rows were new.

    Raises Inconsistent where the stored window does not end at `tip`: somebody else writes this chain.
    """
    fold.lock(connection, chain_id)
    ledger.lock_groups(connection, chain_id)
    counting = _check_tip(connection, chain_id, tip)
    if held:
        connection.execute(_HELD, {"chain": chain_id} | _columns(held))
    written = sum(write_locked(connection, batch, ledger.load_groups(connection, chain_id)) for batch in batches)
    if counting:
        _count_added(connection, chain_id)
    return written


def finalize(connection: sa.Connection, chain_id: int, final: Block) -> None:
    """`final` and all below it can change no more: raise the final block, forget the held blocks below it."""
    row = insert(blocks).values(**_row(chain_id, final))
    connection.execute(row.on_conflict_do_nothing())
    own = blocks.c.chain_id == chain_id
    connection.execute(sa.delete(blocks).where(own, blocks.c.block_number < final.number))
    greatest = sa.func.greatest(chains.c.final_block, final.number)
    connection.execute(sa.update(chains).where(chains.c.chain_id == chain_id).values(final_block=greatest))


def _check_tip(connection: sa.Connection, chain_id: int, tip: Point) -> bool:
    """Whether there are reorgs whose new branch is not read up to the height of the old head yet."""
    row = connection.execute(_NEWEST, {"chain": chain_id}).one_or_none()
    if row is not None and (row.block_number, row.block_hash) != tip:
        message = f"its newest block is {row.block_number}, not {tip.number}: another process writes this chain"
        raise Inconsistent(message, provider="chain.blocks")
    return row is None or row.counting


def _columns(held: Sequence[Block]) -> dict[str, object]:
    """Blocks as `_HELD` takes them: by column, and the newest once more."""
    times = [time_of(block.timestamp) for block in held]
    return {
        "numbers": [block.number for block in held],
        "hashes": bytea_array([block.hash for block in held]),
        "parents": bytea_array([block.parent for block in held]),
        "times": times,
        "number": held[-1].number,
        "time": times[-1],
    }


def _row(chain_id: int, block: Block) -> dict[str, object]:
    return {
        "chain_id": chain_id,
        "block_number": block.number,
        "block_hash": block.hash,
        "parent_hash": block.parent,
        "block_time": time_of(block.timestamp),
    }


def _count_added(connection: sa.Connection, chain_id: int) -> None:
    """Say of reorgs how many logs the new branch brought, once it is read up to the height of the old head."""
    found = connection.execute(_OPEN, {"chain": chain_id}).all()
    done = min((group.read_to or -1 for group in ledger.load_groups(connection, chain_id)), default=-1)
    for row in found:
        last = row.ancestor + row.depth
        if done < last:
            continue
        inside = sa.and_(reads.c.chain_id == chain_id, reads.c.from_block > row.ancestor, reads.c.to_block <= last)
        added = sa.select(sa.func.coalesce(sa.func.sum(reads.c.logs), 0)).where(inside).scalar_subquery()
        connection.execute(sa.update(reorgs).where(reorgs.c.reorg_id == row.reorg_id).values(rows_added=added))
