"""The scoreboard of providers, and leases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"


def _time(name: str, *, nullable: bool = True, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "providers",
        sa.Column("chain_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        _count("calls"),
        sa.Column("errors", JSONB, server_default="{}", nullable=False),
        _count("answer_bytes"),
        sa.Column("latency_mean_ms", sa.Double),
        sa.Column("latency_p95_ms", sa.Double),
        _time("last_ok_at"),
        sa.Column("last_error", sa.Text),
        _time("last_error_at"),
        _time("distrusted_at"),
        sa.Column("distrust_reason", sa.Text),
        _count("logs_compared"),
        _count("logs_omitted"),
        sa.Column("omission_bound", sa.Double),
        sa.Column("profile", JSONB),
        _time("profiled_at"),
        sa.PrimaryKeyConstraint("chain_id", "provider", name="pk_providers"),
        schema="chain",
    )
    op.create_table(
        "leases",
        sa.Column("chain_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        _time("since", nullable=False, now=True),
        sa.PrimaryKeyConstraint("chain_id", name="pk_leases"),
        schema="chain",
    )


def downgrade() -> None:
    for table in ("leases", "providers"):
        op.drop_table(table, schema="chain")
