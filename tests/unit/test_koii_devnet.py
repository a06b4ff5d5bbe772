"""The stand-in of K2: its accounts are read by the decoders, and its state agrees with its ledger."""

import pytest
from solders.pubkey import Pubkey

from indexer.devnet.koii import Node
from indexer.devnet.koii_accounts import as_borsh, as_json
from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, read_state


@pytest.mark.parametrize("slots", [0, 100, 700])
def test_accounts_hold_what_the_ledger_says(slots: int) -> None:
    node = Node(seed=2, tasks=4)
    node.advance(slots)
    for task in node.tasks.values():
        account = node._svm.get_account(Pubkey.from_string(task.id))
        assert account is not None
        assert str(account.owner) == (KPL_PROGRAM if task.kpl else KOII_PROGRAM)
        state = read_state(str(account.owner), bytes(account.data))
        assert state.unknown == {}
        told = {row[1:] for row in node.ledger.submissions if row[0] == task.id}
        held = {(s.round, s.submitter, s.value, s.slot) for s in state.submissions or ()}
        assert held <= told
        oldest = min((s.round for s in state.submissions or ()), default=0)
        assert {row for row in told if row[0] >= oldest} == held, "only rounds below the oldest are dropped"
        assert sum((state.stakes or {}).values()) == state.total_stake_amount


def test_money_adds_up() -> None:
    node = Node(seed=4, tasks=2)
    start = {task.id: (dict(task.tree["stake_list"]), task.tree["total_bounty_amount"]) for task in node.tasks.values()}
    node.advance(1500)
    for task in node.tasks.values():
        moved = dict.fromkeys(("reward", "slash", "claim", "unstake", "stake"), 0)
        for owner, _, kind, amount, _ in node.ledger.moves:
            moved[kind] += amount if owner == task.id else 0
        stakes, bounty = start[task.id]
        assert all(moved.values())
        assert sum(task.tree["stake_list"].values()) == (
            sum(stakes.values()) + moved["stake"] - moved["slash"] - moved["unstake"]
        )
        assert sum(task.tree["available_balances"].values()) == moved["reward"] + moved["unstake"] - moved["claim"]
        assert bounty - task.tree["total_bounty_amount"] == moved["reward"]


def test_both_encodings_of_a_state_are_read_alike() -> None:
    node = Node(seed=8, tasks=1)
    node.advance(500)
    (task,) = node.tasks.values()
    one, other = read_state(KPL_PROGRAM, as_borsh(task.tree)), read_state(KOII_PROGRAM, as_json(task.tree))
    assert sorted(one.submissions or ()) == sorted(other.submissions or ())
    assert sorted(one.submission_votes or ()) == sorted(other.submission_votes or ())
    assert sorted(one.distributions or ()) == sorted(other.distributions or ())
    assert (one.balances, one.stakes) == (other.balances, other.stakes)
