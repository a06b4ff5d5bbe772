"""Who acts on the devnet and what they own: accounts with keys, apps, datasets, workerpools, RLC in the hub."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from indexer.devnet.abi import create2_address
from indexer.devnet.chain import Block, Chain, Tx
from indexer.devnet.ledger import Entry, Ledger
from indexer.devnet.model import NOBODY, Model
from indexer.devnet.orders import AppOrder
from indexer.devnet.poco import Poco

RLC = 10**9
ROLES = {
    "requester": 4,
    "sponsor": 2,
    "developer": 3,
    "provider": 3,
    "scheduler": 3,
    "worker": 16,
    "beneficiary": 2,
    "enclave": 2,
    "oracle": 1,
}
_RICH = ("requester", "sponsor", "scheduler", "worker")
# ABI types of what an entry is initialised with (package: contracts/registries/**).
_INITIALIZERS = {
    "app": ("initialize(string,string,bytes,bytes32,bytes)", ["string", "string", "bytes", "bytes32", "bytes"]),
    "dataset": ("initialize(string,bytes,bytes32)", ["string", "bytes", "bytes32"]),
    "workerpool": ("initialize(string)", ["string"]),
}

# A flow yields the transactions of its next block, or the Unix time at which it wants to go on.
Flow = Iterator[list[Tx] | int]


@dataclass
class World:
    """The state of the drive. `now` is the timestamp of the block that is being filled."""

    rng: random.Random
    seed: int
    chain: Chain
    poco: Poco
    model: Model
    now: int = 0
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    people: dict[str, list[str]] = field(default_factory=dict)
    standing: dict[str, AppOrder] = field(default_factory=dict)
    spawned: list[Flow] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return self.chain.ledger

    def person(self, role: str) -> str:
        """The address of somebody in this role."""
        return self.rng.choice(self.people[role])

    def entries(self, kind: str) -> list[Entry]:
        """All apps, datasets or workerpools created so far."""
        return [entry for entry in self.ledger.entries.values() if entry.kind == kind]

    def hub(self, sender: str, function: str, *arguments: object, effect: Callable[[], None] | None = None) -> Tx:
        """A call of the hub; `effect` is run when it has been mined."""
        data = self.poco.hub_interface.calldata(function, *arguments)
        return Tx(sender, self.poco.hub, data, _without_block(effect))

    def hub_refused(self, sender: str, function: str, *arguments: object) -> Tx:
        """A call that the hub must revert."""
        data = self.poco.hub_interface.calldata(function, *arguments)
        return Tx(sender, self.poco.hub, data, reverts=True)

    def call(self, sender: str, kind: str, to: str, function: str, *arguments: object) -> Tx:
        """A call of the token, or of the registry of a kind of entry, or of a workerpool (`kind` pool)."""
        interfaces = {"token": self.poco.token_interface, "pool": self.poco.workerpool_interface}
        interface = interfaces.get(kind) or self.poco.registry_interfaces[kind]
        return Tx(sender, to, interface.calldata(function, *arguments))

    def random_bytes(self, size: int) -> bytes:
        """Bytes that depend on the seed only."""
        return self.rng.getrandbits(8 * size).to_bytes(size, "big")

    def create(self, kind: str, owner: str, name: str) -> tuple[str, Tx]:
        """A new app, dataset or workerpool: its address and the transaction that creates it."""
        values: list[object] = [name]
        if kind == "app":
            values += ["DOCKER", f"registry.example/{name}:1".encode(), self.random_bytes(32), b""]
        elif kind == "dataset":
            values += [f"/ipfs/{name}".encode(), self.random_bytes(32)]
        prototype, types = _INITIALIZERS[kind]
        salt = keccak(keccak(text=prototype)[:4] + encode(types, values) + bytes.fromhex(owner[2:]))
        registry = self.poco.registries[kind]
        address = create2_address(registry, salt, self.poco.proxy_code_hashes[kind])
        tx = self.call(owner, kind, registry, f"create{kind.capitalize()}", owner, *values)
        self.ledger.entries[address] = Entry(kind, address, owner, name, self.chain.head.number + 1)
        return address, tx

    def change_policy(self, pool: Entry, stake_ratio: int, scheduler_ratio: int) -> Tx:
        """The workerpool's owner sets what workers stake and what the scheduler keeps, in percent of the price."""
        pool.worker_stake_ratio, pool.scheduler_reward_ratio = stake_ratio, scheduler_ratio
        return self.call(pool.owner, "pool", pool.address, "changePolicy", stake_ratio, scheduler_ratio)

    def deposit(self, sender: str, amount: int, target: str | None = None) -> list[Tx]:
        """Approve and deposit nRLC, for `target` if that is somebody else."""
        approve = self.call(sender, "token", self.poco.token, "approve", self.poco.hub, amount)
        arguments = ("deposit", amount) if target is None else ("depositFor", amount, target)
        return [approve, self._moving("deposit", NOBODY, target or sender, amount, self.hub(sender, *arguments))]

    def deposit_by_call(self, sender: str, amount: int) -> Tx:
        """Approve and deposit in one transaction of the token."""
        tx = self.call(sender, "token", self.poco.token, "approveAndCall", self.poco.hub, amount, b"")
        return self._moving("deposit", NOBODY, sender, amount, tx)

    def deposit_many(self, sender: str, amount: int, targets: list[str]) -> list[Tx]:
        """Deposit `amount` for each target in one transaction."""
        approve = self.call(sender, "token", self.poco.token, "approve", self.poco.hub, amount * len(targets))
        tx = self.hub(sender, "depositForArray", [amount] * len(targets), targets)

        def effect(block: Block) -> None:
            for target in targets:
                self.model.move("deposit", NOBODY, target, amount, block)

        tx.effect = effect
        return [approve, tx]

    def withdraw(self, sender: str, amount: int, target: str | None = None) -> Tx:
        """Withdraw nRLC, to `target` if given."""
        arguments = ("withdraw", amount) if target is None else ("withdrawTo", amount, target)
        return self._moving("withdraw", sender, NOBODY, amount, self.hub(sender, *arguments))

    def transfer(self, sender: str, target: str, amount: int) -> Tx:
        """Move nRLC inside the hub."""
        return self._moving("transfer", sender, target, amount, self.hub(sender, "transfer", target, amount))

    def transfer_from(self, sender: str, source: str, target: str, amount: int) -> Tx:
        """Move nRLC inside the hub on an allowance."""
        return self._moving(
            "transfer", source, target, amount, self.hub(sender, "transferFrom", source, target, amount)
        )

    def recover(self, amount: int) -> list[Tx]:
        """Somebody sends RLC to the hub by mistake; its owner takes them into his account."""
        sender, owner = self.people["deployer"][0], self.people["admin"][0]
        lost = self.call(sender, "token", self.poco.token, "transfer", self.poco.hub, amount)
        return [lost, self._moving("deposit", NOBODY, owner, amount, self.hub(owner, "recover"))]

    def _moving(self, kind: str, source: str, target: str, amount: int, tx: Tx) -> Tx:
        tx.effect = partial(self.model.move, kind, source, target, amount)
        return tx


def _without_block(effect: Callable[[], None] | None) -> Callable[[Block], None] | None:
    return None if effect is None else lambda _: effect()


def new_key(seed: int, name: str) -> PrivateKey:
    """The private key of a named account: the same for the same seed."""
    return PrivateKey(keccak(text=f"taskscan devnet {seed} {name}"))


def address_of(key: PrivateKey) -> str:
    """Lower-case hex address of a key."""
    return key.public_key.to_address()


def settle_in(world: World) -> Flow:
    """People get RLC, deposit them and create the first apps, datasets and workerpools; the admin takes over."""
    yield _hand_over(world)
    deployer, rich = world.people["deployer"][0], [p for role in _RICH for p in world.people[role]]
    token = world.poco.token
    yield [world.call(deployer, "token", token, "transfer", person, 500_000 * RLC) for person in rich]
    yield [tx for person in rich[::2] for tx in world.deposit(person, 400_000 * RLC)]
    yield [world.deposit_by_call(person, 400_000 * RLC) for person in rich[1::2]]
    sponsor, other = world.people["sponsor"]
    yield [*world.deposit(sponsor, 5 * RLC, other), *world.deposit_many(other, 2 * RLC, world.people["worker"][:3])]
    yield [world.create("app", world.people["developer"][i % 3], f"app-{i}")[1] for i in range(4)]
    yield [world.create("dataset", world.people["provider"][i % 3], f"dataset-{i}")[1] for i in range(4)]
    pools = [world.create("workerpool", world.people["scheduler"][i], f"pool-{i}") for i in range(2)]
    yield [tx for _, tx in pools]
    yield [world.change_policy(world.ledger.entries[pools[1][0]], 35, 5)]


def _hand_over(world: World) -> list[Tx]:
    deployer, admin = world.people["deployer"][0], world.people["admin"][0]
    registries = world.poco.registries.items()
    return [
        world.hub(deployer, "transferOwnership", admin),
        *(world.call(deployer, kind, address, "transferOwnership", admin) for kind, address in registries),
    ]
