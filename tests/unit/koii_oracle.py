"""An encoder of KPL states (Borsh) and KOII states (JSON) of the tests' own, and states made up by hypothesis.

A state is the tree that koii.md A4 describes, keys in base58. The layout is written down here a second time, as a
list, from koii.md A3: the decoder under test shares nothing with it but solders' base58.
"""

import json
import struct
from typing import Any

from hypothesis import strategies as st
from solders.pubkey import Pubkey

RECORDS = ["Uninitialized", "PayoutSuccessful", "PayoutFailed"]
SUBMISSION = [("submission_value", "text"), ("slot", "u64"), ("round", "u64")]
DISTRIBUTION = [("submission_value", "key"), ("slot", "u64"), ("round", "u64")]
VOTE = [("is_valid", "bool"), ("voter", "key"), ("slot", "u64")]
AUDIT = [("trigger_by", "key"), ("slot", "u64"), ("votes", [VOTE])]
LAYOUT: list[tuple[str, Any]] = [
    ("is_allowlisted", "bool"), ("is_active", "bool"), ("task_name", "text"), ("task_description", "text"),
    ("task_manager", "key"), ("task_audit_program", "text"), ("stake_pot_account", "key"), ("stake_pot_seed", "key"),
    ("stake_pot_bump", "u8"), ("submissions", {"": {"": SUBMISSION}}), ("submissions_audit_trigger", {"": {"": AUDIT}}),
    ("total_bounty_amount", "u64"), ("bounty_amount_per_round", "u64"), ("token_type", "key"),
    ("total_stake_amount", "u64"), ("minimum_stake_amount", "u64"), ("available_balances", {"": "u64"}),
    ("stake_list", {"": "u64"}), ("ip_address_list", {"": "text"}), ("round_time", "u64"), ("starting_slot", "u64"),
    ("audit_window", "u64"), ("submission_window", "u64"), ("task_executable_network", "text"),
    ("distribution_rewards_submission", {"": {"": DISTRIBUTION}}), ("distributions_audit_trigger", {"": {"": AUDIT}}),
    ("distributions_audit_record", {"": "record"}), ("task_metadata", "text"), ("task_vars", "text"),
    ("is_migrated", "bool"), ("migrated_to", "text"), ("allowed_failed_distributions", "u64"),
]  # fmt: skip


def borsh(value: Any, kind: Any = LAYOUT) -> bytes:
    """`value` in Borsh."""
    if isinstance(kind, dict):
        (inner,) = kind.values()
        pairs = [borsh(key, "text") + borsh(item, inner) for key, item in sorted(value.items())]
        return struct.pack("<I", len(pairs)) + b"".join(pairs)
    if isinstance(kind, list) and isinstance(kind[0], list):
        return struct.pack("<I", len(value)) + b"".join(borsh(item, kind[0]) for item in value)
    if isinstance(kind, list):
        return b"".join(borsh(value[name], inner) for name, inner in kind)
    match kind:
        case "bool" | "u8":
            return struct.pack("<B", value)
        case "u64":
            return struct.pack("<Q", value)
        case "key":
            return bytes(Pubkey.from_string(value))
        case "record":
            return struct.pack("<B", RECORDS.index(value) if value in RECORDS else int(value.removeprefix("Variant")))
    raw = value.encode("utf-8", "surrogateescape")
    return struct.pack("<I", len(raw)) + raw


def as_json(state: dict[str, Any]) -> bytes:
    """A KPL state as a KOII one: keys as lists of integers, no `round` in entries, no fields of KPL alone."""

    def turn(value: Any, kind: Any) -> Any:
        if isinstance(kind, dict):
            (inner,) = kind.values()
            return {key: turn(item, inner) for key, item in value.items()}
        if isinstance(kind, list) and isinstance(kind[0], list):
            return [turn(item, kind[0]) for item in value]
        if isinstance(kind, list):
            return {name: turn(value[name], inner) for name, inner in kind if name != "round"}
        return list(bytes(Pubkey.from_string(value))) if kind == "key" else value

    own = {"stake_pot_seed", "stake_pot_bump", "token_type"}
    tree = {name: turn(state[name], kind) for name, kind in LAYOUT if name not in own}
    return json.dumps({**tree, "koii_vars": ""}).encode()


keys = st.binary(min_size=32, max_size=32).map(lambda raw: str(Pubkey(raw)))
u64s = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 2**53 - 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1]))
slots = st.integers(0, 2**63 - 1)
rounds = st.integers(0, 2**63 - 1)
texts = st.text(max_size=40)


def _map_by_round(entry: Any) -> Any:
    return st.dictionaries(rounds.map(str), st.dictionaries(keys, entry, max_size=3), max_size=3)


def _fixed(kind: str) -> Any:
    return {"bool": st.booleans(), "u8": st.integers(0, 255), "u64": u64s, "key": keys, "text": texts}[kind]


_votes = st.lists(
    st.fixed_dictionaries({"is_valid": st.booleans(), "voter": keys, "slot": slots}),
    max_size=3,
    unique_by=lambda vote: (vote["voter"], vote["slot"]),
)
_maps = {
    "submissions": _map_by_round(st.fixed_dictionaries({"submission_value": texts, "slot": slots})),
    "distribution_rewards_submission": _map_by_round(st.fixed_dictionaries({"submission_value": keys, "slot": slots})),
    "submissions_audit_trigger": _map_by_round(
        st.fixed_dictionaries({"trigger_by": keys, "slot": slots, "votes": _votes})
    ),
    "distributions_audit_trigger": _map_by_round(
        st.fixed_dictionaries({"trigger_by": keys, "slot": slots, "votes": _votes})
    ),
    "distributions_audit_record": st.dictionaries(rounds.map(str), st.sampled_from(RECORDS), max_size=4),
    "available_balances": st.dictionaries(keys, u64s, max_size=4),
    "stake_list": st.dictionaries(keys, u64s, max_size=4),
    "ip_address_list": st.dictionaries(keys, texts, max_size=4),
}


def _with_rounds(state: dict[str, Any]) -> dict[str, Any]:
    for name in ("submissions", "distribution_rewards_submission"):
        for number, entries in state[name].items():
            for entry in entries.values():
                entry["round"] = int(number)
    return state


states = st.fixed_dictionaries({name: _maps[name] if name in _maps else _fixed(kind) for name, kind in LAYOUT}).map(
    _with_rounds
)


def plain(state: Any) -> dict[str, Any]:
    """A decoded state as the tree that it came from, without fields that are not there."""
    tree = dict(state.static)
    tree |= {"total_bounty_amount": state.total_bounty_amount, "total_stake_amount": state.total_stake_amount}
    tree |= {"available_balances": state.balances, "stake_list": state.stakes, "ip_address_list": state.ip_addresses}
    tree["submissions"] = {(s.round, s.submitter): (s.value, s.slot) for s in state.submissions}
    tree["distribution_rewards_submission"] = {(d.round, d.node): (d.account, d.slot) for d in state.distributions}
    tree["distributions_audit_record"] = {str(record.round): record.status for record in state.records}
    for name, audits, votes in (
        ("submissions_audit_trigger", state.submission_audits, state.submission_votes),
        ("distributions_audit_trigger", state.distribution_audits, state.distribution_votes),
    ):
        tree[name] = {
            (a.round, a.subject): (
                a.trigger_by, a.slot,
                [(v.is_valid, v.voter, v.slot) for v in votes if (v.round, v.subject) == (a.round, a.subject)],
            )
            for a in audits
        }  # fmt: skip
    return tree


def flat(state: dict[str, Any]) -> dict[str, Any]:
    """A state of `states` in the form of `plain`."""
    tree = dict(state)
    for name in ("submissions", "distribution_rewards_submission"):
        tree[name] = {
            (int(number), key): (entry["submission_value"], entry["slot"])
            for number, entries in state[name].items() for key, entry in entries.items()
        }  # fmt: skip
    for name in ("submissions_audit_trigger", "distributions_audit_trigger"):
        tree[name] = {
            (int(number), key): (
                entry["trigger_by"], entry["slot"],
                [(vote["is_valid"], vote["voter"], vote["slot"]) for vote in entry["votes"]],
            )
            for number, entries in state[name].items() for key, entry in entries.items()
        }  # fmt: skip
    return tree
