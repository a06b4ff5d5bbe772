"""How long after its commitment each solution came, an index to find the solution of a commitment, and one of gains."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


AGES = """
UPDATE arbius.solution_facts f
SET commitment_age = extract(epoch FROM s.blocktime - (
    SELECT min(x.block_time) FROM arbius.signal_commitment x
    WHERE x.commitment = f.commitment AND x.address = f.address AND x.chain_id = f.chain_id))
FROM arbius.solutions s
WHERE s.chain_id = f.chain_id AND s.address = f.address AND s.task_id = f.task_id
  AND s.submitted_tx IS NOT DISTINCT FROM f.tx_hash
"""  # before the indexes are made: the second one is of few rows


def upgrade() -> None:
    op.add_column("solution_facts", sa.Column("commitment_age", sa.BigInteger()), schema="arbius")
    op.execute(AGES)
    op.create_index(
        "ix_solution_facts_commitment", "solution_facts", ["commitment"], schema="arbius", postgresql_using="hash"
    )
    op.create_index(
        "ix_solution_facts_ageless", "solution_facts", ["chain_id", "address", "task_id"], schema="arbius",
        postgresql_where=sa.text("commitment_age IS NULL"),
    )  # fmt: skip
    solved = sa.text("stage = 'solved'")
    op.create_index("ix_tasks_solved_fee", "tasks", ["fee"], schema="arbius", postgresql_where=solved)


def downgrade() -> None:
    op.drop_index("ix_tasks_solved_fee", "tasks", schema="arbius")
    op.drop_index("ix_solution_facts_ageless", "solution_facts", schema="arbius")
    op.drop_index("ix_solution_facts_commitment", "solution_facts", schema="arbius")
    op.drop_column("solution_facts", "commitment_age", schema="arbius")
