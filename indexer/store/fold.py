"""Events into entities: which keys new events touch, and the upsert of what their folds give.

The SQL functions in `schema/sql` say what an entity is; nothing here knows any network. A fold advances only over
blocks that are read without a gap, and looks at all events up to the furthest such block of its chain, so an entity
whose events come from contracts of two groups is right whichever group is read first: the later one folds it again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from indexer.networks import NETWORKS
from indexer.store import ledger
from indexer.store.database import driver
from indexer.store.ledger import Group
from schema import FOLDS, script
from schema.chain import chains, groups, reads
from schema.folds import Fold

KEYS_AT_ONCE = 20_000
DEEP_LOGS = 5_000  # from here on it pays to let the planner see how large the tables are
LOGS_AT_ONCE = 100_000  # of a deep backfill: large enough to fold set-wise, small enough to keep transactions short

Keys = Sequence[tuple[bytes, object]]


def fold_if_due(connection: sa.Connection, group: Group, upto: int) -> None:
    """Fold after a write: at the head at once, in a deep backfill when enough logs have come together."""
    groups_now = {found.group_id: found for found in ledger.load_groups(connection, group.chain_id)}
    now = groups_now.get(group.group_id)
    if now is None or now.read_to is None or now.read_to <= now.folded_to:
        return  # gone from the list: all its contracts were removed from the configuration meanwhile
    if now.read_to >= upto or _waiting(connection, now) >= LOGS_AT_ONCE:
        fold_chain(connection, group.chain_id)


def fold_chain(connection: sa.Connection, chain_id: int) -> int:
    """Fold all that is read without a gap and not folded yet; how many keys were folded.

    Folds of one chain wait for each other, so that of two writers the later one sees the rows of both.
    """
    lock = sa.select(chains.c.chain_id).where(chains.c.chain_id == chain_id).with_for_update(key_share=True)
    connection.execute(lock)
    found = ledger.load_groups(connection, chain_id)
    at_block = max((group.read_to for group in found if group.read_to is not None), default=None)
    if at_block is None:
        return 0
    # A group that another transaction writes waits for this lock, or will fold later: waiting for it is a deadlock.
    mine = sa.select(groups.c.group_id).where(groups.c.chain_id == chain_id).with_for_update(skip_locked=True)
    free = set(connection.scalars(mine))
    return sum(_fold_group(connection, group, at_block) for group in found if group.group_id in free)


def _fold_group(connection: sa.Connection, group: Group, at_block: int) -> int:
    first, last = group.folded_to + 1, group.read_to
    if last is None or last < first:
        return 0
    keys = 0
    deep = _waiting(connection, group) >= DEEP_LOGS
    for network in sorted({member.network for member in group.members}):
        if deep:
            _look_again(connection, network)
        addresses = [bytes.fromhex(m.address[2:]) for m in group.members if m.network == network]
        if prepare := NETWORKS[network].prepare:
            prepare(connection, group.chain_id, addresses, first, last)
        for fold in FOLDS[network]:
            touched = touched_keys(connection, fold, group.chain_id, addresses, first, last)
            refold(connection, fold, group.chain_id, touched, at_block)
            keys += len(touched)
    done = sa.update(groups).where(groups.c.group_id == group.group_id).values(folded_to=last)
    connection.execute(done)
    return keys


def touched_keys(
    connection: sa.Connection, fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int
) -> list[tuple[bytes, object]]:  # fmt: skip
    """(address, key) of the entities that events of `addresses` in blocks `first` to `last` touch."""
    function = getattr(getattr(sa.func, fold.schema), f"touched_{fold.table.name}")
    given = function(chain_id, sa.cast(list(addresses), ARRAY(sa.LargeBinary)), first, last)
    rows = given.table_valued("address", "key").render_derived()
    query = sa.select(rows.c.address, rows.c.key).order_by(rows.c.address, rows.c.key)
    return [(row.address, row.key) for row in connection.execute(query)]


def refold(connection: sa.Connection, fold: Fold, chain_id: int, keys: Keys, at_block: int) -> None:
    """Fold the entities of `keys` from their events up to `at_block` and write what differs from the table."""
    for n in range(0, len(keys), KEYS_AT_ONCE):
        connection.execute(_upsert(fold, folded(fold, chain_id, keys[n : n + KEYS_AT_ONCE], at_block)))


def refold_and_prune(connection: sa.Connection, fold: Fold, chain_id: int, keys: Keys, at_block: int) -> None:
    """The same, and delete the rows of `keys` that their events do not give any more, as after a rollback."""
    table = fold.table
    primary = [column.name for column in table.primary_key]
    for n in range(0, len(keys), KEYS_AT_ONCE):
        part = keys[n : n + KEYS_AT_ONCE]
        given = folded(fold, chain_id, part, at_block).cte("given").prefix_with("MATERIALIZED")
        key = sa.func.unnest(*_arrays(fold, part)).table_valued("address", "key").render_derived()
        mine = sa.and_(table.c.chain_id == chain_id, table.c.address == key.c.address, table.c[fold.key] == key.c.key)
        still = sa.exists().where(*(given.c[name] == table.c[name] for name in primary))
        written = _upsert(fold, sa.select(given)).cte("written")
        connection.execute(sa.delete(table).where(mine, ~still).add_cte(given, written))


def _upsert(fold: Fold, rows: sa.Select[tuple[object, ...]]) -> Insert:
    names = [column.name for column in fold.folded]
    statement = insert(fold.table).from_select(names, rows)
    primary = [column.name for column in fold.table.primary_key]
    changed = {name: statement.excluded[name] for name in names if name not in primary}
    return statement.on_conflict_do_update(index_elements=primary, set_=changed)


def _arrays(fold: Fold, keys: Keys) -> list[sa.Cast[Any]]:
    columns = (
        ([address for address, _ in keys], sa.LargeBinary()),
        ([key for _, key in keys], fold.table.c[fold.key].type),
    )
    return [sa.cast(values, ARRAY(kind)) for values, kind in columns]


def folded(fold: Fold, chain_id: int, keys: Keys, at_block: int) -> sa.Select[tuple[object, ...]]:
    """What the fold gives for `keys` at `at_block`, as a query of the columns that a fold fills."""
    function = getattr(getattr(sa.func, fold.schema), f"fold_{fold.table.name}")
    rows = function(chain_id, *_arrays(fold, keys), at_block).table_valued(*(c.name for c in fold.table.columns))
    return sa.select(*(rows.c[column.name] for column in fold.folded))


def _look_again(connection: sa.Connection, network: str) -> None:
    """Statistics for tables that have grown fourfold: a planner that takes them for empty folds ten times slower."""
    for name in connection.scalars(sa.text(script("grown_tables.sql")), {"schema": network}).all():
        driver(connection).execute(sql.SQL("ANALYZE {}").format(sql.Identifier(network, name)))


def _waiting(connection: sa.Connection, group: Group) -> int:
    """Logs that are read without a gap and not folded yet."""
    query = sa.select(sa.func.coalesce(sa.func.sum(reads.c.logs), 0)).where(
        reads.c.chain_id == group.chain_id,
        reads.c.group_id == group.group_id,
        reads.c.from_block > group.folded_to,
        reads.c.to_block <= group.read_to,
    )
    return int(connection.execute(query).scalar_one())
