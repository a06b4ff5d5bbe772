"""Indexes for payments by amount."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NOBODY = r"'\x0000000000000000000000000000000000000000'::bytea"
MOVED = " AND ".join(f'"{side}" <> {there}' for side in ("from", "to") for there in (NOBODY, "address"))

INDEXES: tuple[tuple[str, str, str, str, str | None], ...] = (
    ("arbius", "fees_paid", "validator_fee", "validator_fee", None),
    ("arbius", "fees_paid", "of_model", "(model_fee - treasury_fee)", None),
    ("arbius", "fees_paid", "of_treasury", "(remaining_fee + (treasury_fee - validator_fee))", None),
    *(("arbius", "rewards_paid", name, name, None)
      for name in ("validator_reward", "task_owner_reward", "treasury_reward")),
    ("arbius", "solutions", "stake", "stake", "stake > 0::numeric"),
    ("arbius", "tasks", "refunded_fee", "fee", "outcome = 'succeeded'"),
    ("arbius", "tasks", "retracted_fee", "fee", "retracted_at IS NOT NULL"),
    ("arbius", "vote_payments", "kind_amount", "kind, amount", None),
    ("iexec", "gifts", "value", "value", None),
    ("iexec", "transfer", "minted_value", "value", f'"from" = {NOBODY}'),
    ("iexec", "transfer", "burned_value", "value", f'"to" = {NOBODY}'),
    ("iexec", "transfer", "moved_value", "value", MOVED),
    *(("iexec", name, "amount", "amount", None)
      for name in ("lock", "unlock", "reward", "seize", "deposit", "deposit_for", "withdraw")),
)  # fmt: skip


def upgrade() -> None:
    for schema, table, name, what, where in INDEXES:
        only = sa.text(where) if where else None
        op.create_index(
            f"ix_{table}_{name}", table, list(map(sa.text, what.split(", "))), schema=schema, postgresql_where=only
        )


def downgrade() -> None:
    for schema, table, name, *_ in INDEXES:
        op.drop_index(f"ix_{table}_{name}", table, schema=schema)
