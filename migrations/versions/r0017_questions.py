"""Indexes on live rows: what is claimable, stuck or about to expire is found without reading what is done."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SOLVED, LIVE, OPEN = "stage = 'solved'", "status < 3", "settled_at IS NULL"
UNSETTLED = "outcome IS NOT NULL AND finish_start_index < CASE outcome WHEN 'succeeded' THEN yeas ELSE nays END"
INDEXES = (
    ("arbius", "solutions", "solved", None, "blocktime", SOLVED),
    ("arbius", "solutions", "solved_by", "validator", "blocktime", SOLVED),
    ("arbius", "contestations", "unsettled", None, "blocktime", UNSETTLED),
    ("iexec", "tasks", "live", None, "start_time", LIVE),
    ("iexec", "tasks", "live_requester", "requester", "start_time", LIVE),
    ("iexec", "tasks", "live_payer", "payer", "start_time", LIVE),
    ("iexec", "contributions", "open", None, "contributed_at", OPEN),
    ("iexec", "contributions", "open_by", "worker", "contributed_at", OPEN),
)


def upgrade() -> None:
    for schema, table, name, account, time, where in INDEXES:
        columns: list[str | sa.TextClause] = [time]
        if account is not None:  # as `analytics.hex` is inlined
            columns = [sa.text(f"(('0x' || encode({account}, 'hex')) COLLATE \"C\")"), time]
        op.create_index(f"ix_{table}_{name}", table, columns, schema=schema, postgresql_where=sa.text(where))


def downgrade() -> None:
    for schema, table, name, *_ in INDEXES:
        op.drop_index(f"ix_{table}_{name}", table, schema=schema)
