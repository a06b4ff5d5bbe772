"""One snapshot of a Koii task into the tables, in the caller's transaction.

Snapshots are ordered by the slot in whose state the account was read, not by arrival. What an older one shows of
rounds is kept, for rounds never change; values that do change are taken only from the newest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.networks.koii import KOII_PROGRAM, rules
from indexer.networks.koii.rules import SlotClock, Timing
from indexer.networks.koii.state import SECTIONS, State
from indexer.store import incidents, koii_rounds, koii_values
from schema.koii import missed_rounds, snapshots, tasks, unreadable_states

READ, UNCHANGED, STALE, DELETED, UNREADABLE = "read", "unchanged", "stale", "deleted", "unreadable"


@dataclass(frozen=True)
class Snapshot:
    """One answer about a task. `slot`: its context.slot; `sections`: what was asked for; `data`: None: no account.

    `provider`, `requested_at`, `elapsed_ms`: who was asked, when, and how long it took.
    """

    task_id: str
    program: str
    slot: int
    sections: frozenset[str]
    data: bytes | None
    provider: str
    requested_at: datetime
    elapsed_ms: int = 0

    @property
    def digest(self) -> bytes:
        return blake2b(self.data or b"", digest_size=16).digest()


def unchanged(connection: sa.Connection, chain_id: int, snapshot: Snapshot) -> bool:
    """Whether the account is as it was when the same sections were read last; then the snapshot is noted as that."""
    c = snapshots.c
    mine = sa.and_(c.chain_id == chain_id, c.task_id == snapshot.task_id)
    same = sa.and_(*(c[name] == (name in snapshot.sections) for name in SECTIONS))
    good = c.outcome.in_((READ, UNCHANGED))
    newest = sa.select(c.slot, c.digest).where(mine, same, good).order_by(c.slot.desc(), c.snapshot_id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None or row.digest != snapshot.digest or snapshot.slot < row.slot:
        return False
    later = sa.select(c.slot).where(mine, c.outcome.in_((READ, DELETED)), c.slot > row.slot).limit(1)
    if connection.execute(later).one_or_none():
        return False
    _note(connection, chain_id, snapshot, UNCHANGED)
    return True


def write(
    connection: sa.Connection, chain_id: int, snapshot: Snapshot, state: State, clock: SlotClock, gap: str | None = None
) -> str:  # fmt: skip
    """Write what `state`, read from `snapshot`, shows; the outcome. Without any change that is one row.

    `clock` gives slots their times. `gap`: why rounds may have been missed since the last read, if that is known.
    """
    if snapshot.program == KOII_PROGRAM:
        state = rules.without_empty(state)
    at = koii_values.Moment(chain_id, snapshot.task_id, snapshot.slot, clock)
    read_to = _newest(connection, at)
    koii_rounds.write(connection, at, state)
    fresh = {name for name in snapshot.sections if read_to.get(name) is None or snapshot.slot > read_to[name]}
    if "static" in fresh or _is_new(connection, at):
        _write_task(connection, at, snapshot, state, read_to.get("static"))
    if "stake" in fresh:
        koii_values.hold(connection, at, "stakes", state.stakes, read_to.get("stake"))
        koii_values.hold(connection, at, "ip_addresses", state.ip_addresses, read_to.get("stake"))
    if "balance" in fresh:
        koii_values.hold(connection, at, "available_balances", state.balances, read_to.get("balance"))
    if "submission" in fresh:
        _note_missed(connection, at, state, read_to.get("submission"), gap)
    koii_values.keep_unknown(connection, at, state.unknown if "static" in fresh else {}, read_to.get("static"))
    outcome = READ if fresh >= snapshot.sections - {"static"} else STALE
    _note(connection, chain_id, snapshot, outcome)
    return outcome


def write_deleted(connection: sa.Connection, chain_id: int, snapshot: Snapshot, clock: SlotClock) -> str:
    """The account is not there (any more); an answer older than what is known says nothing."""
    at = koii_values.Moment(chain_id, snapshot.task_id, snapshot.slot, clock)
    outcome = DELETED if snapshot.slot > max(_newest(connection, at).values(), default=-1) else STALE
    if outcome == DELETED:
        gone = {"status": "deleted", "last_slot": snapshot.slot}
        ended = {"ended_slot": snapshot.slot, "ended_at": clock.time(snapshot.slot)}
        mine = sa.and_(tasks.c.chain_id == chain_id, tasks.c.task_id == snapshot.task_id, tasks.c.status != "deleted")
        connection.execute(sa.update(tasks).where(mine, tasks.c.ended_slot.is_(None)).values(**ended))
        connection.execute(sa.update(tasks).where(mine).values(**gone))
    _note(connection, chain_id, snapshot, outcome)
    return outcome


def write_unreadable(
    connection: sa.Connection, chain_id: int, snapshot: Snapshot, reason: str, clock: SlotClock
) -> str:  # fmt: skip
    """Keep the bytes of an account that cannot be read."""
    row = {
        "chain_id": chain_id, "task_id": snapshot.task_id, "digest": snapshot.digest, "first_slot": snapshot.slot,
        "first_at": clock.time(snapshot.slot), "owner": snapshot.program, "reason": reason, "data": snapshot.data,
    }  # fmt: skip
    connection.execute(insert(unreadable_states).values(**row).on_conflict_do_nothing())
    _note(connection, chain_id, snapshot, UNREADABLE)
    return UNREADABLE


def _note(connection: sa.Connection, chain_id: int, snapshot: Snapshot, outcome: str) -> None:
    asked = {name: name in snapshot.sections for name in SECTIONS}
    connection.execute(
        sa.insert(snapshots).values(
            chain_id=chain_id, task_id=snapshot.task_id, slot=snapshot.slot, requested_at=snapshot.requested_at,
            provider=snapshot.provider, elapsed_ms=snapshot.elapsed_ms, digest=snapshot.digest,
            bytes=len(snapshot.data or b""), outcome=outcome, **asked,
        )
    )  # fmt: skip


def _newest(connection: sa.Connection, at: koii_values.Moment) -> dict[str, int]:
    """Section -> slot of the newest snapshot that showed it."""
    c = snapshots.c
    slots = [sa.func.max(c.slot).filter(c[name]).label(name) for name in SECTIONS]
    good = c.outcome.in_((READ, UNCHANGED, DELETED, STALE))
    query = sa.select(*slots).where(c.chain_id == at.chain_id, c.task_id == at.task_id, good)
    return {name: slot for name, slot in connection.execute(query).mappings().one().items() if slot is not None}


def _is_new(connection: sa.Connection, at: koii_values.Moment) -> bool:
    query = sa.select(tasks.c.task_id).where(tasks.c.chain_id == at.chain_id, tasks.c.task_id == at.task_id)
    return connection.execute(query).one_or_none() is None


def _write_task(
    connection: sa.Connection, at: koii_values.Moment, snapshot: Snapshot, state: State, before: int | None
) -> None:  # fmt: skip
    """The row of the task, its static fields and totals; nothing when they are as they were."""
    mine = sa.and_(tasks.c.chain_id == at.chain_id, tasks.c.task_id == at.task_id)
    old = connection.execute(sa.select(tasks).where(mine)).mappings().one_or_none()
    columns = koii_values.static_columns(state, old)
    totals = {"total_bounty_amount": state.total_bounty_amount, "total_stake_amount": state.total_stake_amount}
    totals = {name: value if value is not None or old is None else old[name] for name, value in totals.items()}
    status = rules.status(columns, totals["total_bounty_amount"])
    koii_values.version(connection, at, columns, old, before)
    koii_values.total(connection, at, totals, old, before)
    row: dict[str, Any] = {"program": snapshot.program, "status": status, **columns, **totals}
    if old is not None and all(old[name] == value for name, value in row.items()):
        return
    row["last_slot"] = at.slot
    if status == "active":
        row |= {"ended_slot": None, "ended_at": None}
    elif old is None or old["ended_slot"] is None:
        row |= {"ended_slot": at.slot, "ended_at": at.time}
    first = {"first_slot": at.slot, "first_at": at.time, "started_at": _started(columns, at.clock)}
    new = insert(tasks).values(chain_id=at.chain_id, task_id=at.task_id, **row, **first)
    connection.execute(new.on_conflict_do_update(index_elements=["chain_id", "task_id"], set_=row))


def _started(columns: dict[str, Any], clock: SlotClock) -> datetime | None:
    timing = Timing.of(columns)
    return clock.time(timing.starting_slot) if timing else None


def _note_missed(
    connection: sa.Connection, at: koii_values.Moment, state: State, before: int | None, gap: str | None
) -> None:  # fmt: skip
    """Write down in words which rounds this snapshot shows to be gone that no earlier one has shown whole."""
    mine = sa.and_(tasks.c.chain_id == at.chain_id, tasks.c.task_id == at.task_id)
    task = connection.execute(sa.select(tasks).where(mine)).mappings().one_or_none()
    timing = Timing.of(dict(task)) if task else None
    if timing is None or state.submissions is None:
        return
    gone = rules.missed(timing, before, at.slot, {each.round for each in state.submissions})
    if gone is None:
        return
    if before is None:
        reason = f"The account had dropped them before it was read for the first time, in slot {at.slot}."
    else:
        why = f" {gap}" if gap else ""
        reason = (
            f"They ended and were dropped between the reads in slots {before} and {at.slot}, {at.slot - before:,} slots"
            f" apart, where a round takes {timing.round_time:,}.{why}"
        )
        subject = f"koii task {at.task_id}"
        text = f"Rounds {gone[0]} to {gone[1]} are missed. {reason}"
        incidents.note(connection, at.chain_id, "MissedRounds", subject, text)
    row = {"from_round": gone[0], "to_round": gone[1], "reason": reason, "noted_slot": at.slot, "noted_at": at.time}
    new = insert(missed_rounds).values(chain_id=at.chain_id, task_id=at.task_id, **row)
    connection.execute(new.on_conflict_do_nothing())


def known(connection: sa.Connection, chain_id: int, task_id: str) -> Sequence[sa.RowMapping]:
    """The task if it is in the database, with the columns that say when to read it next."""
    c = tasks.c
    read_to = sa.select(sa.func.max(snapshots.c.slot)).where(
        snapshots.c.chain_id == c.chain_id, snapshots.c.task_id == c.task_id
    )  # fmt: skip
    times = (c.starting_slot, c.round_time, c.submission_window, c.audit_window)
    query = sa.select(c.task_id, c.program, c.status, *times, read_to.scalar_subquery().label("slot"))
    return connection.execute(query.where(c.chain_id == chain_id, c.task_id == task_id)).mappings().all()
