"""Rollback: the head window, reorgs, and the logs that they removed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _chain(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["chain_id"], ["chain.chains.chain_id"], name=f"fk_{table}_chain_id")


def upgrade() -> None:
    _create_blocks()
    _create_reorgs()
    _create_orphaned_logs()
    op.create_index("ix_reads_chain_id_to_block", "reads", ["chain_id", "to_block"], schema="chain")


def downgrade() -> None:
    op.drop_index("ix_reads_chain_id_to_block", "reads", schema="chain")
    for table in ("orphaned_logs", "reorgs", "blocks"):
        op.drop_table(table, schema="chain")


def _create_blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("block_number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("block_hash", sa.LargeBinary, nullable=False),
        sa.Column("parent_hash", sa.LargeBinary, nullable=False),
        _time("block_time"),
        sa.PrimaryKeyConstraint("chain_id", "block_number", name="pk_blocks"),
        _chain("blocks"),
        schema="chain",
    )


def _create_reorgs() -> None:
    op.create_table(
        "reorgs",
        sa.Column("reorg_id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        _time("at", now=True),
        sa.Column("ancestor", sa.BigInteger, nullable=False),
        sa.Column("depth", sa.BigInteger, nullable=False),
        sa.Column("old_head_hash", sa.LargeBinary),
        sa.Column("new_head_hash", sa.LargeBinary),
        sa.Column("rows_removed", sa.BigInteger, nullable=False),
        sa.Column("rows_added", sa.BigInteger),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("reorg_id", name="pk_reorgs"),
        _chain("reorgs"),
        schema="chain",
    )
    op.create_index("ix_reorgs_chain_id_at", "reorgs", ["chain_id", "at"], schema="chain")


def _create_orphaned_logs() -> None:
    reorg = sa.ForeignKeyConstraint(["reorg_id"], ["chain.reorgs.reorg_id"], name="fk_orphaned_logs_reorg_id")
    op.create_table(
        "orphaned_logs",
        sa.Column("reorg_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("block_number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("block_hash", sa.LargeBinary, nullable=False),
        _time("block_time"),
        sa.Column("tx_hash", sa.LargeBinary, nullable=False),
        sa.Column("tx_index", sa.Integer, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("stored_in", sa.Text, nullable=False),
        sa.Column("arguments", JSONB, nullable=False),
        _time("believed_at", nullable=True),
        _time("removed_at", now=True),
        sa.PrimaryKeyConstraint("reorg_id", "block_number", "log_index", name="pk_orphaned_logs"),
        reorg,
        schema="chain",
    )
    op.create_index("ix_orphaned_logs_tx_hash", "orphaned_logs", ["tx_hash"], schema="chain")
