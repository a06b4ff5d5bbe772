"""Rollback of a chain to a block, in the caller's transaction: events, entities and ledger as if nothing above it
had ever been read. What is removed stays in `chain.orphaned_logs`.

Every statement finds its rows by block through a primary key or an index, so the cost follows what is removed.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from indexer.chain.ranges import Range
from indexer.errors import FinalityBroken
from indexer.networks import NETWORKS
from indexer.store import ledger
from indexer.store.fold import Keys, lock, refold_and_prune, touched_by_fold
from indexer.store.stored import count, filled
from schema import FOLDS, metadata
from schema.chain import blocks, chains, coverage, groups, reads, reorgs, sources
from schema.facts import fact_retries
from schema.folds import Fold

Touched = dict[str, list[tuple[Fold, Keys]]]


class Rolled(NamedTuple):
    """What a rollback did. `duration_ms`: milliseconds, the wait for other writers included."""

    reorg_id: int
    depth: int
    rows_removed: int
    keys_folded: int
    duration_ms: int


def rollback(
    connection: sa.Connection, chain_id: int, ancestor: int, *, new_head_hash: bytes | None = None
) -> Rolled:  # fmt: skip
    """Take back all that was read of the blocks above `ancestor`, the newest block that both branches have.

    Waits for writers of the chain and makes later ones wait. Raises FinalityBroken, with nothing changed, where
    `ancestor` lies below the final block. Contracts that were born above it are forgotten; entities are folded
    again at `ancestor`, and lose their rows where no event is left. Facts that no event carries stay as they are in
    rows that stay.
    """
    started = time.perf_counter()
    _lock(connection, chain_id, ancestor)
    gone = Range(ancestor + 1, max(ancestor + 1, _newest_read(connection, chain_id)))
    at_block = min(ancestor, _folded_at(connection, chain_id))
    reorg_id, depth = _open_reorg(connection, chain_id, ancestor, gone.last, new_head_hash)
    tables = filled(connection, chain_id, gone)
    members, changed = _members(connection, chain_id), {table.partition(".")[0] for table in tables}
    touched: Touched = {
        network: list(
            zip(FOLDS[network], touched_by_fold(connection, network, chain_id, addresses, *gone), strict=True)
        )
        for network, addresses in members.items()
        if network in changed
    }
    removed = _orphan(connection, chain_id, reorg_id, tables, gone)
    _forget_born(connection, chain_id, ancestor)
    _cut_ledger(connection, chain_id, ancestor)
    for network, addresses in members.items():
        if prepare := NETWORKS[network].prepare:
            prepare(connection, chain_id, addresses, *gone)  # forgets what it made from these blocks …
            prepare(connection, chain_id, addresses, gone.first, at_block)  # … and sums up to here, not beyond
        for fold, keys in touched.get(network, ()):
            refold_and_prune(connection, fold, chain_id, keys, at_block)
    folded = sum(len(keys) for entities in touched.values() for _, keys in entities)
    spent = round((time.perf_counter() - started) * 1000)
    done = sa.update(reorgs).where(reorgs.c.reorg_id == reorg_id).values(rows_removed=removed, duration_ms=spent)
    connection.execute(done)
    return Rolled(reorg_id, depth, removed, folded, spent)


def lowest_since(connection: sa.Connection, chain_id: int, reorg_id: int) -> int | None:
    """The lowest ancestor of the chain's rollbacks after `reorg_id`; None when there was none.

    What was asked of a provider before a rollback must not be written after it where it lies above the ancestor.
    """
    lowest = sa.select(sa.func.min(reorgs.c.ancestor))
    found: int | None = connection.scalar(lowest.where(reorgs.c.chain_id == chain_id, reorgs.c.reorg_id > reorg_id))
    return found


def _lock(connection: sa.Connection, chain_id: int, ancestor: int) -> None:
    """Wait for all folds and writers and keep new ones out: folds first, then groups, as writers do."""
    lock(connection, chain_id)
    mine = sa.select(groups.c.group_id).where(groups.c.chain_id == chain_id).order_by(groups.c.group_id)
    locked: Sequence[int] | None = None
    while locked != (found := connection.scalars(mine.with_for_update()).all()):
        locked = found  # a writer that we waited for may have made a group
    chain = sa.select(chains.c.name, chains.c.final_block).where(chains.c.chain_id == chain_id).with_for_update()
    row = connection.execute(chain).one()
    connection.execute(mine.with_for_update())
    if row.final_block is not None and ancestor < row.final_block:
        raise FinalityBroken(chain=row.name, ancestor=ancestor, final=row.final_block)


def _groups(chain_id: int) -> sa.ScalarSelect[int]:
    return sa.select(groups.c.group_id).where(groups.c.chain_id == chain_id).scalar_subquery()


def _newest_read(connection: sa.Connection, chain_id: int) -> int:
    """The newest block of which rows can be stored; -1: none."""
    newest = sa.select(sa.func.max(coverage.c.to_block)).where(coverage.c.group_id.in_(_groups(chain_id)))
    found = connection.scalar(newest)
    return -1 if found is None else found


def _folded_at(connection: sa.Connection, chain_id: int) -> int:
    """The newest block at which entities may have been folded: events behind a gap are not theirs yet. -1: none."""
    newest = sa.select(sa.func.max(groups.c.folded_to)).where(groups.c.chain_id == chain_id)
    found = [connection.scalar(newest), *(group.read_to for group in ledger.load_groups(connection, chain_id))]
    return max((block for block in found if block is not None), default=-1)


def _members(connection: sa.Connection, chain_id: int) -> dict[str, list[bytes]]:
    """Contracts by network, also those that are not read any more: their rows are of the old branch too."""
    query = sa.select(sources.c.network, sources.c.address).where(sources.c.chain_id == chain_id)
    found: dict[str, list[bytes]] = {}
    for row in connection.execute(query.order_by(sources.c.network, sources.c.address)):
        found.setdefault(row.network, []).append(row.address)
    return found


def _open_reorg(
    connection: sa.Connection, chain_id: int, ancestor: int, newest_read: int, new_head_hash: bytes | None
) -> tuple[int, int]:
    """Make the reorg's row; its id and depth. `rows_removed` and `duration_ms` follow."""
    b = blocks.c
    newest = sa.select(b.block_number, b.block_hash).where(b.chain_id == chain_id, b.block_number > ancestor)
    head = connection.execute(newest.order_by(b.block_number.desc()).limit(1)).one_or_none()
    depth = max(head.block_number if head else newest_read, newest_read) - ancestor
    statement = sa.insert(reorgs).values(
        chain_id=chain_id, ancestor=ancestor, depth=depth, old_head_hash=head.block_hash if head else None,
        new_head_hash=new_head_hash, rows_removed=0, duration_ms=0,
    )  # fmt: skip
    return connection.execute(statement.returning(reorgs.c.reorg_id)).scalar_one(), depth


def _orphan(connection: sa.Connection, chain_id: int, reorg_id: int, tables: Sequence[str], gone: Range) -> int:
    """Move the logs of the blocks `gone` from `tables` to `chain.orphaned_logs`; how many."""
    names = sa.cast(list(tables), ARRAY(sa.Text))
    removed = sa.func.analytics.orphan(names, reorg_id, chain_id, *gone)
    return int(connection.execute(sa.select(removed)).scalar_one())


def _forget_born(connection: sa.Connection, chain_id: int, ancestor: int) -> None:
    """Remove the contracts that the old branch has created, and groups that have no other member."""
    s = sources.c
    born = sa.delete(sources).where(s.chain_id == chain_id, s.found_in.is_not(None), s.from_block > ancestor)
    for row in connection.execute(born.returning(s.network, s.address, s.group_id)).all():
        mapped = metadata.tables.get(f"{row.network}.contracts")
        if mapped is not None:
            where = sa.and_(mapped.c.chain_id == chain_id, mapped.c.address == row.address)
            connection.execute(sa.delete(mapped).where(where))
        alone = ~sa.exists().where(s.group_id == row.group_id)
        connection.execute(sa.delete(coverage).where(coverage.c.group_id == row.group_id, alone))
        connection.execute(sa.delete(groups).where(groups.c.group_id == row.group_id, alone))


def _cut_ledger(connection: sa.Connection, chain_id: int, ancestor: int) -> None:
    """Forget that anything above `ancestor` was seen, read or folded; a range that straddles it ends there."""
    own = blocks.c.chain_id == chain_id
    then = sa.select(blocks.c.block_time).where(own, blocks.c.block_number == ancestor).scalar_subquery()
    connection.execute(sa.delete(blocks).where(own, blocks.c.block_number > ancestor))
    # What could not be learnt on one branch may be known on the other: nothing waits for its next try.
    connection.execute(sa.delete(fact_retries).where(fact_retries.c.chain_id == chain_id))
    read, cover = reads.c, coverage.c
    for table, mine in (
        (reads, sa.and_(read.chain_id == chain_id, read.to_block > ancestor)),
        (coverage, sa.and_(cover.group_id.in_(_groups(chain_id)), cover.to_block > ancestor)),
    ):
        connection.execute(sa.delete(table).where(mine, table.c.from_block > ancestor))
        end = {"to_block": ancestor} | ({"to_time": then} if table is coverage else {})
        cut = connection.execute(sa.update(table).where(mine).values(end).returning(*table.primary_key)).all()
        if table is reads:
            _count_again(connection, chain_id, [row.read_id for row in cut])
    above = sa.and_(groups.c.chain_id == chain_id, groups.c.folded_to > ancestor)
    connection.execute(sa.update(groups).where(above).values(folded_to=ancestor))
    lower = sa.update(chains).where(chains.c.chain_id == chain_id, chains.c.head_block > ancestor)
    connection.execute(lower.values(head_block=ancestor, head_time=sa.func.coalesce(then, chains.c.head_time)))


def _count_again(connection: sa.Connection, chain_id: int, read_ids: Sequence[int]) -> None:
    """Reads that were cut hold fewer logs now."""
    for row in connection.execute(sa.select(reads).where(reads.c.read_id.in_(read_ids))).all():
        members = sa.select(sources.c.network, sources.c.address).where(sources.c.group_id == row.group_id)
        found = connection.execute(members).all()
        addresses, networks = [member.address for member in found], {member.network for member in found}
        left = count(connection, chain_id, addresses, networks, Range(row.from_block, row.to_block))
        connection.execute(sa.update(reads).where(reads.c.read_id == row.read_id).values(logs=left))
