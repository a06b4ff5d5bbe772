"""When blocks were written, kept through the joining of reads; ids that a rollback forgets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("reads", sa.Column("written_at", sa.DateTime(timezone=True)), schema="chain")
    op.alter_column("reads", "written_at", server_default=sa.func.clock_timestamp(), schema="chain")
    op.add_column("reads", sa.Column("joined_to", ARRAY(sa.BigInteger)), schema="chain")
    op.add_column("reads", sa.Column("joined_at", ARRAY(sa.DateTime(timezone=True))), schema="chain")
    op.create_table(
        "orphaned_ids",
        sa.Column("orphan_id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("stored_in", sa.Text, nullable=False),
        sa.Column("block_number", sa.BigInteger, nullable=False),
        sa.Column("made", JSONB, nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("orphan_id", name="pk_orphaned_ids"),
        schema="chain",
    )
    op.create_index("ix_orphaned_ids_chain_id_removed_at", "orphaned_ids", ["chain_id", "removed_at"], schema="chain")


def downgrade() -> None:
    op.drop_table("orphaned_ids", schema="chain")
    for name in ("joined_at", "joined_to", "written_at"):
        op.drop_column("reads", name, schema="chain")
