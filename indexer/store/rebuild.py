"""All that is derived from event tables, made anew from them alone: entities, ids of iExec's tasks, counts.

One transaction holds everything: until it commits, and if it never does, everybody reads the old tables. Nobody folds
meanwhile: writers at the head wait, those of a deep backfill go on.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from indexer.networks import NETWORKS
from indexer.store import facts
from indexer.store.fold import KEYS_AT_ONCE, fold_chain, folded, lock, touched, try_lock
from indexer.store.shadow import Difference, Side, beside, compare, copy, settle
from schema import FOLDS
from schema.chain import chains, groups, sources
from schema.folds import Fold
from schema.iexec_support import broadcasts, deal_starts, task_ids
from schema.rollups import day_counts, task_sums, worker_counts, worker_days

LOOK_SECONDS = 2  # how soon the server ends the transaction of a command that was killed
HELPERS = {"iexec": (deal_starts, task_ids, broadcasts)}
"""Network -> tables that its `remake` makes from events. Marks are only a cache of sums."""
COUNTS = {
    day_counts: day_counts.c.n,
    worker_counts: worker_counts.c.submitted,
    worker_days: worker_days.c.works,
    task_sums: task_sums.c.n,
}
"""Table of counts -> how many are counted; rows of none stay where what they counted went, and mean nothing."""

Tell = Callable[[str], None]


class Part(NamedTuple):
    """What was read of one group for one network: its contracts, and the last block that is folded."""

    network: str
    addresses: list[bytes]
    folded_to: int


Parts = Mapping[int, Sequence[Part]]
"""Chain -> its parts."""


class Rebuilt(NamedTuple):
    """What a rebuild did. `facts`: rows that were given anew what enrichment had learned of them."""

    differences: list[Difference]
    facts: int


def rebuild(connection: sa.Connection, tell: Tell = lambda text: None) -> Rebuilt:
    """Make every derived table anew, in the caller's transaction, and say what differs. `tell` is told the progress.

    It calls the folds that reading calls. Facts that no event carries stay, and rows that come back get theirs.
    """
    connection.execute(sa.select(sa.func.set_config("client_connection_check_interval", f"{LOOK_SECONDS}s", True)))
    known = connection.execute(sa.select(chains.c.chain_id, chains.c.name).order_by(chains.c.chain_id)).all()
    parts = {chain_id: found for chain_id, name in known if (found := _begin(connection, chain_id, name, tell))}
    held = [Side(table, number != 0) for table, number in COUNTS.items()]
    counted = [copy(connection, side) for side in held]
    differences: list[Difference] = []
    for network in sorted({part.network for found in parts.values() for part in found}):
        mine = {chain_id: [part for part in found if part.network == network] for chain_id, found in parts.items()}
        differences += _network(connection, network, {k: v for k, v in mine.items() if v}, tell)
    tell("giving entities the facts that are known of them")
    given = sum(facts.give_known(connection, chain_id) for chain_id in parts)
    tell("counting")
    connection.execute(sa.select(sa.func.analytics.recount()))
    differences += [compare(connection, before, side) for side, before in zip(held, counted, strict=True)]
    return Rebuilt(differences, given)


def _begin(connection: sa.Connection, chain_id: int, name: str, tell: Tell) -> list[Part]:
    """Keep others from folding the chain, fold what waits, and find out what there is."""
    if not try_lock(connection, chain_id):
        tell(f"{name}: waiting for another process that folds it")
        lock(connection, chain_id)
    tell(f"{name}: folding what is read and not folded yet")
    fold_chain(connection, chain_id)
    s, g = sources.c, groups.c
    rows = sa.select(s.network, g.group_id, g.folded_to, sa.func.array_agg(s.address).label("addresses"))
    mine = rows.join_from(sources, groups, s.group_id == g.group_id).where(s.chain_id == chain_id, g.folded_to >= 0)
    found = connection.execute(mine.group_by(s.network, g.group_id, g.folded_to).order_by(s.network, g.group_id))
    return [Part(row.network, list(map(bytes, row.addresses)), row.folded_to) for row in found]


def _network(connection: sa.Connection, network: str, parts: Parts, tell: Tell) -> Iterator[Difference]:
    yield from _helpers(connection, network, parts, tell)
    for fold in FOLDS[network]:
        made, done = beside(connection, fold.table, [column.name for column in fold.folded]), 0
        started = time.monotonic()
        for chain_id, mine in parts.items():
            for count in _fold(connection, fold, made, chain_id, mine):
                done += count
                tell(f"folding {fold.table}: {done:,}{_pace(connection, fold, done, started)}")
        tell(f"comparing {fold.table}")
        yield settle(connection, Side(fold.table, fold.table.c.chain_id.in_(list(parts))), made)


def _helpers(connection: sa.Connection, network: str, parts: Parts, tell: Tell) -> Iterator[Difference]:
    """What Python makes before the folds: a copy of the old rows goes aside, to be compared with the new ones."""
    remake = NETWORKS[network].remake
    if remake is None:
        return
    tell(f"making the ids of {network}")
    sides = [Side(table, table.c.chain_id.in_(list(parts))) for table in HELPERS[network]]
    before = [copy(connection, side) for side in sides]
    for chain_id, mine in parts.items():
        addresses = [address for part in mine for address in part.addresses]
        remake(connection, chain_id, addresses, max(part.folded_to for part in mine))
    for old, side in zip(before, sides, strict=True):
        yield compare(connection, old, side)


def _pace(connection: sa.Connection, fold: Fold, done: int, started: float) -> str:
    """How fast, and how long it may take still by the size that PostgreSQL takes the table to have."""
    rate = done / max(time.monotonic() - started, 0.001)
    of_table = sa.cast(sa.literal(fold.table.fullname), postgresql.REGCLASS)
    guessed = connection.scalar(sa.select(sa.literal_column("reltuples")).select_from(sa.table("pg_class")).where(
        sa.literal_column("oid") == of_table))  # fmt: skip
    left = f", {(guessed - done) / rate:,.0f} s left" if guessed and guessed > done else ""
    return f", {rate:,.0f} per second{left}"


def _fold(
    connection: sa.Connection, fold: Fold, made: sa.Table, chain_id: int, parts: Sequence[Part]
) -> Iterator[int]:  # fmt: skip
    """Fold every entity of the chain into `made`; yields how many, part by part."""
    at_block = max(part.folded_to for part in parts)
    keys = sa.union(*(touched(fold, chain_id, part.addresses, 0, part.folded_to) for part in parts))
    names = [column.name for column in fold.folded]
    with connection.execute(keys, execution_options={"yield_per": KEYS_AT_ONCE}) as rows:
        for some in rows.partitions():
            wanted = [(bytes(row.address), row.key) for row in some]
            connection.execute(sa.insert(made).from_select(names, folded(fold, chain_id, wanted, at_block)))
            yield len(wanted)
