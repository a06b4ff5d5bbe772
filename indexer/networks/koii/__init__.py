"""Koii: what the accounts of its task programs mean. There are no events: a task is one account that changes.

Pure: bytes in, typed rows out. A task id is the address of an account, and the program that owns the account decides
how its bytes are to be read: JSON text for KOII tasks, Borsh for KPL tasks.
"""

from indexer.errors import StateUnreadable
from indexer.networks.koii import borsh_state, json_state
from indexer.networks.koii.state import State

# create-task-cli, src/constant.ts
KOII_PROGRAM = "Koiitask22222222222222222222222222222222222"
KPL_PROGRAM = "KPLTRVs6jA7QTthuJH2cEmyCEskFbSV2xpZw46cganN"

PROGRAMS = {KOII_PROGRAM: json_state.read, KPL_PROGRAM: borsh_state.read}
"""Owner of the account -> how its data is read."""

SMALLEST_TASK = 501  # bytes; smaller accounts of these programs hold stakes or lists (desktop node, KoiiTaskService.ts)


def read_state(owner: str, data: bytes) -> State:
    """The state of a task from the data of its account. Raises StateUnreadable, also for any other owner."""
    if owner not in PROGRAMS:
        raise StateUnreadable(f"its owner {owner} is no task program of Koii")
    return PROGRAMS[owner](data)
