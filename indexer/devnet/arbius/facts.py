"""What was done on the Arbius engines: the part of the devnet's ledger that is about tasks, models and validators.

Hex values are lower-case text with `0x`, amounts are in the token's smallest unit, times are Unix seconds.
The shape follows the `truth` of the recordings, the names those of the protocol (arbius.md, section 2).
"""

import msgspec

EARLY, V5_2, V6 = "early", "V5_2", "V6"


class Model(msgspec.Struct):
    """A model as it is now. `allow`: who may solve, None if anybody; `fee_override`: parts of 1e18, None if none."""

    model_id: str
    registrant: str
    addr: str
    fee: int
    cid: str
    template: str
    block: int
    rate: int = 0
    allow: list[str] | None = None
    fee_override: int | None = None


class Deposit(msgspec.Struct, frozen=True):
    """Tokens that `payer` added to a validator's stake."""

    payer: str
    amount: int
    block: int


class WithdrawRequest(msgspec.Struct):
    """`count` numbers a validator's requests from 1; `state`: pending, cancelled, withdrawn (`to` whom)."""

    count: int
    amount: int
    unlock_time: int
    block: int
    state: str = "pending"
    to: str | None = None


class Validator(msgspec.Struct):
    """A validator with its stake as it is now; `since`: time of the first deposit; `last_loss`: 0 if never."""

    address: str
    since: int = 0
    staked: int = 0
    last_loss: int = 0
    deposits: list[Deposit] = msgspec.field(default_factory=list)
    requests: list[WithdrawRequest] = msgspec.field(default_factory=list)

    def pending(self) -> int:
        """Sum of the requests that wait."""
        return sum(request.amount for request in self.requests if request.state == "pending")


class Commitment(msgspec.Struct, frozen=True):
    """`by`: who signalled it, the bulk contract at times."""

    hash: str
    by: str
    block: int


class Solution(msgspec.Struct, frozen=True):
    """`stake`: what the solver locked; `route`: single or bulk."""

    validator: str
    cid: str
    stake: int
    route: str
    block: int
    blocktime: int


class Claim(msgspec.Struct, frozen=True):
    """`by`: the account that paid for the transaction; `route`: single or contract."""

    by: str
    route: str
    block: int
    blocktime: int


class Contestation(msgspec.Struct):
    """`votes` in their order with the two automatic ones; `finishes` as (start, end); `outcome` at the first finish."""

    contester: str
    slash_amount: int
    block: int
    blocktime: int
    votes: list[tuple[str, bool]] = msgspec.field(default_factory=list)
    finishes: list[tuple[int, int]] = msgspec.field(default_factory=list)
    outcome: str | None = None
    finished: int = 0


class Suggestion(msgspec.Struct, frozen=True):
    """Somebody's hint (V6) that a solution should be contested."""

    by: str
    block: int


class Task(msgspec.Struct):
    """One task. `route`: single, bulk, router or contract; `fate`: what the traffic means it to become.

    `version` is the number that the submitter chose, `engine_version` the form of the engine at that time.
    """

    task_id: str
    engine: str
    engine_version: str
    fate: str
    route: str
    sender: str
    tx_from: str
    owner: str
    model: str
    fee: int
    version: int
    input: str
    cid: str
    block: int
    blocktime: int
    tx: str = ""
    log_index: int = -1
    state: str = "open"
    commitment: Commitment | None = None
    solution: Solution | None = None
    claim: Claim | None = None
    contestation: Contestation | None = None
    retracted: int | None = None
    suggestions: list[Suggestion] = msgspec.field(default_factory=list)


class Upgrade(msgspec.Struct, frozen=True):
    """From `block` on (its last transaction) the engine has this form."""

    block: int
    version: str
    implementation: str


class Engine(msgspec.Struct):
    """One engine. `params` by the names of the getters; `contracts`: role -> address of token, router, bulk …"""

    name: str
    address: str
    contracts: dict[str, str]
    start_block: int = 0
    form: str = EARLY
    owner: str = ""
    pauser: str = ""
    treasury: str = ""
    prevhash: str = "0x" + 32 * "00"
    accrued_fees: int = 0
    total_held: int = 0
    reward_pool: int = 0
    params: dict[str, int] = msgspec.field(default_factory=dict)
    upgrades: list[Upgrade] = msgspec.field(default_factory=list)
    models: dict[str, Model] = msgspec.field(default_factory=dict)
    validators: dict[str, Validator] = msgspec.field(default_factory=dict)
    tasks: dict[str, Task] = msgspec.field(default_factory=dict)

    def cooldown(self) -> int:
        """Seconds after a lost contestation in which nothing is accepted from the loser."""
        return self.params["minClaimSolutionTime"] + self.params["minContestationVotePeriodTime"]

    def deadline(self, contestation: Contestation) -> int:
        """First second at which the votes may be counted."""
        period = contestation.blocktime + self.params["minContestationVotePeriodTime"]
        extension = self.params["contestationVoteExtensionTime"] * len(contestation.votes)
        return period if self.form == EARLY else period + extension + 1

    def state(self, task: Task, at: int) -> str:
        """The state of a task at Unix time `at`, by the rules of arbius.md, section 3. One of ten words."""
        if task.retracted is not None:
            return "retracted"
        if task.solution is None:
            return "open"
        if task.contestation is not None:
            return self._contested(task.contestation, at)
        if task.claim is not None:
            return "claimed"
        solved, loss = task.solution.blocktime, self.validators[task.solution.validator].last_loss
        if at <= solved + self.params["minClaimSolutionTime"]:
            return "challengeable"
        return "forfeited" if solved <= loss + self.cooldown() else "claimable"

    def _contested(self, contestation: Contestation, at: int) -> str:
        if contestation.outcome is not None:
            return f"contestation_{contestation.outcome}"
        return "awaiting_finish" if at >= self.deadline(contestation) else "voting"


class Arbius(msgspec.Struct):
    """All engines by name, as of the block `head`, whose time the tasks' `state` is for."""

    engines: dict[str, Engine] = msgspec.field(default_factory=dict)
    head: int = 0
    head_timestamp: int = 0
