"""Indexes for work by state, and for payments by who gives and who takes."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

RELEASED = "coalesce(paid_at, claimed_at, finished_at)"
REWARDED = "rewarded_log_index IS NOT NULL"
NOT_CLAIMED = "stage <> 'claimed'"
RETRACTED = "retracted_at IS NOT NULL"
STATISTICS = """
CREATE STATISTICS arbius.st_<table>_contract ON (('0x' || encode(address, 'hex')) COLLATE "C") FROM arbius.<table>
"""


def _hex(column: str) -> str:
    return f"(('0x' || encode({column}, 'hex')) COLLATE \"C\")"  # as `analytics.hex` is inlined


Indexes = tuple[tuple[str, str, str, list[str], str | None], ...]

GONE: Indexes = (
    ("arbius", "solutions", "worked", ["chain_id", "validator", "coalesce(finished_at, claimed_at, blocktime)"], None),
    ("arbius", "solutions", "solved", ["blocktime"], "stage = 'solved'"),
    ("arbius", "solutions", "solved_by", [_hex("validator"), "blocktime"], "stage = 'solved'"),
    ("arbius", "solutions", "paid_at", ["paid_at"], "paid_at IS NOT NULL"),
    ("arbius", "solutions", "rewarded", ["paid_at"], REWARDED),
)
"""Each of the first five new ones takes the place of one of these."""
NEW: Indexes = (
    ("arbius", "solutions", "validator_released", [_hex("validator"), RELEASED], None),
    ("arbius", "solutions", "stage", ["stage", "blocktime"], NOT_CLAIMED),
    ("arbius", "solutions", "validator_stage", [_hex("validator"), "stage", "blocktime"], NOT_CLAIMED),
    ("arbius", "solutions", "paid", [RELEASED], "paid_at IS NOT NULL"),
    ("arbius", "solutions", "rewarded", [RELEASED], REWARDED),
    ("arbius", "tasks", "owner_refunded", [_hex("owner"), "finished_at"], "outcome = 'succeeded'"),
    ("arbius", "tasks", "owner_retracted_at", [_hex("owner"), "retracted_at"], RETRACTED),
    ("arbius", "contestations", "slashed", ["finished_at"], "outcome IS NOT NULL AND slash_amount > 0::numeric"),
    ("iexec", "contributions", "state", ["state", "contributed_at"], "state IN ('rejected', 'lost', 'expired')"),
)


def upgrade() -> None:
    _drop(GONE)
    _create(NEW)
    # Most rows are of one contract: a planner that does not know would read and sort them all for a page.
    for table in ("tasks", "solutions"):
        op.execute(STATISTICS.replace("<table>", table))
        op.execute("ANALYZE arbius.<table>".replace("<table>", table))


def downgrade() -> None:
    op.execute("DROP STATISTICS arbius.st_tasks_contract, arbius.st_solutions_contract")
    _drop(NEW)
    _create(GONE)


def _drop(indexes: Indexes) -> None:
    for schema, table, name, *_ in indexes:
        op.drop_index(f"ix_{table}_{name}", table, schema=schema)


def _create(indexes: Indexes) -> None:
    for schema, table, name, columns, where in indexes:
        only = sa.text(where) if where else None
        op.create_index(f"ix_{table}_{name}", table, list(map(sa.text, columns)), schema=schema, postgresql_where=only)
