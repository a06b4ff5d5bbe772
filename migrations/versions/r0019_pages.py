"""Sums of tasks by model and of how long they took; indexes for disputes by task and party, and for stakes and rewards."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

STAKED = "stake > 0::numeric"
RELEASED_BEFORE = "coalesce(claimed_at, finished_at)", "paid_at IS NULL AND (claimed OR outcome = 'failed')"
RELEASED = "coalesce(paid_at, claimed_at, finished_at)"
BACK = f"{STAKED} AND (paid_at IS NOT NULL OR claimed OR outcome = 'failed')"


def _hex(column: str) -> str:
    return f"(('0x' || encode({column}, 'hex')) COLLATE \"C\")"  # as `analytics.hex` is inlined


INDEXES: tuple[tuple[str, str, list[str], str | None], ...] = (
    ("tasks", "suggested", ["last_at"], "stage = 'solved' AND solution_blocktime IS NULL"),
    ("solutions", "rewarded", ["paid_at"], "rewarded_log_index IS NOT NULL"),
    ("solutions", "staked", ["blocktime"], STAKED),
    ("solutions", "slashed", ["finished_at"], f"{STAKED} AND outcome = 'succeeded'"),
    ("contestations", "task_id_hex", [_hex("task_id")], None),
    ("contestations", "validator_hex", [_hex("validator"), "blocktime"], None),
    ("contestations", "solver_hex", [_hex("solver"), "blocktime"], None),
    ("contestations", "slash", ["chain_id", "address", "task_id"], "slash_amount > 0::numeric"),
    ("votes", "voter_hex", [_hex("voter"), "blocktime"], None),
)


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS analytics.tasks_by_stage")  # made anew: `stage` gets the collation of its index
    op.create_table(
        "task_sums",
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("who", sa.LargeBinary, nullable=False),
        sa.Column("seconds", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.Numeric, nullable=False),
        sa.PrimaryKeyConstraint("network", "chain_id", "what", "who", "seconds", "address", name="pk_task_sums"),
        schema="chain",
    )
    op.drop_index("ix_solutions_released", "solutions", schema="arbius")
    _index("solutions", "released", [RELEASED], BACK)
    for table, name, columns, where in INDEXES:
        _index(table, name, columns, where)


def downgrade() -> None:
    for table, name, *_ in INDEXES:
        op.drop_index(f"ix_{table}_{name}", table, schema="arbius")
    op.drop_index("ix_solutions_released", "solutions", schema="arbius")
    _index("solutions", "released", [RELEASED_BEFORE[0]], RELEASED_BEFORE[1])
    op.drop_table("task_sums", schema="chain")


def _index(table: str, name: str, columns: list[str], where: str | None) -> None:
    only = sa.text(where) if where else None
    op.create_index(f"ix_{table}_{name}", table, list(map(sa.text, columns)), schema="arbius", postgresql_where=only)
