"""Schema `iexec`: the events of hub, registries and workerpools. The entities are in `iexec_entities`."""

from indexer.networks.iexec.events import ROLES
from schema.base import metadata
from schema.events import event_tables, paid_by
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

_NOBODY = r"'\x0000000000000000000000000000000000000000'::bytea"
_MOVED = " AND ".join(f'"{side}" <> {there}' for side in ("from", "to") for there in (_NOBODY, "address"))
paid_by(EVENTS["transfer"], f'"from" = {_NOBODY}', ["to"], ["value"], "minted")
paid_by(EVENTS["transfer"], f'"to" = {_NOBODY}', ["from"], ["value"], "burned")
paid_by(EVENTS["transfer"], _MOVED, ["from", "to"], ["value"], "moved")
for _name in ("lock", "unlock", "reward", "seize", "deposit", "deposit_for", "withdraw"):
    paid_by(EVENTS[_name], None, ["owner", "target"] if _name == "deposit_for" else ["owner"], ["amount"])
paid_by(EVENTS["faulty_contribution"], None, [], [])
