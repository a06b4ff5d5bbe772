"""Check 5: every entity row is what its events fold to now, and none is missing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, array

from indexer.audit.findings import Contract, Finding, Tally, contracts, hex_of
from indexer.store.fold import Keys, folded
from schema import FOLDS
from schema.folds import Fold

NAME = "folds"
KEYS_AT_ONCE = 5_000  # entities folded and compared by one statement


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Entity rows that differ from their fold, that no event accounts for, or that are missing.

    Entities with events that wait for a fold (of a contract that is still catching up) are left out.
    """
    known = contracts(connection)
    tally.counts["entities"] = 0
    for chain_id in sorted({each.chain_id for each in known.values()}):
        mine = [each for each in known.values() if each.chain_id == chain_id]
        at_block = max(each.folded_to for each in mine)
        for network in sorted({each.network for each in mine}):
            ours = [each for each in mine if each.network == network]
            for fold in FOLDS[network]:
                yield from _table(connection, fold, ours, at_block, tally)


def _table(
    connection: sa.Connection, fold: Fold, ours: Sequence[Contract], at_block: int, tally: Tally
) -> Iterator[Finding]:
    starts = {each.address: each.from_block for each in ours}
    chain_id, chain = ours[0].chain_id, ours[0].chain
    with connection.execute(_keys(fold, ours, at_block), execution_options={"yield_per": KEYS_AT_ONCE}) as rows:
        for part in rows.partitions():
            keys = [(bytes(row.address), row.key) for row in part]
            tally.counts["entities"] += len(keys)
            tally.tick(f"{chain}: {fold.table.fullname}, {tally.counts['entities']:,} entities in all")
            for row in connection.execute(_differences(fold, chain_id, keys, at_block)):
                yield _finding(fold, chain, row, starts.get(bytes(row.address), 0), at_block)


def _keys(fold: Fold, ours: Sequence[Contract], at_block: int) -> sa.CompoundSelect[Any]:
    """(address, key) of all entities that events or stored rows tell of and whose events do not wait for a fold."""
    table = fold.table
    kept = sa.select(table.c.address, table.c[fold.key].label("key")).where(table.c.chain_id == ours[0].chain_id)
    all_keys = sa.union(_touched(fold, ours, 0, at_block), kept).subquery()
    waiting = [each for each in ours if each.folded_to < at_block]
    late = [_touched(fold, [each], each.folded_to + 1, at_block) for each in waiting]
    return sa.except_(sa.select(all_keys), *late) if late else sa.union(sa.select(all_keys))


def _touched(fold: Fold, ours: Iterable[Contract], first: int, last: int) -> sa.Select[Any]:
    addresses = sa.cast([each.address for each in ours], ARRAY(sa.LargeBinary))
    chain_id = next(iter(ours)).chain_id
    function = getattr(getattr(sa.func, fold.schema), f"touched_{fold.table.name}")
    rows = function(chain_id, addresses, first, last).table_valued("address", "key").render_derived()
    return sa.select(rows.c.address, rows.c.key)


def _differences(fold: Fold, chain_id: int, keys: Keys, at_block: int) -> sa.Select[*tuple[Any, ...]]:
    """Rows of which the fold and the table differ: the primary key, the columns, and the blocks that they name."""
    primary = [column.name for column in fold.table.primary_key]
    names = [column.name for column in fold.folded]
    made = folded(fold, chain_id, keys, at_block).subquery("made")
    kept = _stored(fold, chain_id, keys).subquery("kept")
    both = made.join(kept, sa.and_(*(made.c[name] == kept.c[name] for name in primary)), full=True)
    unlike = {name: made.c[name].is_distinct_from(kept.c[name]) for name in names}
    columns = [sa.case((unlike[name], name), else_=sa.null()) for name in names]
    told = [name for name in names if name == "block_number" or name.endswith("_block")]
    begun = [name for name in told if name != "last_block"]
    return (
        sa.select(
            *(sa.func.coalesce(made.c[name], kept.c[name]).label(name) for name in primary),
            sa.func.array_remove(sa.cast(array(columns), ARRAY(sa.Text)), sa.null()).label("columns"),
            made.c.address.is_(None).label("extra"),
            kept.c.address.is_(None).label("missing"),
            _of_all(sa.func.least, made, kept, begun).label("first"),
            _of_all(sa.func.greatest, made, kept, told).label("last"),
        )
        .select_from(both)
        .where(sa.or_(*unlike.values()))
    )


def _of_all(
    function: Any, made: sa.Subquery, kept: sa.Subquery, names: Sequence[str]
) -> sa.ColumnElement[Any]:  # fmt: skip
    sides = [side.c[name] for name in names for side in (made, kept)]
    return function(*sides) if sides else sa.cast(sa.null(), sa.BigInteger)


def _stored(fold: Fold, chain_id: int, keys: Keys) -> sa.Select[*tuple[Any, ...]]:
    table = fold.table
    addresses = sa.cast([address for address, _ in keys], ARRAY(sa.LargeBinary))
    ids = sa.cast([key for _, key in keys], ARRAY(table.c[fold.key].type))
    wanted = sa.func.unnest(addresses, ids).table_valued("address", "key").render_derived()
    same = sa.and_(table.c.address == wanted.c.address, table.c[fold.key] == wanted.c.key)
    return sa.select(*fold.folded).select_from(table.join(wanted, same)).where(table.c.chain_id == chain_id)


def _finding(fold: Fold, chain: str, row: sa.Row[Any], start: int, at_block: int) -> Finding:
    values = row._mapping
    ids = [values[column.name] for column in fold.table.primary_key if column.name not in ("chain_id", "address")]
    subject = " ".join(hex_of(each) if isinstance(each, bytes) else str(each) for each in ids)
    if row.missing:
        words = "its events are there, its row is missing"
    elif row.extra:
        words = "its row is there, but no event tells of it"
    else:
        words = f"stored {', '.join(row.columns)} are not what the events give"
    first = start if row.first is None else row.first
    last = at_block if row.last is None else row.last
    return Finding(chain, NAME, f"{fold.table.fullname} {subject}", first, last, words)
