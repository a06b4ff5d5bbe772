"""The coverage ledger: which blocks of which contracts are read, and how that is known.

A *group* is a set of contracts of one chain that are read with one filter; coverage belongs to the group. A
contract that joins later gets a group of its own and catches up alone; when all groups of a chain stand at the
same block they become one again (`merge_groups`). All functions work inside the caller's transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from indexer.chain.ranges import Range, contiguous_to, merge, subtract
from schema.chain import coverage, groups, reads, sources

# Asked with every block and every transaction: to build these anew each time costs more than to run them.
_ACTIVE = (
    sa.select(sources.c.group_id, sources.c.address, sources.c.network, sources.c.role, sources.c.from_block)
    .where(sources.c.chain_id == sa.bindparam("chain"), sources.c.active)
    .order_by(sources.c.address)
)
_GROUPS = (
    sa.select(
        groups.c.group_id, groups.c.evidence, groups.c.folded_to,
        sa.func.array_agg(coverage.c.from_block).filter(coverage.c.from_block.is_not(None)).label("firsts"),
        sa.func.array_agg(coverage.c.to_block).filter(coverage.c.from_block.is_not(None)).label("lasts"),
    )
    .select_from(groups.outerjoin(coverage, coverage.c.group_id == groups.c.group_id))
    .where(groups.c.chain_id == sa.bindparam("chain"))
    .group_by(groups.c.group_id)
    .order_by(groups.c.group_id)
)  # fmt: skip
_COVERED = sa.select(coverage.c.group_id, coverage.c.from_block, coverage.c.to_block).where(
    coverage.c.group_id == sa.any_(sa.bindparam("groups", type_=ARRAY(sa.BigInteger)))
)
_ALL_LOCKED = (
    sa.select(groups.c.group_id)
    .where(groups.c.chain_id == sa.bindparam("chain"))
    .order_by(groups.c.group_id)
    .with_for_update()
)
_LOCKED = sa.select(groups.c.group_id).where(groups.c.group_id == sa.bindparam("group")).with_for_update()
_ADDRESSES = sa.select(sources.c.address).where(sources.c.group_id == sa.bindparam("group"), sources.c.active)

_FIRST, _LAST = (sa.bindparam(name, type_=sa.BigInteger) for name in ("first", "last"))
_TOUCHING = (
    coverage.c.group_id == sa.bindparam("group"),
    coverage.c.evidence == sa.bindparam("known"),
    coverage.c.from_block <= _LAST + 1,
    coverage.c.to_block >= _FIRST - 1,
)
_TAKEN = sa.delete(coverage).where(*_TOUCHING).returning(coverage.c.from_block, coverage.c.to_block, coverage.c.to_time)
# What every block at the head does: the one interval that touches it ends just below it.
_ABOVE = coverage.alias()
_GROWN = (
    sa.update(coverage)
    .where(
        coverage.c.group_id == sa.bindparam("group"),
        coverage.c.evidence == sa.bindparam("known"),
        coverage.c.to_block == _FIRST - 1,
        ~sa.exists().where(
            _ABOVE.c.group_id == sa.bindparam("group"),
            _ABOVE.c.evidence == sa.bindparam("known"),
            _ABOVE.c.from_block <= _LAST + 1,
            _ABOVE.c.to_block >= _FIRST,
        ),
    )
    .values(to_block=_LAST, to_time=sa.bindparam("time", type_=coverage.c.to_time.type))
)


@dataclass(frozen=True)
class Member:
    """A contract of a group; `address` is lower-case hex text."""

    address: str
    network: str
    role: str
    from_block: int


@dataclass(frozen=True)
class Group:
    """What one filter reads, and what of it is read already."""

    group_id: int
    chain_id: int
    evidence: str
    members: tuple[Member, ...]
    covered: tuple[Range, ...]
    folded_to: int = -1

    @property
    def from_block(self) -> int:
        """First block that any member wants."""
        return min(member.from_block for member in self.members)

    def gaps(self, upto: int) -> list[Range]:
        """What is missing up to block `upto`, included."""
        if self.from_block > upto:
            return []
        return subtract([Range(self.from_block, upto)], self.covered)

    def gaps_within(self, wanted: Range) -> list[Range]:
        """What is missing of the blocks `wanted`."""
        if self.from_block > wanted.last:
            return []
        return subtract([Range(max(self.from_block, wanted.first), wanted.last)], self.covered)

    def has_all(self, addresses: Iterable[str]) -> bool:
        """Whether all of these contracts are members."""
        return {member.address for member in self.members}.issuperset(addresses)

    @property
    def read_to(self) -> int | None:
        """Last block up to which nothing is missing."""
        return contiguous_to(self.from_block, self.covered)


@dataclass(frozen=True)
class Read:
    """One range that was read: a row of `chain.reads`."""

    range: Range
    provider: str
    requested_at: datetime
    elapsed_ms: int
    answer_bytes: int
    digest: bytes
    logs: int
    evidence: str
    bound_block: int | None = None
    bound_hash: bytes | None = None
    to_time: datetime | None = None
    doubt: str | None = None
    confirmed_by: str | None = None


def load_groups(connection: sa.Connection, chain_id: int) -> list[Group]:
    """The groups of a chain that have active members, in the order of their making."""
    members: dict[int, list[Member]] = {}
    for row in connection.execute(_ACTIVE, {"chain": chain_id}):
        member = Member("0x" + row.address.hex(), row.network, row.role, row.from_block)
        members.setdefault(row.group_id, []).append(member)
    return [
        Group(
            row.group_id,
            chain_id,
            row.evidence,
            tuple(members[row.group_id]),
            _ranges(row),
            -1 if row.folded_to is None else row.folded_to,
        )
        for row in connection.execute(_GROUPS, {"chain": chain_id})
        if row.group_id in members
    ]


def _ranges(row: Any) -> tuple[Range, ...]:
    return tuple(merge(Range(*ends) for ends in zip(row.firsts or (), row.lasts or (), strict=True)))


def covered_ranges(connection: sa.Connection, group_ids: Iterable[int]) -> dict[int, list[Range]]:
    """Covered ranges per group, merged whatever their evidence."""
    found: dict[int, list[Range]] = {}
    for row in connection.execute(_COVERED, {"groups": list(group_ids)}):
        found.setdefault(row.group_id, []).append(Range(row.from_block, row.to_block))
    return {group_id: merge(ranges) for group_id, ranges in found.items()}


def lock_group(connection: sa.Connection, group_id: int) -> bool:
    """Keep every other writer of the group out until the transaction ends; False when the group is gone."""
    return connection.scalar(_LOCKED, {"group": group_id}) is not None


def lock_groups(connection: sa.Connection, chain_id: int) -> None:
    """The same of all groups of a chain."""
    connection.execute(_ALL_LOCKED, {"chain": chain_id}).all()


def knows_all(connection: sa.Connection, group: Group) -> bool:
    """Whether `group`, as it was loaded, has all members that the group has now: another may have been joined with it
    since, and what was read without its contracts must not count as read with them. The group must be locked."""
    now = connection.scalars(_ADDRESSES, {"group": group.group_id})
    return group.has_all("0x" + address.hex() for address in now)


def covered_by(connection: sa.Connection, group_id: int) -> list[Range]:
    """The same of one group."""
    return covered_ranges(connection, [group_id]).get(group_id, [])


def record(connection: sa.Connection, group: Group, done: Sequence[Read]) -> None:
    """Write the ledger's rows for reads whose event rows are written in this transaction."""
    rows = [_read_row(group, read) for read in done]
    connection.execute(sa.insert(reads), rows if len(rows) > 1 else rows[0])
    for evidence in {read.evidence for read in done}:
        alike = [read for read in done if read.evidence == evidence]
        times = {read.range.last: read.to_time for read in alike}
        for piece in merge(read.range for read in alike):
            _cover(connection, group.group_id, piece, evidence, times[piece.last])


def _read_row(group: Group, read: Read) -> dict[str, object]:
    return {
        "chain_id": group.chain_id,
        "group_id": group.group_id,
        "from_block": read.range.first,
        "to_block": read.range.last,
        "provider": read.provider,
        "requested_at": read.requested_at,
        "elapsed_ms": read.elapsed_ms,
        "answer_bytes": read.answer_bytes,
        "digest": read.digest,
        "logs": read.logs,
        "evidence": read.evidence,
        "bound_block": read.bound_block,
        "bound_hash": read.bound_hash,
        "doubt": read.doubt,
        "confirmed_by": read.confirmed_by,
        "confirmed_at": read.requested_at if read.confirmed_by else None,
    }


def _cover(
    connection: sa.Connection, group_id: int, piece: Range, evidence: str, to_time: datetime | None
) -> None:  # fmt: skip
    """Add `piece` to the group's coverage, joined with neighbours of the same evidence."""
    new = {"group": group_id, "known": evidence, "first": piece.first, "last": piece.last, "time": to_time}
    if connection.execute(_GROWN, new).rowcount:
        return
    taken = connection.execute(_TAKEN, new).all()
    joined = merge([piece, *(Range(row.from_block, row.to_block) for row in taken)])[0]
    times = {row.to_block: row.to_time for row in taken} | ({piece.last: to_time} if to_time else {})
    connection.execute(
        sa.insert(coverage).values(
            group_id=group_id,
            from_block=joined.first,
            to_block=joined.last,
            evidence=evidence,
            to_time=times.get(joined.last),
        )
    )


def raise_evidence(connection: sa.Connection, group_id: int, piece: Range, evidence: str) -> None:
    """Say that the covered blocks `piece` are known by `evidence`."""
    c = coverage.c
    across = sa.and_(c.group_id == group_id, c.from_block <= piece.last, c.to_block >= piece.first)
    columns = (c.from_block, c.to_block, c.evidence, c.to_time)
    time = None
    for row in connection.execute(sa.delete(coverage).where(across).returning(*columns)).all():
        time = row.to_time if row.to_block == piece.last else time
        for rest in subtract([Range(row.from_block, row.to_block)], [piece]):
            end = row.to_time if rest.last == row.to_block else None
            kept = {"from_block": rest.first, "to_block": rest.last, "evidence": row.evidence, "to_time": end}
            connection.execute(sa.insert(coverage).values(group_id=group_id, **kept))
    _cover(connection, group_id, piece, evidence, time)


def copy_coverage(connection: sa.Connection, old: int, new: int, from_block: int) -> None:
    """Give group `new` what group `old` has read from `from_block` on."""
    c = coverage.c
    kept = sa.select(
        sa.literal(new), sa.func.greatest(c.from_block, from_block), c.to_block, c.evidence, c.to_time
    ).where(c.group_id == old, c.to_block >= from_block)
    names = ["group_id", "from_block", "to_block", "evidence", "to_time"]
    connection.execute(sa.insert(coverage).from_select(names, kept))


def copy_folded(connection: sa.Connection, old: int, new: int) -> None:
    """Let group `new` count as folded as far as group `old`."""
    far = sa.select(groups.c.folded_to).where(groups.c.group_id == old).scalar_subquery()
    connection.execute(sa.update(groups).where(groups.c.group_id == new).values(folded_to=far))


def new_group(connection: sa.Connection, chain_id: int, evidence: str) -> int:
    """Make a group without members; its id."""
    statement = sa.insert(groups).values(chain_id=chain_id, evidence=evidence).returning(groups.c.group_id)
    return int(connection.execute(statement).scalar_one())


def merge_groups(connection: sa.Connection, chain_id: int, upto: int) -> int:
    """Make one group of all that are read without a gap and folded to exactly `upto` with the same least evidence.

    Returns how many groups vanished. Joined coverage holds for each member from its own first block on.
    """

    def is_ready(group: Group) -> bool:
        return group.read_to == group.folded_to == upto and len(group.covered) == 1

    merged = 0
    for ready in _alike(connection, chain_id, is_ready):
        main = min(ready, key=lambda group: (group.from_block, group.group_id))
        for group in ready:
            if group is not main:
                _absorb(connection, main, group)
                merged += 1
    return merged


def join_unread(connection: sa.Connection, chain_id: int) -> None:
    """Make one group of all that have read nothing yet, so that many new contracts cost one pass, not many."""
    for main, *others in _alike(connection, chain_id, lambda group: not group.covered):
        for group in others:
            _absorb(connection, main, group)


def _alike(connection: sa.Connection, chain_id: int, wanted: Callable[[Group], bool]) -> list[list[Group]]:
    """The groups that are `wanted`, by their least evidence, where several have the same. Then all are locked: what is
    read of one of them meanwhile would count as read of the others, too."""
    for locked in (False, True):
        by_evidence: dict[str, list[Group]] = {}
        for group in filter(wanted, load_groups(connection, chain_id)):
            by_evidence.setdefault(group.evidence, []).append(group)
        found = [alike for alike in by_evidence.values() if len(alike) > 1]
        if not found or locked:
            break
        lock_groups(connection, chain_id)
    return found


def _absorb(connection: sa.Connection, main: Group, group: Group) -> None:
    moved = sa.update(sources).where(sources.c.group_id == group.group_id).values(group_id=main.group_id)
    connection.execute(moved)
    connection.execute(sa.delete(coverage).where(coverage.c.group_id == group.group_id))
    connection.execute(sa.delete(groups).where(groups.c.group_id == group.group_id))
