"""Entities of iExec, as they were declared when this revision was written.

Notation: `table@key columns: column type, …`; a `?` after the type means that the column may be NULL. `chain_id` is
the first column of every table and of every key.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"

TABLES = """
contracts@address: address bytea, role text, hub bytea
deal_starts@address dealid: address bytea, dealid bytea, request_hash bytea, bot_first uint256?, volume uint256, block_number int8, event_index int4
task_ids@address taskid: address bytea, taskid bytea, dealid bytea, idx uint256, listed_from int8
broadcasts@block_number event_index: block_number int8, event_index int4, address bytea, hash bytea
marks@address block_number: address bytea, block_number int8
account_marks@address owner block_number: address bytea, owner bytea, block_number int8, stake numeric, locked numeric, last_block int8
worker_marks@address worker block_number: address bytea, worker bytea, block_number int8, score numeric, accurate int8, faulty int8, last_block int8
order_marks@address hash block_number: address bytea, hash bytea, block_number int8, kind text, matched_volume numeric, deals int8, last_block int8
categories@address catid: address bytea, catid uint256, name text?, name_raw bytea?, description text?, description_raw bytea?, work_clock_time_ref uint256?, last_block int8
deals@address dealid: address bytea, dealid bytea, app_hash bytea?, dataset_hash bytea?, workerpool_hash bytea?, request_hash bytea?, bot_first uint256?, bot_size uint256?, boost bool, start_time time?, workerpool bytea?, workerpool_owner bytea?, payer bytea?, sponsor bytea?, price numeric?, scheduler_stake numeric?, tasks_not_listed numeric, completed_tasks int8, claimed_tasks int8, tx_hash bytea?, block_number int8?, last_block int8, app bytea?, app_owner bytea?, app_price uint256?, dataset bytea?, dataset_owner bytea?, dataset_price uint256?, workerpool_price uint256?, trust uint256?, category uint256?, tag bytea?, requester bytea?, beneficiary bytea?, callback bytea?, params text?, params_raw bytea?, worker_stake uint256?, scheduler_reward_ratio uint256?, enriched_from text?
tasks@address taskid: address bytea, taskid bytea, status int4, dealid bytea?, idx uint256?, start_time time?, deal_block int8?, workerpool bytea?, payer bytea?, fee numeric?, initialized_at time?, initialized_block int8?, initialized_tx bytea?, contribution_count int4, contributors bytea[]?, consensus_value bytea?, consensus_at time?, reveal_counter int4?, winner_counter int4?, reopen_count int4, result_digest bytea?, results bytea?, results_text text?, finalized_at time?, finalized_block int8?, finalized_tx bytea?, claimed_at time?, claimed_block int8?, claimed_tx bytea?, last_block int8, requester bytea?, app bytea?, category uint256?, timeref uint256?, results_callback bytea?
contributions@address taskid worker: address bytea, taskid bytea, worker bytea, status text, state text, result_hash bytea?, result_digest bytea?, accurate bool?, reward numeric?, seized numeric?, contributed_at time?, contributed_tx bytea?, revealed_at time?, settled_at time?, first_block int8, last_block int8, result_seal bytea?, enclave_challenge bytea?, weight uint256?
accounts@address owner: address bytea, owner bytea, stake numeric, locked numeric, last_block int8
workers@address worker: address bytea, worker bytea, score numeric, accurate int8, faulty int8, last_block int8
apps@address app: address bytea, app bytea, registry bytea, owner bytea?, created_at time?, created_block int8?, created_tx bytea?, last_block int8
datasets@address dataset: address bytea, dataset bytea, registry bytea, owner bytea?, created_at time?, created_block int8?, created_tx bytea?, last_block int8
workerpools@address workerpool: address bytea, workerpool bytea, registry bytea, owner bytea?, created_at time?, created_block int8?, created_tx bytea?, last_block int8, worker_stake_ratio_policy uint256?, scheduler_reward_ratio_policy uint256?
orders@address hash: address bytea, hash bytea, kind text, signed_at time?, closed_at time?, matched_volume numeric, deals int8, consumed numeric?, volume numeric?, broadcast jsonb?, broadcast_at time?, last_block int8
"""

INDEXES = """
broadcasts: hash
contributions: contributed_at
deals: workerpool
deal_starts: request_hash block_number
deal_starts: chain_id block_number
task_ids: chain_id listed_from
task_ids: dealid idx
tasks: start_time
"""

HEX_INDEXES = """
contributions: taskid
contributions: worker contributed_at
tasks: taskid
tasks: payer start_time
tasks: requester start_time
tasks: app start_time
"""

TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "bool": sa.Boolean(),
    "bytea": sa.LargeBinary(),
    "bytea[]": ARRAY(sa.LargeBinary()),
    "int4": sa.Integer(),
    "int8": sa.BigInteger(),
    "jsonb": JSONB(),
    "numeric": sa.Numeric(),
    "text": sa.Text(),
    "time": sa.DateTime(timezone=True),
    "uint256": sa.Numeric(78, 0),
}


def upgrade() -> None:
    for line in TABLES.strip().splitlines():
        _create(line)
    for line in INDEXES.strip().splitlines():
        table, columns = line.split(": ")
        op.create_index(f"ix_{table}_{columns.replace(' ', '_')}", table, columns.split(), schema="iexec")
    for line in HEX_INDEXES.strip().splitlines():
        table, columns = line.split(": ")
        _create_hex(table, *columns.split())
    _create_partial("ix_tasks_live", "tasks", ["status", "start_time"], "status < 3")
    _create_partial("ix_deal_starts_large", "deal_starts", ["chain_id", "block_number"], "volume > 10000")


def downgrade() -> None:
    for line in TABLES.strip().splitlines():
        op.drop_table(line.split("@")[0], schema="iexec")


def _create(line: str) -> None:
    head, _, columns = line.partition(": ")
    table, _, key = head.partition("@")
    op.create_table(
        table,
        sa.Column("chain_id", sa.BigInteger, autoincrement=False),
        *(_column(part) for part in columns.split(", ")),
        sa.PrimaryKeyConstraint("chain_id", *key.split(), name=f"pk_{table}"),
        schema="iexec",
    )


def _column(part: str) -> sa.Column[Any]:
    name, kind = part.split(" ")
    return sa.Column(name, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"), autoincrement=False)


def _create_partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, schema="iexec", postgresql_where=sa.text(where))


def _create_hex(table: str, name: str, *more: str) -> None:
    """An index on the hex text of a column, spelled as `analytics.hex` is inlined."""
    digits = sa.text(f"(('0x' || encode({name}, 'hex')) COLLATE \"C\")")
    where = sa.text(f"{name} IS NOT NULL") if name in ("requester", "app") else None
    op.create_index(f"ix_{table}_{name}_hex", table, [digits, *more], schema="iexec", postgresql_where=where)
