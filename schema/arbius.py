"""Schema `arbius`: the events of the engines and of the router, and the folds that make entities of them."""

from sqlalchemy import Index, text

from indexer.networks.arbius.events import ROLES
from schema import arbius_entities as entities
from schema.arbius_entities import SECONDS, SHARE, TOKEN
from schema.base import metadata
from schema.events import event_tables, paid_by
from schema.folds import Fold

_UNITS = {
    "fee": TOKEN,
    "model_fee": TOKEN,
    "treasury_fee": TOKEN,
    "remaining_fee": TOKEN,
    "validator_fee": TOKEN,
    "total_rewards": f"{TOKEN}; half of the emission",
    "treasury_reward": TOKEN,
    "task_owner_reward": TOKEN,
    "validator_reward": TOKEN,
    "unlock_time": "Unix time in seconds",
    "start_block_time": "Unix time in seconds",
    "validator_deposit.amount": TOKEN,
    "validator_withdraw_initiated.amount": TOKEN,
    "validator_withdraw.amount": TOKEN,
    "incentive_added.amount": TOKEN,
    "incentive_claimed.amount": TOKEN,
    "solution_stake_amount_changed.amount": TOKEN,
    "min_claim_solution_time_changed.amount": SECONDS,
    "min_retraction_wait_time_changed.amount": SECONDS,
    "min_contestation_vote_period_time_changed.amount": SECONDS,
    "max_contestation_validator_stake_since_changed.amount": SECONDS,
    "exit_validator_min_unlock_time_changed.amount": SECONDS,
    "validator_minimum_percentage_changed.amount": SHARE,
    "slash_amount_percentage_changed.amount": SHARE,
    "solution_fee_percentage_changed.amount": SHARE,
    "retraction_fee_percentage_changed.amount": SHARE,
    "treasury_reward_percentage_changed.amount": SHARE,
}

EVENTS = event_tables(metadata, "arbius", ROLES, _UNITS)
"""The event tables by name."""

for _event, _by in (
    ("validator_deposit", "validator"),
    ("validator_withdraw_initiated", "addr"),
    ("validator_withdraw_cancelled", "addr"),
    ("validator_withdraw", "addr"),
):
    Index(None, EVENTS[_event].c[_by])

paid_by(EVENTS["validator_deposit"], None, ["addr", "validator"], ["amount"])
paid_by(EVENTS["validator_withdraw"], None, ["addr", "to"], ["amount"])

_FEES, _REWARDS = EVENTS["fees_paid"].c, EVENTS["rewards_paid"].c
Index("ix_fees_paid_validator_fee", _FEES.validator_fee)
Index("ix_fees_paid_of_model", _FEES.model_fee - _FEES.treasury_fee)
_OF_TREASURY = text("remaining_fee + (treasury_fee - validator_fee)")
Index("ix_fees_paid_of_treasury", _OF_TREASURY, _table=EVENTS["fees_paid"])
for _reward in (_REWARDS.validator_reward, _REWARDS.task_owner_reward, _REWARDS.treasury_reward):
    Index(None, _reward)

FOLDS: tuple[Fold, ...] = (
    Fold(entities.parameters, "since_block"),
    Fold(entities.tasks, "task_id", frozenset({"owner", "version", "cid", "input_size"}), by_range=True),
    Fold(entities.solutions, "task_id", frozenset({"cid", "stake"}), by_range=True),
    Fold(entities.contestations, "task_id", frozenset({"slash_amount"}), by_range=True),
    Fold(entities.votes, "task_id"),
    Fold(entities.models, "model_id", frozenset({"cid", "registered_fee", "registered_addr"})),
    Fold(entities.validators, "validator", frozenset({"staked", "since"})),
    Fold(entities.withdraw_requests, "validator"),
)
"""The entities in the order in which they are folded."""
