"""Orders matched to deals; the deals' tasks set going; what is left over claimed."""

from collections.abc import Callable
from dataclasses import dataclass

from indexer.devnet.abi import ZERO_ADDRESS, ZERO_HASH
from indexer.devnet.chain import Tx
from indexer.devnet.ledger import ACTIVE, REVEALING, UNSET, ZERO_HASH_TEXT, Deal, Entry, Task
from indexer.devnet.offers import (
    ENDLESS,
    TEE_TAG,
    app_order,
    dataset_order,
    enter,
    ready,
    request_order,
    standing_offer,
    workerpool_order,
)
from indexer.devnet.orders import (
    NO_DATASET,
    AppOrder,
    DatasetOrder,
    RequestOrder,
    WorkerpoolOrder,
    deal_id,
    task_id,
)
from indexer.devnet.work import NEVER_STARTED, make_job, work
from indexer.devnet.world import RLC, Flow, World


@dataclass(frozen=True)
class Plan:
    """One request order and the flow of each of its tasks.

    `replicated`: a trust that no single worker reaches. `split`: the request is matched by two deals.
    `new_pool`: the workerpool is created in the block of the match. `claims`: what is left over is claimed.
    """

    flows: tuple[str, ...]
    category: int = 0
    replicated: bool = False
    tee: bool = False
    callback: bool = False
    dataset: bool = False
    free: bool = False
    sponsored: bool = False
    presigned: bool = False
    split: bool = False
    new_pool: bool = False
    claims: bool = True


@dataclass
class Match:
    """Four orders that fit together, ready to be matched, and what must come before them in the block."""

    app: AppOrder
    dataset: DatasetOrder
    workerpool: WorkerpoolOrder
    request: RequestOrder
    before: list[Tx]


def run_deal(world: World, plan: Plan) -> Flow:
    """A request from its orders to the last claim."""
    total = len(plan.flows)
    sizes = [total - total // 2, total // 2] if plan.split and total > 1 else [total]
    match = _make_match(world, plan, sizes[0])
    deals: list[tuple[Deal, list[Task]]] = []
    for size in sizes:
        first = sum(deal.bot_size for deal, _ in deals)
        if first:
            match.workerpool, match.before = _renewed(world, match.workerpool), []
        deal = _predict(world, match, size, first, world.person("sponsor") if plan.sponsored else None)
        tasks = _tasks(deal, plan.flows[first : first + size])
        yield [*match.before, _match_tx(world, match, deal, tasks)]
        yield from _start(world, deal, tasks)
        deals.append((deal, tasks))
    for deal, tasks in deals if plan.claims else []:
        yield from _claim_leftovers(world, deal, tasks)


def _make_match(world: World, plan: Plan, size: int) -> Match:
    rng, before = world.rng, list[Tx]()
    pool = _new_pool(world, before) if plan.new_pool else rng.choice(world.entries("workerpool"))
    top = 0 if plan.free else RLC
    trust = _unreachable_trust(world) if plan.replicated else rng.choice((0, 1))
    presigning = before if plan.presigned else None
    datasetorder = NO_DATASET
    if plan.dataset:
        dataset = rng.choice(world.entries("dataset"))
        offer = dataset_order(world, dataset, rng.randint(0, top))
        datasetorder = ready(world, offer, dataset.owner, presigning)
    offered = workerpool_order(world, pool, rng.randint(top // 10, 40 * top), size, plan.category, trust)
    poolorder = ready(world, offered, pool.owner, presigning)
    apporder = _app_offer(world, plan, presigning)
    targets = (world.poco.callback_target, world.people["oracle"][0])
    request = request_order(
        world,
        apporder,
        datasetorder,
        poolorder,
        requester=world.person("requester"),
        volume=len(plan.flows),
        callback=rng.choice(targets) if plan.callback else ZERO_ADDRESS,
    )
    return Match(apporder, datasetorder, poolorder, ready(world, request, request.requester, presigning), before)


def _app_offer(world: World, plan: Plan, presigning: list[Tx] | None) -> AppOrder:
    app = world.rng.choice(world.entries("app"))
    if not (plan.tee or plan.free or plan.presigned):
        return standing_offer(world, app)
    price, tag = 0 if plan.free else world.rng.randint(0, RLC), TEE_TAG if plan.tee else ZERO_HASH
    return ready(world, app_order(world, app, price, tag=tag), app.owner, presigning)


def _new_pool(world: World, before: list[Tx]) -> Entry:
    """A workerpool that is created, changed and used in one block."""
    name = f"pool-{len(world.entries('workerpool'))}"
    address, creation = world.create("workerpool", world.person("scheduler"), name)
    pool = world.ledger.entries[address]
    before += [creation, world.change_policy(pool, world.rng.randint(20, 50), world.rng.randint(1, 10))]
    return pool


def _unreachable_trust(world: World) -> int:
    """More than the weight of any one worker, so that at least two must agree."""
    weights = [max(world.model.account(worker).score // 3, 3) - 1 for worker in world.people["worker"]]
    return max(weights) + world.rng.randint(1, 3)


def _renewed(world: World, order: WorkerpoolOrder) -> WorkerpoolOrder:
    """The same offer once more, without end; the request's own volume limits the deal."""
    again = order._replace(volume=ENDLESS, salt=world.random_bytes(32), sign=b"")
    return ready(world, again, _owner(world, order.workerpool), None)


def _owner(world: World, entry: str) -> str:
    return world.ledger.entries[entry].owner


def _predict(world: World, match: Match, size: int, first: int, sponsor: str | None) -> Deal:
    """The deal that the match will make in the block that is being filled."""
    pool, request = world.ledger.entries[match.workerpool.workerpool], match.request
    has_dataset = match.dataset != NO_DATASET
    request_hash = enter(world, request)
    timeref = world.ledger.categories[request.category].work_clock_time_ref
    return Deal(
        deal_id="0x" + deal_id(bytes.fromhex(request_hash[2:]), first).hex(),
        app=match.app.app,
        app_owner=_owner(world, match.app.app),
        app_price=match.app.appprice,
        dataset=match.dataset.dataset,
        dataset_owner=_owner(world, match.dataset.dataset) if has_dataset else ZERO_ADDRESS,
        dataset_price=match.dataset.datasetprice,
        workerpool=pool.address,
        workerpool_owner=pool.owner,
        workerpool_price=match.workerpool.workerpoolprice,
        trust=max(request.trust, 1),
        category=request.category,
        tag="0x" + request.tag.hex(),
        requester=request.requester,
        beneficiary=request.beneficiary,
        callback=request.callback,
        params=request.params,
        start_time=world.now,
        bot_first=first,
        bot_size=size,
        worker_stake=match.workerpool.workerpoolprice * pool.worker_stake_ratio // 100,
        scheduler_reward_ratio=pool.scheduler_reward_ratio,
        sponsor=sponsor or request.requester,
        sponsored=sponsor is not None,
        app_hash=enter(world, match.app),
        dataset_hash=enter(world, match.dataset) if has_dataset else ZERO_HASH_TEXT,
        workerpool_hash=enter(world, match.workerpool),
        request_hash=request_hash,
        final_time=world.now + 10 * timeref,
        block_number=world.chain.head.number + 1,
    )


def _tasks(deal: Deal, flows: tuple[str, ...]) -> list[Task]:
    identity = bytes.fromhex(deal.deal_id[2:])
    indices = range(deal.bot_first, deal.bot_first + deal.bot_size)
    return [
        Task("0x" + task_id(identity, idx).hex(), deal.deal_id, idx, flow)
        for idx, flow in zip(indices, flows, strict=True)
    ]


def _match_tx(world: World, match: Match, deal: Deal, tasks: list[Task]) -> Tx:
    def effect() -> None:
        world.model.match(deal)
        world.ledger.tasks.update((task.task_id, task) for task in tasks)

    sender, function = (deal.sponsor, "sponsorMatchOrders") if deal.sponsored else (deal.requester, "matchOrders")
    orders = (match.app, match.dataset, match.workerpool, match.request)
    return world.hub(sender, function, *(tuple(order) for order in orders), effect=effect)


def _start(world: World, deal: Deal, tasks: list[Task]) -> Flow:
    started = [task for task in tasks if task.flow != NEVER_STARTED]
    if len(started) > 1 and world.rng.random() < 0.3:
        begin = _all(world.model.initialize, started)
        yield [world.hub(deal.workerpool_owner, "initializeArray", *_array(deal, started), effect=begin)]
    world.spawned += [work(make_job(world, deal, task)) for task in started]


def _claim_leftovers(world: World, deal: Deal, tasks: list[Task]) -> Flow:
    """Claim what nobody finished, once the deal's time is over; some try too early and are refused."""
    early = [task for task in tasks if task.flow == "idle"]
    if early and world.now < deal.final_time:
        yield [world.hub_refused(deal.requester, "claim", bytes.fromhex(early[0].task_id[2:]))]
    yield deal.final_time
    left = [task for task in tasks if task.status in (ACTIVE, REVEALING)]
    ids = [bytes.fromhex(task.task_id[2:]) for task in left]
    claimed = _all(world.model.claim, left)
    if len(left) == 1:
        yield [world.hub(deal.requester, "claim", ids[0], effect=claimed)]
    elif left:
        yield [world.hub(deal.requester, "claimArray", ids, effect=claimed)]
    if unset := [task for task in tasks if task.status == UNSET]:

        def effect() -> None:
            for task in unset:
                world.model.initialize(task)
                world.model.claim(task)

        yield [world.hub(world.person("requester"), "initializeAndClaimArray", *_array(deal, unset), effect=effect)]


def _array(deal: Deal, tasks: list[Task]) -> tuple[list[bytes], list[int]]:
    return [bytes.fromhex(deal.deal_id[2:])] * len(tasks), [task.idx for task in tasks]


def _all(transition: Callable[[Task], None], tasks: list[Task]) -> Callable[[], None]:
    def effect() -> None:
        for task in tasks:
            transition(task)

    return effect
