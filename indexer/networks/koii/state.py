"""The state of a Koii task as typed rows, the same for both programs.

A text may hold bytes that are not UTF-8: see `indexer.networks.text`.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

U64 = 2**64 - 1
LAST_SLOT = 2**63 - 1  # of the database's bigint; K2 makes two slots per second
RECORDS = ("Uninitialized", "PayoutSuccessful", "PayoutFailed")
SECTIONS = ("static", "submission", "distribution", "balance", "stake")
"""Parts that can be asked for one by one; `static` comes with each answer about the account."""


class Submission(NamedTuple):
    """Work that `submitter` handed in for `round`; `value` is free text. `slot`: when."""

    round: int
    submitter: str
    value: str
    slot: int


class Audit(NamedTuple):
    """`trigger_by` objected at `slot` to what `subject` (a submitter or a distributor) handed in for `round`."""

    round: int
    subject: str
    trigger_by: str
    slot: int


class Vote(NamedTuple):
    """A vote on an objection: `is_valid` says that the work was right."""

    round: int
    subject: str
    voter: str
    slot: int
    is_valid: bool


class Distribution(NamedTuple):
    """`node` proposed at `slot` how to pay `round`; the list is in `account`."""

    round: int
    node: str
    account: str
    slot: int


class Record(NamedTuple):
    """How far the payout of `round` is: one of RECORDS, or a word that this version does not know."""

    round: int
    status: str


@dataclass
class State:
    """What one answer tells of a task. A section is None where the answer does not hold it, which is not empty.

    `static`: the fields of `schema.koii.STATIC` that are there. `unknown`: what does not fit the layout, by field, as
    plain JSON. Amounts are in the smallest unit of the task's token, stakes in roe.
    """

    static: dict[str, Any] = field(default_factory=dict)
    total_bounty_amount: int | None = None
    total_stake_amount: int | None = None
    submissions: list[Submission] | None = None
    submission_audits: list[Audit] | None = None
    submission_votes: list[Vote] | None = None
    distributions: list[Distribution] | None = None
    distribution_audits: list[Audit] | None = None
    distribution_votes: list[Vote] | None = None
    records: list[Record] | None = None
    balances: dict[str, int] | None = None
    stakes: dict[str, int] | None = None
    ip_addresses: dict[str, str] | None = None
    unknown: dict[str, Any] = field(default_factory=dict)


def as_round(key: object) -> int | None:
    """A key of a map by rounds as a number; None for what is none."""
    if isinstance(key, str) and len(key) < 20 and key.isascii() and key.isdigit():
        number = int(key)
        return number if number <= LAST_SLOT and str(number) == key else None
    return None
