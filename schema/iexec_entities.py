"""Schema `iexec`: the entities, which folds make from the events.

Every table is keyed by chain, hub (`address`) and an id. Fields have the names of the structs of PoCo
(contracts/libs/IexecLibCore_v5.sol) in snake case. A NULL is something that the events read so far do not tell.
"""

from sqlalchemy import Index, func, text

from schema.entities import hex_text
from schema.folds import Fold
from schema.iexec_support import table

categories = table(
    "categories",
    "Kinds of tasks by their time limit, from CreateCategory.",
    "address catid",
    """
    address bytea hub
    catid uint256
    name text
    name_raw bytea the name when it is no valid text
    description text
    description_raw bytea
    work_clock_time_ref uint256 seconds; contribution, reveal and final deadline are 7, 2 and 10 times as long
    last_block int8!
    """,
)

deals = table(
    "deals",
    "Matched orders: a bag of tasks, from OrdersMatched. The columns from app on are of viewDeal.",
    "address dealid",
    """
    address bytea hub
    dealid bytea
    app_hash bytea hash of the app order
    dataset_hash bytea hash of the dataset order; NULL: no dataset
    workerpool_hash bytea hash of the workerpool order
    request_hash bytea hash of the request order
    bot_first uint256 index of the first task; NULL: earlier deals are not known
    bot_size uint256 tasks
    boost bool! made by PoCo Boost
    start_time time time of the block
    workerpool bytea
    workerpool_owner bytea owner when the deal was made
    payer bytea who pays: the sponsor if there is one, else the requester
    sponsor bytea NULL: the requester pays
    price numeric nRLC for the whole deal, locked by the payer
    scheduler_stake numeric nRLC for the whole deal, locked by the owner of the workerpool
    tasks_not_listed numeric! tasks that have no row in iexec.tasks
    completed_tasks int8! of the listed ones
    claimed_tasks int8! of the listed ones
    tx_hash bytea
    block_number int8
    last_block int8!
    app bytea
    app_owner bytea when the deal was made
    app_price uint256 nRLC per task
    dataset bytea
    dataset_owner bytea when the deal was made
    dataset_price uint256 nRLC per task
    workerpool_price uint256 nRLC per task
    trust uint256
    category uint256
    tag bytea
    requester bytea
    beneficiary bytea
    callback bytea
    params text JSON by convention
    params_raw bytea the params when they are no valid text
    worker_stake uint256 nRLC per contribution
    scheduler_reward_ratio uint256 per cent
    enriched_from text calldata, or eth_call@block
    """,
)

tasks = table(
    "tasks",
    "Tasks from UNSET on. The columns from requester on are facts of the deal that enrichment fills in.",
    "address taskid",
    """
    address bytea hub
    taskid bytea
    status int4! 0 UNSET, 1 ACTIVE, 2 REVEALING, 3 COMPLETED, 4 FAILED; TIMEOUT is derived in iexec.v_tasks
    dealid bytea
    idx uint256
    start_time time of the deal; deadlines: start_time + 7 and + 10 timeref, consensus_at + 2 timeref
    deal_block int8 block of the deal
    workerpool bytea
    payer bytea
    fee numeric nRLC: what the payer locked for the deal, divided by its tasks
    initialized_at time
    initialized_block int8
    initialized_tx bytea
    contribution_count int4! contributions read
    contributors bytea[] workers in the order of their contributions; NULL: the beginning is not read
    consensus_value bytea hash that the winners contributed; NULL: none, or reopened since
    consensus_at time
    reveal_counter int4 NULL: the beginning is not read
    winner_counter int4 NULL: the beginning is not read
    reopen_count int4!
    result_digest bytea as revealed
    results bytea
    results_text text the results when they are valid text
    finalized_at time
    finalized_block int8
    finalized_tx bytea
    claimed_at time
    claimed_block int8
    claimed_tx bytea
    last_block int8!
    requester bytea
    app bytea
    category uint256
    timeref uint256 seconds: work_clock_time_ref of the category
    results_callback bytea
    fees numeric nRLC that the payer paid once it was settled
    rewards numeric nRLC of all who were rewarded: workers, pool, app and dataset owners
    """,
)

contributions = table(
    "contributions",
    "What workers contributed to tasks.",
    "address taskid worker",
    """
    address bytea hub
    taskid bytea
    worker bytea
    status text! CONTRIBUTED, PROVED, REJECTED as on chain: losers keep CONTRIBUTED
    state text! submitted, accepted, rejected (task reopened), lost (another result won, or not revealed), expired
    result_hash bytea keccak256(taskid, digest)
    result_digest bytea as revealed
    accurate bool true: AccurateContribution, false: FaultyContribution
    reward numeric nRLC of the worker for this task
    seized numeric nRLC of the worker's stake
    contributed_at time
    contributed_tx bytea
    revealed_at time
    settled_at time when the task was finalized or claimed
    first_block int8!
    last_block int8!
    result_seal bytea
    enclave_challenge bytea
    weight uint256 binary logarithm
    """,
)

accounts = table(
    "accounts",
    "Accounts of the hub's ledger (SRLC).",
    "address owner",
    """
    address bytea hub
    owner bytea
    stake numeric! nRLC that are free
    locked numeric! nRLC that are frozen in deals and contributions
    last_block int8!
    """,
)

workers = table(
    "workers",
    "Workers that AccurateContribution or FaultyContribution named.",
    "address worker",
    """
    address bytea hub
    worker bytea
    score numeric! + 1 per accurate, floor of two thirds per faulty contribution
    accurate int8!
    faulty int8!
    last_block int8!
    """,
)

_ENTRY = """
    address bytea hub
    {} bytea
    registry bytea! contract that keeps the owners
    owner bytea
    created_at time
    created_block int8
    created_tx bytea
    last_block int8!
"""

apps = table("apps", "Apps, from their registry.", "address app", _ENTRY.format("app"))

datasets = table("datasets", "Datasets, from their registry.", "address dataset", _ENTRY.format("dataset"))

workerpools = table(
    "workerpools",
    "Workerpools, from their registry, with their policies.",
    "address workerpool",
    _ENTRY.format("workerpool")
    + """
    worker_stake_ratio_policy uint256 per cent; NULL: never changed since reading began
    scheduler_reward_ratio_policy uint256 per cent; NULL: never changed since reading began
    """,
)

orders = table(
    "orders",
    "Orders that were signed, closed, matched or broadcast on chain.",
    "address hash",
    """
    address bytea hub
    hash bytea
    kind text! app, dataset, workerpool, request
    signed_at time
    closed_at time
    matched_volume numeric! tasks of the deals that used it
    deals int8! deals that used it
    consumed numeric as viewConsumed says: matched_volume, the whole volume once closed; NULL: closed and never shown
    volume numeric tasks that the order offers or asks for; NULL: never broadcast
    broadcast jsonb the order as broadcast; anyone can broadcast any order
    broadcast_at time
    last_block int8!
    """,
)

Index(None, deals.c.workerpool)
Index(None, tasks.c.start_time)
Index("ix_tasks_status", tasks.c.status, tasks.c.start_time, postgresql_where=text("status <> 3"))
Index("ix_tasks_taskid_hex", hex_text(tasks.c.taskid))
Index("ix_tasks_payer_hex", hex_text(tasks.c.payer), tasks.c.start_time)
for _fact in (tasks.c.requester, tasks.c.app):
    _known = text(f"{_fact.name} IS NOT NULL")
    Index(f"ix_tasks_{_fact.name}_hex", hex_text(_fact), tasks.c.start_time, postgresql_where=_known)
Index("ix_tasks_fee", tasks.c.fee, tasks.c.start_time)
Index("ix_tasks_last_block", tasks.c.last_block)
FINISHED = func.coalesce(tasks.c.finalized_at, tasks.c.claimed_at)
Index("ix_tasks_ended", FINISHED, postgresql_where=FINISHED.is_not(None))
_REWARDED = contributions.c.reward, contributions.c.contributed_at
Index("ix_contributions_reward", *_REWARDED, postgresql_where=text("reward IS NOT NULL"))
Index("ix_contributions_settled_at", contributions.c.settled_at, postgresql_where=text("settled_at IS NOT NULL"))
_LIVE, _OPEN = text("status < 3"), text("settled_at IS NULL")
Index("ix_tasks_live", tasks.c.start_time, postgresql_where=_LIVE)
for _whose in (tasks.c.requester, tasks.c.payer):
    Index(f"ix_tasks_live_{_whose.name}", hex_text(_whose), tasks.c.start_time, postgresql_where=_LIVE)
Index("ix_contributions_open", contributions.c.contributed_at, postgresql_where=_OPEN)
_FAILED = text("state IN ('rejected', 'lost', 'expired')")
Index("ix_contributions_state", contributions.c.state, contributions.c.contributed_at, postgresql_where=_FAILED)
_MADE = hex_text(contributions.c.worker), contributions.c.contributed_at
Index("ix_contributions_open_by", *_MADE, postgresql_where=_OPEN)
for _table, _newest, _lacking in (
    (deals, "block_number", "enriched_from IS NULL"),
    (contributions, "first_block", "weight IS NULL"),
    (tasks, "finalized_block", "finalized_at IS NOT NULL AND results_callback IS NULL"),
):
    _place = (_table.c.chain_id, _table.c[_newest])
    Index(f"ix_{_table.name}_to_enrich", *_place, postgresql_where=text(_lacking))
Index("ix_tasks_to_date", tasks.c.chain_id, tasks.c.dealid, postgresql_where=text("timeref IS NULL"))
Index("ix_contributions_taskid_hex", hex_text(contributions.c.taskid))
Index("ix_contributions_worker_hex", hex_text(contributions.c.worker), contributions.c.contributed_at)
Index(None, contributions.c.contributed_at)
_WORKED = func.coalesce(contributions.c.settled_at, contributions.c.contributed_at)
Index("ix_contributions_worked", contributions.c.chain_id, contributions.c.worker, _WORKED)  # when it worked last

FOLDS: tuple[Fold, ...] = (
    Fold(categories, "catid"),
    Fold(apps, "app"),
    Fold(datasets, "dataset"),
    Fold(workerpools, "workerpool"),
    Fold(orders, "hash"),
    Fold(deals, "dealid", frozenset(c.name for c in list(deals.c)[deals.c.keys().index("app") :])),
    Fold(tasks, "taskid", frozenset({"requester", "app", "category", "timeref", "results_callback"})),
    Fold(contributions, "taskid", frozenset({"result_seal", "enclave_challenge", "weight"})),
    Fold(accounts, "owner"),
    Fold(workers, "worker"),
)
"""The entities in the order in which they are folded."""
