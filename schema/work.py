"""Schema `work`: the job queue that speaks Aidbox's Task Executor API, and the fences of ranges of blocks.

Names and meaning of a job's columns are those of AidboxTask and AidboxTaskLog (aidbox.md, B3). Times that end a state
are the database's: clocks of servers and workers do not matter.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from schema.base import metadata


def _time(name: str, *, nullable: bool = True, comment: str | None = None) -> Column[object]:
    default = None if nullable else func.now()
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default, comment=comment)


def _key(name: str = "id", **more: object) -> Column[str]:
    return Column(name, Text(collation="C"), primary_key=True, **more)  # type: ignore[arg-type]


def _milliseconds(name: str, comment: str) -> Column[int]:
    return Column(name, Integer, nullable=False, comment=f"milliseconds {comment}")


jobs = Table(
    "jobs",
    metadata,
    _key(),
    Column("turn", BigInteger, Identity(), nullable=False, comment="jobs are handed out in this order"),
    Column("definition", Text(collation="C"), nullable=False, comment="what kind of work it is"),
    Column("label", Text),
    Column("params", JSONB(none_as_null=True)),
    Column("status", Text, nullable=False, comment="ready, waiting, requested, in-progress or done"),
    Column("outcome", Text, comment="succeeded, failed or canceled; only when done"),
    Column("outcome_reason", JSONB(none_as_null=True), comment="only when failed"),
    Column("result", JSONB(none_as_null=True)),
    Column("error", JSONB(none_as_null=True)),
    Column("exec_id", Text, comment="the execution that has it: every other one is refused"),
    _time("execute_at", comment="not handed out before"),
    Column("retry_count", Integer, nullable=False, server_default="0", comment="executions that were started"),
    Column("allowed_retry_count", Integer, nullable=False, comment="executions, at most"),
    _milliseconds("retry_delay", "from a failure to the next execution"),
    _milliseconds("requested_to_start_timeout", "from poll to start"),
    _milliseconds("in_progress_timeout", "between two signs of life"),
    Column("concurrency_limit", Integer, comment="executions at once of all jobs with the same concurrency_key"),
    Column("concurrency_key", Text, comment="definition, and the params that its concurrencyPath names"),
    _time("due_at", comment="when time alone changes its status"),
    Column("version", BigInteger, nullable=False, server_default="0", comment="transaction that changed it last"),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    Column("created_by", Text, comment="client that created it"),
    Index("ix_jobs_ready", "definition", "turn", postgresql_where=text("status = 'ready'")),
    Index("ix_jobs_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "ix_jobs_running", "concurrency_key",
        postgresql_where=text("concurrency_key IS NOT NULL AND status IN ('requested', 'in-progress')"),
    ),
    Index("ix_jobs_open", "status", postgresql_where=text("status <> 'done'")),
    schema="work",
    comment="Jobs to be done by whoever polls for them. Named AidboxTask in the Task Executor API.",
)  # fmt: skip

job_log = Table(
    "job_log",
    metadata,
    Column("log_id", BigInteger, Identity(), primary_key=True),
    Column("job_id", Text(collation="C"), ForeignKey("work.jobs.id", ondelete="CASCADE"), nullable=False),
    _time("at", nullable=False),
    Column("action", Text, nullable=False, comment="method that was called, or the timeout that ended a state"),
    Column("action_params", JSONB(none_as_null=True)),
    Column("status_before", Text),
    Column("status_after", Text),
    Column("exec_id", Text, comment="execution concerned"),
    Column("client_id", Text, comment="client that asked for it; NULL: time did it"),
    Index(None, "job_id", "log_id"),
    schema="work",
    comment="Everything that happened to jobs. Named AidboxTaskLog in the Task Executor API.",
)

clients = Table(
    "clients",
    metadata,
    _key(),
    Column("secret_hash", LargeBinary, nullable=False, comment="BLAKE2b of the secret, keyed with the id"),
    _time("created_at", nullable=False),
    _time("expires_at", comment="refused from then on; NULL: never"),
    schema="work",
    comment="Who may ask the job queue.",
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True, comment="BLAKE2b of the token"),
    Column("client_id", Text(collation="C"), ForeignKey("work.clients.id", ondelete="CASCADE"), nullable=False),
    _time("expires_at", nullable=False),
    Index(None, "expires_at"),
    schema="work",
    comment="Access tokens of the client-credentials grant.",
)

fences = Table(
    "fences",
    metadata,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("group_id", BigInteger, primary_key=True, autoincrement=False),
    Column("from_block", BigInteger, primary_key=True, autoincrement=False),
    Column("to_block", BigInteger, primary_key=True, autoincrement=False),
    Column("job_id", Text, nullable=False, comment="job that had the range last, of this queue or of an Aidbox"),
    Column("exec_id", Text, nullable=False, comment="the execution that alone may write the range"),
    Column("attempt", Integer, nullable=False, comment="retryCount of that execution"),
    _time("taken_at", nullable=False),
    schema="work",
    comment="Which execution of a job may write a range of blocks. A commit of an earlier one is refused.",
)
