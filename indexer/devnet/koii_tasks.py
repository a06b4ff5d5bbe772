"""Made-up Koii tasks that live by the rules of koii.md A5 to A7, slot by slot, with a ledger of their own.

The ledger is written where something happens, not read back from the state: it is what a reader is measured by.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from solders.pubkey import Pubkey

ROUND, SUBMISSION, AUDIT = 60, 24, 18  # slots
KEPT_AFTER_PAYMENT = 4  # rounds before the paid one whose submissions stay
STAKE = 2_000_000_000  # roe


@dataclass
class Ledger:
    """What happened. Rows carry the id of the task first; `moves`: task, node, kind, amount, slot."""

    submissions: list[tuple[str, int, str, str, int]] = field(default_factory=list)
    audits: list[tuple[str, int, str, str, int]] = field(default_factory=list)
    votes: list[tuple[str, int, str, str, int, bool]] = field(default_factory=list)
    distributions: list[tuple[str, int, str, int]] = field(default_factory=list)
    payouts: list[tuple[str, int, str, int]] = field(default_factory=list)
    moves: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    migrations: list[tuple[str, str]] = field(default_factory=list)


def address(rng: random.Random) -> str:
    """A new address."""
    return str(Pubkey(rng.randbytes(32)))


class Task:
    """One task. `step(slot)` does what happens in a slot; `tree` is its state."""

    def __init__(self, rng: random.Random, ledger: Ledger, name: str, start: int, nodes: int, *, kpl: bool) -> None:
        self.id, self.kpl, self.changed = address(rng), kpl, True
        self._rng, self._ledger, self._start = rng, ledger, start
        self._nodes = [address(rng) for _ in range(nodes)]
        self._verdicts: dict[tuple[int, str], int] = {}
        self._unpaid: list[int] = []
        self._fails: dict[int, int] = {}
        self.tree: dict[str, Any] = {
            "is_allowlisted": True, "is_active": True, "task_name": name, "task_description": f"{name} of the devnet",
            "task_manager": address(rng), "task_audit_program": "bafy" + rng.randbytes(26).hex(),
            "stake_pot_account": address(rng), "stake_pot_seed": address(rng), "stake_pot_bump": 255,
            "submissions": {}, "submissions_audit_trigger": {}, "total_bounty_amount": 10**12,
            "bounty_amount_per_round": 10**9, "token_type": address(rng), "total_stake_amount": STAKE * nodes,
            "minimum_stake_amount": STAKE // 2, "available_balances": {},
            "stake_list": dict.fromkeys(self._nodes, STAKE),
            "ip_address_list": {}, "round_time": ROUND, "starting_slot": start, "audit_window": AUDIT,
            "submission_window": SUBMISSION, "task_executable_network": "IPFS", "distribution_rewards_submission": {},
            "distributions_audit_trigger": {}, "distributions_audit_record": {},
            "task_metadata": "bafy" + rng.randbytes(26).hex(), "task_vars": "", "is_migrated": False,
            "migrated_to": "", "allowed_failed_distributions": 3,
        }  # fmt: skip

    def step(self, slot: int) -> None:
        """Do what happens in `slot`."""
        period, offset = divmod(slot - self._start, ROUND)
        if slot < self._start or not self.tree["is_active"]:
            return
        if 1 <= offset < SUBMISSION - 1 and period >= 1:
            self._submit(period - 1, offset, slot)
        if offset == SUBMISSION + 2 and period >= 1:
            self._audit(period - 1, slot)
        if offset == 3 and period >= 2:
            self._propose(period - 2, slot)
        if offset == SUBMISSION + AUDIT + 5:
            self._pay(slot)
        if offset == ROUND - 4:
            self._money(slot)

    def migrate(self, to: "Task") -> None:
        """Hand over to another task."""
        self.tree |= {"is_migrated": True, "is_active": False, "migrated_to": to.id}
        self._ledger.migrations.append((self.id, to.id))
        self.changed = True

    def _submit(self, round_: int, offset: int, slot: int) -> None:
        for n, node in enumerate(self._nodes):
            if n % (SUBMISSION - 2) == offset - 1 and node in self.tree["stake_list"] and self._rng.random() < 0.9:
                value = self._rng.choice(["", "plain words", '{"ok":true}', "bafy" + self._rng.randbytes(20).hex()])
                self.tree["submissions"].setdefault(round_, {})[node] = (value, slot)
                self._ledger.submissions.append((self.id, round_, node, value, slot))
                self._verdicts[round_, node] = 1
                self.changed = True

    def _audit(self, round_: int, slot: int) -> None:
        for node in self.tree["submissions"].get(round_, {}):
            if self._rng.random() > 0.15:
                continue
            voters = [other for other in self._nodes if other != node][:3]
            votes = [(self._rng.random() < 0.4, voter, slot + 1) for voter in voters]
            self.tree["submissions_audit_trigger"].setdefault(round_, {})[node] = (voters[0], slot, votes)
            self._verdicts[round_, node] = sum(1 if valid else -1 for valid, *_ in votes)
            self._ledger.audits.append((self.id, round_, node, voters[0], slot))
            self._ledger.votes += [(self.id, round_, node, voter, at, valid) for valid, voter, at in votes]
            self.changed = True

    def _propose(self, round_: int, slot: int) -> None:
        if round_ in self.tree["submissions"]:
            self._unpaid.append(round_)
        for unpaid in self._unpaid:
            node = self._rng.choice(self._nodes)
            self.tree["distribution_rewards_submission"][unpaid] = {node: (node, slot)}
            self.tree["distributions_audit_record"].setdefault(unpaid, "Uninitialized")
            self._ledger.distributions.append((self.id, unpaid, node, slot))
            self.changed = True

    def _pay(self, slot: int) -> None:
        for round_ in list(self._unpaid):
            failed = self._fails.get(round_, 0)
            well = self._rng.random() < 0.8 or failed >= 2
            status = "PayoutSuccessful" if well else "PayoutFailed"
            self._fails[round_] = failed + 1
            if self.tree["distributions_audit_record"][round_] != status:
                self.tree["distributions_audit_record"][round_] = status
                self._ledger.payouts.append((self.id, round_, status, slot))
            if well:
                self._unpaid.remove(round_)
                self._reward(round_, slot)
            self.changed = True

    def _reward(self, round_: int, slot: int) -> None:
        entries = self.tree["submissions"].get(round_, {})
        good = [node for node in entries if self._verdicts[round_, node] > 0]
        for node in entries:
            net = self._verdicts[round_, node]
            if net > 0:
                each = self.tree["bounty_amount_per_round"] // len(good)
                self.tree["available_balances"][node] = self.tree["available_balances"].get(node, 0) + each
                self.tree["total_bounty_amount"] -= each
                self._move(node, "reward", each, slot)
            elif net < 0 and self.tree["stake_list"].get(node):
                cut = self.tree["stake_list"][node] * 7 // 10
                self.tree["stake_list"][node] -= cut
                self.tree["total_stake_amount"] -= cut
                self._move(node, "slash", cut, slot)
        for name in ("submissions", "submissions_audit_trigger", "distribution_rewards_submission",
                     "distributions_audit_trigger", "distributions_audit_record"):  # fmt: skip
            held = self.tree[name]
            self.tree[name] = {n: e for n, e in held.items() if n >= round_ - KEPT_AFTER_PAYMENT}

    def _money(self, slot: int) -> None:
        """One node may claim, one may leave, one may come; never two of these to one node."""
        claimant, leaver = self._rng.sample(self._nodes, 2)
        balances, stakes = self.tree["available_balances"], self.tree["stake_list"]
        if balances.get(claimant) and self._rng.random() < 0.5:
            self._move(claimant, "claim", balances.pop(claimant), slot)
        if stakes.get(leaver) and len(stakes) > 3 and self._rng.random() < 0.2:
            gone = stakes.pop(leaver)
            balances[leaver] = balances.get(leaver, 0) + gone
            self.tree["total_stake_amount"] -= gone
            self._move(leaver, "unstake", gone, slot)
        if self._rng.random() < 0.3:
            node = address(self._rng)
            self._nodes.append(node)
            stakes[node] = STAKE
            self.tree["total_stake_amount"] += STAKE
            self._move(node, "stake", STAKE, slot)
        self.changed = True

    def _move(self, node: str, kind: str, amount: int, slot: int) -> None:
        self._ledger.moves.append((self.id, node, kind, amount, slot))
