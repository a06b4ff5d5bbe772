"""Schema `koii`: tasks of K2, read as snapshots of their accounts.

Slots stand where other networks have blocks. What one account holds and later drops is kept for ever: rows of rounds
are written once, with the snapshot that first showed them; values that change (stakes, balances, totals, static
fields) are one row per value, from slot to slot. Amounts are in the smallest unit of the task's token, stakes in roe.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from schema.base import metadata

STATIC = {
    "is_allowlisted": "bool", "is_active": "bool", "task_name": "text", "task_description": "text",
    "task_manager": "key", "task_audit_program": "text", "stake_pot_account": "key", "stake_pot_seed": "key",
    "stake_pot_bump": "u64", "bounty_amount_per_round": "u64", "token_type": "key", "minimum_stake_amount": "u64",
    "round_time": "u64", "starting_slot": "u64", "audit_window": "u64", "submission_window": "u64",
    "task_executable_network": "text", "task_metadata": "text", "task_vars": "text", "koii_vars": "text",
    "is_migrated": "bool", "migrated_to": "text", "allowed_failed_distributions": "u64",
}  # fmt: skip
"""Static fields of a task's state, by their own names."""

_MEANING = {
    "task_manager": "address of who made it", "token_type": "mint of a KPL task's token; NULL: KOII",
    "bounty_amount_per_round": "paid per round at most", "round_time": "slots", "audit_window": "slots",
    "submission_window": "slots", "task_audit_program": "CID of what nodes run", "task_metadata": "CID",
    "allowed_failed_distributions": "how often a failed distribution is tried again",
}  # fmt: skip


def _key(name: str, comment: str | None = None, *, primary_key: bool = True, nullable: bool = False) -> Column[str]:
    """An address in base58, or another short text."""
    return Column(name, Text(collation="C"), primary_key=primary_key, nullable=nullable, comment=comment)


def _slot(name: str, comment: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(
        name, BigInteger, primary_key=primary_key, autoincrement=False, nullable=nullable, comment=comment
    )  # fmt: skip


def _round(name: str = "round") -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _amount(name: str, comment: str | None = None, *, nullable: bool = True) -> Column[Any]:
    return Column(name, Numeric(78, 0), nullable=nullable, comment=comment)


def _time(name: str, comment: str | None = None, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def _task(*chain: ForeignKey) -> list[Column[Any]]:
    """The key of a task. Only `tasks` refers to the chain: checking that for each row of a round costs seconds."""
    of_chain = Column("chain_id", BigInteger, *chain, primary_key=True, autoincrement=False)
    return [of_chain, _key("task_id", "address of its account")]


def _static() -> list[Column[Any]]:
    found: list[Column[Any]] = []
    for name, kind in STATIC.items():
        meaning = _MEANING.get(name)
        if kind == "bool":
            found.append(Column(name, Boolean, comment=meaning))
        elif kind == "u64":
            found.append(_amount(name, meaning))
        elif kind == "key":
            found.append(_key(name, meaning, primary_key=False, nullable=True))
        else:
            raw = f"bytes of {name} where it is no text that PostgreSQL can hold"
            found += [Column(name, Text, comment=meaning), Column(f"{name}_raw", LargeBinary, comment=raw)]
    return found


def _first() -> list[Column[Any]]:
    return [_slot("first_slot", "oldest snapshot that shows it")]


def _from_slot() -> list[Column[Any]]:
    return [
        _slot("from_slot", "snapshot that first shows this value", primary_key=True),
        _slot("to_slot", "snapshot that first shows another one; NULL: it still holds", nullable=True),
        _slot("after_slot", "newest snapshot with the value before; NULL: there was no snapshot", nullable=True),
        _time("from_at", "time of from_slot"),
    ]


tasks = Table(
    "tasks",
    metadata,
    *_task(ForeignKey("chain.chains.chain_id")),
    _key("program", "owner of the account: decides KOII or KPL", primary_key=False),
    Column("status", Text, nullable=False, comment="active, inactive, depleted, migrated or deleted"),
    *_static(),
    _amount("total_bounty_amount", "what is left to pay"),
    _amount("total_stake_amount"),
    _time("started_at", "time of starting_slot, from the measured time of slots", nullable=True),
    _slot("ended_slot", "snapshot since which it is not active", nullable=True),
    _time("ended_at", nullable=True),
    _slot("first_slot", "first snapshot"),
    _time("first_at"),
    _slot("last_slot", "newest snapshot that showed a change"),
    Index(None, "started_at"),
    Index(None, "task_id"),
    schema="koii",
    comment="Tasks of Koii as their newest snapshot shows them.",
)

task_versions = Table(
    "task_versions",
    metadata,
    *_task(),
    *_from_slot(),
    *_static(),
    schema="koii",
    comment="Static fields of tasks: one row per change of any of them.",
)

task_totals = Table(
    "task_totals",
    metadata,
    *_task(),
    *_from_slot(),
    _amount("total_bounty_amount", "what is left to pay"),
    _amount("total_stake_amount"),
    Index(None, "from_at"),
    schema="koii",
    comment="Bounty and stake of tasks: one row per change.",
)

submissions = Table(
    "submissions",
    metadata,
    *_task(),
    _round(),
    _key("submitter", "staking key"),
    Column("value", Text, comment="what it handed in: a CID, JSON, any text"),
    Column("value_raw", LargeBinary, comment="bytes of value where it is no text that PostgreSQL can hold"),
    _slot("slot", "when it was handed in"),
    _time("submitted_at", "time of slot, from the measured time of slots"),
    *_first(),
    Index(None, "submitted_at"),
    Index(None, "submitter"),
    schema="koii",
    comment="Work that nodes handed in, one row per round and node. The account drops it after some rounds.",
)


def _audits(name: str, subject: str, what: str) -> Table:
    return Table(
        name,
        metadata,
        *_task(),
        _round(),
        _key(subject),
        _slot("slot", "when it was objected to", primary_key=True),
        _key("trigger_by", "who objected", primary_key=False),
        _time("opened_at", "time of slot, from the measured time of slots"),
        *_first(),
        schema="koii",
        comment=f"Objections to {what}. What nobody objects to is accepted.",
    )


submission_audits = _audits("submission_audits", "submitter", "submissions")
distribution_audits = _audits("distribution_audits", "node", "distribution lists")

audit_votes = Table(
    "audit_votes",
    metadata,
    *_task(),
    _key("kind", "submission or distribution"),
    _round(),
    _key("subject", "whose submission or list"),
    _key("voter"),
    _slot("slot", "when it voted", primary_key=True),
    Column("is_valid", Boolean, nullable=False, comment="whether it says that the work was right"),
    *_first(),
    schema="koii",
    comment="Votes on objections.",
)

distribution_submissions = Table(
    "distribution_submissions",
    metadata,
    *_task(),
    _round(),
    _key("node"),
    _slot("slot", "when it was handed in", primary_key=True),
    _key("account", "account that holds the list", primary_key=False),
    _time("submitted_at", "time of slot, from the measured time of slots"),
    *_first(),
    schema="koii",
    comment="Lists of who is to be paid for a round. A list that fails is followed by another one.",
)

distribution_records = Table(
    "distribution_records",
    metadata,
    *_task(),
    _round(),
    _key("status", "Uninitialized, PayoutSuccessful, PayoutFailed, or a later version's word"),
    *_first(),
    _time("first_at", "time of first_slot"),
    schema="koii",
    comment="How far the payout of each round came: one row per status that was seen.",
)


def _held(name: str, value: list[Column[Any]], what: str) -> Table:
    return Table(
        name,
        metadata,
        *_task(),
        _key("staker", "staking key"),
        *_from_slot(),
        *value,
        Column("listed", Boolean, nullable=False, comment="false: the key is gone from the account"),
        Index(f"ix_{name}_current", "chain_id", "task_id", postgresql_where=text("to_slot IS NULL")),
        Index(None, "from_at"),
        schema="koii",
        comment=what,
    )


stakes = _held("stakes", [_amount("amount", "roe", nullable=False)], "Stakes: one row per change.")
available_balances = _held(
    "available_balances", [_amount("amount", nullable=False)], "What nodes can claim, unstaked money included: changes."
)
ip_addresses = _held(
    "ip_addresses",
    [Column("ip_address", Text), Column("ip_address_raw", LargeBinary, comment="bytes where it is no text")],
    "Addresses under which nodes of networking tasks can be reached: one row per change.",
)

migrations = Table(
    "migrations",
    metadata,
    *_task(),
    _key("migrated_to", "task that took its place"),
    *_first(),
    _time("first_at", "time of first_slot"),
    schema="koii",
    comment="Tasks that were replaced. Chains of these can be circular.",
)

unknown_fields = Table(
    "unknown_fields",
    metadata,
    *_task(),
    _key("field"),
    *_from_slot(),
    Column("value", JSONB, nullable=False, comment="as in the account; text that JSONB refuses as {raw: hex}"),
    schema="koii",
    comment="What accounts held that this version knows no column for: one row per change.",
)

unreadable_states = Table(
    "unreadable_states",
    metadata,
    *_task(),
    Column("digest", LargeBinary, primary_key=True, comment="BLAKE2b-128 of data"),
    _slot("first_slot", "oldest snapshot with these bytes"),
    _time("first_at", "time of first_slot"),
    _key("owner", "program that owns the account", primary_key=False),
    Column("reason", Text, nullable=False, comment="in words"),
    Column("data", LargeBinary, nullable=False, comment="of the account"),
    schema="koii",
    comment="Accounts whose bytes did not fit the layout of their program, raw.",
)

missed_rounds = Table(
    "missed_rounds",
    metadata,
    *_task(),
    _round("from_round"),
    _round("to_round"),
    Column("reason", Text, nullable=False, comment="in words"),
    _slot("noted_slot", "snapshot that showed that they are gone"),
    _time("noted_at", "time of noted_slot"),
    schema="koii",
    comment="Rounds that the account had dropped before a snapshot could show them whole.",
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", BigInteger, Identity(), primary_key=True),
    Column("chain_id", BigInteger, ForeignKey("chain.chains.chain_id"), nullable=False),
    _key("task_id", primary_key=False),
    _slot("slot", "slot in whose state the account was read (context.slot)"),
    _time("requested_at"),
    Column("provider", Text, nullable=False, comment="host of the provider that answered"),
    Column("elapsed_ms", Integer, nullable=False, comment="milliseconds from request to answer"),
    *(
        Column(name, Boolean, nullable=False, comment=f"whether {what} asked for")
        for name, what in (
            ("static", "the static fields were"), ("submission", "submissions and audits were"),
            ("distribution", "distribution was"), ("balance", "available balances were"), ("stake", "stakes were"),
        )
    ),
    Column("digest", LargeBinary, nullable=False, comment="BLAKE2b-128 of the account's bytes as answered"),
    Column("bytes", BigInteger, nullable=False, comment="of the account as answered"),
    Column("outcome", Text, nullable=False, comment="read, unchanged, stale, deleted or unreadable"),
    Index(None, "chain_id", "task_id", "slot"),
    schema="koii",
    comment="One row per answer about a task.",
)  # fmt: skip
