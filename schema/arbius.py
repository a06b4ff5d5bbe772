"""Schema `arbius`: the events of the engines and of the router."""

from indexer.networks.arbius.events import ROLES
from schema.base import metadata
from schema.events import event_tables

_TOKEN = "smallest unit of the engine's token (18 decimals)"
_SECONDS = "seconds"
_SHARE = "1e18 is 100 %"

_UNITS = {
    "fee": _TOKEN,
    "model_fee": _TOKEN,
    "treasury_fee": _TOKEN,
    "remaining_fee": _TOKEN,
    "validator_fee": _TOKEN,
    "total_rewards": f"{_TOKEN}; half of the emission",
    "treasury_reward": _TOKEN,
    "task_owner_reward": _TOKEN,
    "validator_reward": _TOKEN,
    "unlock_time": "Unix time in seconds",
    "start_block_time": "Unix time in seconds",
    "validator_deposit.amount": _TOKEN,
    "validator_withdraw_initiated.amount": _TOKEN,
    "validator_withdraw.amount": _TOKEN,
    "incentive_added.amount": _TOKEN,
    "incentive_claimed.amount": _TOKEN,
    "solution_stake_amount_changed.amount": _TOKEN,
    "min_claim_solution_time_changed.amount": _SECONDS,
    "min_retraction_wait_time_changed.amount": _SECONDS,
    "min_contestation_vote_period_time_changed.amount": _SECONDS,
    "max_contestation_validator_stake_since_changed.amount": _SECONDS,
    "exit_validator_min_unlock_time_changed.amount": _SECONDS,
    "validator_minimum_percentage_changed.amount": _SHARE,
    "slash_amount_percentage_changed.amount": _SHARE,
    "solution_fee_percentage_changed.amount": _SHARE,
    "retraction_fee_percentage_changed.amount": _SHARE,
    "treasury_reward_percentage_changed.amount": _SHARE,
}

EVENTS = event_tables(metadata, "arbius", ROLES, _UNITS)
"""The event tables by name."""
