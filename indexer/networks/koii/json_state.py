"""State of a KOII task: JSON text. Keys (addresses) are lists of 32 integers as values and base58 as names of maps.

Clients parse the whole data of the account, so there is nothing but JSON white space around it; NULs behind it are
taken for padding (koii.md A3). Field names: koii.md A4. Older contracts say `is_whitelisted` for `is_allowlisted`.
"""

import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NoReturn

from indexer.errors import StateUnreadable
from indexer.networks.koii import base58
from indexer.networks.koii.state import (
    LAST_SLOT,
    RECORDS,
    U64,
    Audit,
    Distribution,
    Record,
    State,
    Submission,
    Vote,
    as_round,
)  # fmt: skip
from schema.koii import STATIC

DEEPEST = 200  # brackets inside one another; a task's state has five
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
RENAMED = {"is_whitelisted": "is_allowlisted"}
SUBMISSION_FIELDS = {"submission_value", "slot", "round"}
AUDIT_FIELDS = {"trigger_by", "slot", "votes"}
VOTE_FIELDS = {"is_valid", "voter", "slot"}


def read(data: bytes) -> State:
    """The state in the data of an account, or in an answer about a part of it. Raises StateUnreadable."""
    tree = {RENAMED.get(name, name): value for name, value in _parse(data).items()}
    state = State()
    unknown = state.unknown
    for name in STATIC.keys() & tree.keys():
        value = tree.pop(name)
        fit = _static(STATIC[name], value)
        if fit is None and value is not None:
            unknown[name] = value
        state.static[name] = fit
    for name in ("total_bounty_amount", "total_stake_amount"):
        if _is_u64(tree.get(name)):
            setattr(state, name, tree.pop(name))
    _entries(state, tree)
    _maps(state, tree)
    unknown.update(tree)
    return state


def _parse(data: bytes) -> dict[str, Any]:
    text = data.rstrip(b"\0 \t\r\n").decode("utf-8", "surrogateescape")
    if _depth(data) > DEEPEST:
        raise StateUnreadable("it is nested too deeply")
    try:
        # A fraction stays the text that it was: there is none in the layout.
        tree = json.loads(text, parse_float=str, parse_constant=_refuse)
    except ValueError as error:
        raise StateUnreadable(f"it is not JSON ({error})") from None
    if not isinstance(tree, dict):
        raise StateUnreadable("it is JSON, but no object")
    return tree


def _depth(data: bytes) -> int:
    """How deep the brackets go, those in strings included. The parser's own limit is that of the C stack: a crash."""
    steps = (1 if byte in b"[{" else -1 for byte in data.translate(None, NO_BRACKETS))
    return max(accumulate(steps), default=0)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _is_u64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= U64


def _is_slot(value: object) -> bool:
    return _is_u64(value) and value <= LAST_SLOT  # type: ignore[operator]


def _static(kind: str, value: object) -> object:
    """`value` as a static field of that kind; None where it does not fit."""
    if kind == "key":
        return _key(value)
    fits = {"bool": isinstance(value, bool), "text": isinstance(value, str), "u64": _is_u64(value)}
    return value if fits[kind] else None


def _key(value: object) -> str | None:
    """A list of 32 bytes, or base58 text, as base58 text; None for anything else."""
    if isinstance(value, str):
        return value if base58.is_key(value) else None
    if not isinstance(value, list) or len(value) != base58.KEY_BYTES:
        return None
    return base58.encode(bytes(value)) if all(type(byte) is int and 0 <= byte < 256 for byte in value) else None


def _entries(state: State, tree: dict[str, Any]) -> None:
    """Take the maps by rounds out of `tree`, as far as they are there."""
    if isinstance(tree.get("submissions"), dict):
        state.submissions = []
        for round_, key, entry in _by_round(state, tree, "submissions", SUBMISSION_FIELDS):
            if isinstance(entry.get("submission_value"), str) and entry.get("round", round_) == round_:
                state.submissions.append(Submission(round_, key, entry["submission_value"], entry["slot"]))
            else:
                _odd(state, "submissions", round_, key, entry)
    if isinstance(tree.get("distribution_rewards_submission"), dict):
        state.distributions, name = [], "distribution_rewards_submission"
        for round_, key, entry in _by_round(state, tree, name, SUBMISSION_FIELDS):
            account = _key(entry.get("submission_value"))
            if account is not None and entry.get("round", round_) == round_:
                state.distributions.append(Distribution(round_, key, account, entry["slot"]))
            else:
                _odd(state, name, round_, key, entry)
    if isinstance(tree.get("submissions_audit_trigger"), dict):
        state.submission_audits, state.submission_votes = _audits(state, tree, "submissions_audit_trigger")
    if isinstance(tree.get("distributions_audit_trigger"), dict):
        state.distribution_audits, state.distribution_votes = _audits(state, tree, "distributions_audit_trigger")
    if isinstance(tree.get("distributions_audit_record"), dict):
        state.records = _records(state, tree)


def _by_round(
    state: State, tree: dict[str, Any], name: str, fields: set[str]
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(round, key, entry with a slot) of the map `name`; the rest, and fields of entries beyond `fields`: unknown."""
    for text, entries in tree.pop(name).items():
        round_ = as_round(text)
        if round_ is None or not isinstance(entries, dict):
            state.unknown.setdefault(name, {})[text] = entries
            continue
        for key, entry in entries.items():
            if not base58.is_key(key) or not isinstance(entry, dict) or not _is_slot(entry.get("slot")):
                _odd(state, name, round_, key, entry)
                continue
            if more := entry.keys() - fields:
                _odd(state, name, round_, key, {field: entry[field] for field in sorted(more)})
            yield round_, key, entry


def _audits(state: State, tree: dict[str, Any], name: str) -> tuple[list[Audit], list[Vote]]:
    audits, votes = [], []
    for round_, subject, entry in _by_round(state, tree, name, AUDIT_FIELDS):
        trigger_by = _key(entry.get("trigger_by"))
        cast = [_vote(round_, subject, vote) for vote in _list(entry.get("votes"))]
        if trigger_by is None or None in cast or not isinstance(entry.get("votes"), list | None):
            _odd(state, name, round_, subject, entry)
        if trigger_by is not None:
            audits.append(Audit(round_, subject, trigger_by, entry["slot"]))
            votes += [vote for vote in cast if vote is not None]
    return audits, votes


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _vote(round_: int, subject: str, vote: object) -> Vote | None:
    if not isinstance(vote, dict) or vote.keys() != VOTE_FIELDS:
        return None
    voter = _key(vote["voter"])
    if voter is None or not isinstance(vote["is_valid"], bool) or not _is_slot(vote["slot"]):
        return None
    return Vote(round_, subject, voter, vote["slot"], vote["is_valid"])


def _records(state: State, tree: dict[str, Any]) -> list[Record]:
    name, found = "distributions_audit_record", []
    for text, status in tree.pop(name).items():
        round_ = as_round(text)
        if round_ is None or status not in RECORDS:
            state.unknown.setdefault(name, {})[text] = status
        if round_ is not None and isinstance(status, str) and len(status) <= 64 and status.isprintable():
            found.append(Record(round_, status))
    return found


def _maps(state: State, tree: dict[str, Any]) -> None:
    """Take the maps by staker out of `tree`, as far as they are there."""
    for name, attribute in (
        ("available_balances", "balances"), ("stake_list", "stakes"), ("ip_address_list", "ip_addresses"),
    ):  # fmt: skip
        if not isinstance(tree.get(name), dict):
            continue
        found = {}
        for key, value in tree.pop(name).items():
            good = isinstance(value, str) if attribute == "ip_addresses" else _is_u64(value)
            if good and base58.is_key(key):
                found[key] = value
            else:
                state.unknown.setdefault(name, {})[key] = value
        setattr(state, attribute, found)


def _odd(state: State, name: str, round_: int, key: str, entry: object) -> None:
    state.unknown.setdefault(name, {}).setdefault(str(round_), {})[key] = entry
