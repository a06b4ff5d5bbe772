"""The books of one engine, kept from what was sent: what each accepted call changes, stakes and pools included.

A second implementation of the rules of arbius.md, section 3: it is compared with the contracts, so it must not ask
them. Every function is run once the transaction was mined, in chain order.
"""

from indexer.devnet.arbius import ids
from indexer.devnet.arbius.facts import (
    EARLY,
    V6,
    Claim,
    Contestation,
    Deposit,
    Engine,
    Solution,
    Suggestion,
    Task,
    Validator,
    WithdrawRequest,
)
from indexer.devnet.chain import Block

WHOLE = 10**18
EARLY_PARAMS = {
    "version": 0,
    "validatorMinimumPercentage": 8 * 10**14,
    "slashAmountPercentage": 10**14,
    "solutionFeePercentage": 10**17,
    "retractionFeePercentage": 10**17,
    "treasuryRewardPercentage": 10**17,
    "minClaimSolutionTime": 2000,
    "minRetractionWaitTime": 10_000,
    "minContestationVotePeriodTime": 4000,
    "maxContestationValidatorStakeSince": 120,
    "exitValidatorMinUnlockTime": 86_400,
    "solutionsStakeAmount": 0,
    "startBlockTime": 0,
    "contestationVoteExtensionTime": 0,
    "masterContesterVoteAdder": 0,
}
V5_2_PARAMS = {
    "version": 5,
    "validatorMinimumPercentage": 24 * 10**14,
    "slashAmountPercentage": 10**13,
    "minClaimSolutionTime": 3600,
    "minContestationVotePeriodTime": 360,
    "contestationVoteExtensionTime": 10,
    "exitValidatorMinUnlockTime": 259_200,
    "solutionsStakeAmount": 10**15,
    "solutionRateLimit": WHOLE,
    "taskOwnerRewardPercentage": 10**17,
    "solutionModelFeePercentage": WHOLE,
}
V6_PARAMS = {"version": 6, "masterContesterVoteAdder": 50}


def part(amount: int, percentage: int) -> int:
    """The part `percentage` (of 1e18) of an amount, rounded down as the contract does."""
    return amount * percentage // WHOLE


class Books:
    """The books of one engine. `supply`: all tokens there are."""

    def __init__(self, facts: Engine, supply: int) -> None:
        self.facts = facts
        self.supply = supply

    def slash_amount(self) -> int:
        """What a vote locks now."""
        return part(self.supply - self.facts.reward_pool, self.facts.params["slashAmountPercentage"])

    def submitted(self, task: Task) -> None:
        """A new task: its id must follow from the previous one."""
        facts = self.facts
        previous, model, cid = (bytes.fromhex(text[2:]) for text in (facts.prevhash, task.model, task.cid))
        task.task_id = "0x" + ids.task_id(task.sender, previous, model, task.fee, cid).hex()
        facts.prevhash = task.task_id
        facts.total_held += task.fee
        facts.tasks[task.task_id] = task

    def deposited(self, payer: str, address: str, amount: int, block: Block) -> None:
        """Tokens added to a stake, by anybody."""
        validator = self.facts.validators.setdefault(address, Validator(address, since=block.timestamp))
        validator.staked += amount
        validator.deposits.append(Deposit(payer, amount, block.number))
        self.facts.total_held += amount

    def withdrawal_asked(self, address: str, amount: int, block: Block) -> WithdrawRequest:
        """A request that unlocks after exitValidatorMinUnlockTime."""
        requests = self.facts.validators[address].requests
        unlock = block.timestamp + self.facts.params["exitValidatorMinUnlockTime"]
        requests.append(WithdrawRequest(len(requests) + 1, amount, unlock, block.number))
        return requests[-1]

    def withdrawn(self, address: str, request: WithdrawRequest, to: str) -> None:
        """A request that was paid out."""
        request.state, request.to = "withdrawn", to
        self.facts.validators[address].staked -= request.amount
        self.facts.total_held -= request.amount

    def solved(self, task: Task, validator: str, cid: bytes, route: str, block: Block) -> None:
        """A solution; the solver locks a stake."""
        stake = self.facts.params["solutionsStakeAmount"]
        self.facts.validators[validator].staked -= stake
        task.solution = Solution(validator, "0x" + cid.hex(), stake, route, block.number, block.timestamp)

    def claimed(self, task: Task, by: str, route: str, block: Block) -> None:
        """The solver is paid and gets its stake back."""
        task.claim = Claim(by, route, block.number, block.timestamp)
        self._settle_solution(task, block)

    def retracted(self, task: Task, block: Block) -> None:
        """The owner gets the fee back but for a part."""
        kept = part(task.fee, self.facts.params["retractionFeePercentage"])
        self.facts.accrued_fees += kept
        self.facts.total_held -= task.fee - kept
        task.retracted = block.timestamp

    def suggested(self, task: Task, by: str, block: Block) -> None:
        """A hint, which changes nothing."""
        task.suggestions.append(Suggestion(by, block.number))

    def contested(self, task: Task, contester: str, block: Block) -> None:
        """A contestation with its two automatic votes."""
        assert task.solution is not None
        task.contestation = Contestation(contester, self.slash_amount(), block.number, block.timestamp)
        self.voted(task, contester, True)
        if self.facts.validators[task.solution.validator].staked >= task.contestation.slash_amount:
            self.voted(task, task.solution.validator, False)

    def voted(self, task: Task, voter: str, yea: bool) -> None:
        """A vote; it locks the slash amount of the voter."""
        assert task.contestation is not None
        task.contestation.votes.append((voter, yea))
        self.facts.validators[voter].staked -= task.contestation.slash_amount

    def finished(self, task: Task, amount: int, block: Block) -> None:
        """The votes are counted and `amount` more voters settled; only the first time has an outcome."""
        contestation = task.contestation
        assert contestation is not None
        yeas = sum(yea for _, yea in contestation.votes)
        nays = len(contestation.votes) - yeas
        succeeded = yeas + self.facts.params["masterContesterVoteAdder"] > nays
        start = contestation.finishes[-1][1] if contestation.finishes else 0
        self._settle_votes(contestation, succeeded, start, start + amount)
        if start == 0:
            contestation.outcome, contestation.finished = "succeeded" if succeeded else "failed", block.timestamp
            if succeeded:
                self._refund(task, block)
            else:
                self._settle_solution(task, block)
        contestation.finishes.append((start, start + amount))

    def _settle_votes(self, contestation: Contestation, succeeded: bool, start: int, end: int) -> None:
        winners = [voter for voter, yea in contestation.votes if yea == succeeded]
        added = 0 if succeeded else self.facts.params["masterContesterVoteAdder"]
        total = contestation.slash_amount * (len(contestation.votes) - len(winners) + added)
        first = total - total // 2 if succeeded else total if len(winners) == 1 else total // 2
        for i, winner in list(enumerate(winners))[start:end]:
            self.facts.validators[winner].staked += contestation.slash_amount
            award = first if i == 0 else (total - first) // (len(winners) - 1)
            if self.facts.form == V6:
                self.facts.validators[winner].staked += award
            else:
                self.facts.total_held -= award

    def _refund(self, task: Task, block: Block) -> None:
        """A lost solution: the fee goes back to the owner, the solver's stake to the contester."""
        assert task.contestation is not None
        assert task.solution is not None
        self.facts.validators[task.solution.validator].last_loss = block.timestamp
        self.facts.validators[task.contestation.contester].staked += task.solution.stake
        self.facts.total_held -= task.fee

    def _settle_solution(self, task: Task, block: Block) -> None:
        """Pay an accepted solution: the fee's parts, then what the model mines."""
        facts, solution = self.facts, task.solution
        assert solution is not None
        facts.validators[solution.validator].staked += solution.stake
        model = facts.models[task.model]
        model_fee = model.fee if model.fee <= task.fee else 0
        remaining = task.fee - model_fee
        validator_fee = remaining - part(remaining, facts.params["solutionFeePercentage"])
        mined = (
            part(facts.reward_pool, model.rate) // 600_000 if block.timestamp >= facts.params["startBlockTime"] else 0
        )
        if facts.form == EARLY:
            facts.total_held -= model_fee + validator_fee
            facts.accrued_fees += remaining - validator_fee
            facts.reward_pool -= mined
            return
        percentage = facts.params["solutionModelFeePercentage"] if model.fee_override is None else model.fee_override
        treasury_fee = part(model_fee, percentage)
        facts.accrued_fees += treasury_fee + remaining - validator_fee
        facts.total_held -= model_fee - treasury_fee + validator_fee
        self._pay_validator(solution.validator, validator_fee, mined // 2)

    def _pay_validator(self, validator: str, fee: int, mined: int) -> None:
        """In V6 fee and reward of a validator stay in the engine and raise its stake."""
        facts = self.facts
        treasury, owner = (part(mined, facts.params[f"{who}RewardPercentage"]) for who in ("treasury", "taskOwner"))
        if facts.form == V6:
            # What is credited to a stake leaves totalHeld without a transfer: it counts as the engine's own again.
            facts.validators[validator].staked += fee + mined - treasury - owner
            facts.reward_pool += fee - treasury - owner
        else:
            facts.reward_pool -= mined
