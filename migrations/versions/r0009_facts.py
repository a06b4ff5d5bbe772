"""Facts that no event carries, as they were declared when this revision was written.

Notation: `schema.table@key columns: column type, …`; a `!` after the type forbids NULL. `chain_id` and `address` are
the first columns of every table and of every key.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
arbius.task_facts@task_id bytea: tx_hash bytea, owner bytea, version int, cid bytea, input bytea, enriched_from text!
arbius.solution_facts@task_id bytea: tx_hash bytea, cid bytea, stake amount, commitment bytea, enriched_from text!
arbius.contestation_facts@task_id bytea: tx_hash bytea, slash_amount amount, enriched_from text!
arbius.model_facts@model_id bytea: tx_hash bytea, cid bytea, registered_fee amount, registered_addr bytea, registrant bytea, template bytea, allow_list text, enriched_from text!
arbius.validator_facts@validator bytea: staked amount, since time, block_number int8!, reorg_id int8!, stale bool!, enriched_from text!
iexec.deal_facts@dealid bytea: tx_hash bytea, app bytea, app_owner bytea, app_price amount, dataset bytea, dataset_owner bytea, dataset_price amount, workerpool_price amount, trust amount, category amount, tag bytea, requester bytea, beneficiary bytea, callback bytea, params text, params_raw bytea, worker_stake amount, scheduler_reward_ratio amount, enriched_from text!
iexec.callback_facts@taskid bytea: tx_hash bytea, results_callback bytea, enriched_from text!
iexec.contribution_facts@taskid bytea, worker bytea: tx_hash bytea, result_seal bytea, enclave_challenge bytea, weight amount, enriched_from text!
iexec.entry_facts@entry bytea: tx_hash bytea, kind text, name text, name_raw bytea, type text, multiaddr bytea, checksum bytea, mrenclave bytea, enriched_from text!
"""

INDEXES = """
arbius.tasks to_enrich submitted_block: input IS NULL
arbius.solutions to_enrich submitted_block: cid IS NULL
iexec.deals to_enrich block_number: enriched_from IS NULL
iexec.contributions to_enrich first_block: weight IS NULL
iexec.tasks to_enrich finalized_block: finalized_at IS NOT NULL AND results_callback IS NULL
iexec.tasks to_date dealid: timeref IS NULL
"""

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
    _create_retries()
    for line in INDEXES.strip().splitlines():
        place, _, where = line.partition(": ")
        name, what, column = place.split()
        schema, _, table = name.partition(".")
        columns = ["chain_id", column]
        op.create_index(f"ix_{table}_{what}", table, columns, schema=schema, postgresql_where=sa.text(where))


def downgrade() -> None:
    for line in INDEXES.strip().splitlines():
        name, what, _ = line.split(": ")[0].split()
        schema, _, table = name.partition(".")
        op.drop_index(f"ix_{table}_{what}", table, schema=schema)
    op.drop_table("fact_retries", schema="chain")
    for line in TABLES.strip().splitlines():
        schema, _, table = line.split("@")[0].partition(".")
        op.drop_table(table, schema=schema)


def _create(line: str) -> None:
    head, _, columns = line.partition(": ")
    name, _, keys = head.partition("@")
    schema, _, table = name.partition(".")
    key = [("chain_id", "int8!"), ("address", "bytea!")]
    key += [(column, f"{kind}!") for column, kind in (part.split() for part in keys.split(", "))]
    rest = [(column, kind) for column, kind in (part.split() for part in columns.split(", "))]
    op.create_table(
        table,
        *(sa.Column(column, TYPES[kind.rstrip("!")], nullable=not kind.endswith("!")) for column, kind in key + rest),
        sa.PrimaryKeyConstraint(*(column for column, _ in key), name=f"pk_{table}"),
        schema=schema,
    )


def _create_retries() -> None:
    op.create_table(
        "fact_retries",
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain_id", "facts", "address", "key", name="pk_fact_retries"),
        schema="chain",
    )
