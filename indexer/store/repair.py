"""A second look at what is stored: does another answer about the same blocks hold the same logs, and if not, repair.

All functions work inside the caller's transaction.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.chain.ranges import Range
from indexer.networks import NETWORKS
from indexer.store import ledger, sources
from indexer.store.copy import Row, Target, identity
from indexer.store.fold import Keys, fold_chain, lock, refold_and_prune, touched_keys
from indexer.store.ledger import Group
from indexer.store.stored import Place, places, tables_of
from indexer.store.write import Batch, insert_missing
from schema import FOLDS
from schema.chain import chains, groups, reads
from schema.folds import Fold


class Doubt(NamedTuple):
    """Blocks of one group, which may have been joined with another since, that need a second look, and who answered
    about them first.

    `why`: unfinal (they were not final when read), distrusted (that provider was caught), wrong (a check failed),
    differs (a second provider says something else), sample.
    """

    group_id: int
    range: Range
    providers: frozenset[str]
    why: str


class Difference(NamedTuple):
    """`missing`: rows of the answer that are not stored; `extra`: places stored that the answer lacks, by table."""

    compared: int
    missing: dict[Target, list[Row]]
    extra: dict[str, list[Place]]

    @property
    def blocks(self) -> list[int]:
        """The blocks in which answer and tables differ."""
        return sorted({number for number, _, _ in self.places})

    @property
    def places(self) -> list[Place]:
        """Where they differ."""
        missing = [identity(row) for rows in self.missing.values() for row in rows]
        return missing + [place for places in self.extra.values() for place in places]


def doubted(connection: sa.Connection, chain_id: int, most: int) -> list[Doubt]:
    """Final blocks that need a second look, lowest first: neighbouring reads together, at most `most` blocks each.

    Where a second provider must say the same, reads of different providers stay apart, so that there is an other one.
    """
    final = sa.select(chains.c.final_block).where(chains.c.chain_id == chain_id).scalar_subquery()
    r = reads.c
    query = sa.select(r.group_id, r.from_block, r.to_block, r.provider, r.doubt).where(
        r.chain_id == chain_id, r.doubt.is_not(None), r.to_block <= final
    )
    strict = set(connection.scalars(sa.select(groups.c.group_id).where(groups.c.evidence == "second-provider")))
    found: list[Doubt] = []
    for row in connection.execute(query.order_by(r.group_id, r.from_block, r.to_block)):
        last = found[-1] if found else None
        joins = (
            last and (last.group_id, last.why) == (row.group_id, row.doubt) and last.range.last + 1 == row.from_block
        ) and (row.group_id not in strict or last.providers == {row.provider})
        if last and joins and row.to_block - last.range.first < most:
            found[-1] = last._replace(
                range=Range(last.range.first, row.to_block), providers=last.providers | {row.provider}
            )
        else:
            found.append(Doubt(row.group_id, Range(row.from_block, row.to_block), frozenset({row.provider}), row.doubt))
    return found


def some_read(connection: sa.Connection, chain_id: int, chance: float) -> Doubt | None:
    """A read of final blocks that nobody has looked at twice, chosen by `chance` (0 to 1); None when all have been."""
    r = reads.c
    final = sa.select(chains.c.final_block).where(chains.c.chain_id == chain_id).scalar_subquery()
    open_ones = sa.and_(r.chain_id == chain_id, r.doubt.is_(None), r.confirmed_at.is_(None), r.to_block <= final)
    ends = sa.select(sa.func.min(r.from_block), sa.func.max(r.from_block)).where(open_ones)
    low, high = connection.execute(ends).one()
    if low is None:
        return None
    start = low + int(chance * (high - low))
    query = sa.select(reads).where(open_ones, r.from_block >= start).order_by(r.from_block).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Doubt(row.group_id, Range(row.from_block, row.to_block), frozenset({row.provider}), "sample")


def compare(connection: sa.Connection, batch: Batch, piece: Range) -> Difference:
    """How the answer `batch` about the blocks `piece` of its group differs from what is stored."""
    group = batch.group
    addresses = [bytes.fromhex(member.address[2:]) for member in group.members]
    stored = places(connection, group.chain_id, addresses, _networks(group), piece)
    given = {identity(row): (target, row) for target, rows in batch.rows.items() for row in rows}
    missing: dict[Target, list[Row]] = {}
    for place in given.keys() - stored.keys():
        target, row = given[place]
        missing.setdefault(target, []).append(row)
    extra: dict[str, list[Place]] = {}
    for place in stored.keys() - given.keys():
        extra.setdefault(stored[place], []).append(place)
    return Difference(len(given), missing, extra)


def everything(connection: sa.Connection, batch: Batch, piece: Range) -> Difference:
    """As if nothing that is stored agreed with `batch`: the blocks `piece` are written anew."""
    known = compare(connection, Batch(batch.group, batch.reads), piece)
    return Difference(batch.logs, batch.rows, known.extra)


def confirm(connection: sa.Connection, group: Group, doubt: Doubt, provider: str, evidence: str | None) -> None:
    """The reads of `doubt` hold, says a second look at `group`. Block by block ones become a single row.

    `evidence`: what the range is known by now; None leaves it.
    """
    if not ledger.lock_group(connection, group.group_id) or not ledger.knows_all(connection, group):
        return  # another group was joined with it since: the next call looks at all of its contracts
    r, piece = reads.c, doubt.range
    inside = sa.and_(r.from_block >= piece.first, r.to_block <= piece.last)
    mine = sa.and_(r.chain_id == group.chain_id, r.group_id == doubt.group_id, inside)
    known = {"evidence": evidence} if evidence else {}
    done = {"doubt": None, "confirmed_by": provider, "confirmed_at": sa.func.now()} | known
    connection.execute(sa.update(reads).where(mine).values(done))
    if evidence and doubt.group_id == group.group_id:
        ledger.raise_evidence(connection, group.group_id, piece, evidence)
    _compact(connection, mine)


def _compact(connection: sa.Connection, mine: sa.ColumnElement[bool]) -> None:
    """One row for reads that lie side by side, of one provider and evidence; digests of single blocks are let go."""
    rows = connection.execute(sa.select(reads).where(mine).order_by(reads.c.from_block)).all()
    runs: list[list[sa.Row[tuple[object, ...]]]] = []
    for row in rows:
        last = runs[-1][-1] if runs else None
        alike = last and (last.provider, last.evidence, last.to_block + 1) == (
            row.provider,
            row.evidence,
            row.from_block,
        )
        if alike:
            runs[-1].append(row)
        else:
            runs.append([row])
    for run in runs:
        if len(run) > 1:
            first, others = run[0], [row.read_id for row in run[1:]]
            total = {name: sum(getattr(row, name) for row in run) for name in ("logs", "answer_bytes", "elapsed_ms")}
            joined = {
                "to_block": run[-1].to_block,
                "bound_block": run[-1].bound_block,
                "bound_hash": run[-1].bound_hash,
            }
            connection.execute(sa.delete(reads).where(reads.c.read_id.in_(others)))
            values = total | joined | _steps(run)
            connection.execute(sa.update(reads).where(reads.c.read_id == first.read_id).values(values))


def _steps(run: Sequence[sa.Row[Any]]) -> dict[str, Any]:
    """How far each of the joined reads went and when it was written: what was known at a time can still be told."""
    steps = [
        step
        for row in run
        for step in (
            zip(row.joined_to, row.joined_at, strict=True) if row.joined_to else [(row.to_block, row.written_at)]
        )
    ]
    if any(at is None for _, at in steps):
        return {"written_at": None, "joined_to": None, "joined_at": None}
    return {"joined_to": [to for to, _ in steps], "joined_at": [at for _, at in steps]}


def repair(connection: sa.Connection, batch: Batch, difference: Difference) -> None:
    """Add the rows that are missing, remove the extra ones, and fold their entities anew."""
    group, blocks = batch.group, difference.blocks
    lock(connection, group.chain_id)
    ledger.lock_group(connection, group.group_id)
    span = Range(blocks[0], blocks[-1])
    agree = _agree(connection, group.chain_id, span)
    before = {network: _touched(connection, group, network, span) for network in _networks(group)}
    for table, gone in difference.extra.items():
        _remove(connection, group, table, gone)
    insert_missing(connection, difference.missing)
    if agree:
        _count_again(connection, group, difference)
    if batch.born:
        sources.add(connection, group.chain_id, batch.born)
    back = sa.update(groups).where(groups.c.group_id == group.group_id, groups.c.folded_to >= span.first)
    connection.execute(back.values(folded_to=span.first - 1))
    fold_chain(connection, group.chain_id)
    at_block = max(found.folded_to for found in ledger.load_groups(connection, group.chain_id))
    for folds in before.values():
        for fold, keys in folds:
            refold_and_prune(connection, fold, group.chain_id, keys, at_block)


def distrust_reads(connection: sa.Connection, chain_id: int, provider: str) -> int:
    """Put all reads of `provider` in doubt that neither a proof nor another provider confirms; how many."""
    r = reads.c
    unproven = sa.and_(r.evidence.in_(["single", "head-bound"]), r.confirmed_by.is_distinct_from("proof"))
    alone = sa.or_(r.confirmed_by.is_(None), r.confirmed_by == provider)
    mine = sa.and_(r.chain_id == chain_id, r.provider == provider, unproven, alone)
    return connection.execute(sa.update(reads).where(mine).values(doubt="distrusted")).rowcount


def doubt_range(connection: sa.Connection, chain_id: int, piece: Range) -> int:
    """Put all reads that touch the blocks `piece` in doubt, whoever answered; how many."""
    r = reads.c
    mine = sa.and_(r.chain_id == chain_id, r.from_block <= piece.last, r.to_block >= piece.first)
    return connection.execute(sa.update(reads).where(mine).values(doubt="wrong")).rowcount


def fold_again(connection: sa.Connection, chain_id: int, first: int) -> None:
    """Fold anew all entities that events from block `first` on touch."""
    back = sa.update(groups).where(groups.c.chain_id == chain_id, groups.c.folded_to >= first)
    connection.execute(back.values(folded_to=first - 1))
    fold_chain(connection, chain_id)


def providers_of(connection: sa.Connection, group: Group, blocks: Range | Sequence[int]) -> frozenset[str]:
    """Who answered about these blocks."""
    r, pieces = reads.c, [blocks] if isinstance(blocks, Range) else [Range(block, block) for block in blocks]
    inside = sa.or_(*(sa.and_(r.from_block <= piece.last, r.to_block >= piece.first) for piece in pieces))
    query = sa.select(r.provider).where(r.chain_id == group.chain_id, inside)
    return frozenset(connection.scalars(query))


def _agree(connection: sa.Connection, chain_id: int, span: Range) -> bool:
    """Whether the tables hold as many logs as the answers about these blocks had: then what is wrong was so in the
    answers, and they must count anew what is repaired; else the tables were damaged."""
    r, addresses, networks = reads.c, set[bytes](), set[str]()
    for group in ledger.load_groups(connection, chain_id):
        addresses |= {bytes.fromhex(member.address[2:]) for member in group.members}
        networks |= set(_networks(group))
    for _ in range(2):  # reads that overlap those that overlap the blocks
        touching = sa.and_(r.chain_id == chain_id, r.from_block <= span.last, r.to_block >= span.first)
        ends = sa.select(sa.func.min(r.from_block), sa.func.max(r.to_block), sa.func.sum(r.logs)).where(touching)
        first, last, total = connection.execute(ends).one()
        if total is None:
            return False
        span = Range(first, last)
    return len(places(connection, chain_id, list(addresses), networks, span)) == int(total)


def _count_again(connection: sa.Connection, group: Group, difference: Difference) -> None:
    """Add what was missing in an answer to the number of its logs, and take off what should not have been in it."""
    change = Counter(identity(row)[0] for rows in difference.missing.values() for row in rows)
    change.subtract(place[0] for places in difference.extra.values() for place in places)
    r = reads.c
    for block, logs in change.items():
        around = sa.and_(r.chain_id == group.chain_id, r.from_block <= block, r.to_block >= block)
        first = sa.select(r.read_id).where(around).order_by((r.group_id == group.group_id).desc(), r.read_id).limit(1)
        connection.execute(sa.update(reads).where(r.read_id == first.scalar_subquery()).values(logs=r.logs + logs))


def _touched(
    connection: sa.Connection, group: Group, network: str, span: Range
) -> list[tuple[Fold, Keys]]:  # fmt: skip
    addresses = [bytes.fromhex(member.address[2:]) for member in group.members if member.network == network]
    return [(fold, touched_keys(connection, fold, group.chain_id, addresses, *span)) for fold in FOLDS[network]]


def _remove(connection: sa.Connection, group: Group, name: str, gone: Sequence[Place]) -> None:
    tables = {str(table): table for table in tables_of(_networks(group))}
    c = tables[name].c
    keys = [(group.chain_id, block, index) for block, index, _ in gone]
    connection.execute(sa.delete(tables[name]).where(sa.tuple_(c.chain_id, c.block_number, c.log_index).in_(keys)))


def _networks(group: Group) -> list[str]:
    return sorted({member.network for member in group.members} & NETWORKS.keys())
