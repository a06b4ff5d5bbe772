"""Schema `iexec`: the events of hub, registries and workerpools. The entities are in `iexec_entities`."""

from indexer.networks.iexec.events import ROLES
from schema.base import metadata
from schema.events import event_tables
from schema.iexec_entities import FOLDS

__all__ = ["EVENTS", "FOLDS"]

_NRLC = "nRLC (9 decimals)"

_UNITS = {
    "amount": _NRLC,
    "transfer.value": _NRLC,
    "approval.value": _NRLC,
    "volume": "tasks",
    "ref": "task id",
    "token_id": "the address of the app, dataset or workerpool as a number",
    "work_clock_time_ref": "seconds",
    "old_worker_stake_ratio_policy": "per cent",
    "new_worker_stake_ratio_policy": "per cent",
    "old_scheduler_reward_ratio_policy": "per cent",
    "new_scheduler_reward_ratio_policy": "per cent",
}

EVENTS = event_tables(metadata, "iexec", ROLES, _UNITS)
"""The event tables by name."""
