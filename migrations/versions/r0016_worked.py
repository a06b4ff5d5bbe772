"""When a worker worked last, off an index: a rollback must not read all that it ever did."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for schema, table, worker, times in (
        ("arbius", "solutions", "validator", "finished_at, claimed_at, blocktime"),
        ("iexec", "contributions", "worker", "settled_at, contributed_at"),
    ):
        last = sa.text(f"coalesce({times})")
        op.create_index(f"ix_{table}_worked", table, ["chain_id", worker, last], schema=schema)


def downgrade() -> None:
    op.drop_index("ix_contributions_worked", "contributions", schema="iexec")
    op.drop_index("ix_solutions_worked", "solutions", schema="arbius")
