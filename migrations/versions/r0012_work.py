"""The job queue and the fences of ranges of blocks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0010"


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), nullable=False)


def _text(name: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    default = None if nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _number(name: str, kind: type[sa.Integer] = sa.Integer, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, kind, autoincrement=False, nullable=False, server_default=default)


def upgrade() -> None:
    _make_jobs()
    op.create_table(
        "job_log",
        sa.Column("log_id", sa.BigInteger, sa.Identity(), nullable=False),
        _key("job_id"),
        _time("at", nullable=False),
        _text("action", nullable=False),
        sa.Column("action_params", JSONB),
        *map(_text, ("status_before", "status_after", "exec_id", "client_id")),
        sa.PrimaryKeyConstraint("log_id", name="pk_job_log"),
        sa.ForeignKeyConstraint(["job_id"], ["work.jobs.id"], name="fk_job_log_job_id_jobs", ondelete="CASCADE"),
        schema="work",
    )
    op.create_index("ix_job_log_job_id_log_id", "job_log", ["job_id", "log_id"], schema="work")
    op.create_table(
        "clients",
        _key("id"),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        _time("created_at", nullable=False),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        schema="work",
    )
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        _key("client_id"),
        _time("expires_at", nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_tokens"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["work.clients.id"], name="fk_tokens_client_id_clients", ondelete="CASCADE"
        ),
        schema="work",
    )
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"], schema="work")
    range_of_blocks = ("chain_id", "group_id", "from_block", "to_block")
    op.create_table(
        "fences",
        *(_number(name, sa.BigInteger) for name in range_of_blocks),
        _text("job_id", nullable=False),
        _text("exec_id", nullable=False),
        _number("attempt"),
        _time("taken_at", nullable=False),
        sa.PrimaryKeyConstraint(*range_of_blocks, name="pk_fences"),
        schema="work",
    )


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        _key("id"),
        sa.Column("turn", sa.BigInteger, sa.Identity(), nullable=False),
        _key("definition"),
        _text("label"),
        sa.Column("params", JSONB),
        _text("status", nullable=False),
        _text("outcome"),
        sa.Column("outcome_reason", JSONB),
        sa.Column("result", JSONB),
        sa.Column("error", JSONB),
        _text("exec_id"),
        _time("execute_at"),
        _number("retry_count", default="0"),
        *map(_number, ("allowed_retry_count", "retry_delay", "requested_to_start_timeout", "in_progress_timeout")),
        sa.Column("concurrency_limit", sa.Integer),
        _text("concurrency_key"),
        _time("due_at"),
        _number("version", sa.BigInteger, "0"),
        _time("created_at", nullable=False),
        _time("updated_at", nullable=False),
        _text("created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        schema="work",
    )
    running = "concurrency_key IS NOT NULL AND status IN ('requested', 'in-progress')"
    for name, columns, where in (
        ("ix_jobs_ready", ["definition", "turn"], "status = 'ready'"),
        ("ix_jobs_due_at", ["due_at"], "due_at IS NOT NULL"),
        ("ix_jobs_running", ["concurrency_key"], running),
        ("ix_jobs_open", ["status"], "status <> 'done'"),
    ):
        op.create_index(name, "jobs", columns, schema="work", postgresql_where=sa.text(where))


def downgrade() -> None:
    for table in ("fences", "tokens", "clients", "job_log", "jobs"):
        op.drop_table(table, schema="work")
