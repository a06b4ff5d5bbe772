"""Event tables of Arbius and iExec, as they were declared when this revision was written.

Notation: `table@indexed_column: column type, …`; a `?` after the type means that the column may be NULL.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

ARBIUS = """
admin_changed: previous_admin bytea, new_admin bytea
contestation_submitted@task: addr bytea, task bytea
contestation_suggested@task: addr bytea, task bytea
contestation_vote@task: addr bytea, task bytea, yea bool
contestation_vote_finish@id: id bytea, start_idx int8, end_idx int8
exit_validator_min_unlock_time_changed: amount numeric
fees_paid@task: model bytea?, task bytea?, validator bytea?, model_fee numeric, treasury_fee numeric, remaining_fee numeric, validator_fee numeric
incentive_added@taskid: taskid bytea, amount numeric
incentive_claimed@taskid: taskid bytea, recipient bytea, amount numeric
initialized: version int4
master_contester_registry_set: registry bytea
master_contester_vote_adder_set: adder int8
max_contestation_validator_stake_since_changed: amount numeric
min_claim_solution_time_changed: amount numeric
min_contestation_vote_period_time_changed: amount numeric
min_retraction_wait_time_changed: amount numeric
model_addr_changed@id: id bytea, addr bytea
model_allow_list_requirement_changed@model: model bytea, required bool
model_allow_list_updated@model: model bytea, solver bytea, added bool
model_fee_changed@id: id bytea, fee numeric
model_registered@id: id bytea
ownership_transferred: previous_owner bytea, new_owner bytea
paused_changed: paused bool
pauser_transferred: to bytea
retraction_fee_percentage_changed: amount numeric
rewards_paid@task: model bytea?, task bytea?, validator bytea?, total_rewards numeric, treasury_reward numeric, task_owner_reward numeric, validator_reward numeric
signal_commitment@commitment: addr bytea, commitment bytea
signal_support@model: addr bytea, model bytea, supported bool
slash_amount_percentage_changed: amount numeric
solution_claimed@task: addr bytea, task bytea
solution_fee_percentage_changed: amount numeric
solution_mineable_rate_change@id: id bytea, rate numeric
solution_model_fee_percentage_changed: percentage numeric
solution_model_fee_percentage_override_cleared@model: model bytea
solution_stake_amount_changed: amount numeric
solution_submitted@task: addr bytea, task bytea
start_block_time_changed: start_block_time numeric
task_retracted@id: id bytea
task_submitted@id: id bytea, model bytea, fee numeric, sender bytea
treasury_reward_percentage_changed: amount numeric
treasury_transferred: to bytea
upgraded: implementation bytea
validator_deposit: addr bytea, validator bytea, amount numeric
validator_minimum_percentage_changed: amount numeric
validator_withdraw: addr bytea, to bytea, count numeric, amount numeric
validator_withdraw_cancelled: addr bytea, count numeric
validator_withdraw_initiated: addr bytea, count numeric, unlock_time numeric, amount numeric
version_changed: version numeric
"""
IEXEC = """
accurate_contribution@taskid: worker bytea, taskid bytea
approval: owner bytea, spender bytea, value numeric
approval_for_all: owner bytea, operator bytea, approved bool
broadcast_app_order: apporder jsonb
broadcast_dataset_order: datasetorder jsonb
broadcast_request_order: requestorder jsonb
broadcast_workerpool_order: workerpoolorder jsonb
closed_app_order@app_hash: app_hash bytea
closed_dataset_order@dataset_hash: dataset_hash bytea
closed_request_order@request_hash: request_hash bytea
closed_workerpool_order@workerpool_hash: workerpool_hash bytea
commit_message: message text?, message_raw bytea?
create_app: app_owner bytea, app bytea
create_category: catid numeric, name text?, name_raw bytea?, description text?, description_raw bytea?, work_clock_time_ref numeric
create_dataset: dataset_owner bytea, dataset bytea
create_workerpool: workerpool_owner bytea, workerpool bytea, workerpool_description text?, workerpool_description_raw bytea?
deal_sponsored@deal_id: deal_id bytea, sponsor bytea
deal_sponsored_boost@deal_id: deal_id bytea, sponsor bytea
deposit: owner bytea, amount numeric
deposit_for: owner bytea, amount numeric, target bytea
diamond_cut: diamond_cut jsonb, init bytea, calldata bytea
faulty_contribution@taskid: worker bytea, taskid bytea
function_update: function_id bytea, old_delegate bytea, new_delegate bytea, function_signature text?, function_signature_raw bytea?
lock: owner bytea, amount numeric
orders_matched@dealid: dealid bytea, app_hash bytea, dataset_hash bytea, workerpool_hash bytea, request_hash bytea, volume numeric
ownership_transferred: previous_owner bytea, new_owner bytea
policy_update: old_worker_stake_ratio_policy numeric, new_worker_stake_ratio_policy numeric, old_scheduler_reward_ratio_policy numeric, new_scheduler_reward_ratio_policy numeric
registry_approval@token_id: owner bytea, approved bytea, token_id numeric
registry_transfer@token_id: from bytea, to bytea, token_id numeric
result_pushed_boost@deal_id: deal_id bytea, index numeric, results bytea
reward@ref: owner bytea, amount numeric, ref bytea
scheduler_notice@dealid: workerpool bytea, dealid bytea
scheduler_notice_boost@deal_id: workerpool bytea, deal_id bytea, app bytea, dataset bytea, category numeric, tag bytea, params text?, params_raw bytea?, beneficiary bytea
seize@ref: owner bytea, amount numeric, ref bytea
signed_app_order@app_hash: app_hash bytea
signed_dataset_order@dataset_hash: dataset_hash bytea
signed_request_order@request_hash: request_hash bytea
signed_workerpool_order@workerpool_hash: workerpool_hash bytea
task_claimed@taskid: taskid bytea
task_consensus@taskid: taskid bytea, consensus bytea
task_contribute@taskid: taskid bytea, worker bytea, hash bytea
task_finalize@taskid: taskid bytea, results bytea
task_initialize@taskid: taskid bytea, workerpool bytea
task_reopen@taskid: taskid bytea
task_reveal@taskid: taskid bytea, worker bytea, digest bytea
transfer: from bytea, to bytea, value numeric
unlock: owner bytea, amount numeric
withdraw: owner bytea, amount numeric
"""

TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "bytea": sa.LargeBinary(),
    "bool": sa.Boolean(),
    "int4": sa.Integer(),
    "int8": sa.BigInteger(),
    "jsonb": JSONB(),
    "numeric": sa.Numeric(78, 0),
    "text": sa.Text(),
    "time": sa.DateTime(timezone=True),
}
PLACE = "block_hash bytea, block_time time, tx_hash bytea, tx_index int4, address bytea"


def upgrade() -> None:
    for schema, lines in (("arbius", ARBIUS), ("iexec", IEXEC)):
        for line in lines.strip().splitlines():
            _create(schema, line)


def downgrade() -> None:
    for schema, lines in (("arbius", ARBIUS), ("iexec", IEXEC)):
        for line in lines.strip().splitlines():
            op.drop_table(line.split(":")[0].split("@")[0], schema=schema)


def _create(schema: str, line: str) -> None:
    head, _, arguments = line.partition(": ")
    table, _, indexed = head.partition("@")
    op.create_table(
        table,
        sa.Column("chain_id", sa.BigInteger, autoincrement=False),
        sa.Column("block_number", sa.BigInteger, autoincrement=False),
        sa.Column("log_index", sa.Integer, autoincrement=False),
        *(_column(part) for part in f"{PLACE}, {arguments}".removesuffix(", ").split(", ")),
        sa.PrimaryKeyConstraint("chain_id", "block_number", "log_index", name=f"pk_{table}"),
        schema=schema,
    )
    if indexed:
        op.create_index(f"ix_{table}_{indexed}", table, [indexed], schema=schema)


def _column(part: str) -> sa.Column[Any]:
    name, kind = part.split(" ")
    return sa.Column(name, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"))
