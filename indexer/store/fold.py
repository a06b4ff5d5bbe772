"""Events into entities: which keys new events touch, and the upsert of what their folds give.

The SQL functions in `schema/sql` say what an entity is; nothing here knows any network. A fold advances only over
blocks that are read without a gap, and looks at all events up to the furthest such block of its chain, so an entity
whose events come from contracts of two groups is right whichever group is read first: the later one folds it again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from indexer.networks import NETWORKS
from indexer.store import ledger
from indexer.store.database import driver, lazily
from indexer.store.ledger import Group
from schema import FOLDS, script
from schema.chain import chains, groups, reads
from schema.folds import Fold

KEYS_AT_ONCE = 20_000
DEEP_LOGS = 5_000  # from here on it pays to let the planner see how large the tables are
LOGS_AT_ONCE = 100_000  # of a deep backfill: large enough to fold set-wise, small enough to keep transactions short
FOLD_LOCK = "taskscan: folds of a chain"
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(FOLD_LOCK, sa.bindparam("chain", type_=sa.BigInteger)))
)
_LOCK_FACTS = (
    sa.select(chains.c.chain_id).where(chains.c.chain_id == sa.bindparam("chain")).with_for_update(key_share=True)
)

Keys = Sequence[tuple[bytes, object]]


def lock(connection: sa.Connection, chain_id: int) -> None:
    """Wait for the folds of this chain and make later ones wait until the transaction ends.

    It comes before any lock on a group: a fold that has it waits for writers of groups when it notes how far it is.
    """
    connection.execute(_LOCK, {"chain": chain_id})


def try_lock(connection: sa.Connection, chain_id: int) -> bool:
    """The same without waiting: whether nobody else has it."""
    taken = sa.func.pg_try_advisory_xact_lock(sa.func.hashtextextended(FOLD_LOCK, chain_id))
    return bool(connection.scalar(sa.select(taken)))


def _lock_facts(connection: sa.Connection, chain_id: int) -> None:
    """Keep out whoever writes facts into entities meanwhile: they take this lock too."""
    connection.execute(_LOCK_FACTS, {"chain": chain_id})


def fold_chain(connection: sa.Connection, chain_id: int, group_id: int | None = None) -> int:
    """Fold all that is read without a gap and not folded yet, or only that of one group; how many keys were folded.

    Folds of one chain wait for each other, so that of two writers the later one sees the rows of both.
    """
    lock(connection, chain_id)
    _lock_facts(connection, chain_id)
    found = ledger.load_groups(connection, chain_id)
    due = [(group, group.read_to) for group in found if group_id in (None, group.group_id) and _lags(group)]
    return _fold_groups(connection, found, due)


def fold_portion(connection: sa.Connection, chain_id: int) -> bool:
    """Fold the next `LOGS_AT_ONCE` logs of a deep backfill; False when fewer wait for it.

    Writers of the chain go on meanwhile: what they write lies above the blocks that are folded here.
    """
    lazily(connection)
    lock(connection, chain_id)
    _lock_facts(connection, chain_id)
    found = ledger.load_groups(connection, chain_id)
    for group in filter(_lags, found):
        waiting, last = _portion(connection, group)
        if waiting >= LOGS_AT_ONCE:
            _fold_groups(connection, found, [(group, last)])
            return True
    return False


def _lags(group: Group) -> bool:
    return group.read_to is not None and group.read_to > group.folded_to


def _fold_groups(connection: sa.Connection, found: Sequence[Group], due: Sequence[tuple[Group, int | None]]) -> int:
    """Fold each group of `due` to its block. All that is folded of the chain counts: events of one entity may come
    from contracts of several groups."""
    lasts = {group.group_id: last for group, last in due if last is not None}
    at_block = max([*lasts.values(), *(group.folded_to for group in found)], default=-1)
    keys = sum(_fold_group(connection, group, lasts[group.group_id], at_block) for group, _ in due)
    for group_id, last in sorted(lasts.items()):  # at the end: a group's writers wait from here on
        connection.execute(sa.update(groups).where(groups.c.group_id == group_id).values(folded_to=last))
    return keys


def _fold_group(connection: sa.Connection, group: Group, last: int, at_block: int) -> int:
    first, keys = group.folded_to + 1, 0
    deep = _portion(connection, group)[0] >= DEEP_LOGS
    for network in sorted({member.network for member in group.members}):
        if deep:
            _look_again(connection, network)
        addresses = [bytes.fromhex(m.address[2:]) for m in group.members if m.network == network]
        if prepare := NETWORKS[network].prepare:
            prepare(connection, group.chain_id, addresses, first, last)
        for fold in FOLDS[network]:
            blocks = fold, group.chain_id, addresses, first, last, at_block
            keys += _fold_many(connection, *blocks) if deep else _fold_few(connection, *blocks)
    return keys


def _fold_few(
    connection: sa.Connection, fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int,
    at_block: int,
) -> int:  # fmt: skip
    touched = touched_keys(connection, fold, chain_id, addresses, first, last)
    refold(connection, fold, chain_id, touched, at_block)
    return len(touched)


def _fold_many(
    connection: sa.Connection, fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int,
    at_block: int,
) -> int:  # fmt: skip
    """The same without the keys coming here: a deep backfill has hundreds of thousands."""
    entity = sa.cast(fold.table.fullname, postgresql.REGCLASS)
    enriched = sa.cast(sorted(fold.enriched), ARRAY(sa.Text()))
    found = sa.func.analytics.fold_blocks(
        entity, fold.key, _arrays(fold, [])[1], enriched, fold.by_range, chain_id, _addresses(addresses), first, last,
        at_block, KEYS_AT_ONCE,
    )  # fmt: skip
    return int(connection.execute(sa.select(found)).scalar_one())


def touched_keys(
    connection: sa.Connection, fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int
) -> list[tuple[bytes, object]]:  # fmt: skip
    """(address, key) of the entities that events of `addresses` in blocks `first` to `last` touch."""
    query = touched(fold, chain_id, addresses, first, last)
    ordered = query.order_by(*query.selected_columns)
    return [(row.address, row.key) for row in connection.execute(ordered)]


def touched(
    fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int
) -> sa.Select[*tuple[Any, ...]]:  # fmt: skip
    """The same as a query."""
    function = getattr(getattr(sa.func, fold.schema), f"touched_{fold.table.name}")
    given = function(chain_id, _addresses(addresses), first, last)
    rows = given.table_valued("address", "key").render_derived()
    return sa.select(rows.c.address, rows.c.key)


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


def _addresses(addresses: Sequence[bytes]) -> sa.Cast[Any]:
    return sa.cast(list(addresses), ARRAY(sa.LargeBinary()))


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


def _portion(connection: sa.Connection, group: Group) -> tuple[int, int | None]:
    """How many logs are read without a gap and not folded yet, and the block with which `LOGS_AT_ONCE` are full."""
    mine = sa.and_(
        reads.c.chain_id == group.chain_id,
        reads.c.group_id == group.group_id,
        reads.c.from_block > group.folded_to,
        reads.c.to_block <= group.read_to,
    )
    so_far = sa.func.sum(reads.c.logs).over(order_by=reads.c.to_block)
    sums = sa.select(reads.c.to_block, so_far.label("logs")).where(mine).subquery()
    enough = sa.func.min(sums.c.to_block).filter(sums.c.logs >= LOGS_AT_ONCE)
    waiting, last = connection.execute(sa.select(sa.func.max(sums.c.logs), enough)).one()
    return int(waiting or 0), last
