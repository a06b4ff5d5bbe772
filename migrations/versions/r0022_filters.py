"""Indexes for pages by fee, reward, last block and end: of filters that few rows meet."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

FINISHED = "coalesce(finished_at, claimed_at, retracted_at)"
FINALIZED = "coalesce(finalized_at, claimed_at)"
SETTLED = "coalesce(finished_at, claimed_at)"
STATISTICS = """
CREATE STATISTICS arbius.st_contestations_contract
ON (('0x' || encode(address, 'hex')) COLLATE "C") FROM arbius.contestations
"""  # most rows are of one contract: as for tasks and solutions
REWARD = "(validator_fee + coalesce(validator_reward, 0))"

INDEXES: tuple[tuple[str, str, str, list[str], str | None], ...] = (
    ("arbius", "tasks", "fee", ["fee", "blocktime"], None),
    ("arbius", "tasks", "last_block", ["last_block"], None),
    ("arbius", "tasks", "ended", [FINISHED], f"{FINISHED} IS NOT NULL"),
    ("arbius", "solutions", "settled", [SETTLED], f"{SETTLED} IS NOT NULL"),
    ("arbius", "solutions", "reward", [REWARD, "blocktime"], "validator_fee IS NOT NULL"),
    ("arbius", "contestations", "yeas", ["(yeas::bigint)", "blocktime"], None),
    ("arbius", "contestations", "nays", ["(nays::bigint)", "blocktime"], None),
    ("arbius", "contestations", "finished_at", ["finished_at"], None),
    ("arbius", "contestations", "outcome", ["outcome", "blocktime"], None),
    ("iexec", "tasks", "fee", ["fee", "start_time"], None),
    ("iexec", "tasks", "last_block", ["last_block"], None),
    ("iexec", "tasks", "ended", [FINALIZED], f"{FINALIZED} IS NOT NULL"),
    ("iexec", "contributions", "reward", ["reward", "contributed_at"], "reward IS NOT NULL"),
    ("iexec", "contributions", "settled_at", ["settled_at"], "settled_at IS NOT NULL"),
)


def upgrade() -> None:
    for schema, table, name, columns, where in INDEXES:
        only = sa.text(where) if where else None
        op.create_index(f"ix_{table}_{name}", table, list(map(sa.text, columns)), schema=schema, postgresql_where=only)
    op.execute(STATISTICS)
    op.execute("ANALYZE arbius.contestations")


def downgrade() -> None:
    op.execute("DROP STATISTICS arbius.st_contestations_contract")
    for schema, table, name, *_ in INDEXES:
        op.drop_index(f"ix_{table}_{name}", table, schema=schema)
