"""A seeded chain: blocks with true blooms and receipts roots, reorgs of any shape, finality that moves and stalls."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from random import Random

from tests.simulation.abi import bloom_bits
from tests.simulation.lives import Entry, Lives, State, Tx
from tests.simulation.trie import receipts_root

GENESIS_TIME = 1_700_000_000
GAS_EACH = 50_000


class Log:
    """One log in its place. `owner` is its block."""

    __slots__ = ("address", "data", "index", "owner", "topics", "tx_hash", "tx_index")

    def __init__(self, owner: "Block", tx_hash: bytes, tx_index: int, index: int, entry: Entry) -> None:
        self.owner, self.tx_hash, self.tx_index, self.index = owner, tx_hash, tx_index, index
        self.address, self.topics, self.data = entry


class Block:
    """A block of one branch. `state`: what holds after it. `timestamp` is in seconds since 1970."""

    def __init__(self, number: int, parent: bytes, timestamp: int, hash_: bytes, txs: list[Tx], state: State) -> None:
        self.number, self.parent, self.timestamp, self.hash = number, parent, timestamp, hash_
        self.txs = txs
        self.failed: set[int] = set()
        self.logs: list[Log] = []
        self.state = self._include(state)

    def _include(self, state: State) -> State:
        """Run the transactions; those whose needs are not met fail and write no logs."""
        fresh: State | None = None
        for place, tx in enumerate(self.txs):
            if not tx.holds(state if fresh is None else fresh):
                self.failed.add(place)
                continue
            for entry in tx.entries:
                self.logs.append(Log(self, tx.hash, place, len(self.logs), entry))
            if tx.sets:
                fresh = dict(state) if fresh is None else fresh
                fresh.update(tx.sets)
        return state if fresh is None else fresh

    def logs_of(self, tx_index: int) -> list[Log]:
        """The logs of one of its transactions."""
        return [log for log in self.logs if log.tx_index == tx_index]

    @cached_property
    def bloom(self) -> int:
        """The true bloom of its logs."""
        return bloom_of(self.logs)

    @cached_property
    def receipts_root(self) -> bytes:
        """The true root of its receipts."""
        rows = []
        for place in range(len(self.txs)):
            logs = self.logs_of(place)
            entries = [(log.address, log.topics, log.data) for log in logs]
            rows.append((place not in self.failed, GAS_EACH * (place + 1), bloom_of(logs), entries))
        return receipts_root(rows)


def bloom_of(logs: Iterable[Log]) -> int:
    """The bloom of `logs` as an int of 2,048 bits."""
    bits = 0
    for log in logs:
        bits |= bloom_bits(log.address)
        for topic in log.topics:
            bits |= bloom_bits(topic)
    return bits


class World:
    """The chain as it truly is. `chain[n]` is block n of the branch that counts; `final` is never taken back.

    `seconds`: block time (12, or 0.25). `busy`: mean number of transactions in a block. `window`: how far `final`
    keeps behind the head, in blocks; no reorg is deeper.
    """

    def __init__(
        self,
        rng: Random,
        networks: tuple[str, ...],
        *,
        seconds: float,
        busy: float,
        window: int,
        bloomless: bool = False,
    ) -> None:
        self.rng, self.seconds, self.busy, self.window = rng, seconds, busy, window
        self.bloomless = bloomless
        self.final = 0
        self.stalled = False
        self.reorgs: Counter[int] = Counter()
        self.clock_jumps = 0
        self.lives = Lives(rng, networks)
        self._clock = float(GENESIS_TIME)
        self.chain = [Block(0, bytes(32), GENESIS_TIME, rng.randbytes(32), [], {})]
        self.by_hash = {self.chain[0].hash: self.chain[0]}
        self._at: dict[int, list[Block]] = {}
        self._other: list[Block] = []

    @property
    def head(self) -> Block:
        """The newest block of the branch that counts."""
        return self.chain[-1]

    def mine(self, count: int = 1) -> None:
        """Add blocks to the branch that counts."""
        for _ in range(count):
            self._clock += self.seconds
            if self.rng.random() < 0.002:
                self._clock += self.rng.choice((3600, 86_400))
                self.clock_jumps += 1
            self._append(self._fresh())
        self._finalize()

    def pause(self, seconds: float) -> None:
        """No block is added for so long."""
        self._clock += seconds

    def put(self, *blocks: list[Tx]) -> None:
        """Add blocks with exactly these transactions."""
        for txs in blocks:
            self._clock += self.seconds
            self._append(txs)

    def replace(self, depth: int, *blocks: list[Tx]) -> None:
        """Replace the newest `depth` blocks by these, with exactly these transactions."""
        self._other, self.chain = self.chain, self.chain[:-depth]
        self._clock = float(self.head.timestamp)
        self.put(*blocks)

    def finalize_all(self) -> None:
        """Everything counts as final now."""
        self.final = self.head.number

    def reorg(self, depth: int, length: int) -> None:
        """Replace the newest `depth` blocks by `length` others, with most of their transactions in other places."""
        old = self.chain
        lost = [tx for block in old[-depth:] for place, tx in enumerate(block.txs) if place not in block.failed]
        self.chain = old[:-depth]
        self._clock = float(self.head.timestamp)
        kept = [tx for tx in lost if self.rng.random() < 0.75]
        if self.rng.random() < 0.4:
            self.rng.shuffle(kept)
        for left in range(length, 0, -1):
            self._clock += self.seconds
            count = len(kept) if left == 1 else self.rng.randrange(len(kept) + 1)
            taken, kept = kept[:count], kept[count:]
            if self.rng.random() < 0.3:
                taken.append(self.lives.transaction(self.head.state))
            self._append(taken)
        self._other = old
        self.reorgs[depth] += 1
        self._finalize()

    def sibling(self) -> None:
        """Put another block in the place of the head, with other watched logs in it."""
        lost = {tx.entries for tx in self.head.txs}
        self._other, self.chain = self.chain, self.chain[:-1]
        self._clock = float(self._other[-1].timestamp)
        self._append([self.lives.watched(self.head.state, lost)])
        self.reorgs[1] += 1

    def flip_back(self) -> bool:
        """Make the branch that lost the last reorg count again, one block longer; False where there is none."""
        other = self._other
        fork = next((n for n, (a, b) in enumerate(zip(other, self.chain, strict=False)) if a is not b), None)
        if fork is None or fork <= self.final:
            return False
        self.reorgs[len(self.chain) - fork] += 1
        self._other, self.chain = self.chain, list(other)
        self._clock = float(self.head.timestamp) + self.seconds
        while len(self.chain) <= len(self._other):
            self._append(self._fresh())
            self._clock += self.seconds
        self._finalize()
        return True

    @property
    def deepest(self) -> int:
        """How many blocks a reorg may take back now."""
        return self.head.number - self.final

    def siblings(self, block: Block) -> list[Block]:
        """The other blocks that ever were at its height."""
        return [other for other in self._at.get(block.number, ()) if other is not block]

    def _fresh(self) -> list[Tx]:
        count = int(self.busy) + (self.rng.random() < self.busy % 1)
        if count and self.rng.random() < 0.3:
            count = self.rng.randrange(3 * count)
        txs: list[Tx] = []
        for _ in range(count):
            txs.append(self.lives.transaction(self.head.state))
        return txs

    def _append(self, txs: list[Tx]) -> None:
        parent = self.head
        block = Block(
            parent.number + 1, parent.hash, max(int(self._clock), parent.timestamp), self.rng.randbytes(32), txs,
            parent.state,
        )  # fmt: skip
        self.chain.append(block)
        self.by_hash[block.hash] = block
        self._at.setdefault(block.number, []).append(block)

    def _finalize(self) -> None:
        """`final` follows the head in jumps, and not at all while finality stalls."""
        if not self.stalled and self.head.number - self.final > self.window:
            self.final = self.head.number - self.rng.randrange(self.window // 2, self.window + 1)
