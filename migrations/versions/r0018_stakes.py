"""Indexes for stakes as payments: by time for pages, by task as text."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

RELEASED = "coalesce(claimed_at, finished_at)"
INDEXES = (
    ("votes", "blocktime", "blocktime", None),
    ("votes", "task_id_hex", "(('0x' || encode(task_id, 'hex')) COLLATE \"C\")", None),
    ("solutions", "released", RELEASED, "paid_at IS NULL AND (claimed OR outcome = 'failed')"),
)


def upgrade() -> None:
    for table, name, what, where in INDEXES:
        only = sa.text(where) if where else None
        op.create_index(f"ix_{table}_{name}", table, [sa.text(what)], schema="arbius", postgresql_where=only)


def downgrade() -> None:
    for table, name, *_ in INDEXES:
        op.drop_index(f"ix_{table}_{name}", table, schema="arbius")
