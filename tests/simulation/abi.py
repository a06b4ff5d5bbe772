"""Events as the simulated contracts emit them: declared, encoded and, for the oracle, decoded again.

Nothing here uses a codec of Taskscan. Encoding is by hand after the Solidity ABI specification; decoding is eth-abi's.
"""

from functools import cache
from typing import Any, NamedTuple

import eth_abi
from eth_hash.auto import keccak

Value = bytes | int | bool | str


class Field(NamedTuple):
    """An argument: the column that must hold it, its ABI type, and whether it is a topic."""

    column: str
    kind: str
    indexed: bool


class Event(NamedTuple):
    """One event: the table that its rows belong to and what is in its logs."""

    table: str
    name: str
    fields: tuple[Field, ...]
    topic0: bytes

    def encode(self, *values: Value) -> tuple[tuple[bytes, ...], bytes]:
        """Topics and data of a log with these arguments, in their order."""
        pairs = list(zip(self.fields, values, strict=True))
        topics = (self.topic0, *(_word(value) for field, value in pairs if field.indexed))
        plain = [(field.kind, value) for field, value in pairs if not field.indexed]
        head, tail = b"", b""
        for kind, value in plain:
            if kind in ("bytes", "string"):
                raw = value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[arg-type]
                head += (32 * len(plain) + len(tail)).to_bytes(32)
                tail += len(raw).to_bytes(32) + raw + bytes(-len(raw) % 32)
            else:
                head += _word(value)
        return topics, head + tail

    def columns(self, topics: tuple[bytes, ...], data: bytes) -> dict[str, Any]:
        """What the columns of the row of such a log must hold. Raises an eth_abi DecodingError where it is damaged."""
        row: dict[str, Any] = {}
        rest = iter(topics[1:])
        kinds = ["bytes" if field.kind == "string" else field.kind for field in self.fields if not field.indexed]
        plain = iter(eth_abi.decode(kinds, data))
        for field in self.fields:
            if field.indexed:
                (value,) = eth_abi.decode([field.kind], next(rest))
            else:
                value = next(plain)
            if field.kind == "address":
                value = bytes.fromhex(value[2:])
            if field.kind == "string":
                value, row[f"{field.column}_raw"] = _text(value)
            row[field.column] = value
        return row


def _word(value: Value) -> bytes:
    return value.rjust(32, b"\0") if isinstance(value, bytes) else int(value).to_bytes(32)


def _text(raw: bytes) -> tuple[str | None, bytes | None]:
    """PostgreSQL takes neither NUL nor what is not UTF-8."""
    try:
        return (None, raw) if b"\0" in raw else (raw.decode(), None)
    except UnicodeDecodeError:
        return None, raw


def declare(schema: str, text: str) -> dict[str, Event]:
    """Lines `table Name(column kind, column kind*)`; `*` marks a topic. By Name, or Name/n for a second form."""
    found: dict[str, Event] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        table, _, rest = line.partition(" ")
        name, _, inside = rest.rstrip(")").partition("(")
        fields = []
        for part in filter(None, inside.split(", ")):
            column, kind = part.split(" ")
            fields.append(Field(column, kind.rstrip("*"), kind.endswith("*")))
        signature = f"{name}({','.join(field.kind for field in fields)})"
        event = Event(f"{schema}.{table}", name, tuple(fields), keccak(signature.encode()))
        key = name if name not in found else f"{name}/{len(fields)}"
        found[key] = event
    return found


@cache
def bloom_bits(item: bytes) -> int:
    """The three bits that an address or a topic sets in the bloom of its block (Yellow Paper, 4.3.1)."""
    digest = keccak(item)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2]) & 2047)
    return bits


ARBIUS = declare(
    "arbius",
    """
    model_registered ModelRegistered(id bytes32*)
    model_fee_changed ModelFeeChanged(id bytes32*, fee uint256)
    model_addr_changed ModelAddrChanged(id bytes32*, addr address)
    solution_mineable_rate_change SolutionMineableRateChange(id bytes32*, rate uint256)
    task_submitted TaskSubmitted(id bytes32*, model bytes32*, fee uint256, sender address*)
    signal_commitment SignalCommitment(addr address*, commitment bytes32*)
    solution_submitted SolutionSubmitted(addr address*, task bytes32*)
    solution_claimed SolutionClaimed(addr address*, task bytes32*)
    contestation_submitted ContestationSubmitted(addr address*, task bytes32*)
    contestation_vote ContestationVote(addr address*, task bytes32*, yea bool)
    contestation_vote_finish ContestationVoteFinish(id bytes32*, start_idx uint32*, end_idx uint32)
    task_retracted TaskRetracted(id bytes32*)
    fees_paid FeesPaid(model_fee uint256, treasury_fee uint256, remaining_fee uint256, validator_fee uint256)
    rewards_paid RewardsPaid(total_rewards uint256, treasury_reward uint256, task_owner_reward uint256, validator_reward uint256)
    validator_deposit ValidatorDeposit(addr address*, validator address*, amount uint256)
    validator_withdraw_initiated ValidatorWithdrawInitiated(addr address*, count uint256*, unlock_time uint256, amount uint256)
    validator_withdraw_cancelled ValidatorWithdrawCancelled(addr address*, count uint256*)
    paused_changed PausedChanged(paused bool*)
    min_claim_solution_time_changed MinClaimSolutionTimeChanged(amount uint256*)
    version_changed VersionChanged(version uint256)
    """,  # noqa: E501
)

IEXEC = declare(
    "iexec",
    """
    transfer Transfer(from address*, to address*, value uint256)
    lock Lock(owner address, amount uint256)
    unlock Unlock(owner address, amount uint256)
    reward Reward(owner address, amount uint256, ref bytes32)
    seize Seize(owner address, amount uint256, ref bytes32)
    scheduler_notice SchedulerNotice(workerpool address*, dealid bytes32)
    orders_matched OrdersMatched(dealid bytes32, app_hash bytes32, dataset_hash bytes32, workerpool_hash bytes32, request_hash bytes32, volume uint256)
    deal_sponsored DealSponsored(deal_id bytes32, sponsor address)
    task_initialize TaskInitialize(taskid bytes32*, workerpool address*)
    task_contribute TaskContribute(taskid bytes32*, worker address*, hash bytes32)
    task_consensus TaskConsensus(taskid bytes32*, consensus bytes32)
    task_reveal TaskReveal(taskid bytes32*, worker address*, digest bytes32)
    task_reopen TaskReopen(taskid bytes32*)
    task_finalize TaskFinalize(taskid bytes32*, results bytes)
    task_claimed TaskClaimed(taskid bytes32*)
    accurate_contribution AccurateContribution(worker address*, taskid bytes32*)
    faulty_contribution FaultyContribution(worker address*, taskid bytes32*)
    signed_request_order SignedRequestOrder(request_hash bytes32)
    closed_request_order ClosedRequestOrder(request_hash bytes32)
    create_category CreateCategory(catid uint256, name string, description string, work_clock_time_ref uint256)
    """,  # noqa: E501
)

REGISTRY = declare(
    "iexec",
    """
    registry_transfer Transfer(from address*, to address*, token_id uint256*)
    create_app CreateApp(app_owner address*, app address)
    """,
)

WORKERPOOL = declare(
    "iexec",
    """
    ownership_transferred OwnershipTransferred(previous_owner address*, new_owner address*)
    policy_update PolicyUpdate(old_worker_stake_ratio_policy uint256, new_worker_stake_ratio_policy uint256, old_scheduler_reward_ratio_policy uint256, new_scheduler_reward_ratio_policy uint256)
    """,  # noqa: E501
)
