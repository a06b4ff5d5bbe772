"""The unfinalised head of a chain as hashes: what does a header mean that a provider sent? Pure: no I/O, no clock.

    observe(header)
      ├─ cannot exist .................................. Impossible
      ├─ is the tip .................................... Known
      ├─ builds on the tip ............................. Extends ───► commit its logs ───► append()
      ├─ above tip + 1 ................................. Gap ───────► headers first..last, or a seam
      ├─ lower, and ours or nothing to compare with .... Lagging
      ├─ contradicts the final block ................... BelowFinality ───► stop
      └─ contradicts another block of ours ............. Fork ──► one header ──► trace() ──► Fork …
                                                           └──► ancestor known: Unconfirmed
    Unconfirmed ──► the second read ──► confirm() ──► Reorg ──► roll back, commit ──► apply()

Only hashes prove a reorg, a height never does: a lower head is a provider that lags. A judgement changes nothing;
`append`, `apply` and `advance` do, called once the database has committed: what a crash interrupts is judged again,
with the same result, from the persisted rows. No walk is endless: each `trace` asks for a lower block than the one
before and ends at the final block. A dense window (slow chains) holds every block; in a sparse one (fast chains) a
provider's word in one batch joins two blocks (the seam), and branches are compared at the heights that are held.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from indexer.errors import Inconsistent


class Point(NamedTuple):
    """A place on one branch: height and hash (32 bytes)."""

    number: int
    hash: bytes


class Block(NamedTuple):
    """What the window keeps of a header. Hashes are 32 bytes; `timestamp` is in seconds since 1970."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int

    @property
    def point(self) -> Point:
        """Height and hash."""
        return Point(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class Known:
    """The tip, once more. Nothing to do."""

    block: Block


@dataclass(frozen=True, slots=True)
class Extends:
    """The next block. Read its logs, commit, `append`. Not `linked`: a seam joins it, and the hole's logs come too."""

    block: Block
    linked: bool
    state: int


@dataclass(frozen=True, slots=True)
class Lagging:
    """A provider `behind` blocks behind, or a height asked for on purpose. Never a reorg: nothing to do.

    `ours`: the hash is the one that we know at this height. False: we know none, below the window or in a hole.
    A shorter branch whose head lies in a hole is seen as soon as it has passed the tip.
    """

    block: Block
    behind: int
    ours: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """Blocks `first` to `last`, unknown to us, come first: `observe` them, lowest first, then this one again.

    On a fast chain rather ask for the tip's height in one batch with the head, and pass that header as the seam.
    """

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Another branch than ours, its ancestor unknown. Ask the same provider for one header, and `trace` it.

    By `hash` where there is one, else by `number`; a null answer ends the walk: start again elsewhere.
    `branch`: what was seen of it, lowest first. `agree_to`: the highest number at which both may still agree.
    """

    branch: tuple[Block, ...]
    agree_to: int
    number: int
    hash: bytes | None
    state: int


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """After `ancestor` our blocks `removed` and `branch` part, says one read. Read once more and `confirm` that.

    Ask for height `branch[0].number` *by number* (a node serves orphans by hash), elsewhere if there is an elsewhere.
    A provider that repeats our hash there although its head builds on the branch has cached a stale block:
    confirm with its head, or elsewhere.
    """

    ancestor: Point
    removed: tuple[Block, ...]
    branch: tuple[Block, ...]
    state: int


@dataclass(frozen=True, slots=True)
class Reorg:
    """Proven and confirmed. Roll back above `ancestor` in one transaction, commit, `apply`."""

    ancestor: Point
    removed: tuple[Block, ...]
    branch: tuple[Block, ...]
    state: int


@dataclass(frozen=True, slots=True)
class BelowFinality:
    """`theirs` contradicts our final block. Change nothing; `observe` another provider's header at `final.number`.

    Lagging or Known: the first one lies. BelowFinality again: stop this chain, write an incident.
    """

    final: Point
    theirs: Point


@dataclass(frozen=True, slots=True)
class Impossible:
    """No chain holds such a header, or it is not the one asked for. Ask elsewhere, and distrust the provider."""

    block: Block
    why: str


@dataclass(frozen=True, slots=True)
class Finalized:
    """Done. The rows of the `dropped` blocks may go, but `final` must stay persisted."""

    final: Point
    dropped: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class WentBack:
    """A final block below the one that we know: the provider lags or lies. Ours stays; count it in its score."""

    final: Point
    theirs: Point


@dataclass(frozen=True, slots=True)
class OtherBranch:
    """Not `ours` but `theirs` is said to be final. `observe` that header, asked for by number: a Fork follows."""

    ours: Point
    theirs: Point


@dataclass(frozen=True, slots=True)
class Recheck:
    """That height lies in a hole. Ask for the header at `number`, the highest held below it, and `advance` to that."""

    number: int


Decision: TypeAlias = Known | Extends | Lagging | Gap | Fork | Unconfirmed | Reorg | BelowFinality | Impossible
Advance: TypeAlias = Finalized | WentBack | OtherBranch | Recheck | Gap | BelowFinality


class Window:
    """The final block and every held block above it. One follow loop owns it, and does what each decision says.

    With a decision older than the last change `append` and `apply` raise ValueError; `trace`, `confirm` judge afresh.
    """

    def __init__(self, final: Point, blocks: Iterable[Block] = ()) -> None:
        """`blocks`: persisted rows, in any order; those below `final` are ignored. Raises Inconsistent for no chain.

        After a restart first `observe` the header at the tip's height: that finds a reorg that happened meanwhile.
        """
        self.final = final
        self._state = 0
        self._held: dict[int, Block] = {}  # lowest first
        self._numbers = {final.hash: final.number}
        for block in sorted(blocks):
            if block.number < final.number or block.point == final:
                continue
            if block.number <= self.tip.number or not self._links(block) or self._impossible(block):
                raise Inconsistent(f"blocks {self.tip.number} and {block.number} do not join.", provider="chain.blocks")
            self._hold([block])

    def __len__(self) -> int:
        return len(self._held)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every held block above the final one, lowest first."""
        return tuple(self._held.values())

    @property
    def tip(self) -> Point:
        """The highest held block, or the final one."""
        return next(reversed(self._held.values())).point if self._held else self.final

    def hash_at(self, number: int) -> bytes | None:
        """The hash at this height: held, or named as parent by the block above. None when unknown."""
        if number <= self.final.number:
            return self.final.hash if number == self.final.number else None
        held, above = self._held.get(number), self._held.get(number + 1)
        return held.hash if held else above.parent if above else None

    def observe(self, block: Block, seam: Block | None = None) -> Decision:
        """What `block` means, as a provider sent it. `seam`: what it gave in the same batch at the tip's height."""
        tip, ours = self.tip, self.hash_at(block.number)
        if why := self._impossible(block):
            return Impossible(block, why)
        if block.number > tip.number + 1:
            if seam is None or seam.number != tip.number:
                return Gap(tip.number + 1, block.number - 1)
            return Extends(block, False, self._state) if seam.hash == tip.hash else self.observe(seam)
        if block.hash == ours:
            return Known(block) if block.point == tip else Lagging(block, tip.number - block.number, True)
        if ours or not self._links(block):
            return self._compare((block,))
        if block.number == tip.number + 1:
            return Extends(block, True, self._state)
        return Lagging(block, tip.number - block.number, False)

    def trace(self, fork: Fork, block: Block) -> Decision:
        """Go on from `fork` with the header that it asked for."""
        if fork.state != self._state:
            return self.observe(fork.branch[-1])
        asked = block.number == fork.number and fork.hash in (None, block.hash)
        if why := self._impossible(block) if asked else f"it is not the block {fork.number} that was asked for":
            return Impossible(block, why)
        if block.hash == self.hash_at(block.number):
            return self._unconfirmed(block.point, fork.branch)
        return self._compare((block, *fork.branch))

    def confirm(self, found: Unconfirmed, block: Block) -> Decision:
        """Reorg when the second read gives the lowest block of the branch, or one that parent hashes join to it.

        Otherwise what it means for us: Known or Lagging refutes the divergence; a third branch waits for the next poll.
        """
        above = block.number - found.branch[0].number
        # Holes lie only where no parent hash was followed, so as many places up as heights up means joined.
        if found.state == self._state and found.branch[above : above + 1] == (block,):
            return Reorg(found.ancestor, found.removed, found.branch, found.state)
        return self.observe(block)

    def append(self, found: Extends) -> None:
        """Hold a block."""
        self._change(found.state)
        self._hold([found.block])

    def apply(self, reorg: Reorg, blocks: Sequence[Block] = ()) -> None:
        """Forget what the reorg removed; hold `blocks`, the first ones of its branch. Others raise ValueError."""
        if tuple(blocks) != reorg.branch[: len(blocks)]:
            raise ValueError("these blocks are not the first ones of the branch")
        self._change(reorg.state)
        self._forget(reorg.removed)
        self._hold(blocks)

    def advance(self, number: int, hash: bytes) -> Advance:
        """Block `number` with this hash is final, says a provider. Only Finalized changes the window.

        While finality stalls the window grows without bound; `len` tells. Final blocks above the tip give a Gap: with
        many, `advance` to the tip if its height still has its hash, scan the rest, and start a new window there.
        """
        theirs, ours = Point(number, hash), self.hash_at(number)
        if number < self.final.number:
            return WentBack(self.final, theirs)
        if number > self.tip.number:
            return Gap(self.tip.number + 1, number)
        if ours is None:
            below = self._newest_below(number)
            return Finalized(self.final, ()) if below == self.final else Recheck(below.number)
        if ours != hash:
            return (BelowFinality if number == self.final.number else OtherBranch)(Point(number, ours), theirs)
        dropped = tuple(block for block in self._held.values() if block.number <= number)
        self._change(self._state)
        self._forget([self.final, *dropped])
        self._numbers[hash] = number
        self.final = theirs
        return Finalized(theirs, dropped)

    def _compare(self, branch: tuple[Block, ...]) -> Decision:
        """`branch` contradicts us: is the parent of its lowest block ours?"""
        low, parent = branch[0], Point(branch[0].number - 1, branch[0].parent)
        ours = self.hash_at(parent.number)
        if self.final.number in (low.number, parent.number) and ours != parent.hash:
            return BelowFinality(self.final, low.point if low.number == self.final.number else parent)
        if ours == parent.hash:
            return self._unconfirmed(parent, branch)
        if ours:
            return Fork(branch, parent.number - 1, *parent, self._state)
        return Fork(branch, parent.number, self._newest_below(low.number).number, None, self._state)

    def _unconfirmed(self, ancestor: Point, branch: tuple[Block, ...]) -> Unconfirmed:
        removed = tuple(block for block in self._held.values() if block.number > ancestor.number)
        return Unconfirmed(ancestor, removed, branch, self._state)

    def _impossible(self, block: Block) -> str | None:
        held, below = self._held.get(block.number), block.number - 1
        if block.number < 0 or {len(block.hash), len(block.parent)} != {32} or block.hash == block.parent:
            return "a height or hash that no block can have"
        if self._numbers.get(block.hash, block.number) != block.number:
            return f"its hash is that of block {self._numbers[block.hash]}"
        if self._numbers.get(block.parent, below) != below:
            return f"its parent is block {self._numbers[block.parent]}"
        if held and held.hash == block.hash and held != block:
            return "its hash came with another parent or time"
        return None

    def _newest_below(self, number: int) -> Point:
        return max((block.point for block in self._held.values() if block.number < number), default=self.final)

    def _links(self, block: Block) -> bool:
        return self.hash_at(block.number - 1) in (None, block.parent)

    def _change(self, state: int) -> None:
        if state != self._state:
            raise ValueError("the window has changed since that decision was made")
        self._state += 1

    def _hold(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._held[block.number] = block
            self._numbers[block.hash] = block.number

    def _forget(self, blocks: Iterable[Block | Point]) -> None:
        for block in blocks:
            self._held.pop(block.number, None)
            del self._numbers[block.hash]
