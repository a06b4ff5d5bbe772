"""One question to K2: which tasks there are, what a task's account holds now, and how fast slots go."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from indexer.errors import RpcRefused, StateUnreadable
from indexer.ingest.snapshot_schedule import ALL
from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, PROGRAMS, base58
from indexer.networks.koii.rules import SLOT_SECONDS, SlotClock
from indexer.rpc import k2
from indexer.rpc.transport import Provider
from indexer.store.koii import Snapshot

# What the accounts of tasks begin with; those of stakes and lists do not. koii.md A2, "Discovering tasks".
KOII_STARTS = (b'{"is_allowlisted"', b'{"is_whitelisted"', b'{"task_name"')
KPL_NAME_LENGTH = {"memcmp": {"offset": 3, "bytes": base58.encode(bytes(3))}}  # of a name below 256 bytes
KPL_NO_NAME = {"memcmp": {"offset": 2, "bytes": base58.encode(b"\0")}}
NO_TASKS = frozenset({"BAXsyoApqUjrRBXF8DdrcZrn6AMiCjdffTKgPf3AQW6w", "FPfjumESueM9WpTQT1nHrMQdTCzigh95JAS7Q48gop4y"})
"""Accounts of the KPL program that the desktop node leaves out by name."""
MEASURED = 20_000  # slots over which their time is measured


async def find_tasks(provider: Provider) -> dict[str, str]:
    """All tasks of both programs: id -> program. A refused question is said in words that name the way out."""
    try:
        koii = [
            await k2.program_accounts(provider, KOII_PROGRAM, [_starts_with(start)]) for start in KOII_STARTS
        ]  # fmt: skip
        named = await k2.program_accounts(provider, KPL_PROGRAM, [KPL_NAME_LENGTH])
        nameless = await k2.program_accounts(provider, KPL_PROGRAM, [KPL_NAME_LENGTH, KPL_NO_NAME])
    except RpcRefused as error:
        said = f"{error.facts['message']}. List the ids of tasks as addresses of the [[sources]] entry instead"
        raise RpcRefused(said, **{k: v for k, v in error.facts.items() if k != "message"}) from None
    kpl = set(named) - set(nameless) - NO_TASKS
    return {task: KOII_PROGRAM for found in koii for task in found} | dict.fromkeys(kpl, KPL_PROGRAM)


async def programs_of(provider: Provider, tasks: Sequence[str]) -> dict[str, str | None]:
    """Owner of the account of each task that is listed; None where there is no account."""
    return {task: (await k2.account(provider, task, length=0)).owner for task in tasks}


async def read(provider: Provider, task_id: str, program: str, sections: frozenset[str]) -> Snapshot:
    """The account of a task now. A KPL task's is always whole, as is a KOII one's from a stock Solana node."""
    asked_at, began = datetime.now(UTC), time.monotonic()
    account, asked = None, sections
    if program == KOII_PROGRAM:
        try:
            account = await k2.task_account(provider, task_id, sections)
        except RpcRefused as error:
            if not k2.is_unknown_method(error):
                raise
    if account is None:
        account, asked = await k2.account(provider, task_id), ALL
    elapsed = round((time.monotonic() - began) * 1000)
    owner = account.owner or program
    return Snapshot(task_id, owner, account.slot, asked, account.data, provider.name, asked_at, elapsed)


def check_owner(owner: str) -> None:
    """Raise StateUnreadable unless `owner` is one of the two task programs."""
    if owner not in PROGRAMS:
        raise StateUnreadable(f"its owner {owner} is no task program of Koii")


async def measure(provider: Provider) -> SlotClock:
    """The newest slot, its time, and the seconds per slot of late; nominal ones where the node does not tell."""
    slot = await k2.slot(provider)
    at = await k2.block_time(provider, slot)
    past = max(0, slot - MEASURED)
    before = await k2.block_time(provider, past) if at is not None and slot > past else None
    if at is None:
        return SlotClock(slot, datetime.now(UTC))
    seconds = (at - before) / (slot - past) if before is not None and at > before else SLOT_SECONDS
    return SlotClock.unix(slot, at, seconds)


def _starts_with(text: bytes) -> dict[str, object]:
    return {"memcmp": {"offset": 0, "bytes": base58.encode(text)}}
