"""Entities of Arbius and the indexes that their folds need, as they were declared when this revision was written.

Notation: `table@key columns: column type, …`; a `!` after the type forbids NULL, key columns are never NULL.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
tasks@task_id bytea: model bytea, fee amount, owner bytea, blocktime time, version int, cid bytea, input bytea, sender bytea, submitted_block int8, submitted_log_index int, submitted_tx bytea, retracted_block int8, retracted_at time, suggestions int!, solution_validator bytea, solution_block int8, solution_blocktime time, claimed_block int8, claimed_at time, contester bytea, contested_block int8, contested_at time, yeas int, nays int, finished_block int8, finished_at time, outcome text, settled int8, stage text!, last_block int8!, last_at time!
solutions@task_id bytea: validator bytea, blocktime time, claimed bool!, cid bytea, stake amount, submitted_block int8, submitted_tx bytea, claimed_block int8, claimed_at time, contested_at time, finished_at time, outcome text, paid_block int8, paid_log_index int, paid_at time, model_fee amount, treasury_fee amount, remaining_fee amount, validator_fee amount, rewarded_log_index int, total_rewards amount, treasury_reward amount, task_owner_reward amount, validator_reward amount, stage text!, last_block int8!, last_at time!
contestations@task_id bytea: validator bytea, blocktime time, finish_start_index int8, slash_amount amount, solver bytea, submitted_block int8, submitted_tx bytea, yeas int!, nays int!, first_vote_at time, last_vote_at time, finished_block int8, finished_log_index int, finished_tx bytea, finished_at time, vote_adder int8, outcome text, finishes int!, last_block int8!, last_at time!
votes@task_id bytea, voter bytea: yea bool!, block_number int8!, log_index int!, blocktime time!, tx_hash bytea!
models@model_id bytea: fee amount, addr bytea, rate amount, cid bytea, registered_fee amount, registered_addr bytea, registered_block int8, registered_at time, registered_tx bytea, requires_allow_list bool, last_block int8!, last_at time!
validators@validator bytea: staked amount, since time, deposits int!, deposited amount!, withdrawals int!, withdrawn amount!, pending_withdrawals int!, pending amount!, first_block int8!, first_at time!, last_block int8!, last_at time!
withdraw_requests@validator bytea, count amount: amount amount, unlock_time amount, unlock_at time, state text!, to bytea, initiated_block int8, initiated_at time, ended_block int8, ended_at time
parameters@since_block int8: since_at time!, initialized int, implementation bytea, version amount, min_claim_solution_time amount, min_contestation_vote_period_time amount, contestation_vote_extension_time amount, min_retraction_wait_time amount, max_contestation_validator_stake_since amount, exit_validator_min_unlock_time amount, validator_minimum_percentage amount, slash_amount_percentage amount, solution_fee_percentage amount, retraction_fee_percentage amount, treasury_reward_percentage amount, task_owner_reward_percentage amount, solution_model_fee_percentage amount, solutions_stake_amount amount, solution_rate_limit amount, master_contester_vote_adder amount, master_contester_registry bytea, loss_blocks_claims bool!, start_block_time amount, paused bool, pauser bytea, treasury bytea, owner bytea
"""

HEX = """
tasks.task_id, tasks.sender blocktime, tasks.model blocktime, tasks.owner blocktime
solutions.task_id, solutions.validator blocktime
models.model_id
"""
DEPOSITS = {
    "validator_deposit": "validator",
    "validator_withdraw": "addr",
    "validator_withdraw_cancelled": "addr",
    "validator_withdraw_initiated": "addr",
}
TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "bytea": sa.LargeBinary(),
    "bool": sa.Boolean(),
    "int": sa.Integer(),
    "int8": sa.BigInteger(),
    "amount": sa.Numeric(78, 0),
    "text": sa.Text(),
    "time": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    for line in TABLES.strip().splitlines():
        _create(line)
    for part in HEX.strip().replace("\n", ", ").split(", "):
        _index_hex(*part.split())
    for table, column in DEPOSITS.items():
        op.create_index(f"ix_{table}_{column}", table, [column], schema="arbius")
    _index("tasks", "blocktime")
    _index("tasks", "live", "stage", "blocktime", where="stage IN ('open', 'solved', 'contested')")
    _index("tasks", "refunded", "finished_at", where="outcome = 'succeeded'")
    _index("tasks", "retracted_at", where="retracted_at IS NOT NULL")
    _index("solutions", "blocktime")
    _index("solutions", "paid_at", where="paid_at IS NOT NULL")
    _index("contestations", "blocktime")
    losses = ("chain_id", "address", "solver", "finished_at")
    _index("contestations", "losses", *losses, where="outcome = 'succeeded'")


def downgrade() -> None:
    for table, column in DEPOSITS.items():
        op.drop_index(f"ix_{table}_{column}", table, schema="arbius")
    for line in TABLES.strip().splitlines():
        op.drop_table(line.split("@")[0], schema="arbius")


def _create(line: str) -> None:
    head, _, columns = line.partition(": ")
    table, _, keys = head.partition("@")
    place = [("chain_id", "int8!"), ("address", "bytea!")]
    key = [*place, *((name, f"{kind}!") for name, kind in (part.split() for part in keys.split(", ")))]
    rest = [(name, kind) for name, kind in (part.split() for part in columns.split(", "))]
    op.create_table(
        table,
        *(sa.Column(name, TYPES[kind.rstrip("!")], nullable=not kind.endswith("!")) for name, kind in [*key, *rest]),
        sa.PrimaryKeyConstraint(*(name for name, _ in key), name=f"pk_{table}"),
        schema="arbius",
    )


def _index(table: str, name: str, *columns: str, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(f"ix_{table}_{name}", table, [*(columns or [name])], schema="arbius", postgresql_where=condition)


def _index_hex(column: str, *more: str) -> None:
    """An index on the hex text of `table.column`, spelled as `analytics.hex` is inlined."""
    table, _, name = column.partition(".")
    digits = sa.text(f"(('0x' || encode({name}, 'hex')) COLLATE \"C\")")
    where = sa.text("owner IS NOT NULL") if name == "owner" else None
    op.create_index(f"ix_{table}_{name}_hex", table, [digits, *more], schema="arbius", postgresql_where=where)
