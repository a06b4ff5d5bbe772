"""Aidbox: tasks, workflows and logs by versions, as it was declared when this revision was written.

Notation: `table@key columns: column type, …`; a `!` after the type forbids NULL, key columns are never NULL. All begin
with the key column chain_id. VERSION, BOTH, TASK, LOG and STATE stand for the lists below.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BOTH = "definition key, definition_raw bytea, status key, status_raw bytea, outcome key, outcome_raw bytea, outcome_type key, outcome_type_raw bytea, outcome_message text, outcome_message_raw bytea, outcome_data json, label text, label_raw bytea, requester_type key, requester_type_raw bytea, requester_id key, requester_id_raw bytea, requester_display text, requester_display_raw bytea, requester_service key, requester_service_raw bytea, requester_rule key, requester_rule_raw bytea, exec_id key, exec_id_raw bytea, execute_at time, retry_count number, params json, result json, error json"
TASK = "allowed_retry_count number, retry_delay number, in_progress_timeout number, requested_to_start_timeout number, concurrency_limit number, concurrency_path json, workflow_definition key, workflow_definition_raw bytea, pool key, pool_raw bytea"
LOG = "task_id key, task_id_raw bytea, subject_type key, subject_type_raw bytea, subject_display text, subject_display_raw bytea, action key, action_raw bytea, action_params json, status_before key, status_before_raw bytea, status_after key, status_after_raw bytea, scheduled json, re_scheduled json"
VERSION = "version_number int8, updated_at time, created_at time, deleted bool!"
READ = "extra json, digest bytea!, read_at time!"
STATE = "version key!, version_number int8, updated_at time, created_at time, created_version int8, started_at time, finished_at time, cleaned_up_at time"

LISTS = {"VERSION": VERSION, "BOTH": BOTH, "TASK": TASK, "LOG": LOG, "READ": READ, "STATE": STATE}

TABLES = """
task_versions@task_id key, version key: VERSION, BOTH, TASK, READ
workflow_versions@workflow_id key, version key: VERSION, BOTH, READ
task_log@log_id key, version key: VERSION, LOG, READ
tasks@task_id key: STATE, BOTH, TASK, extra json
workflows@workflow_id key: STATE, BOTH, extra json
executions@task_id key, exec_id key: executor key, attempt number, state text!, requested_at time, started_at time, settled_at time
absences@resource key, id key, after_version key: found_at time!
unreadable@digest bytea: resource key!, reason text!, data bytea!, first_at time!
novelties@resource key, field key, word key: first_id key!, first_at time!
cursors@resource key: mode text!, version int8, updated_at time, floor_version int8, floor_at time, swept_version int8, swept_at time, read_at time!
"""
OF_CHAIN = ("tasks", "workflows", "cursors")

INDEXES = """
task_versions chain_id, updated_at
workflow_versions chain_id, updated_at
task_log chain_id, updated_at
task_versions chain_id, version_number
workflow_versions chain_id, version_number
task_log chain_id, version_number
task_log chain_id, task_id
tasks created_at
tasks task_id
tasks definition
tasks requester_id
workflows created_at
workflows workflow_id
workflows definition
workflows requester_id
executions requested_at
executions executor
executions task_id
"""

TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "bool": sa.Boolean(),
    "bytea": sa.LargeBinary(),
    "int8": sa.BigInteger(),
    "json": JSONB(),
    "key": sa.Text(collation="C"),
    "number": sa.Numeric(),
    "text": sa.Text(),
    "time": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for line in TABLES.strip().splitlines():
        head, _, rest = line.partition(": ")
        name, _, more = head.partition("@")
        for short, columns in LISTS.items():
            rest = rest.replace(short, columns)
        keys = _columns(f"chain_id int8, {more}", never_null=True)
        primary = sa.PrimaryKeyConstraint(*(key.name for key in keys), name=f"pk_{name}")
        chain = [_chain(name)] if name in OF_CHAIN else []
        op.create_table(name, *keys, *_columns(rest), primary, *chain, schema="aidbox")
    for line in INDEXES.strip().splitlines():
        table, _, listed = line.partition(" ")
        names = listed.split(", ")
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, names, schema="aidbox")


def downgrade() -> None:
    for line in TABLES.strip().splitlines():
        op.drop_table(line.partition("@")[0], schema="aidbox")


def _columns(text: str, *, never_null: bool = False) -> list[sa.Column[Any]]:
    found = []
    for part in text.split(", "):
        name, kind = part.split()
        nullable = not never_null and not kind.endswith("!")
        found.append(sa.Column(name, TYPES[kind.rstrip("!")], nullable=nullable))
    return found


def _chain(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["chain_id"], ["chain.chains.chain_id"], name=f"fk_{table}_chain_id_chains")
