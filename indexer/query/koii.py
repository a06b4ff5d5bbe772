"""What K2 tells of a Koii task now, told from the database for any round of the past, in the shape of K2's answers.

`task_state` is `getTaskAccountInfo`, `submission_info` is `getTaskSubmissionInfo`, `distribution_info` is
`getTaskDistributionInfo` (koii.md A2, A4). Addresses are base58; text that is not UTF-8 is given as {"raw": hex}.
"""

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from indexer.errors import UsageError
from schema import koii, metadata

Tree = dict[str, Any]


def task_state(connection: sa.Connection, task_id: str) -> Tree:
    """Static fields, totals, stakes and balances of the newest snapshot. Raises UsageError for an unknown task."""
    task = _task(connection, task_id)
    names = [*koii.STATIC, "total_bounty_amount", "total_stake_amount"]
    state = {name: _plain(task, name) for name in names}
    state["stake_list"] = _held(connection, koii.stakes, task)
    state["available_balances"] = _held(connection, koii.available_balances, task)
    table = koii.ip_addresses
    now = sa.select(table).where(_of(table, task), table.c.to_slot.is_(None), table.c.listed)
    rows = connection.execute(now).mappings().all()
    return state | {"ip_address_list": {row["staker"]: _plain(row, "ip_address") for row in rows}}


def submission_info(connection: sa.Connection, task_id: str, round_: int) -> Tree:
    """Submissions of a round and their audits, also of rounds that the account has dropped. Raises UsageError."""
    task, table = _task(connection, task_id), koii.submissions
    rows = connection.execute(sa.select(table).where(_of(table, task), table.c.round == round_)).mappings().all()
    if not rows:
        raise UsageError(_nothing(connection, task, round_))
    entries = {r["submitter"]: {"submission_value": _plain(r, "value"), "slot": r["slot"]} for r in rows}
    audits = _audits(connection, task, round_, "submission", koii.submission_audits.c.submitter)
    return {"submissions": {str(round_): entries}, "submissions_audit_trigger": audits}


def distribution_info(connection: sa.Connection, task_id: str, round_: int) -> Tree:
    """Newest distribution list of each node for a round, audits, and how far its payout is. Raises UsageError."""
    task, table = _task(connection, task_id), koii.distribution_submissions
    query = sa.select(table).where(_of(table, task), table.c.round == round_).order_by(table.c.slot)
    lists = {r.node: {"submission_value": r.account, "slot": r.slot} for r in connection.execute(query)}
    records, r = koii.distribution_records, koii.distribution_records.c
    newest = sa.select(r.status).where(_of(records, task), r.round == round_).order_by(r.first_slot.desc()).limit(1)
    status = connection.scalar(newest)
    if not lists and status is None:
        raise UsageError(_nothing(connection, task, round_))
    return {
        "distribution_rewards_submission": {str(round_): lists} if lists else {},
        "distributions_audit_trigger": _audits(
            connection, task, round_, "distribution", koii.distribution_audits.c.node
        ),
        "distributions_audit_record": {str(round_): status} if status else {},
    }


def _task(connection: sa.Connection, task_id: str) -> sa.RowMapping:
    query = sa.select(koii.tasks).where(koii.tasks.c.task_id == task_id).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UsageError(f"No Koii task {task_id} is in the database. `taskscan status` tells how far it is read.")
    return row


def _of(table: sa.Table, task: sa.RowMapping) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.chain_id == task["chain_id"], table.c.task_id == task["task_id"])


def _plain(row: sa.RowMapping, name: str) -> Any:
    raw = row.get(f"{name}_raw")
    value = {"raw": raw.hex()} if raw is not None else row[name]
    return int(value) if isinstance(value, Decimal) else value


def _held(connection: sa.Connection, table: sa.Table, task: sa.RowMapping) -> dict[str, int]:
    now = sa.select(table.c.staker, table.c.amount).where(_of(table, task), table.c.to_slot.is_(None), table.c.listed)
    return {staker: int(amount) for staker, amount in connection.execute(now)}


def _audits(
    connection: sa.Connection, task: sa.RowMapping, round_: int, kind: str, subject: sa.Column[Any]
) -> Tree:  # fmt: skip
    table, v = metadata.tables[f"koii.{kind}_audits"], koii.audit_votes.c
    query = sa.select(koii.audit_votes).where(_of(koii.audit_votes, task), v.round == round_, v.kind == kind)
    votes: dict[str, list[Tree]] = {}
    for vote in connection.execute(query.order_by(v.slot, v.voter)):
        cast = {"is_valid": vote.is_valid, "voter": vote.voter, "slot": vote.slot}
        votes.setdefault(vote.subject, []).append(cast)
    found = sa.select(subject, table.c.trigger_by, table.c.slot).where(_of(table, task), table.c.round == round_)
    rows = connection.execute(found)
    entries = {who: {"trigger_by": by, "slot": slot, "votes": votes.get(who, [])} for who, by, slot in rows}
    return {str(round_): entries} if entries else {}


def _nothing(connection: sa.Connection, task: sa.RowMapping, round_: int) -> str:
    """Why there is nothing of a round, as far as it is known."""
    table = koii.missed_rounds
    span = sa.and_(table.c.from_round <= round_, table.c.to_round >= round_)
    reason = connection.scalar(sa.select(table.c.reason).where(_of(table, task), span).limit(1))
    text = f"Nothing of round {round_} of task {task['task_id']} is in the database."
    return f"{text} It was missed: {reason}" if reason else f"{text} No snapshot has shown anything of it."
