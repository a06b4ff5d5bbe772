"""Koii: task state by snapshots, as it was declared when this revision was written.

Notation: `table@key columns: column type, …`; a `!` after the type forbids NULL, key columns are never NULL. All but
`snapshots` begin with the key columns chain_id and task_id. STATIC and VALUE stand for the lists below.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATIC = "is_allowlisted bool, is_active bool, task_name text, task_name_raw bytea, task_description text, task_description_raw bytea, task_manager key, task_audit_program text, task_audit_program_raw bytea, stake_pot_account key, stake_pot_seed key, stake_pot_bump amount, bounty_amount_per_round amount, token_type key, minimum_stake_amount amount, round_time amount, starting_slot amount, audit_window amount, submission_window amount, task_executable_network text, task_executable_network_raw bytea, task_metadata text, task_metadata_raw bytea, task_vars text, task_vars_raw bytea, koii_vars text, koii_vars_raw bytea, is_migrated bool, migrated_to text, migrated_to_raw bytea, allowed_failed_distributions amount"
VALUE = "to_slot int8, after_slot int8, from_at time!"

TABLES = """
tasks: program key!, status text!, STATIC, total_bounty_amount amount, total_stake_amount amount, started_at time, ended_slot int8, ended_at time, first_slot int8!, first_at time!, last_slot int8!
task_versions@from_slot int8: VALUE, STATIC
task_totals@from_slot int8: VALUE, total_bounty_amount amount, total_stake_amount amount
submissions@round int8, submitter key: value text, value_raw bytea, slot int8!, submitted_at time!, first_slot int8!
submission_audits@round int8, submitter key, slot int8: trigger_by key!, opened_at time!, first_slot int8!
distribution_audits@round int8, node key, slot int8: trigger_by key!, opened_at time!, first_slot int8!
audit_votes@kind key, round int8, subject key, voter key, slot int8: is_valid bool!, first_slot int8!
distribution_submissions@round int8, node key, slot int8: account key!, submitted_at time!, first_slot int8!
distribution_records@round int8, status key: first_slot int8!, first_at time!
stakes@staker key, from_slot int8: VALUE, amount amount!, listed bool!
available_balances@staker key, from_slot int8: VALUE, amount amount!, listed bool!
ip_addresses@staker key, from_slot int8: VALUE, ip_address text, ip_address_raw bytea, listed bool!
migrations@migrated_to key: first_slot int8!, first_at time!
unknown_fields@field key, from_slot int8: VALUE, value json!
unreadable_states@digest bytea: first_slot int8!, first_at time!, owner key!, reason text!, data bytea!
missed_rounds@from_round int8, to_round int8: reason text!, noted_slot int8!, noted_at time!
"""

SNAPSHOTS = "chain_id int8!, task_id key!, slot int8!, requested_at time!, provider text!, elapsed_ms int!, static bool!, submission bool!, distribution bool!, balance bool!, stake bool!, digest bytea!, bytes int8!, outcome text!"

INDEXES = """
tasks started_at
tasks task_id
task_totals from_at
submissions submitted_at
submissions submitter
stakes from_at
available_balances from_at
ip_addresses from_at
snapshots chain_id, task_id, slot
"""
HELD = ("stakes", "available_balances", "ip_addresses")

TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "amount": sa.Numeric(78, 0),
    "bool": sa.Boolean(),
    "bytea": sa.LargeBinary(),
    "int": sa.Integer(),
    "int8": sa.BigInteger(),
    "json": JSONB(),
    "key": sa.Text(collation="C"),
    "text": sa.Text(),
    "time": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for line in TABLES.strip().splitlines():
        head, _, rest = line.partition(": ")
        name, _, more = head.partition("@")
        keys = _columns("chain_id int8, task_id key" + (f", {more}" if more else ""), never_null=True)
        primary = sa.PrimaryKeyConstraint(*(key.name for key in keys), name=f"pk_{name}")
        columns = _columns(rest.replace("STATIC", STATIC).replace("VALUE", VALUE))
        chain = [_chain(name)] if name == "tasks" else []
        op.create_table(name, *keys, *columns, primary, *chain, schema="koii")
    identity = sa.Column("snapshot_id", sa.BigInteger, sa.Identity(), nullable=False)
    primary = sa.PrimaryKeyConstraint("snapshot_id", name="pk_snapshots")
    op.create_table("snapshots", identity, *_columns(SNAPSHOTS), primary, _chain("snapshots"), schema="koii")
    for line in INDEXES.strip().splitlines():
        table, _, listed = line.partition(" ")
        names = listed.split(", ")
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, names, schema="koii")
    for table in HELD:
        where = sa.text("to_slot IS NULL")
        op.create_index(
            f"ix_{table}_current", table, ["chain_id", "task_id"], schema="koii", postgresql_where=where
        )  # fmt: skip


def downgrade() -> None:
    for line in TABLES.strip().splitlines():
        op.drop_table(line.partition(": ")[0].partition("@")[0], schema="koii")
    op.drop_table("snapshots", schema="koii")


def _columns(text: str, *, never_null: bool = False) -> list[sa.Column[Any]]:
    found = []
    for part in text.split(", "):
        name, kind = part.split()
        nullable = not never_null and not kind.endswith("!")
        found.append(sa.Column(name, TYPES[kind.rstrip("!")], nullable=nullable))
    return found


def _chain(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["chain_id"], ["chain.chains.chain_id"], name=f"fk_{table}_chain_id_chains")
