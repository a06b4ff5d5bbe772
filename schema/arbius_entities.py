"""Schema `arbius`: what became of tasks, solutions, contestations, votes, models, validators and parameters.

Columns have the names of the engine's struct fields where there is one.
"""

from sqlalchemy import BigInteger, Index, cast, func, literal_column, text

from schema.base import metadata
from schema.entities import entity, hex_text

TOKEN = "smallest unit of the engine's token (18 decimals)"
SECONDS = "seconds"
SHARE = "1e18 is 100 %"

_STAGE = "what the task's own events tell; time and losses refine it: open, retracted, solved, contested, claimed, "
_STAGE += "contestation_succeeded, contestation_failed, finished (outcome unknown: reading began later)"

tasks = entity(
    metadata,
    "arbius.tasks",
    "task_id bytea",
    f"""
    model bytea
    fee amount {TOKEN}
    owner bytea whom the task belongs to; not the sender (enriched)
    blocktime time when it was submitted
    version int version of the input, given by the submitter (enriched)
    cid bytea IPFS hash of the input (enriched)
    input_size int bytes of the input, which arbius.task_facts holds (enriched)
    sender bytea who called the engine: a router or bulk contract, if one was used
    submitted_block int8
    submitted_log_index int
    submitted_tx bytea
    retracted_block int8
    retracted_at time
    suggestions int! ContestationSuggested events
    solution_validator bytea
    solution_block int8
    solution_blocktime time
    claimed_block int8
    claimed_at time
    contester bytea
    contested_block int8
    contested_at time
    yeas int votes for the contestation
    nays int votes for the solution
    finished_block int8 first ContestationVoteFinish: it decides
    finished_at time
    outcome text of the contestation: succeeded or failed
    settled int8 votes that are paid off, counted from the first
    stage text! {_STAGE}
    last_block int8! block of its newest event
    last_at time!
    """,
    "One row per task of an engine, with what became of it.",
)
Index("ix_tasks_task_id_hex", hex_text(tasks.c.task_id))
Index("ix_tasks_sender_hex", hex_text(tasks.c.sender), tasks.c.blocktime)
Index("ix_tasks_model_hex", hex_text(tasks.c.model), tasks.c.blocktime)
Index("ix_tasks_owner_hex", hex_text(tasks.c.owner), tasks.c.blocktime, postgresql_where=text("owner IS NOT NULL"))
Index("ix_tasks_blocktime", tasks.c.blocktime)
_NOT_CLAIMED = text("stage <> 'claimed'")  # what most tasks come to is found without an index on stages
Index("ix_tasks_stage", tasks.c.stage, tasks.c.blocktime, postgresql_where=_NOT_CLAIMED)
for _who in (tasks.c.sender, tasks.c.model):
    _columns = hex_text(_who), tasks.c.stage, tasks.c.blocktime
    Index(f"ix_tasks_{_who.name}_stage", *_columns, postgresql_where=_NOT_CLAIMED)

Index("ix_tasks_to_enrich", tasks.c.chain_id, tasks.c.submitted_block, postgresql_where=text("input_size IS NULL"))
for _name, _when, _back in (
    ("refunded", tasks.c.finished_at, text("outcome = 'succeeded'")),
    ("retracted_at", tasks.c.retracted_at, text("retracted_at IS NOT NULL")),
):
    Index(f"ix_tasks_{_name}", _when, postgresql_where=_back)
    Index(f"ix_tasks_owner_{_name}", hex_text(tasks.c.owner), _when, postgresql_where=_back)
# What any number of rows share is found with its newest ones; what few share at a time needs no time beside it.
Index("ix_tasks_fee", tasks.c.fee, tasks.c.blocktime)
Index("ix_tasks_solved_fee", tasks.c.fee, postgresql_where=text("stage = 'solved'"))  # gains of claims
Index("ix_tasks_last_block", tasks.c.last_block)
FINISHED = func.coalesce(tasks.c.finished_at, tasks.c.claimed_at, tasks.c.retracted_at)
Index("ix_tasks_ended", FINISHED, postgresql_where=FINISHED.is_not(None))  # written once a task
Index("ix_tasks_refunded_fee", tasks.c.fee, postgresql_where=text("outcome = 'succeeded'"))
Index("ix_tasks_retracted_fee", tasks.c.fee, postgresql_where=text("retracted_at IS NOT NULL"))
_SUGGESTED = text("stage = 'solved' AND solution_blocktime IS NULL")  # contested before the solution was read
Index("ix_tasks_suggested", tasks.c.last_at, postgresql_where=_SUGGESTED)

solutions = entity(
    metadata,
    "arbius.solutions",
    "task_id bytea",
    f"""
    validator bytea the solver
    blocktime time when it was submitted
    claimed bool! by SolutionClaimed; stays false when a failed contestation paid it
    cid bytea IPFS hash of the result (enriched)
    stake amount locked by the solver, {TOKEN} (enriched)
    submitted_block int8
    submitted_tx bytea
    claimed_block int8
    claimed_at time
    contested_at time
    finished_at time first ContestationVoteFinish
    outcome text of the contestation: succeeded or failed
    paid_block int8 block of its FeesPaid (V5 and later)
    paid_log_index int
    paid_at time
    model_fee amount {TOKEN}, of which treasury_fee goes to the treasury, the rest to the model's address
    treasury_fee amount {TOKEN}
    remaining_fee amount {TOKEN}, of which validator_fee goes to the solver, the rest to the treasury
    validator_fee amount {TOKEN}
    rewarded_log_index int of its RewardsPaid, if there is one
    total_rewards amount {TOKEN}; half of the emission
    treasury_reward amount {TOKEN}
    task_owner_reward amount {TOKEN}
    validator_reward amount {TOKEN}
    stage text! as in arbius.tasks
    last_block int8! block of its newest event
    last_at time!
    """,
    "One row per solution, with what was paid for it; FeesPaid and RewardsPaid of V5 are matched by their place.",
)
Index("ix_solutions_task_id_hex", hex_text(solutions.c.task_id))
Index("ix_solutions_validator_hex", hex_text(solutions.c.validator), solutions.c.blocktime)
Index("ix_solutions_blocktime", solutions.c.blocktime)
Index("ix_solutions_stage", solutions.c.stage, solutions.c.blocktime, postgresql_where=_NOT_CLAIMED)
_BY_STAGE = hex_text(solutions.c.validator), solutions.c.stage, solutions.c.blocktime
Index("ix_solutions_validator_stage", *_BY_STAGE, postgresql_where=_NOT_CLAIMED)
Index("ix_solutions_to_enrich", solutions.c.chain_id, solutions.c.submitted_block, postgresql_where=text("cid IS NULL"))

RELEASED = func.coalesce(solutions.c.paid_at, solutions.c.claimed_at, solutions.c.finished_at)
Index("ix_solutions_validator_released", hex_text(solutions.c.validator), RELEASED)
Index("ix_solutions_paid", RELEASED, postgresql_where=text("paid_at IS NOT NULL"))
_REWARDED = text("rewarded_log_index IS NOT NULL")
Index("ix_solutions_rewarded", RELEASED, postgresql_where=_REWARDED)
Index("ix_solutions_validator_rewarded", hex_text(solutions.c.validator), RELEASED, postgresql_where=_REWARDED)
SETTLED = func.coalesce(solutions.c.finished_at, solutions.c.claimed_at)
Index("ix_solutions_settled", SETTLED, postgresql_where=SETTLED.is_not(None))
REWARD = solutions.c.validator_fee + func.coalesce(solutions.c.validator_reward, literal_column("0"))
Index("ix_solutions_reward", REWARD, solutions.c.blocktime, postgresql_where=text("validator_fee IS NOT NULL"))
_STAKED = "stake > 0::numeric"  # in many engines no solution locks one: no page may look for it in all of them
Index("ix_solutions_staked", solutions.c.blocktime, postgresql_where=text(_STAKED))
Index("ix_solutions_stake", solutions.c.stake, postgresql_where=text(_STAKED))
_BACK = text(f"{_STAKED} AND (paid_at IS NOT NULL OR claimed OR outcome = 'failed')")
Index("ix_solutions_released", RELEASED, postgresql_where=_BACK)
_DEFENDED = text(f"{_STAKED} AND NOT claimed AND (paid_at IS NOT NULL OR outcome = 'failed')")
Index("ix_solutions_defended", RELEASED, postgresql_where=_DEFENDED)
Index("ix_solutions_validator_defended", hex_text(solutions.c.validator), RELEASED, postgresql_where=_DEFENDED)
_SLASHED = text(f"{_STAKED} AND outcome = 'succeeded'")
Index("ix_solutions_slashed", solutions.c.finished_at, postgresql_where=_SLASHED)
_LOSER = hex_text(solutions.c.validator), solutions.c.finished_at
Index("ix_solutions_validator_slashed", *_LOSER, postgresql_where=_SLASHED)

contestations = entity(
    metadata,
    "arbius.contestations",
    "task_id bytea",
    f"""
    validator bytea the contester
    blocktime time when it was opened
    finish_start_index int8 votes that are paid off, counted from the first
    slash_amount amount what each vote locks, {TOKEN} (enriched)
    solver bytea whose solution is contested
    submitted_block int8
    submitted_tx bytea
    yeas int!
    nays int!
    first_vote_at time
    last_vote_at time
    finished_block int8 first ContestationVoteFinish (start index 0): it decides
    finished_log_index int
    finished_tx bytea
    finished_at time
    vote_adder int8 yeas added at the finish by the rules of the engine's version then
    outcome text succeeded if yeas and adder outnumber nays, else failed; unknown if reading began later
    finishes int! ContestationVoteFinish events
    last_block int8! block of its newest event
    last_at time!
    """,
    "One row per contested task.",
)
Index(
    "ix_contestations_losses",
    *(contestations.c[name] for name in ("chain_id", "address", "solver", "finished_at")),
    postgresql_where=text("outcome = 'succeeded'"),
)
Index("ix_contestations_blocktime", contestations.c.blocktime)
Index("ix_contestations_task_id_hex", hex_text(contestations.c.task_id))
for _who in (contestations.c.validator, contestations.c.solver):
    Index(f"ix_contestations_{_who.name}_hex", hex_text(_who), contestations.c.blocktime)
YEAS, NAYS = (cast(contestations.c[name], BigInteger) for name in ("yeas", "nays"))  # as arbius.v_disputes shows them
Index("ix_contestations_yeas", YEAS, contestations.c.blocktime)
Index("ix_contestations_nays", NAYS, contestations.c.blocktime)
Index("ix_contestations_finished_at", contestations.c.finished_at)
Index("ix_contestations_outcome", contestations.c.outcome, contestations.c.blocktime)
_PLACE = (contestations.c[name] for name in ("chain_id", "address", "task_id"))
Index("ix_contestations_slash", *_PLACE, postgresql_where=text("slash_amount > 0::numeric"))
_UNSETTLED = "outcome IS NOT NULL AND finish_start_index < CASE outcome WHEN 'succeeded' THEN yeas ELSE nays END"
_LOST = text("outcome IS NOT NULL AND slash_amount > 0::numeric")
Index("ix_contestations_slashed", contestations.c.finished_at, postgresql_where=_LOST)
Index("ix_contestations_unsettled", contestations.c.blocktime, postgresql_where=text(_UNSETTLED))

votes = entity(
    metadata,
    "arbius.votes",
    "task_id bytea, voter bytea",
    """
    yea bool! true: against the solution
    block_number int8!
    log_index int!
    blocktime time!
    tx_hash bytea!
    """,
    "One row per vote on a contestation, the automatic votes of contester and solver included.",
)
Index("ix_votes_blocktime", votes.c.blocktime)
Index("ix_votes_task_id_hex", hex_text(votes.c.task_id))
Index("ix_votes_voter_hex", hex_text(votes.c.voter), votes.c.blocktime)

vote_payments = entity(
    metadata,
    "arbius.vote_payments",
    "task_id bytea, voter bytea, kind text, block_number int8, log_index int",
    f"""
    block_time time!
    amount sum! {TOKEN}
    """,
    "What a vote locked, lost, got back and won, by arbius.paid_by_votes, kept by triggers as soon as it is known.",
)
Index("ix_vote_payments_kind", vote_payments.c.kind, vote_payments.c.block_time)
Index("ix_vote_payments_voter_hex", hex_text(vote_payments.c.voter), vote_payments.c.kind, vote_payments.c.block_time)
Index("ix_vote_payments_task_id_hex", hex_text(vote_payments.c.task_id))
Index("ix_vote_payments_kind_amount", vote_payments.c.kind, vote_payments.c.amount)

models = entity(
    metadata,
    "arbius.models",
    "model_id bytea",
    f"""
    fee amount set by the newest ModelFeeChanged, {TOKEN}; NULL as long as registered_fee holds
    addr bytea who earns the fee, by the newest ModelAddrChanged; NULL as long as registered_addr holds
    rate amount mineable rate; 1e18 is the full reward; 0 at first
    cid bytea IPFS hash of the template (enriched)
    registered_fee amount {TOKEN} (enriched)
    registered_addr bytea (enriched)
    registered_block int8
    registered_at time
    registered_tx bytea
    requires_allow_list bool false once an event has lifted it; NULL: no event has told
    last_block int8! block of its newest event
    last_at time!
    """,
    "One row per model of an engine.",
)
Index("ix_models_model_id_hex", hex_text(models.c.model_id))

validators = entity(
    metadata,
    "arbius.validators",
    "validator bytea",
    f"""
    staked amount {TOKEN} (enriched)
    since time when the stake last became enough (enriched)
    deposits int!
    deposited amount! by anyone for it, {TOKEN}
    withdrawals int!
    withdrawn amount! {TOKEN}
    pending_withdrawals int! requests neither withdrawn nor cancelled
    pending amount! sum of their amounts, {TOKEN}
    first_block int8! block of its oldest deposit or withdrawal
    first_at time!
    last_block int8!
    last_at time!
    """,
    "One row per validator with a deposit or withdrawal. Stakes also move without events: see staked.",
)

withdraw_requests = entity(
    metadata,
    "arbius.withdraw_requests",
    "validator bytea, count amount",
    f"""
    amount amount {TOKEN}
    unlock_time amount Unix time in seconds
    unlock_at time the same; infinity beyond PostgreSQL's range
    state text! pending, cancelled or withdrawn
    to bytea who got the amount
    initiated_block int8
    initiated_at time
    ended_block int8 of the withdrawal or cancellation
    ended_at time
    """,
    "One row per request of a validator to withdraw stake, numbered by the engine from 1.",
)

parameters = entity(
    metadata,
    "arbius.parameters",
    "since_block int8",
    f"""
    since_at time!
    initialized int newest Initialized: 1 V1, 3 V3, 4 V4 (Nova: V3_Withdraw), 5 V4_1, 6 V5, 7 V5_1, 8 V5_2, 9 V6
    implementation bytea code behind the proxy
    version amount by VersionChanged, or as V4, V5 and V6 set it silently
    min_claim_solution_time amount {SECONDS}
    min_contestation_vote_period_time amount {SECONDS}
    contestation_vote_extension_time amount {SECONDS} per vote; 0 before V3
    min_retraction_wait_time amount {SECONDS}
    max_contestation_validator_stake_since amount {SECONDS}
    exit_validator_min_unlock_time amount {SECONDS}
    validator_minimum_percentage amount {SHARE}
    slash_amount_percentage amount {SHARE}
    solution_fee_percentage amount {SHARE}
    retraction_fee_percentage amount {SHARE}
    treasury_reward_percentage amount {SHARE}
    task_owner_reward_percentage amount {SHARE}
    solution_model_fee_percentage amount part of model fees for the treasury; {SHARE}
    solutions_stake_amount amount {TOKEN}
    solution_rate_limit amount 1e18 is one second per solution
    master_contester_vote_adder amount yeas added to a contestation; 0 before V6
    master_contester_registry bytea
    loss_blocks_claims bool! whether a lost contestation makes earlier solutions unclaimable (V2_EngineV2 and later)
    start_block_time amount Unix time in seconds
    paused bool
    pauser bytea
    treasury bytea
    owner bytea
    """,
    "Parameters of an engine from the end of since_block on, the values that an upgrade sets without event included.",
)
