"""Who acts on the engines, and what all flows share: the clock, chance, the engines, whose turn it is."""

import random
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from indexer.devnet.arbius.books import WHOLE
from indexer.devnet.arbius.engine import MAX, Handle
from indexer.devnet.arbius.facts import V6, Task
from indexer.devnet.chain import Block, Chain, Tx

# A flow yields the transactions of its next block, or the Unix time at which it wants to go on.
Flow = Iterator[list[Tx] | int]

NOVA, ONE = "nova", "one"


class Last(list[Tx]):
    """Transactions that come after all others of their block: what they change is not yet true for those."""


# Validators by number: the first six work on both engines, the next three on one of them; then come those whose
# solutions are contested, so that the losses of some do not stop the others.
SOLVERS = {NOVA: range(9), ONE: (*range(6), *range(9, 12))}
LOSERS = {NOVA: range(12, 16), ONE: range(16, 20)}
MASTERS = range(2)
ROLES = {"admin": 1, "owner": 1, "treasury": 2, "author": 3, "user": 6, "validator": 20}
STAKE = 2500 * WHOLE


@dataclass
class World:
    """The state of the traffic. `now` is the timestamp of the block that is being filled."""

    rng: random.Random
    chain: Chain
    people: dict[str, list[str]]
    engines: dict[str, Handle] = field(default_factory=dict)
    now: int = 0
    spawned: list[Flow] = field(default_factory=list)
    busy: set[tuple[str, str]] = field(default_factory=set)
    reserved: set[tuple[str, str]] = field(default_factory=set)
    turns: dict[tuple[str, str], int] = field(default_factory=dict)

    def person(self, role: str) -> str:
        """The address of somebody in this role."""
        return self.rng.choice(self.people[role])

    def solvers(self, engine: Handle) -> list[str]:
        """Validators of an engine whose solutions are accepted."""
        return [self.people["validator"][i] for i in SOLVERS[engine.facts.name]]

    def losers(self, engine: Handle) -> list[str]:
        """Validators of an engine whose solutions are contested with success."""
        return [self.people["validator"][i] for i in LOSERS[engine.facts.name]]

    def contester(self, engine: Handle, solver: str) -> str:
        """Somebody who may contest: from V6 on only a master."""
        masters = [self.people["validator"][i] for i in MASTERS]
        candidates = masters if engine.form == V6 else self.solvers(engine)
        return self.rng.choice([who for who in candidates if who != solver])

    def random_bytes(self, size: int) -> bytes:
        """Bytes that depend on the seed only."""
        return self.rng.getrandbits(8 * size).to_bytes(size, "big")

    def turn(self, engine: Handle, solver: str, count: int) -> Flow:
        """Wait until neither the rate limit nor a loss keeps a validator from sending `count` solutions."""
        facts, key = engine.facts, (engine.facts.name, solver)
        while True:
            free = max(self.turns.get(key, 0) + count, facts.validators[solver].last_loss + facts.cooldown())
            if self.now > free:
                break
            yield free + 1
        self.turns[key] = self.now

    def free_loser(self, engine: Handle) -> Generator[list[Tx] | int, None, str]:
        """Wait for a loser whom neither a loss nor another flow stops; it is then in `busy` until released."""
        facts = engine.facts
        while True:
            idle = [who for who in self.losers(engine) if (facts.name, who) not in self.busy]
            free = [who for who in idle if self.now > facts.validators[who].last_loss + facts.cooldown()]
            if free:
                self.busy.add((facts.name, free[0]))
                return free[0]
            soon = [facts.validators[who].last_loss + facts.cooldown() + 1 for who in idle]
            yield max(self.now + 60, min(soon, default=0))


def cast(seed: int) -> dict[str, list[str]]:
    """Addresses by role: the same for the same seed. Nobody has their keys; Anvil needs none."""
    return {
        role: ["0x" + keccak(text=f"taskscan devnet arbius {seed} {role} {i}")[12:].hex() for i in range(count)]
        for role, count in ROLES.items()
    }


def deposit(engine: Handle, payer: str, validator: str, amount: int) -> Tx:
    """Somebody adds to a validator's stake."""

    def effect(block: Block) -> None:
        engine.books.deposited(payer, validator, amount, block)

    return engine.call(payer, "validatorDeposit", validator, amount, effect=effect)


def pay_in(world: World, engine: Handle) -> Flow:
    """Users and validators get tokens, allow the contracts to take them, and deposit their first stake."""
    validators = world.solvers(engine) + world.losers(engine)
    amounts = {**dict.fromkeys(validators, 3500 * WHOLE), **dict.fromkeys(world.people["user"], 5000 * WHOLE)}
    yield [engine.helper("token", engine.owner, "transfer", who, amount) for who, amount in amounts.items()]
    spenders = [engine.facts.address, engine.facts.contracts["router"], engine.facts.contracts["bulk"]]
    yield [engine.helper("token", who, "approve", spender, MAX) for who in world.people["user"] for spender in spenders]
    yield [engine.helper("token", who, "approve", engine.facts.address, MAX) for who in validators]
    yield [deposit(engine, who, who, STAKE) for who in validators]


def place(chain: Chain, engine: Handle, tasks: Sequence[Task]) -> None:
    """Enter where the logs of new tasks are. Raises KeyError if the chain gave one another id than the books."""
    block = chain.head.number
    found = {}
    for log in reversed(chain.ledger.logs):
        if log.block_number < block:
            break
        if log.address == engine.facts.address and len(log.topics) == 4:
            found[log.topics[1]] = log
    for task in tasks:
        task.tx, task.log_index = found[task.task_id].tx_hash, found[task.task_id].log_index
