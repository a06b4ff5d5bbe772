"""Events into entities: which keys new events touch, and the upsert of what their folds give.

The SQL functions in `schema/sql` say what an entity is; nothing here knows any network. A fold advances only over
blocks that are read without a gap, and looks at all events up to the furthest such block of its chain, so an entity
whose events come from contracts of two groups is right whichever group is read first: the later one folds it again.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, Insert, aggregate_order_by, insert

from indexer.networks import NETWORKS
from indexer.store import ledger
from indexer.store.binary import bytea_array
from indexer.store.database import driver, lazily
from indexer.store.ledger import Group
from schema import FOLDS, script
from schema.chain import chains, groups, reads
from schema.folds import Fold

KEYS_AT_ONCE = 20_000
DEEP_LOGS = 5_000  # from here on it pays to let the planner see how large the tables are
FEW_KEYS = 500  # more of them are worth a plan of their own
LOGS_AT_ONCE = 100_000  # of a deep backfill: large enough to fold set-wise, small enough to keep transactions short
FOLD_LOCK = "taskscan: folds of a chain"
_LOCK = sa.select(
    sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(FOLD_LOCK, sa.bindparam("chain", type_=sa.BigInteger)))
)
# A plan for any blocks looks dearer than one for these blocks, but to plan costs several times what it saves here.
_PLAN_ONCE = sa.text("SET LOCAL plan_cache_mode = force_generic_plan")
_PLAN_ANEW = sa.text("SET LOCAL plan_cache_mode = force_custom_plan")
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
    return fold_locked(connection, chain_id, group_id)


def fold_locked(
    connection: sa.Connection, chain_id: int, group_id: int | None = None, found: Sequence[Group] | None = None,
    waiting: int | None = None,
) -> int:  # fmt: skip
    """The same where `lock` was called in this transaction already. What the caller knows is not asked for: `found`,
    the groups of the chain, and `waiting`, how many logs are to be folded."""
    _lock_facts(connection, chain_id)
    if found is None:
        found = ledger.load_groups(connection, chain_id)
    due = [(group, group.read_to) for group in found if group_id in (None, group.group_id) and _lags(group)]
    return _fold_groups(connection, found, due, waiting)


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


def _fold_groups(
    connection: sa.Connection, found: Sequence[Group], due: Sequence[tuple[Group, int | None]],
    waiting: int | None = None,
) -> int:  # fmt: skip
    """Fold each group of `due` to its block. All that is folded of the chain counts: events of one entity may come
    from contracts of several groups."""
    lasts = {group.group_id: last for group, last in due if last is not None}
    at_block = max([*lasts.values(), *(group.folded_to for group in found)], default=-1)
    keys = sum(_fold_group(connection, group, lasts[group.group_id], at_block, waiting) for group, _ in due)
    for group_id, last in sorted(lasts.items()):  # at the end: a group's writers wait from here on
        connection.execute(sa.update(groups).where(groups.c.group_id == group_id).values(folded_to=last))
    return keys


def _fold_group(connection: sa.Connection, group: Group, last: int, at_block: int, waiting: int | None) -> int:
    first, keys = group.folded_to + 1, 0
    deep = (_portion(connection, group)[0] if waiting is None else waiting) >= DEEP_LOGS
    for network in sorted({member.network for member in group.members}):
        if deep:
            _look_again(connection, network)
        addresses = [bytes.fromhex(m.address[2:]) for m in group.members if m.network == network]
        if prepare := NETWORKS[network].prepare:
            prepare(connection, group.chain_id, addresses, first, last)
        blocks = group.chain_id, addresses, first, last, at_block
        if deep:
            keys += sum(_fold_many(connection, fold, *blocks) for fold in FOLDS[network])
        else:
            keys += _fold_few(connection, network, *blocks)
    return keys


def _fold_few(
    connection: sa.Connection, network: str, chain_id: int, addresses: Sequence[bytes], first: int, last: int,
    at_block: int,
) -> int:  # fmt: skip
    """At the head one question costs more than its answer: the keys of all entities are asked for at once."""
    connection.execute(_PLAN_ONCE)
    touched = touched_by_fold(connection, network, chain_id, addresses, first, last)
    if max(map(len, touched)) > FEW_KEYS:
        connection.execute(_PLAN_ANEW)
    for fold, keys in zip(FOLDS[network], touched, strict=True):
        refold(connection, fold, chain_id, keys, at_block)
    return sum(map(len, touched))


def touched_by_fold(
    connection: sa.Connection, network: str, chain_id: int, addresses: Sequence[bytes], first: int, last: int
) -> list[list[tuple[bytes, Any]]]:
    """The (address, key) of each fold of a network that events of these blocks touch, by one question."""
    blocks = {"chain": chain_id, "addresses": list(addresses), "first": first, "last": last}
    found = list(connection.execute(_all_touched(network), blocks).one())
    return [list(zip(found[n] or (), found[n + 1] or (), strict=True)) for n in range(0, len(found), 2)]


def _fold_many(
    connection: sa.Connection, fold: Fold, chain_id: int, addresses: Sequence[bytes], first: int, last: int,
    at_block: int,
) -> int:  # fmt: skip
    """The same without the keys coming here: a deep backfill has hundreds of thousands."""
    entity, key, enriched = _entity(fold)
    found = sa.func.analytics.fold_blocks(
        entity, key, _arrays(fold, [], [])[1], enriched, fold.by_range, chain_id, _addresses(addresses), first,
        last, at_block, KEYS_AT_ONCE,
    )  # fmt: skip
    return int(connection.execute(sa.select(found)).scalar_one())


def _entity(fold: Fold) -> tuple[sa.ColumnElement[Any], ...]:
    """An entity as functions take it: its table, the column that is its key, and those that no event fills."""
    table = sa.cast(fold.table.fullname, postgresql.REGCLASS)
    return table, sa.literal(fold.key, sa.Text()), sa.cast(sorted(fold.enriched), ARRAY(sa.Text()))


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
    rows = _touched_rows(fold, chain_id, _addresses(addresses), first, last)
    return sa.select(rows.c.address, rows.c.key)


def _touched_rows(fold: Fold, *blocks: Any) -> sa.TableValuedAlias:
    function = getattr(getattr(sa.func, fold.schema), f"touched_{fold.table.name}")
    return function(*blocks).table_valued("address", "key").render_derived()  # type: ignore[no-any-return]


@cache
def _all_touched(network: str) -> sa.Select[*tuple[Any, ...]]:
    """One row: of each entity of a network the addresses and the keys that blocks touch, as two arrays.

    Asked with every block and made once, as the statements of `_refolded`: to make them costs more than to run them.
    """
    number = sa.BigInteger()
    blocks = (
        sa.bindparam("chain", type_=number),
        sa.cast(sa.bindparam("addresses", type_=ARRAY(sa.LargeBinary())), ARRAY(sa.LargeBinary())),
        sa.bindparam("first", type_=number),
        sa.bindparam("last", type_=number),
    )
    arrays = []
    for fold in FOLDS[network]:
        c = _touched_rows(fold, *blocks).c
        ordered = (sa.func.array_agg(aggregate_order_by(column, c.address, c.key)) for column in (c.address, c.key))
        arrays.append(sa.select(*(array.label(name) for array, name in zip(ordered, "ak", strict=True))).subquery())
    joined: sa.FromClause = arrays[0]
    for array in arrays[1:]:
        joined = joined.join(array, sa.true())
    return sa.select(*(column for array in arrays for column in array.c)).select_from(joined)


def refold(connection: sa.Connection, fold: Fold, chain_id: int, keys: Keys, at_block: int) -> None:
    """Fold the entities of `keys` from their events up to `at_block` and write what differs from the table."""
    for given in _key_parts(keys, chain_id, at_block):
        connection.execute(_refolded(fold), given)


@cache
def _refolded(fold: Fold) -> Insert:
    return _upsert(fold, _folded_by(fold, *_given(fold)))


def refold_and_prune(connection: sa.Connection, fold: Fold, chain_id: int, keys: Keys, at_block: int) -> None:
    """The same, and delete the rows of `keys` that their events do not give any more, as after a rollback."""
    for given in _key_parts(keys, chain_id, at_block):
        connection.execute(_pruned(fold), given)


def _pruned(fold: Fold) -> sa.Select[Any]:
    chain, addresses, keys, at_block = _given(fold)
    return sa.select(sa.func.analytics.fold_and_prune(*_entity(fold), chain, addresses, keys, at_block))


def _key_parts(keys: Keys, chain_id: int, at_block: int) -> Iterator[dict[str, object]]:
    """What the statements of `_given` are told, `KEYS_AT_ONCE` keys at a time."""
    for n in range(0, len(keys), KEYS_AT_ONCE):
        addresses, names = zip(*keys[n : n + KEYS_AT_ONCE], strict=True)
        packed = bytea_array(names) if isinstance(names[0], bytes) else list(names)
        yield {"chain": chain_id, "addresses": bytea_array(addresses), "keys": packed, "at_block": at_block}


def _given(fold: Fold) -> tuple[sa.ColumnElement[Any], ...]:
    """The parameters of a fold by keys: chain, addresses, keys and the block up to which events count."""
    chain, at_block = (sa.bindparam(name, type_=sa.BigInteger()) for name in ("chain", "at_block"))
    return chain, *_arrays(fold, sa.bindparam("addresses"), sa.bindparam("keys")), at_block


def _upsert(fold: Fold, rows: sa.Select[tuple[object, ...]]) -> Insert:
    names = [column.name for column in fold.folded]
    statement = insert(fold.table).from_select(names, rows)
    primary = [column.name for column in fold.table.primary_key]
    changed = {name: statement.excluded[name] for name in names if name not in primary}
    return statement.on_conflict_do_update(index_elements=primary, set_=changed)


def _addresses(addresses: Sequence[bytes]) -> sa.Cast[Any]:
    return sa.cast(list(addresses), ARRAY(sa.LargeBinary()))


def _arrays(fold: Fold, addresses: Any, keys: Any) -> list[sa.Cast[Any]]:
    """The addresses and the keys of a fold, lists or parameters, as arrays of the types that it takes."""
    return [sa.cast(addresses, ARRAY(sa.LargeBinary())), sa.cast(keys, ARRAY(fold.table.c[fold.key].type))]


def folded(fold: Fold, chain_id: int, keys: Keys, at_block: int) -> sa.Select[tuple[object, ...]]:
    """What the fold gives for `keys` at `at_block`, as a query of the columns that a fold fills."""
    given = _arrays(fold, [address for address, _ in keys], [key for _, key in keys])
    return _folded_by(fold, chain_id, *given, at_block)


def _folded_by(fold: Fold, *given: Any) -> sa.Select[tuple[object, ...]]:
    function = getattr(getattr(sa.func, fold.schema), f"fold_{fold.table.name}")
    rows = function(*given).table_valued(*(c.name for c in fold.table.columns))
    return sa.select(*(rows.c[column.name] for column in fold.folded))


def _look_again(connection: sa.Connection, network: str) -> None:
    """Statistics for tables that have grown fourfold: a planner that takes them for empty folds ten times slower."""
    for name in connection.scalars(sa.text(script("grown_tables.sql")), {"schema": network}).all():
        driver(connection).execute(sql.SQL("ANALYZE {}").format(sql.Identifier(network, name)))


def _portion(connection: sa.Connection, group: Group) -> tuple[int, int | None]:
    """How many logs are read without a gap and not folded yet, and the block with which `LOGS_AT_ONCE` are full."""
    upto = {"chain": group.chain_id, "group": group.group_id, "folded": group.folded_to, "read": group.read_to}
    upto["portion"] = LOGS_AT_ONCE
    waiting, last = connection.execute(_portions(), upto).one()
    return int(waiting or 0), last


@cache
def _portions() -> sa.Select[*tuple[Any, ...]]:
    names = "chain", "group", "folded", "read", "portion"
    chain, group, folded, read, portion = (sa.bindparam(name, type_=sa.BigInteger) for name in names)
    mine = (reads.c.chain_id == chain, reads.c.group_id == group, reads.c.from_block > folded, reads.c.to_block <= read)
    so_far = sa.func.sum(reads.c.logs).over(order_by=reads.c.to_block)
    sums = sa.select(reads.c.to_block, so_far.label("logs")).where(*mine).subquery()
    enough = sa.func.min(sums.c.to_block).filter(sums.c.logs >= portion)
    return sa.select(sa.func.max(sums.c.logs), enough)
