"""Traffic beside tasks: orders announced and closed, money moved, entries created and sold, policies changed."""

from collections.abc import Callable

from indexer.devnet.offers import announce, app_order, dataset_order, manage, request_order, signature, workerpool_order
from indexer.devnet.orders import CLOSE, SIGN, AnyOrder, kind_of
from indexer.devnet.world import RLC, Flow, World


def _orders(world: World) -> list[tuple[AnyOrder, str]]:
    """One new unsigned order of each kind, with its owner."""
    app, dataset = (world.rng.choice(world.entries(kind)) for kind in ("app", "dataset"))
    pool = world.rng.choice(world.entries("workerpool"))
    requester = world.person("requester")
    app_offer, data_offer = app_order(world, app, RLC), dataset_order(world, dataset, RLC)
    pool_offer = workerpool_order(world, pool, RLC, 10, 0, 1)
    request = request_order(world, app_offer, data_offer, pool_offer, requester=requester, volume=3)
    return [(app_offer, app.owner), (data_offer, dataset.owner), (pool_offer, pool.owner), (request, requester)]


def presign_and_close(world: World) -> Flow:
    """One order of each kind is signed on chain and later closed by its owner."""
    orders = _orders(world)
    yield [manage(world, order, owner, SIGN) for order, owner in orders]
    yield world.now + 60
    # Entries can be sold meanwhile: only the present owner may close their orders.
    entries = world.ledger.entries
    closers = [entries[order[0]].owner if kind_of(order) != "request" else owner for order, owner in orders]
    yield [manage(world, order, closer, CLOSE) for (order, _), closer in zip(orders, closers, strict=True)]


def broadcast(world: World) -> Flow:
    """One order of each kind is announced on chain by its owner, signed; the relay checks nothing."""
    orders = [(order._replace(sign=signature(world, order, owner)), owner) for order, owner in _orders(world)]
    yield [announce(world, order, owner) for order, owner in orders]


def change_policy(world: World) -> Flow:
    """A scheduler asks for another stake and keeps another share."""
    pool = world.rng.choice(world.entries("workerpool"))
    yield [world.change_policy(pool, world.rng.randint(10, 60), world.rng.randint(0, 20))]


def sell_dataset(world: World) -> Flow:
    """A dataset goes to another owner, by himself or by an operator whom he allowed."""
    dataset, agent = world.rng.choice(world.entries("dataset")), world.people["oracle"][0]
    seller, token, registry = dataset.owner, int(dataset.address, 16), world.poco.registries["dataset"]
    buyer = world.rng.choice([person for person in world.people["provider"] if person != seller])
    yield [
        world.call(seller, "dataset", registry, "setApprovalForAll", agent, True),
        world.call(seller, "dataset", registry, "approve", agent, token),
    ]
    if dataset.owner == seller:
        dataset.owner = buyer
        yield [
            world.call(world.rng.choice((seller, agent)), "dataset", registry, "safeTransferFrom", seller, buyer, token)
        ]


def move_money(world: World) -> Flow:
    """Deposits and withdrawals of every kind, transfers and allowances inside the hub."""
    requester, other = world.rng.sample(world.people["requester"], 2)
    sponsor, worker = world.person("sponsor"), world.person("worker")
    amount = world.rng.randint(1, 5) * RLC
    yield [
        *world.deposit(requester, amount),
        *world.deposit(sponsor, amount, other),
        world.deposit_by_call(requester, amount),
        *world.deposit_many(sponsor, amount, [other, worker]),
    ]
    yield [
        world.withdraw(requester, amount),
        world.withdraw(worker, amount // 2, world.people["beneficiary"][0]),
        world.transfer(requester, other, amount),
        world.hub(requester, "approve", other, 2 * amount),
        world.transfer_from(other, requester, sponsor, amount),
        world.hub_refused(world.people["oracle"][0], "withdraw", amount),
    ]
    yield world.recover(amount)


def add_entries(world: World) -> Flow:
    """A new app, a new dataset and a new workerpool, late in the life of the chain."""
    owners = {"app": "developer", "dataset": "provider", "workerpool": "scheduler"}
    made = [
        world.create(kind, world.person(role), f"late-{kind}-{len(world.entries(kind))}")
        for kind, role in owners.items()
    ]
    yield [tx for _, tx in made]
    pool = world.ledger.entries[made[-1][0]]
    yield [world.change_policy(pool, world.rng.randint(20, 50), world.rng.randint(1, 9))]


MARKET: tuple[Callable[[World], Flow], ...] = (
    presign_and_close,
    broadcast,
    change_policy,
    sell_dataset,
    move_money,
    add_entries,
)
