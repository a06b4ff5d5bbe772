"""What follow and settle must remember: blooms that proved truthful, reads that need a second look."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("chains", sa.Column("blooms", sa.Text), schema="chain")
    op.create_check_constraint(op.f("ck_chains_blooms"), "chains", "blooms IN ('truthful', 'false')", schema="chain")
    op.add_column("reads", sa.Column("doubt", sa.Text), schema="chain")
    op.add_column("reads", sa.Column("confirmed_by", sa.Text), schema="chain")
    op.add_column("reads", sa.Column("confirmed_at", sa.DateTime(timezone=True)), schema="chain")
    doubted = sa.text("doubt IS NOT NULL")
    op.create_index("ix_reads_doubt", "reads", ["chain_id", "from_block"], schema="chain", postgresql_where=doubted)


def downgrade() -> None:
    op.drop_index("ix_reads_doubt", "reads", schema="chain")
    for column in ("confirmed_at", "confirmed_by", "doubt"):
        op.drop_column("reads", column, schema="chain")
    op.drop_constraint(op.f("ck_chains_blooms"), "chains", schema="chain", type_="check")
    op.drop_column("chains", "blooms", schema="chain")
