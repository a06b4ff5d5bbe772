"""Counts and days, kept by triggers on the entities, and indexes for pages and counts by status."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NOT_CLAIMED = sa.text("stage <> 'claimed'")
# What the new columns hold comes from the folds.
FOLD_ANEW = """
    UPDATE chain.groups SET folded_to = NULL
    WHERE group_id IN (SELECT s.group_id FROM chain.sources s WHERE s.network = 'iexec')
"""
LIVE = sa.text("stage IN ('open', 'solved', 'contested')")


def upgrade() -> None:
    _create("day_counts", _key("day", sa.Date()), _key("what", sa.Text()), _count("n"), _amount("amount"))
    _create(
        "worker_counts",
        _key("worker", sa.LargeBinary()),
        *(_count(name) for name in ("submitted", "accepted", "lost")),
        *(_amount(name) for name in ("earned", "slashed")),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("first_at", "last_at")),
    )
    _create("worker_days", _key("day", sa.Date()), _key("worker", sa.LargeBinary()), _count("works"))
    for name in ("fees", "rewards"):
        op.add_column("tasks", sa.Column(name, sa.Numeric), schema="iexec")
    for schema in ("arbius", "iexec"):
        op.drop_index("ix_tasks_live", "tasks", schema=schema)
    _index("arbius", "stage", ["stage", "blocktime"], NOT_CLAIMED)
    for name in ("sender", "model"):
        digits = sa.text(f"(('0x' || encode({name}, 'hex')) COLLATE \"C\")")  # as `analytics.hex` is inlined
        _index("arbius", f"{name}_stage", [digits, "stage", "blocktime"], NOT_CLAIMED)
    _index("iexec", "status", ["status", "start_time"], sa.text("status <> 3"))
    op.execute(FOLD_ANEW)


def downgrade() -> None:
    op.drop_index("ix_tasks_status", "tasks", schema="iexec")
    for name in ("stage", "sender_stage", "model_stage"):
        op.drop_index(f"ix_tasks_{name}", "tasks", schema="arbius")
    _index("arbius", "live", ["stage", "blocktime"], LIVE)
    _index("iexec", "live", ["status", "start_time"], sa.text("status < 3"))
    for name in ("fees", "rewards"):
        op.drop_column("tasks", name, schema="iexec")
    for table in ("worker_days", "worker_counts", "day_counts"):
        op.drop_table(table, schema="chain")


def _create(table: str, *columns: sa.Column[Any]) -> None:
    place = _key("network", sa.Text()), _key("chain_id", sa.BigInteger())
    keys = [column.name for column in (*place, *columns) if column.primary_key]
    op.create_table(table, *place, *columns, sa.PrimaryKeyConstraint(*keys, name=f"pk_{table}"), schema="chain")


def _index(schema: str, name: str, columns: list[str | sa.TextClause], where: sa.TextClause) -> None:
    op.create_index(f"ix_tasks_{name}", "tasks", columns, schema=schema, postgresql_where=where)


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, autoincrement=False, primary_key=True)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _amount(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric, nullable=False)
