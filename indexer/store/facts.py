"""Facts that no event carries, on their way into the database: who lacks them, what is known already, what to retry.

Everything runs in the caller's transaction and takes the lock that folds of the chain take, so that neither waits for
a row of the other.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from indexer.store.rollback import lowest_since
from schema import iexec_entities as iexec
from schema.chain import chains, groups, reorgs
from schema.facts import KINDS, Kind, deal_facts, fact_retries, validator_facts

# A provider that drops an answer here and there has it a moment later; one that knows hardly anything will not.
FREE_TRIES, FEW = 3, 0.5
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(days=1)
MOST_DOUBLINGS = 14  # 10 s doubled so often is more than a day
AT_ONCE = 5_000

Key = dict[str, Any]


class Asked(NamedTuple):
    """Keys to ask for by kind, newest first, and how things stood then: `at_block` is folded and can be asked at,
    `head` is the newest block known, `reorg_id` the newest rollback (0: none)."""

    parts: list[tuple[Kind, list[Key]]]
    at_block: int
    head: int
    reorg_id: int


def due(connection: sa.Connection, chain_id: int, kinds: Sequence[Kind], limit: int) -> Asked | None:
    """Up to `limit` keys of each kind whose facts are to be asked for now; None while nothing of the chain is folded.

    What is known already, from before a rollback, is given to the entities and not asked for again.
    """
    _lock(connection, chain_id)
    folded = connection.scalar(sa.select(sa.func.max(groups.c.folded_to)).where(groups.c.chain_id == chain_id))
    if folded is None or folded < 0:
        return None
    newest = sa.select(sa.func.coalesce(sa.func.max(reorgs.c.reorg_id), 0)).where(reorgs.c.chain_id == chain_id)
    head = connection.scalar(sa.select(chains.c.head_block).where(chains.c.chain_id == chain_id))
    if any(kind.facts is validator_facts for kind in kinds):
        _mark_moved(connection, chain_id, folded)
    parts = [(kind, _unknown(connection, chain_id, kind, limit)) for kind in kinds]
    return Asked(parts, folded, max(folded, head or 0), int(connection.execute(newest).scalar_one()))


def _unknown(connection: sa.Connection, chain_id: int, kind: Kind, limit: int) -> list[Key]:
    keys = [dict(row) for row in connection.execute(_lacking(kind, chain_id, limit)).mappings()]
    known = _show(connection, kind, keys)
    return [key for key in keys if _of(kind, key) not in known]


def keep(connection: sa.Connection, chain_id: int, asked: Asked, facts: Sequence[Sequence[Key | None]]) -> int:
    """Store what was learned of `asked`, part by part, None where nothing was; how many are to be asked at once again.

    `facts` hold columns of the kind's table, `enriched_from` among them. Keys that lack facts still are asked again,
    where they are few twice at once, then ever later. Where a rollback came between question and answer nothing is
    stored.
    """
    _lock(connection, chain_id)
    if lowest_since(connection, chain_id, asked.reorg_id) is not None:
        return sum(len(keys) for _, keys in asked.parts)
    return sum(
        _keep(connection, chain_id, kind, keys, told)
        for (kind, keys), told in zip(asked.parts, facts, strict=True)
        if keys
    )


def _keep(
    connection: sa.Connection, chain_id: int, kind: Kind, keys: Sequence[Key], facts: Sequence[Key | None]
) -> int:  # fmt: skip
    found = [_row(kind, key, told) for key, told in zip(keys, facts, strict=True) if told is not None]
    if found:
        connection.execute(_upsert(kind), found)
    complete = _show(connection, kind, keys)
    vain = [key for key in keys if _of(kind, key) not in complete]
    again = _retry_later(connection, kind, vain, at_once=len(vain) < FEW * len(keys))
    _forget_retries(connection, kind, [key for key in keys if _of(kind, key) in complete])
    if kind.facts is deal_facts:
        _terms_into_tasks(connection, chain_id, [key["dealid"] for key in keys])
    return again


def copy_terms(connection: sa.Connection, chain_id: int) -> int:
    """Give tasks that came after their deal's terms what they show of them; how many. Bounded."""
    t, d = iexec.tasks.c, iexec.deals.c
    with_terms = sa.exists().where(
        d.chain_id == t.chain_id, d.address == t.address, d.dealid == t.dealid, d.enriched_from.is_not(None)
    )
    late = sa.select(t.dealid).where(t.chain_id == chain_id, t.timeref.is_(None), with_terms).limit(AT_ONCE)
    return _terms_into_tasks(connection, chain_id, list(set(connection.scalars(late))))


def give_known(connection: sa.Connection, chain_id: int) -> int:
    """Give every entity of the chain the facts that are known of it; how many rows that changed."""
    changed = 0
    for kind in (kind for kinds in KINDS.values() for kind in kinds if kind.copied):
        statement = _giving(kind).where(kind.entity.c.chain_id == chain_id)
        changed += connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
    while given := copy_terms(connection, chain_id):
        changed += given
    return changed


def _lock(connection: sa.Connection, chain_id: int) -> None:
    row = sa.select(chains.c.chain_id).where(chains.c.chain_id == chain_id)
    connection.execute(row.with_for_update(key_share=True))


def _keys(kind: Kind) -> list[sa.Column[Any]]:
    return list(kind.entity.primary_key)


def _of(kind: Kind, key: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(key[column.name] for column in _keys(kind))


def _joined(kind: Kind) -> sa.ColumnElement[bytes]:
    """What stands for an entity in `chain.fact_retries`: the rest of its key, numbers as eight bytes."""
    _, _, *columns = _keys(kind)
    first, *rest = [sa.func.int8send(c) if isinstance(c.type, sa.BigInteger) else c for c in columns]
    joined: sa.ColumnElement[bytes] = first
    for part in rest:
        joined = joined.op("||")(part)
    return joined


def _lacking(kind: Kind, chain_id: int, limit: int) -> sa.Select[Any]:
    e, r = kind.entity.c, fact_retries.c
    resting = sa.exists().where(
        r.chain_id == e.chain_id, r.facts == str(kind.facts), r.address == e.address, r.key == _joined(kind),
        r.next_at > sa.func.now(),
    )  # fmt: skip
    tx = e[kind.tx].label("tx") if kind.tx else sa.null().label("tx")
    columns = [*_keys(kind), tx, e[kind.newest].label("block"), *kind.asks]
    query = sa.select(*columns).where(e.chain_id == chain_id, kind.lacking, ~resting)
    return query.order_by(e[kind.newest].desc()).limit(limit)


def _given(kind: Kind, keys: Sequence[Key]) -> sa.TableValuedAlias:
    columns = _keys(kind)
    arrays = [sa.cast([key[c.name] for key in keys], ARRAY(c.type)) for c in columns]
    return sa.func.unnest(*arrays).table_valued(*(sa.column(c.name, c.type) for c in columns)).render_derived()


def _show(connection: sa.Connection, kind: Kind, keys: Sequence[Key]) -> set[tuple[Any, ...]]:
    """Copy facts into the entities of `keys`; the keys that lack nothing then."""
    if not keys:
        return set()
    given = _given(kind, keys)
    mine = sa.and_(*(column == given.c[column.name] for column in _keys(kind)))
    if kind.copied:
        connection.execute(_giving(kind).where(mine))
    whole = sa.select(*_keys(kind)).join(given, mine).where(~kind.lacking)
    return {tuple(row) for row in connection.execute(whole)}


def _giving(kind: Kind) -> sa.Update:
    """The update that copies facts into the entities that they are of."""
    pairs = [(kind.entity.c[name], kind.facts.c[name]) for name in kind.copied]
    differs = sa.or_(*(sa.and_(fact.is_not(None), own.is_distinct_from(fact)) for own, fact in pairs))
    values = {own.name: sa.func.coalesce(fact, own) for own, fact in pairs}
    return sa.update(kind.entity).values(values).where(kind.same, differs)


def _row(kind: Kind, key: Key, told: Mapping[str, Any]) -> dict[str, Any]:
    names = [column.name for column in kind.facts.primary_key]
    row = dict(zip(names, _of(kind, key), strict=True)) | {c.name: None for c in kind.facts.c if not c.primary_key}
    if kind.tx:
        row["tx_hash"] = key["tx"]
    return row | dict(told)


def _upsert(kind: Kind) -> sa.Insert:
    """A fact of the same transaction is never lost to a NULL; one of another transaction replaces all."""
    statement = insert(kind.facts)
    primary = [column.name for column in kind.facts.primary_key]
    rest = [column for column in kind.facts.c if not column.primary_key]
    if kind.tx is None:
        changed: dict[str, Any] = {column.name: statement.excluded[column.name] for column in rest}
    else:
        same = kind.facts.c.tx_hash.is_not_distinct_from(statement.excluded.tx_hash)
        changed = {c.name: sa.func.coalesce(statement.excluded[c.name], sa.case((same, c))) for c in rest}
    return statement.on_conflict_do_update(index_elements=primary, set_=changed)


def _retry_later(connection: sa.Connection, kind: Kind, keys: Sequence[Key], *, at_once: bool) -> int:
    """Note that `keys` were asked in vain; how many are due again now. Without `at_once` no try is free any more."""
    if not keys:
        return 0
    r, waits = fact_retries.c, not at_once
    tries = r.tries + 1
    doublings = sa.func.least(sa.func.greatest(tries - FREE_TRIES, 0), MOST_DOUBLINGS)
    later = sa.func.least(FIRST_WAIT * sa.func.power(2, doublings), LONGEST_WAIT)
    wait = sa.case((tries < FREE_TRIES, sa.literal(timedelta())), else_=later)
    first = insert(fact_retries).values(
        tries=FREE_TRIES if waits else 1, next_at=sa.func.now() + (FIRST_WAIT if waits else timedelta())
    )
    primary = [column.name for column in fact_retries.primary_key]
    statement = first.on_conflict_do_update(
        index_elements=primary, set_={"tries": tries, "next_at": sa.func.now() + wait}
    )
    rows = [_retry_key(kind, key) for key in keys]
    connection.execute(statement, rows)
    due = sa.select(sa.func.count()).where(r.chain_id == rows[0]["chain_id"], r.facts == str(kind.facts))
    return int(connection.execute(due.where(r.next_at <= sa.func.now())).scalar_one())


def _retry_key(kind: Kind, key: Key) -> dict[str, Any]:
    chain_id, address, *rest = _of(kind, key)
    parts = [part if isinstance(part, bytes) else part.to_bytes(8, "big", signed=True) for part in rest]
    return {"chain_id": chain_id, "facts": str(kind.facts), "address": address, "key": b"".join(parts)}


def _forget_retries(connection: sa.Connection, kind: Kind, keys: Sequence[Key]) -> None:
    r = fact_retries.c
    gone = [_retry_key(kind, key) for key in keys]
    given = sa.func.unnest(
        sa.cast([row["address"] for row in gone], ARRAY(sa.LargeBinary)),
        sa.cast([row["key"] for row in gone], ARRAY(sa.LargeBinary)),
    ).table_valued("address", "key").render_derived()  # fmt: skip
    mine = sa.and_(r.address == given.c.address, r.key == given.c.key)
    if gone:
        chain_id = gone[0]["chain_id"]
        connection.execute(sa.delete(fact_retries).where(r.chain_id == chain_id, r.facts == str(kind.facts), mine))


def _mark_moved(connection: sa.Connection, chain_id: int, upto: int) -> None:
    """Ask again for stakes that events have moved since they were asked for, or whose block was rolled back."""
    f = validator_facts.c
    since = sa.select(sa.func.max(f.block_number)).where(f.chain_id == chain_id).scalar_subquery()
    moved = sa.func.arbius.moved_stakes(chain_id, since, upto).table_valued("address", "validator", "block_number")
    told = sa.update(validator_facts).where(
        f.chain_id == chain_id, f.address == moved.c.address, f.validator == moved.c.validator,
        f.block_number < moved.c.block_number, ~f.stale,
    )  # fmt: skip
    connection.execute(told.values(stale=True))
    gone = sa.exists().where(
        reorgs.c.chain_id == f.chain_id, reorgs.c.reorg_id > f.reorg_id, reorgs.c.ancestor < f.block_number
    )
    connection.execute(sa.update(validator_facts).where(f.chain_id == chain_id, ~f.stale, gone).values(stale=True))


def _terms_into_tasks(connection: sa.Connection, chain_id: int, deals: Sequence[bytes]) -> int:
    """Copy requester, app, category and its time into the tasks of these deals; how many tasks were changed."""
    if not deals:
        return 0
    t, d, c = iexec.tasks.c, iexec.deals.c, iexec.categories.c
    named = sa.and_(c.chain_id == d.chain_id, c.address == d.address, c.catid == d.category)
    terms = (
        sa.select(d.address, d.dealid, d.requester, d.app, d.category, c.work_clock_time_ref)
        .select_from(iexec.deals.outerjoin(iexec.categories, named))
        .where(d.chain_id == chain_id, d.dealid == sa.any_(sa.cast(list(deals), ARRAY(sa.LargeBinary))))
        .where(d.enriched_from.is_not(None))
        .subquery()
    )
    values = {name: terms.c[name] for name in ("requester", "app", "category")}
    changes = sa.or_(t.category.is_(None), terms.c.work_clock_time_ref.is_not(None))
    statement = sa.update(iexec.tasks).values(values | {"timeref": terms.c.work_clock_time_ref})
    deal = sa.and_(t.address == terms.c.address, t.dealid == terms.c.dealid)
    mine = sa.and_(t.chain_id == chain_id, t.timeref.is_(None), deal)
    return connection.execute(statement.where(mine, changes), execution_options={"preserve_rowcount": True}).rowcount
