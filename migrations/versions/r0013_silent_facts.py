"""What engines change without an event; the input of a task is kept once, beside the entity that shows its size."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NUMBERS = [
    "version",
    "min_claim_solution_time",
    "min_contestation_vote_period_time",
    "contestation_vote_extension_time",
    "min_retraction_wait_time",
    "max_contestation_validator_stake_since",
    "exit_validator_min_unlock_time",
    "validator_minimum_percentage",
    "slash_amount_percentage",
    "solution_fee_percentage",
    "retraction_fee_percentage",
    "treasury_reward_percentage",
    "task_owner_reward_percentage",
    "solution_model_fee_percentage",
    "solutions_stake_amount",
    "solution_rate_limit",
    "master_contester_vote_adder",
    "start_block_time",
]


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS arbius.v_inputs")  # made anew after the upgrade
    op.drop_index("ix_tasks_to_enrich", "tasks", schema="arbius")
    op.execute("ALTER TABLE arbius.tasks RENAME COLUMN input TO input_size")
    op.execute("ALTER TABLE arbius.tasks ALTER COLUMN input_size TYPE integer USING octet_length(input_size)")
    op.add_column("task_facts", sa.Column("input_size", sa.Integer()), schema="arbius")
    op.execute("UPDATE arbius.task_facts SET input_size = octet_length(input)")
    _index("input_size IS NULL")
    _table("parameter_facts", sa.Column("since_block", sa.BigInteger(), primary_key=True, autoincrement=False), [
        *(sa.Column(name, sa.Numeric(78, 0)) for name in NUMBERS),
        *(sa.Column(name, sa.LargeBinary()) for name in ("treasury", "ve_staking", "voter")),
    ])  # fmt: skip
    _table("override_facts", sa.Column("model_id", sa.LargeBinary(), primary_key=True), [
        sa.Column("has_override", sa.Boolean(), nullable=False), sa.Column("fee_override", sa.Numeric(78, 0)),
    ])  # fmt: skip


def downgrade() -> None:
    op.drop_table("override_facts", schema="arbius")
    op.drop_table("parameter_facts", schema="arbius")
    op.drop_index("ix_tasks_to_enrich", "tasks", schema="arbius")
    op.execute("ALTER TABLE arbius.tasks ALTER COLUMN input_size TYPE bytea USING NULL")
    op.execute("ALTER TABLE arbius.tasks RENAME COLUMN input_size TO input")
    op.execute(
        "UPDATE arbius.tasks t SET input = f.input FROM arbius.task_facts f WHERE (f.chain_id, f.address, f.task_id)"
        " = (t.chain_id, t.address, t.task_id) AND f.tx_hash IS NOT DISTINCT FROM t.submitted_tx"
    )
    op.drop_column("task_facts", "input_size", schema="arbius")
    _index("input IS NULL")


def _index(where: str) -> None:
    op.create_index(
        "ix_tasks_to_enrich", "tasks", ["chain_id", "submitted_block"], schema="arbius", postgresql_where=sa.text(where)
    )


def _table(name: str, key: sa.Column[Any], columns: list[sa.Column[Any]]) -> None:
    op.create_table(
        name,
        sa.Column("chain_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("address", sa.LargeBinary(), primary_key=True),
        key,
        *columns,
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("reorg_id", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enriched_from", sa.Text(), nullable=False),
        schema="arbius",
    )
