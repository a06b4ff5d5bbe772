"""What an Arbius engine changes without an event, as it answered at a block: parameters, and models' own fee shares.

Nothing tells when such a value changes, so the newest ones are asked for again once a day (arbius.md section 2:
setSolutionModelFeePercentage, setSolutionModelFeePercentageOverride, setVeStaking, setVoter).
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, Table, and_, exists, func, literal, select

from schema import arbius_entities as arbius
from schema.base import metadata
from schema.chain import reorgs
from schema.entities import entity

DAILY = timedelta(days=1)
V6 = 9  # its reinitializer number
PARAMETERS = (
    "version", "min_claim_solution_time", "min_contestation_vote_period_time", "contestation_vote_extension_time",
    "min_retraction_wait_time", "max_contestation_validator_stake_since", "exit_validator_min_unlock_time",
    "validator_minimum_percentage", "slash_amount_percentage", "solution_fee_percentage", "retraction_fee_percentage",
    "treasury_reward_percentage", "task_owner_reward_percentage", "solution_model_fee_percentage",
    "solutions_stake_amount", "solution_rate_limit", "master_contester_vote_adder", "start_block_time",
)  # fmt: skip
"""Numbers that an engine tells of itself, by the names of the columns of `arbius.parameters`."""
ADDRESSES = ("treasury", "ve_staking", "voter")
_ASKED = """block_number int8! when it was so
    reorg_id int8! newest rollback of the chain then; 0: none
    asked_at time!
    enriched_from text! eth_call@block
"""

parameter_facts = entity(
    metadata,
    "arbius.parameter_facts",
    "since_block int8",
    "\n".join([*(f"{name} amount" for name in PARAMETERS), *(f"{name} bytea" for name in ADDRESSES), _ASKED]),
    "What an engine answered while its row of arbius.parameters was the newest. NULL: its version has no such getter.",
)

override_facts = entity(
    metadata,
    "arbius.override_facts",
    "model_id bytea",
    f"""
    has_override bool! whether the model has a fee share of its own
    fee_override amount part of the model's fees for the treasury; {arbius.SHARE}
    {_ASKED}
    """,
    "Fee shares of models that V6 sets without an event.",
)


def _fresh(facts: Table, same: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is an answer of today that no rollback has removed."""
    f, r = facts.c, reorgs.c
    gone = exists().where(r.chain_id == f.chain_id, r.reorg_id > f.reorg_id, r.ancestor < f.block_number)
    return exists().where(same, f.asked_at > func.now() - literal(DAILY), ~gone)


def parameters_to_ask() -> ColumnElement[bool]:
    """The newest row of each engine, once a day."""
    p, other = arbius.parameters.c, arbius.parameters.alias("newer").c
    newer = exists().where(
        other.chain_id == p.chain_id, other.address == p.address, other.since_block > p.since_block
    )  # fmt: skip
    f = parameter_facts.c
    same = and_(f.chain_id == p.chain_id, f.address == p.address, f.since_block == p.since_block)
    return and_(~newer, ~_fresh(parameter_facts, same))


def overrides_to_ask() -> ColumnElement[bool]:
    """Every model of an engine that is V6 by now, once a day."""
    m, p, f = arbius.models.c, arbius.parameters.c, override_facts.c
    v6 = select(p.since_block).where(p.chain_id == m.chain_id, p.address == m.address, p.initialized >= V6).exists()
    same = and_(f.chain_id == m.chain_id, f.address == m.address, f.model_id == m.model_id)
    return and_(v6, ~_fresh(override_facts, same))
