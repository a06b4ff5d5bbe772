"""What the contracts must make of the transactions sent: statuses, deadlines, consensus, money, scores.

A second, independent statement of the rules in `contracts/facets/IexecPoco{1,2}Facet.sol` of `@iexec/poco` 6.1.0,
applied to the ledger when a transaction has been mined. Tests hold it against the contracts' own views.
"""

from collections import defaultdict
from collections.abc import Iterator

from eth_utils.crypto import keccak

from indexer.devnet.chain import Block
from indexer.devnet.ledger import (
    ACTIVE,
    COMPLETED,
    CONTRIBUTED,
    FAILED,
    PROVED,
    REJECTED,
    REVEALING,
    UNSET,
    ZERO_HASH_TEXT,
    Account,
    Contribution,
    Deal,
    Ledger,
    Movement,
    Task,
)

KITTY = "0x99c2268479b93fde36232351229815df80837e23"
KITTY_LEAST = 10**9
POOL_STAKE_PERCENT = 30
NOBODY = "0x" + 20 * "00"


class Model:
    """Applies mined transactions to a ledger. Every method stands for one successful call of the hub."""

    def __init__(self, ledger: Ledger, hub: str) -> None:
        self.ledger = ledger
        self.hub = hub
        self._groups: dict[str, defaultdict[str, int]] = {}
        self._totals: dict[str, int] = {}
        self._of_task: defaultdict[str, dict[str, Contribution]] = defaultdict(dict)

    def account(self, address: str) -> Account:
        """The account, made on first use."""
        return self.ledger.accounts.setdefault(address, Account())

    def contributions(self, task_id: str) -> Iterator[Contribution]:
        """The contributions to a task in the order in which they came."""
        yield from self._of_task[task_id].values()

    def move(self, kind: str, source: str, target: str, amount: int, block: Block) -> None:
        """A deposit (from nobody), a withdrawal (to nobody) or a transfer inside the hub."""
        if source != NOBODY:
            self.account(source).stake -= amount
        if target != NOBODY:
            self.account(target).stake += amount
        self.ledger.movements.append(Movement(kind, source, target, amount, block.number))

    def match(self, deal: Deal) -> None:
        """A deal came into being, with all its tasks UNSET."""
        self.ledger.deals[deal.deal_id] = deal
        for digest in (deal.app_hash, deal.dataset_hash, deal.workerpool_hash, deal.request_hash):
            if digest != ZERO_HASH_TEXT:
                self.ledger.orders[digest].consumed += deal.bot_size
        self._lock(deal.sponsor, _price(deal) * deal.bot_size)
        self._lock(deal.workerpool_owner, _pool_stake(deal) * deal.bot_size)

    def initialize(self, task: Task) -> None:
        """UNSET -> ACTIVE."""
        deal = self.ledger.deals[task.deal_id]
        task.status = ACTIVE
        task.timeref = self.ledger.categories[deal.category].work_clock_time_ref
        task.contribution_deadline = deal.start_time + 7 * task.timeref
        task.final_deadline = deal.start_time + 10 * task.timeref
        self._groups[task.task_id] = defaultdict(int)
        self._totals[task.task_id] = 1

    def contribute(self, task: Task, worker: str, digest: bytes, challenge: str, block: Block) -> None:
        """One contribution, and the consensus if it is reached by it."""
        power = max(self.account(worker).score // 3, 3) - 1
        contribution = self._add(task, worker, digest, challenge, CONTRIBUTED, power.bit_length() - 1)
        self._lock(worker, self.ledger.deals[task.deal_id].worker_stake)
        group = self._groups[task.task_id]
        before = group[contribution.result_hash]
        delta = max(before, 1) * power - before
        group[contribution.result_hash] += delta
        self._totals[task.task_id] += delta
        self._check_consensus(task, contribution.result_hash, block)

    def contribute_and_finalize(
        self, task: Task, worker: str, digest: bytes, challenge: str, results: bytes, callback: bytes, block: Block
    ) -> None:
        """ACTIVE -> COMPLETED in one transaction."""
        deal = self.ledger.deals[task.deal_id]
        contribution = self._add(task, worker, digest, challenge, PROVED, 0)
        task.consensus_value = contribution.result_hash
        task.reveal_deadline = block.timestamp + 2 * task.timeref
        task.reveal_counter = task.winner_counter = 1
        task.result_digest = "0x" + digest.hex()
        self._complete(task, results, callback)
        share = deal.workerpool_price * (100 - deal.scheduler_reward_ratio) // 100
        self._reward(worker, share)
        self._reward(deal.workerpool_owner, deal.workerpool_price - share)

    def reveal(self, task: Task, worker: str, digest: bytes) -> None:
        """A winner proves its contribution."""
        self._of_task[task.task_id][worker].status = PROVED
        task.reveal_counter += 1
        task.result_digest = "0x" + digest.hex()

    def reopen(self, task: Task) -> None:
        """REVEALING -> ACTIVE; the silent winners are rejected and their weight is gone."""
        for contribution in self.contributions(task.task_id):
            if contribution.result_hash == task.consensus_value:
                contribution.status = REJECTED
        self._totals[task.task_id] -= self._groups[task.task_id].pop(task.consensus_value)
        task.status, task.consensus_value = ACTIVE, ZERO_HASH_TEXT
        task.reveal_deadline = task.winner_counter = 0

    def finalize(self, task: Task, results: bytes, callback: bytes) -> None:
        """REVEALING -> COMPLETED; winners share the price and the losers' stakes."""
        deal = self.ledger.deals[task.deal_id]
        self._complete(task, results, callback)
        proved = [c for c in self.contributions(task.task_id) if c.status == PROVED]
        losers = [c for c in self.contributions(task.task_id) if c.status != PROVED]
        left = deal.workerpool_price + deal.worker_stake * len(losers)
        shared = left * (100 - deal.scheduler_reward_ratio) // 100
        weights = sum(c.weight for c in proved)
        for contribution in proved:
            share = shared * contribution.weight // weights
            left -= share
            self._unlock(contribution.worker, deal.worker_stake)
            self._reward(contribution.worker, share)
            self.account(contribution.worker).score += len(task.contributors) > 1
        for contribution in losers:
            loser = self.account(contribution.worker)
            loser.locked -= deal.worker_stake
            loser.score = loser.score * 2 // 3
        self._reward(deal.workerpool_owner, left)

    def claim(self, task: Task) -> None:
        """To FAILED after the final deadline: the payer is refunded, the pool's stake goes to the kitty."""
        deal = self.ledger.deals[task.deal_id]
        task.status = FAILED
        self._unlock(deal.sponsor, _price(deal))
        self.account(deal.workerpool_owner).locked -= _pool_stake(deal)
        self.account(KITTY).locked += _pool_stake(deal)
        for worker in task.contributors:
            self._unlock(worker, deal.worker_stake)

    def wins(self, task: Task, worker: str) -> bool:
        """Whether the worker's contribution is part of the present consensus and still to be revealed."""
        contribution = self._of_task[task.task_id][worker]
        return contribution.status == CONTRIBUTED and contribution.result_hash == task.consensus_value

    def _add(self, task: Task, worker: str, digest: bytes, challenge: str, status: int, weight: int) -> Contribution:
        work, who = bytes.fromhex(task.task_id[2:]), bytes.fromhex(worker[2:])
        contribution = Contribution(
            task_id=task.task_id,
            worker=worker,
            status=status,
            result_hash="0x" + keccak(work + digest).hex(),
            result_seal="0x" + keccak(who + work + digest).hex(),
            enclave_challenge=challenge,
            weight=weight,
        )
        task.contributors.append(worker)
        self._of_task[task.task_id][worker] = contribution
        self.ledger.contributions.append(contribution)
        return contribution

    def _check_consensus(self, task: Task, result_hash: str, block: Block) -> None:
        trust = self.ledger.deals[task.deal_id].trust
        if self._groups[task.task_id][result_hash] * trust <= self._totals[task.task_id] * (trust - 1):
            return
        task.status, task.consensus_value = REVEALING, result_hash
        task.reveal_deadline = block.timestamp + 2 * task.timeref
        task.reveal_counter = 0
        task.winner_counter = sum(self.wins(task, worker) for worker in task.contributors)

    def _complete(self, task: Task, results: bytes, callback: bytes) -> None:
        deal = self.ledger.deals[task.deal_id]
        task.status, task.results, task.results_callback = COMPLETED, "0x" + results.hex(), "0x" + callback.hex()
        self.account(deal.sponsor).locked -= _price(deal)
        for owner, price in ((deal.app_owner, deal.app_price), (deal.dataset_owner, deal.dataset_price)):
            if price:
                self._reward(owner, price)
        self._unlock(deal.workerpool_owner, _pool_stake(deal))
        kitty = self.account(KITTY)
        if kitty.locked:
            share = min(max(kitty.locked // 10, KITTY_LEAST), kitty.locked)
            kitty.locked -= share
            self._reward(deal.workerpool_owner, share)

    def _lock(self, address: str, amount: int) -> None:
        self._reward(address, -amount)
        self.account(address).locked += amount

    def _unlock(self, address: str, amount: int) -> None:
        self._lock(address, -amount)

    def _reward(self, address: str, amount: int) -> None:
        self.account(self.hub).stake -= amount
        self.account(address).stake += amount


def _price(deal: Deal) -> int:
    return deal.app_price + deal.dataset_price + deal.workerpool_price


def _pool_stake(deal: Deal) -> int:
    return deal.workerpool_price * POOL_STAKE_PERCENT // 100


def unset_tasks(deal: Deal, flows: list[str], ids: list[str]) -> list[Task]:
    """The tasks of a new deal: one per name of a flow."""
    return [
        Task(task_id, deal.deal_id, deal.bot_first + i, flow, UNSET)
        for i, (flow, task_id) in enumerate(zip(flows, ids, strict=True))
    ]
