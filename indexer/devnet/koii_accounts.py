"""State of a made-up Koii task as the bytes of its account: JSON text for KOII tasks, Borsh for KPL tasks.

Layouts: koii.md A3 and A4. The state is a tree with addresses in base58.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from solders.pubkey import Pubkey

RECORDS = ("Uninitialized", "PayoutSuccessful", "PayoutFailed")
Tree = Mapping[str, Any]


def as_json(tree: Tree) -> bytes:
    """The account of a KOII task."""
    own = {
        name: value for name, value in tree.items() if name not in ("stake_pot_seed", "stake_pot_bump", "token_type")
    }
    for name in ("task_manager", "stake_pot_account"):
        own[name] = _list(tree[name])
    own["submissions"] = _each(tree["submissions"], lambda e: {"submission_value": e[0], "slot": e[1]})
    own["distribution_rewards_submission"] = _each(
        tree["distribution_rewards_submission"], lambda e: {"submission_value": _list(e[0]), "slot": e[1]}
    )
    for name in ("submissions_audit_trigger", "distributions_audit_trigger"):
        own[name] = _each(tree[name], _audit_json)
    return json.dumps(own | {"koii_vars": ""}, separators=(",", ":")).encode()


def _each(rounds: Tree, entry: Callable[[Any], Any]) -> dict[str, Any]:
    return {str(n): {who: entry(e) for who, e in sorted(entries.items())} for n, entries in rounds.items()}


def _audit_json(audit: Any) -> dict[str, Any]:
    by, slot, votes = audit
    cast = [{"is_valid": valid, "voter": _list(voter), "slot": at} for valid, voter, at in votes]
    return {"trigger_by": _list(by), "slot": slot, "votes": cast}


def _list(address: str) -> list[int]:
    return list(bytes(Pubkey.from_string(address)))


def as_borsh(tree: Tree) -> bytes:
    """The account of a KPL task."""
    number, text, key = _number, _text, _key
    before = [
        _bool(tree["is_allowlisted"]), _bool(tree["is_active"]), text(tree["task_name"]),
        text(tree["task_description"]), key(tree["task_manager"]), text(tree["task_audit_program"]),
        key(tree["stake_pot_account"]), key(tree["stake_pot_seed"]), bytes([tree["stake_pot_bump"]]),
        _rounds(tree["submissions"], lambda e, n: text(e[0]) + number(e[1]) + number(n)),
        _rounds(tree["submissions_audit_trigger"], _audit),
        number(tree["total_bounty_amount"]), number(tree["bounty_amount_per_round"]), key(tree["token_type"]),
        number(tree["total_stake_amount"]), number(tree["minimum_stake_amount"]),
        _map(tree["available_balances"], number), _map(tree["stake_list"], number), _map(tree["ip_address_list"], text),
    ]  # fmt: skip
    after = [
        *(number(tree[name]) for name in ("round_time", "starting_slot", "audit_window", "submission_window")),
        text(tree["task_executable_network"]),
        _rounds(tree["distribution_rewards_submission"], lambda e, n: key(e[0]) + number(e[1]) + number(n)),
        _rounds(tree["distributions_audit_trigger"], _audit),
        _map(tree["distributions_audit_record"], lambda status: bytes([RECORDS.index(status)])),
        text(tree["task_metadata"]), text(tree["task_vars"]), _bool(tree["is_migrated"]), text(tree["migrated_to"]),
        number(tree["allowed_failed_distributions"]),
    ]  # fmt: skip
    return b"".join(before + after)


def _bool(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _number(value: int) -> bytes:
    return struct.pack("<Q", value)


def _text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


def _key(address: str) -> bytes:
    return bytes(Pubkey.from_string(address))


def _map(values: Mapping[Any, Any], entry: Callable[[Any], bytes]) -> bytes:
    pairs = [_text(str(name)) + entry(value) for name, value in sorted(values.items(), key=lambda pair: str(pair[0]))]
    return struct.pack("<I", len(pairs)) + b"".join(pairs)


def _rounds(rounds: Mapping[int, Any], entry: Callable[[Any, int], bytes]) -> bytes:
    parts = {n: _map(entries, lambda e, n=n: entry(e, n)) for n, entries in rounds.items()}  # type: ignore[misc]
    return _map(parts, lambda part: part)


def _audit(audit: Any, _round: int) -> bytes:
    by, slot, votes = audit
    cast = b"".join(_bool(valid) + _key(voter) + _number(at) for valid, voter, at in votes)
    return _key(by) + _number(slot) + struct.pack("<I", len(votes)) + cast
