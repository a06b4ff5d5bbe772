"""State of a KPL task: Borsh 0.9, little endian, nothing before it and nothing behind it.

Layout: koii.md A3, found with Koii's own decoder (`borsh_bpf_js_deserialize`). A String is its length (u32) and UTF-8,
a Map its count (u32) and pairs, a key 32 bytes. Unlike Koii's decoder this one keeps integers above 2^53 exact.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from indexer.errors import StateUnreadable
from indexer.networks.koii import base58
from indexer.networks.koii.state import (
    LAST_SLOT,
    RECORDS,
    Audit,
    Distribution,
    Record,
    State,
    Submission,
    Vote,
    as_round,
)  # fmt: skip

T = TypeVar("T")
_u32 = struct.Struct("<I").unpack_from
_u64 = struct.Struct("<Q").unpack_from
_slot_and_round = struct.Struct("<QQ").unpack_from


def read(data: bytes) -> State:
    """The state in the data of an account. Raises StateUnreadable; its `facts` say at which byte."""
    reader = _Reader(data)
    try:
        state = _state(reader)
    except (struct.error, IndexError):
        raise StateUnreadable(f"it ends within a field: {len(data):,} bytes are too few", at=reader.at) from None
    if reader.at != len(data):
        raise StateUnreadable(f"{len(data) - reader.at:,} bytes are left behind its last field", at=reader.at)
    return state


class _Reader:
    """A place in the bytes, and what the maps held that does not fit."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.unknown: dict[str, Any] = {}

    def bool(self) -> bool:
        value = self.data[self.at]
        if value > 1:
            raise StateUnreadable(f"byte {self.at:,} should be 0 or 1 and is {value}", at=self.at)
        self.at += 1
        return value == 1

    def u8(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def u32(self) -> int:
        (value,) = _u32(self.data, self.at)
        self.at += 4
        return int(value)

    def u64(self) -> int:
        (value,) = _u64(self.data, self.at)
        self.at += 8
        return int(value)

    def key(self) -> str:
        return base58.encode(self._take(32))

    def text(self) -> str:
        return self._take(self.u32()).decode("utf-8", "surrogateescape")

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise IndexError
        taken, self.at = self.data[self.at : end], end
        return taken

    def pairs(self, value: Callable[[], T]) -> Iterator[tuple[str, T]]:
        for _ in range(self.u32()):
            key = self.text()
            yield key, value()

    def by_round(self, name: str, entry: Callable[[str], T]) -> Iterator[tuple[int, str, T]]:
        """(round, key, entry) of a map of maps; what has no usable round or key goes to `unknown`."""
        for _ in range(self.u32()):
            text = self.text()
            round_ = as_round(text)
            for _ in range(self.u32()):
                key = self.text()
                found = entry(key)
                if round_ is None or not base58.is_key(key):
                    self.unknown.setdefault(name, {}).setdefault(text, {})[key] = found
                else:
                    yield round_, key, found


def _state(r: _Reader) -> State:
    static: dict[str, Any] = {"is_allowlisted": r.bool(), "is_active": r.bool()}
    static |= {"task_name": r.text(), "task_description": r.text(), "task_manager": r.key()}
    static |= {"task_audit_program": r.text(), "stake_pot_account": r.key(), "stake_pot_seed": r.key()}
    static["stake_pot_bump"] = r.u8()
    state = State(static, unknown=r.unknown)
    state.submissions = _submissions(r)
    state.submission_audits, state.submission_votes = _audits(r, "submissions_audit_trigger")
    state.total_bounty_amount = r.u64()
    static |= {"bounty_amount_per_round": r.u64(), "token_type": r.key()}
    state.total_stake_amount = r.u64()
    static["minimum_stake_amount"] = r.u64()
    state.balances = _by_staker(r, "available_balances", r.u64)
    state.stakes = _by_staker(r, "stake_list", r.u64)
    state.ip_addresses = _by_staker(r, "ip_address_list", r.text)
    static |= {name: r.u64() for name in ("round_time", "starting_slot", "audit_window", "submission_window")}
    static["task_executable_network"] = r.text()
    state.distributions = _distributions(r)
    state.distribution_audits, state.distribution_votes = _audits(r, "distributions_audit_trigger")
    state.records = _records(r)
    static |= {"task_metadata": r.text(), "task_vars": r.text(), "is_migrated": r.bool(), "migrated_to": r.text()}
    static["allowed_failed_distributions"] = r.u64()
    return state


def _submissions(r: _Reader) -> list[Submission]:
    name = "submissions"

    def entry(key: str) -> tuple[str, int, int]:
        size = r.u32()
        end = r.at + size
        slot, round_ = _slot_and_round(r.data, end)  # fails where the text ends behind the data
        value = r.data[r.at : end].decode("utf-8", "surrogateescape")
        r.at = end + 16
        return value, slot, round_

    found = []
    for round_, submitter, (value, slot, own) in r.by_round(name, entry):
        if own == round_ and slot <= LAST_SLOT:
            found.append(Submission(round_, submitter, value, slot))
        else:
            _odd(r, name, round_, submitter, {"submission_value": value, "slot": slot, "round": own})
    return found


def _distributions(r: _Reader) -> list[Distribution]:
    name, found = "distribution_rewards_submission", []
    for round_, node, (account, slot, own) in r.by_round(name, lambda key: (r.key(), r.u64(), r.u64())):
        if own == round_ and slot <= LAST_SLOT:
            found.append(Distribution(round_, node, account, slot))
        else:
            _odd(r, name, round_, node, {"submission_value": account, "slot": slot, "round": own})
    return found


def _audits(r: _Reader, name: str) -> tuple[list[Audit], list[Vote]]:
    def entry(key: str) -> tuple[str, int, list[tuple[bool, str, int]]]:
        return r.key(), r.u64(), [(r.bool(), r.key(), r.u64()) for _ in range(r.u32())]

    audits, votes = [], []
    for round_, subject, (trigger_by, slot, cast) in r.by_round(name, entry):
        if max([slot, *(at for _, _, at in cast)]) > LAST_SLOT:
            _odd(r, name, round_, subject, {"trigger_by": trigger_by, "slot": slot, "votes": cast})
            continue
        audits.append(Audit(round_, subject, trigger_by, slot))
        votes += [Vote(round_, subject, voter, at, is_valid) for is_valid, voter, at in cast]
    return audits, votes


def _by_staker(r: _Reader, name: str, value: Callable[[], T]) -> dict[str, T]:
    found = {}
    for key, held in r.pairs(value):
        if base58.is_key(key):
            found[key] = held
        else:
            r.unknown.setdefault(name, {})[key] = held
    return found


def _records(r: _Reader) -> list[Record]:
    found = []
    for key, number in r.pairs(r.u8):
        round_ = as_round(key)
        status = RECORDS[number] if number < len(RECORDS) else f"Variant{number}"
        if round_ is None or number >= len(RECORDS):
            r.unknown.setdefault("distributions_audit_record", {})[key] = status
        if round_ is not None:
            found.append(Record(round_, status))
    return found


def _odd(r: _Reader, name: str, round_: int, key: str, entry: dict[str, Any]) -> None:
    r.unknown.setdefault(name, {}).setdefault(str(round_), {})[key] = entry
