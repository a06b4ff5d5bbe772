"""Making, signing, presigning and closing orders."""

from typing import TypeVar

from indexer.devnet.abi import ZERO_ADDRESS, ZERO_HASH
from indexer.devnet.chain import Tx
from indexer.devnet.ledger import Entry, Order
from indexer.devnet.orders import (
    NO_DATASET,
    SIGN,
    AnyOrder,
    AppOrder,
    DatasetOrder,
    RequestOrder,
    WorkerpoolOrder,
    kind_of,
    order_hash,
    sign,
)
from indexer.devnet.world import RLC, World

ENDLESS = 10**9
TEE_TAG = bytes(31) + b"\x01"
AnOrder = TypeVar("AnOrder", AppOrder, DatasetOrder, WorkerpoolOrder, RequestOrder)


def enter(world: World, order: AnyOrder) -> str:
    """The order's hash as text; the ledger knows the order from now on."""
    digest = "0x" + order_hash(order, world.poco.domain_separator).hex()
    if order != NO_DATASET:
        world.ledger.orders.setdefault(digest, Order(kind_of(order), digest, order.volume))
    return digest


def signature(world: World, order: AnyOrder, owner: str) -> bytes:
    """Its owner's signature of an order."""
    return sign(world.keys[owner], order_hash(order, world.poco.domain_separator))


def ready(world: World, order: AnOrder, owner: str, before: list[Tx] | None) -> AnOrder:
    """The order with its owner's signature, or, if `before` is a list, presigned by a transaction added to it."""
    enter(world, order)
    if before is not None:
        before.append(manage(world, order, owner, SIGN))
        return order
    return order._replace(sign=signature(world, order, owner))


def standing_offer(world: World, app: Entry) -> AppOrder:
    """The one offer of this app that many deals consume, signed once."""
    if app.address not in world.standing:
        world.standing[app.address] = ready(world, app_order(world, app, world.rng.randint(1, RLC)), app.owner, None)
    return world.standing[app.address]


def manage(world: World, order: AnyOrder, owner: str, operation: int) -> Tx:
    """The transaction by which an order's owner signs it on chain or closes it."""
    known = world.ledger.orders[enter(world, order)]

    def effect() -> None:
        if operation == SIGN:
            known.presigned_by = owner
        else:
            known.closed, known.consumed = True, order.volume

    function = f"manage{type(order).__name__}"
    return world.hub(owner, function, (tuple(order), operation, b""), effect=effect)


def app_order(world: World, app: Entry, price: int, *, tag: bytes = ZERO_HASH) -> AppOrder:
    """An unsigned offer of an app for whoever wants it."""
    salt = world.random_bytes(32)
    return AppOrder(app.address, price, ENDLESS, tag, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, salt)


def dataset_order(world: World, dataset: Entry, price: int) -> DatasetOrder:
    """An unsigned offer of a dataset for whoever wants it."""
    salt = world.random_bytes(32)
    return DatasetOrder(dataset.address, price, ENDLESS, ZERO_HASH, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, salt)


def workerpool_order(world: World, pool: Entry, price: int, volume: int, category: int, trust: int) -> WorkerpoolOrder:
    """An unsigned offer of `volume` tasks; TEE is on offer always."""
    nobody, salt = ZERO_ADDRESS, world.random_bytes(32)
    return WorkerpoolOrder(pool.address, price, volume, TEE_TAG, category, trust, nobody, nobody, nobody, salt)


def request_order(
    world: World,
    app: AppOrder,
    dataset: DatasetOrder,
    pool: WorkerpoolOrder,
    *,
    requester: str,
    volume: int,
    callback: str = ZERO_ADDRESS,
) -> RequestOrder:
    """An unsigned request for `volume` tasks that fits three offers; some name the workerpool, some do not."""
    storage = world.rng.choice(("ipfs", "dropbox"))
    params = f'{{"iexec_args": "run {world.rng.random()}", "iexec_result_storage_provider": "{storage}"}}'
    return RequestOrder(
        app=app.app,
        appmaxprice=app.appprice,
        dataset=dataset.dataset,
        datasetmaxprice=dataset.datasetprice,
        workerpool=world.rng.choice((ZERO_ADDRESS, pool.workerpool)),
        workerpoolmaxprice=pool.workerpoolprice,
        requester=requester,
        volume=volume,
        tag=app.tag,
        category=pool.category,
        trust=pool.trust,
        beneficiary=world.person("beneficiary"),
        callback=callback,
        params=params,
        salt=world.random_bytes(32),
    )


def announce(world: World, order: AnyOrder, sender: str) -> Tx:
    """The transaction that broadcasts an order."""
    known = world.ledger.orders[enter(world, order)]

    def effect() -> None:
        known.broadcasts += 1

    return world.hub(sender, f"broadcast{type(order).__name__}", tuple(order), effect=effect)
