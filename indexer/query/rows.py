"""The rows of the views in `analytics`, typed. Columns and their order are those of the views; a test compares them.

Hex is lower-case text, amounts are in the smallest unit, times are UTC. None is what is not known, or not so.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple


class TaskRow(NamedTuple):
    """A task: `analytics.tasks`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    status: str | None
    network_status: str | None
    requester: str | None
    submitter: str | None
    subject: str | None
    fee: Decimal | None
    fee_token: str
    fee_amount: Decimal | None
    submitted_at: datetime | None
    finished_at: datetime | None
    submitted_block: int | None
    last_block: int
    finality: str


class WorkRow(NamedTuple):
    """A piece of work: `analytics.work`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    worker: str | None
    state: str | None
    submitted_at: datetime | None
    settled_at: datetime | None
    reward: Decimal | None
    reward_token: str
    round: int | None


class PaymentRow(NamedTuple):
    """A movement of money: `analytics.payments`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str | None
    kind: str
    from_address: str | None
    to_address: str | None
    amount: Decimal
    token: str
    block: int | None
    block_time: datetime | None
    source_event: str


class DisputeRow(NamedTuple):
    """A contested piece of work: `analytics.disputes`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    opened_by: str | None
    against: str | None
    opened_at: datetime | None
    yeas: int
    nays: int
    leading: str
    deadline: datetime | None
    outcome: str | None
    settled_at: datetime | None


class DayRow(NamedTuple):
    """A day (UTC) of a network: `analytics.daily`."""

    network: str
    chain: str
    day: date
    tasks: int
    succeeded: int
    failed: int
    disputed: int
    workers: int
    fees: Decimal
    rewards: Decimal


class Call(NamedTuple):
    """A transaction that somebody could sign and send: nothing here does. `sender`: who has to; None: anybody may."""

    chain_id: int
    to: str
    data: str
    sender: str | None = None


class Claimable(NamedTuple):
    """An account that a transaction would help now: `analytics.claimable`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str | None
    action: str
    role: str
    account: str | None
    gain: Decimal | None
    token: str
    begun_at: datetime | None
    since: datetime | None
    sender: str | None
    call_to: str | None
    call_data: str | None
    lacks: str | None

    @property
    def call(self) -> Call | None:
        """The ready transaction; None where `lacks` says what it needs first."""
        if self.call_to is None or self.call_data is None:
            return None
        return Call(self.chain_id, self.call_to, self.call_data, self.sender)


class Stuck(NamedTuple):
    """An account whose money waiting alone does not free: `analytics.stuck`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str | None
    reason: str
    role: str
    account: str | None
    stake: Decimal | None
    token: str
    begun_at: datetime | None
    since: datetime | None
    until: datetime | None
    action: str | None


class Expiring(NamedTuple):
    """A window that time will close: `analytics.expiring`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    window: str
    deadline: datetime
    seconds_left: Decimal
    becomes: str
    requester: str | None
    worker: str | None


class OpenDispute(NamedTuple):
    """A dispute that is not decided: `analytics.open_disputes`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    opened_by: str | None
    against: str | None
    opened_at: datetime | None
    yeas: int
    nays: int
    adder: int
    leading: str
    state: str
    deadline: datetime
    seconds_left: Decimal
    call_to: str | None
    call_data: str | None


class WorkerRecord(NamedTuple):
    """What a worker did: `analytics.worker_records`."""

    network: str
    chain: str
    chain_id: int
    worker: str
    submitted: int
    accepted: int
    lost: int
    pending: int
    earned: Decimal
    slashed: Decimal
    first_at: datetime | None
    last_at: datetime | None
    p50_seconds: int | None
    p90_seconds: int | None
    p99_seconds: int | None


class Subject(NamedTuple):
    """A model or app: `analytics.subjects`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    subject: str | None
    tasks: int
    succeeded: int
    failed: int
    disputed: int
    cancelled: int
    success_rate: float | None
    fees: Decimal | None
    first_at: datetime | None
    last_at: datetime | None


class PoolDepth(NamedTuple):
    """How many tasks lay in the pool at the end of a day: `analytics.pool_depth`."""

    network: str
    chain: str
    chain_id: int
    day: date
    submitted: int
    settled: int
    waiting: int | None
    unsettled: int


class Latency(NamedTuple):
    """How long something takes: `analytics.latencies`."""

    network: str
    chain: str
    chain_id: int
    measure: str
    n: int
    p50_seconds: int
    p90_seconds: int
    p99_seconds: int
    max_seconds: int


class Parameter(NamedTuple):
    """A value that a parameter had for a while: `analytics.parameter_history`."""

    network: str
    chain: str
    chain_id: int
    contract: str
    parameter: str
    value: str | None
    previous: str | None
    since_block: int
    since_at: datetime
    until_at: datetime | None


class Moment(NamedTuple):
    """Something in a task's life: `analytics.timeline`. `kind`: event, time or due; `status`: from then on."""

    network: str
    chain: str
    chain_id: int
    contract: str
    task_id: str
    at: datetime | None
    block: int | None
    log_index: int | None
    kind: str
    what: str
    status: str | None
    network_status: str | None
    who: str | None
    details: dict[str, Any]
    tx_hash: str | None


class Task(NamedTuple):
    """A task with all that is known of it; `timeline` is its whole life, contributions and votes included."""

    task: TaskRow
    work: list[WorkRow]
    payments: list[PaymentRow]
    disputes: list[DisputeRow]
    timeline: list[Moment]
