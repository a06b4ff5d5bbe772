"""The head window against a brute-force world: a tree of blocks whose true chain reorgs, and providers that lag.

`World` knows the whole line of every block and compares lines block by block. `World.drive` is a simple follow loop.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from indexer.chain import window as w
from indexer.chain.window import Block, Point, Window
from indexer.errors import Inconsistent

Line = tuple[Block, ...]
PROVIDERS = 3


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


GENESIS = Block(0, digest("genesis"), bytes(32), 1_700_000_000)


def mine(parent: Block, count: int, salt: str = "") -> list[Block]:
    """`count` blocks on top of `parent`; another `salt` gives siblings of them."""
    blocks = [parent]
    for _ in range(count):
        below = blocks[-1]
        name = digest(f"{salt} {below.hash.hex()}")
        blocks.append(Block(below.number + 1, name, below.hash, below.timestamp + 1))
    return blocks[1:]


class Null(Exception):
    """The provider answers null."""


def on(line: Line, block: Block) -> bool:
    return block.number < len(line) and line[block.number] == block


class World:
    """A tree of blocks, its true chain, three providers with views of it, and a follow loop with its window."""

    def __init__(self, *, sparse: bool) -> None:
        self.sparse = sparse
        self.lines: dict[bytes, Line] = {GENESIS.hash: (GENESIS,)}
        self.true: Line = (GENESIS,)
        self.true_final = 0
        self.views: list[Line | None] = [None] * PROVIDERS  # None: the true chain
        self.nulls = 0
        self.window = Window(GENESIS.point)
        self.final, self.held = GENESIS, list[Block]()
        self.seen: Counter[type] = Counter()

    def grow(self, count: int, base: Line | None = None) -> None:
        line = base or self.true
        for block in mine(line[-1], count, str(len(self.lines))):
            line = (*line, block)
            self.lines[block.hash] = line
        self.true = line

    def reorg(self, depth: int, length: int) -> None:
        depth = min(depth, len(self.true) - 1 - self.true_final)
        if depth > 0:
            self.grow(length, self.true[:-depth])

    def flip(self, pick: int) -> None:
        """An old branch becomes the true one."""
        parents = {line[-1].parent for line in self.lines.values()}
        anchor = self.true[self.true_final]
        leaves = [line for block, line in self.lines.items() if block not in parents and on(line, anchor)]
        self.true = leaves[pick % len(leaves)]

    def finalize(self, count: int) -> None:
        self.true_final = min(self.true_final + count, len(self.true) - 1)

    def view(self, provider: int, line: Line | None) -> None:
        self.views[provider % PROVIDERS] = line

    def line(self, provider: int) -> Line:
        return self.views[provider] or self.true

    def at(self, line: Line, number: int) -> Block:
        self.nulls -= 1
        if self.nulls >= 0 or number >= len(line):
            raise Null
        return line[number]

    def poll(self, provider: int, second: int, keep: int, crash: bool) -> None:
        line, before = self.line(provider), self.window.blocks
        ours = line[-1] in (self.final, *self.held)
        outcome = self.drive(line, self.line(second), keep, crash)
        assert not isinstance(outcome, w.Impossible)
        if ours:
            assert isinstance(outcome, w.Known | w.Lagging)
            assert self.window.blocks == before, "a lagging provider moved the window"
        assert not isinstance(outcome, w.BelowFinality) or self.final not in line

    def drive(self, line: Line, second: Line, keep: int = 99, crash: bool = False) -> w.Decision | None:
        """Follow `line` until nothing is left to do; None when an answer was null or did not confirm."""
        try:
            decision: w.Decision | None = self.look_up(line)
            for _ in range(3 * len(self.lines) + 10):
                self.seen[type(decision)] += 1
                if decision is None or isinstance(decision, w.Known | w.Lagging | w.BelowFinality | w.Impossible):
                    return decision
                decision = self.obey(decision, line, second, keep, crash)
        except Null:
            return None
        raise AssertionError("the follow loop does not end")

    def obey(self, decision: w.Decision, line: Line, second: Line, keep: int, crash: bool) -> w.Decision | None:
        match decision:
            case w.Extends():
                self.extend(decision)
            case w.Gap(first=first):
                return self.window.observe(self.at(line, first))
            case w.Fork(number=number, hash=wanted):
                assert wanted in (None, line[number].hash)
                return self.window.trace(decision, self.at(line, number))
            case w.Unconfirmed(branch=branch):
                again = self.at(second, branch[0].number)
                answer = self.window.confirm(decision, again)
                assert isinstance(answer, w.Reorg) == on(line, again)
                return answer if isinstance(answer, w.Reorg) else None
            case w.Reorg(branch=branch):
                assert all(on(line, block) for block in branch)
                assert any(on(second, block) for block in branch)
                if crash:
                    self.restart()
                    return None
                self.roll_back(decision, keep)
        return self.look_up(line)

    def look_up(self, line: Line) -> w.Decision:
        try:
            seam = self.at(line, self.window.tip.number) if self.sparse else None
        except Null:
            seam = None
        return self.window.observe(line[-1], seam)

    def extend(self, found: w.Extends) -> None:
        tip = (self.final, *self.held)[-1]
        assert tip in self.lines[found.block.hash]
        assert found.linked == (found.block.parent == tip.hash)
        assert found.linked or self.sparse
        self.window.append(found)
        self.held.append(found.block)

    def roll_back(self, reorg: w.Reorg, keep: int) -> None:
        new, old = self.lines[reorg.branch[-1].hash], self.lines[self.held[-1].hash]
        assert reorg.removed == tuple(block for block in self.held if block not in new)
        assert reorg.removed, "a reorg without divergence"
        assert reorg.ancestor in {block.point for block in new} & {block.point for block in old}
        kept = [block for block in self.held if block in new]
        assert self.sparse or reorg.ancestor == (self.final, *kept)[-1].point
        self.window.apply(reorg, reorg.branch[:keep])
        self.held = [*kept, *reorg.branch[:keep]]

    def restart(self) -> None:
        """What a new process reads from the database: the rows in any order, old ones among them."""
        rows = [*self.lines[self.final.hash], *self.held]
        random.Random(len(self.lines)).shuffle(rows)
        self.window = Window(self.final.point, rows)

    def hear_final(self, provider: int, stall: int) -> None:
        """A provider names its final block: the true one, as far as its view goes and less `stall`."""
        line = self.line(provider)
        common = [a.number for a, b in zip(line, self.true[: self.true_final + 1], strict=False) if a == b]
        number = max(0, common[-1] - stall)
        answer = self.window.advance(number, line[number].hash)
        if isinstance(answer, w.Recheck):
            self.seen[w.Recheck] += 1
            assert self.sparse
            assert self.final.number < answer.number < number
            number = answer.number
            answer = self.window.advance(number, line[number].hash)
        self.seen[type(answer)] += 1
        self.judge_final(answer, line, number)

    def judge_final(self, answer: w.Advance, line: Line, number: int) -> None:
        tip = (self.final, *self.held)[-1]
        assert not isinstance(answer, w.Recheck | w.BelowFinality)
        match answer:
            case w.Finalized(final, dropped):
                assert final == line[final.number].point
                assert final.number == number or (self.sparse and final == self.final.point)
                assert dropped == tuple(block for block in self.held if block.number <= final.number)
                self.held = self.held[len(dropped) :]
                self.final = line[final.number]
            case w.WentBack():
                assert number < self.final.number
            case w.Gap(first, last):
                assert (first, last) == (tip.number + 1, number)
            case w.OtherBranch(ours, theirs):
                assert ours == self.lines[tip.hash][number].point
                assert theirs == line[number].point != ours
                assert not isinstance(self.drive(line[: number + 1], line), w.BelowFinality)

    def verdict(self, block: Block) -> type[w.Decision]:
        """What a dense window must say."""
        line, tip = self.lines[block.hash], (self.final, *self.held)[-1]
        if block == tip:
            return w.Known
        if block in self.held or block == self.final or block.number < self.final.number:
            return w.Lagging
        if block.number > tip.number + 1:
            return w.Gap
        if tip in line:
            return w.Extends
        if self.final not in line and block.number <= self.final.number + 1:
            return w.BelowFinality
        return w.Unconfirmed if line[-2] in (self.final, *self.held) else w.Fork

    def look(self, pick: int) -> None:
        """Judge any block ever seen, to the end, and change nothing."""
        line = list(self.lines.values())[pick % len(self.lines)]
        old = self.lines[self.window.tip.hash]
        common = max(a.number for a, b in zip(line, old, strict=False) if a == b)
        decision = self.window.observe(line[-1])
        assert self.sparse or type(decision) is self.verdict(line[-1])
        for _ in range(2 * len(self.held) + 2):
            if not isinstance(decision, w.Fork):
                break
            assert common <= decision.agree_to < decision.branch[0].number
            decision = self.window.trace(decision, line[decision.number])
        assert not isinstance(decision, w.Fork | w.Impossible)
        if isinstance(decision, w.Unconfirmed):
            assert self.final in line
            assert decision.ancestor == old[decision.ancestor.number].point == line[decision.ancestor.number].point
            assert not set(decision.removed) & set(line)
            assert self.sparse or decision.ancestor.number == common
        assert not isinstance(decision, w.BelowFinality) or self.final not in line

    def check(self) -> None:
        assert self.window.final == self.final.point
        assert list(self.window.blocks) == self.held
        assert len(self.window) == len(self.held) == len(self.window._numbers) - 1, "memory that only grows"
        tip = (self.final, *self.held)[-1]
        assert self.window.tip == tip.point
        assert {self.final, *self.held} <= set(self.lines[tip.hash]), "two branches in one window"
        assert self.sparse or tip.number - self.final.number == len(self.held), "a hole"

    def settle(self) -> None:
        """The chain holds still and honest providers are asked: the window is the true chain.

        In a hole of a sparse window a lower head proves nothing: there the chain has to pass the tip first.
        """
        self.nulls = 0
        if self.sparse:
            self.grow(max(0, self.window.tip.number + 2 - len(self.true)))
        assert isinstance(self.drive(self.true, self.true), w.Known)
        assert self.window.tip == self.true[-1].point
        assert set(self.held) <= set(self.true)
        assert self.sparse or self.held == list(self.true[self.final.number + 1 :])


# Events of a life, each with its weight in a random one; a, b, c are numbers below 1000 to choose by.
EVENTS: dict[str, tuple[int, Callable[[World, int, int, int], None]]] = {
    "poll": (8, lambda world, a, b, c: world.poll(a % PROVIDERS, b % PROVIDERS, c % 7, c % 4 == 3)),
    "hear final": (4, lambda world, a, b, c: world.hear_final(a % PROVIDERS, b % 3)),
    "look": (3, lambda world, a, b, c: world.look(a)),
    "grow": (3, lambda world, a, b, c: world.grow(1 + a % 6)),
    "reorg": (1, lambda world, a, b, c: world.reorg(1 + a % 8, 1 + b % 9)),
    "flip": (1, lambda world, a, b, c: world.flip(a)),
    "finalize": (2, lambda world, a, b, c: world.finalize(a % 6)),
    "lag": (1, lambda world, a, b, c: world.view(a, world.true[: max(1, len(world.true) - b % 7)])),
    "strand": (1, lambda world, a, b, c: world.view(a, list(world.lines.values())[-30:][b % 30 % len(world.lines)])),
    "catch up": (2, lambda world, a, b, c: world.view(a, None)),
    "answer null": (1, lambda world, a, b, c: setattr(world, "nulls", a % 3)),
    "restart": (1, lambda world, a, b, c: world.restart()),
    "settle": (1, lambda world, a, b, c: world.settle()),
}
NUMBER = st.integers(0, 999)


class WindowMachine(RuleBasedStateMachine):
    """Hypothesis looks for a story in which `World` fails, and makes it short."""

    @initialize(sparse=st.booleans(), blocks=st.integers(0, 12))
    def begin(self, sparse: bool, blocks: int) -> None:
        self.world = World(sparse=sparse)
        self.world.grow(blocks)

    @rule(event=st.sampled_from(sorted(EVENTS)), a=NUMBER, b=NUMBER, c=NUMBER)
    def happens(self, event: str, a: int, b: int, c: int) -> None:
        EVENTS[event][1](self.world, a, b, c)
        self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()


TestWindowMachine = WindowMachine.TestCase
TestWindowMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, database=None)


@pytest.mark.parametrize("sparse", [False, True])
def test_random_lives_meet_every_answer(sparse: bool) -> None:
    names, weights, seen = list(EVENTS), [weight for weight, _ in EVENTS.values()], Counter[type]()
    for seed in range(150):
        world, chance = World(sparse=sparse), random.Random(seed)
        for name in chance.choices(names, weights, k=150):
            EVENTS[name][1](world, *(chance.randrange(1000) for _ in "abc"))
            world.check()
        world.settle()
        seen += world.seen
    wanted = {*get_args(w.Decision), *get_args(w.Advance)} - {w.Impossible} - (set() if sparse else {w.Recheck})
    assert all(seen[kind] >= 10 for kind in wanted), seen


# Named cases. CHAIN is dense: final block 10, tip 20. NEW leaves it after block 15, up to 24.

START = mine(GENESIS, 10)
CHAIN = mine(START[-1], 10)
FINAL, TIP = START[-1].point, CHAIN[-1]
NEW = mine(CHAIN[4], 9, "new")


def dense() -> Window:
    return Window(FINAL, CHAIN)


def extend(window: Window, block: Block, seam: Block | None = None) -> w.Extends:
    found = window.observe(block, seam)
    assert isinstance(found, w.Extends)
    assert found.block == block
    window.append(found)
    return found


def asks(fork: w.Decision) -> tuple[int, int, bytes | None]:
    assert isinstance(fork, w.Fork)
    return fork.agree_to, fork.number, fork.hash


def walk(window: Window, head: Block, blocks: Sequence[Block]) -> tuple[w.Decision, int]:
    """What `head` leads to when every header is one of `blocks`, and how many headers it took."""
    decision, asked = window.observe(head), 0
    while isinstance(decision, w.Fork):
        decision = window.trace(decision, next(block for block in blocks if block.number == decision.number))
        asked += 1
    return decision, asked


def parted(window: Window, head: Block, blocks: Sequence[Block]) -> w.Unconfirmed:
    found, _ = walk(window, head, blocks)
    assert isinstance(found, w.Unconfirmed)
    return found


def reorged(window: Window, head: Block, blocks: Sequence[Block]) -> w.Reorg:
    """The same, when the second read says so too."""
    found = parted(window, head, blocks)
    reorg = window.confirm(found, found.branch[0])
    assert isinstance(reorg, w.Reorg)
    assert (reorg.ancestor, reorg.removed, reorg.branch) == (found.ancestor, found.removed, found.branch)
    return reorg


def test_the_next_block_extends_an_empty_window() -> None:
    window = Window(FINAL)
    for block in CHAIN:
        assert extend(window, block).linked
        assert window.observe(block) == w.Known(block)
    assert window.blocks == tuple(CHAIN)


def test_parent_mismatch_at_tip_plus_one() -> None:
    window, other = dense(), mine(CHAIN[8], 2, "other")
    assert asks(window.observe(other[1])) == (19, 20, other[0].hash)
    found, asked = walk(window, other[1], other)
    assert isinstance(found, w.Unconfirmed)
    assert (found.ancestor, found.removed, found.branch, asked) == (CHAIN[8].point, (TIP,), tuple(other), 1)
    assert window.blocks == tuple(CHAIN), "judging changes nothing"


def test_sibling_at_the_same_height_needs_no_header_more() -> None:
    window, sibling = dense(), mine(CHAIN[8], 1, "sibling")[0]
    reorg = reorged(window, sibling, [])
    assert (reorg.ancestor, reorg.removed, reorg.branch) == (CHAIN[8].point, (TIP,), (sibling,))
    window.apply(reorg, reorg.branch)
    assert window.blocks == (*CHAIN[:9], sibling)


def test_a_lagging_backend_with_a_lower_head_is_no_reorg() -> None:
    window = dense()
    for behind, block in enumerate([*reversed(CHAIN[:-1]), START[-1]], start=1):
        assert window.observe(block) == w.Lagging(block, behind, True)
    assert window.observe(START[3]) == w.Lagging(START[3], 16, False), "below the window: nothing to compare with"
    assert window.blocks == tuple(CHAIN)


def test_longer_branch_whose_first_head_is_several_higher() -> None:
    window = dense()
    assert window.observe(NEW[-1]) == w.Gap(21, 23)
    assert walk(window, NEW[5], NEW)[1] == 5
    reorg = reorged(window, NEW[5], NEW)
    assert (reorg.ancestor, reorg.removed, reorg.branch) == (CHAIN[4].point, tuple(CHAIN[5:]), tuple(NEW[:6]))
    window.apply(reorg, NEW[:6])
    assert window.observe(NEW[-1]) == w.Gap(22, 23)
    assert isinstance(window.observe(NEW[6]), w.Extends)


def test_reorg_to_a_shorter_branch() -> None:
    window = dense()
    reorg = reorged(window, NEW[1], NEW)
    assert (reorg.ancestor, reorg.removed, reorg.branch) == (CHAIN[4].point, tuple(CHAIN[5:]), tuple(NEW[:2]))
    window.apply(reorg)
    assert window.tip == CHAIN[4].point
    assert isinstance(window.observe(NEW[0]), w.Extends)


def test_reorg_while_offline_is_found_at_the_height_of_the_tip() -> None:
    window = Window(FINAL, reversed(CHAIN))
    assert window.observe(TIP) == w.Known(TIP), "no reorg meanwhile"
    assert NEW[4].number == window.tip.number
    assert parted(window, NEW[4], NEW).ancestor == CHAIN[4].point


def test_an_empty_block_that_gains_an_event_has_another_hash() -> None:
    """Every block is held, with or without logs: a new head shows the replaced one seven blocks below."""
    branch = mine(CHAIN[1], 9, "block 13 now holds a log")
    reorg = reorged(dense(), branch[8], branch)
    assert (reorg.removed[0], reorg.branch[0]) == (CHAIN[2], branch[0])


@pytest.mark.parametrize("height", range(11))
def test_deep_reorg_beyond_the_window_changes_nothing(height: int) -> None:
    window, branch = dense(), mine(START[8], 12, "deep")  # leaves after block 9
    assert walk(window, branch[1 + height], branch) == (w.BelowFinality(FINAL, branch[0].point), height)
    assert window.observe(branch[0]) == w.BelowFinality(FINAL, branch[0].point)
    assert window.blocks == tuple(CHAIN)


def test_a_stale_block_cached_as_canonical_does_not_hold_up_the_reorg() -> None:
    window, branch = dense(), mine(CHAIN[8], 2, "true")  # it repeats our block 20, but its head builds on the other
    found = parted(window, branch[1], branch)
    assert window.confirm(found, TIP) == w.Known(TIP), "refuted by number"
    assert isinstance(window.confirm(found, branch[1]), w.Reorg), "the head commits to what it builds on"


def test_a_crash_in_the_middle_of_a_rollback_is_judged_again() -> None:
    window = dense()
    reorg = reorged(window, NEW[3], NEW)
    before = Window(window.final, window.blocks)  # the database did not commit
    assert reorged(before, NEW[3], NEW).removed == reorg.removed
    after = Window(window.final, [*CHAIN[:5], *NEW[:4]])  # it did, the process died before `apply`
    window.apply(reorg, reorg.branch)
    assert after.blocks == window.blocks
    assert after.observe(NEW[3]) == w.Known(NEW[3])


def test_the_second_read_decides() -> None:
    window, third = dense(), mine(CHAIN[4], 1, "third")[0]
    found = parted(window, NEW[3], NEW)
    assert window.confirm(found, CHAIN[5]) == w.Lagging(CHAIN[5], 4, True)
    assert isinstance(window.confirm(found, third), w.Unconfirmed)
    assert isinstance(window.confirm(found, START[0]), w.Lagging), "a height below the branch"
    assert isinstance(window.confirm(found, NEW[0]), w.Reorg)


def test_finality_drops_what_is_final() -> None:
    window = dense()
    assert window.advance(14, CHAIN[3].hash) == w.Finalized(CHAIN[3].point, tuple(CHAIN[:4]))
    assert window.blocks == tuple(CHAIN[4:])
    assert window.advance(14, CHAIN[3].hash) == w.Finalized(CHAIN[3].point, ())
    assert window.advance(20, TIP.hash) == w.Finalized(TIP.point, tuple(CHAIN[4:]))
    assert (window.tip, len(window)) == (TIP.point, 0)
    assert isinstance(window.observe(mine(CHAIN[8], 2, "x")[1]), w.BelowFinality)


def test_finality_that_goes_back_or_elsewhere_is_reported() -> None:
    window, other = dense(), digest("other")
    assert window.advance(9, START[8].hash) == w.WentBack(FINAL, START[8].point)
    assert window.advance(10, other) == w.BelowFinality(FINAL, Point(10, other))
    assert window.advance(17, NEW[1].hash) == w.OtherBranch(CHAIN[6].point, NEW[1].point)
    assert window.advance(23, NEW[7].hash) == w.Gap(21, 23)
    assert (window.final, window.blocks) == (FINAL, tuple(CHAIN))


def test_while_finality_stalls_the_window_grows() -> None:
    blocks, window = mine(START[-1], 20_000), Window(FINAL)
    for block in blocks:
        extend(window, block)
    assert len(window) == 20_000
    assert window.advance(*blocks[-2].point) == w.Finalized(blocks[-2].point, tuple(blocks[:-1]))
    assert len(window) == 1


def test_a_seam_joins_two_blocks_of_a_sparse_window() -> None:
    window = Window(FINAL)
    assert window.observe(CHAIN[4]) == w.Gap(11, 14)
    assert window.observe(CHAIN[4], START[8]) == w.Gap(11, 14), "a seam below the tip proves nothing about it"
    for block, seam in ((CHAIN[4], START[-1]), (TIP, CHAIN[4])):
        assert not extend(window, block, seam).linked
    assert isinstance(window.observe(mine(TIP, 3)[-1], NEW[4]), w.Fork), "another block at the tip's height"
    assert window.observe(CHAIN[6]) == w.Lagging(CHAIN[6], 3, False), "in a hole"
    assert window.observe(CHAIN[8]) == w.Lagging(CHAIN[8], 1, True), "named as parent by the tip"


@pytest.mark.parametrize(("head", "first"), [(NEW[4], (18, 19, NEW[3].hash)), (NEW[3], (18, 15, None))])
def test_a_fork_of_a_sparse_window_is_compared_at_held_heights(head: Block, first: tuple[int, int, bytes]) -> None:
    """Block 20 against 20', and against 19' in the hole below it, which it disowns."""
    window = Window(FINAL, [CHAIN[1], CHAIN[4], TIP])
    assert asks(window.observe(head)) == first
    found = parted(window, head, [*CHAIN[:5], *NEW])
    assert (found.ancestor, found.removed) == (CHAIN[4].point, (TIP,))
    assert found.branch == tuple(NEW[3 : NEW.index(head) + 1])


def test_a_sibling_in_a_sparse_window_shares_the_parent_that_both_name() -> None:
    window, sibling = Window(FINAL, [CHAIN[4], TIP]), mine(CHAIN[8], 1, "sibling")[0]
    reorg = reorged(window, sibling, [])
    assert (reorg.ancestor, reorg.removed) == (CHAIN[8].point, (TIP,))
    window.apply(reorg, [sibling])
    assert window.blocks == (CHAIN[4], sibling)


def test_a_second_read_must_be_joined_to_the_divergence_by_parent_hashes() -> None:
    window = Window(FINAL, [CHAIN[4], CHAIN[6], TIP])
    found = parted(window, NEW[4], [*CHAIN[:5], *NEW])
    assert [block.number for block in found.branch] == [16, 17, 19, 20]
    assert not isinstance(window.confirm(found, NEW[4]), w.Reorg), "a hole lies between"
    assert isinstance(window.confirm(found, NEW[1]), w.Reorg)


def test_finality_in_a_hole_asks_for_a_held_height() -> None:
    window = Window(FINAL, [CHAIN[1], CHAIN[4], TIP])
    assert window.advance(11, CHAIN[0].hash) == w.Finalized(CHAIN[0].point, ()), "named as parent by block 12"
    assert window.advance(17, CHAIN[6].hash) == w.Recheck(15)
    assert window.advance(15, CHAIN[4].hash) == w.Finalized(CHAIN[4].point, (CHAIN[1], CHAIN[4]))
    assert window.advance(17, CHAIN[6].hash) == w.Finalized(CHAIN[4].point, ()), "nothing held is newly final"
    assert window.advance(19, NEW[3].hash) == w.OtherBranch(CHAIN[8].point, NEW[3].point)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (Block(-1, digest("a"), digest("b"), 0), "no block can have"),
        (Block(21, b"short", TIP.hash, 0), "no block can have"),
        (Block(21, digest("a"), digest("a"), 0), "no block can have"),
        (Block(21, TIP.hash, digest("a"), 0), "that of block 20"),
        (Block(22, digest("a"), TIP.hash, 0), "parent is block 20"),
        (Block(20, digest("a"), FINAL.hash, 0), "parent is block 10"),
        (TIP._replace(parent=digest("a")), "another parent or time"),
        (TIP._replace(timestamp=1), "another parent or time"),
    ],
)
def test_a_header_that_cannot_exist(block: Block, why: str) -> None:
    found = dense().observe(block)
    assert isinstance(found, w.Impossible)
    assert why in found.why


def test_an_answer_that_was_not_asked_for_ends_the_walk() -> None:
    full, holed = (dense(), NEW[4]), (Window(FINAL, [CHAIN[4], TIP]), NEW[3])
    for (window, head), wrong in ((full, NEW[2]), (full, mine(CHAIN[7], 1, "x")[0]), (holed, NEW[1])):
        assert isinstance(window.trace(window.observe(head), wrong), w.Impossible)


def test_decisions_of_an_older_state_are_not_carried_out() -> None:
    window = dense()
    fork, found, reorg = window.observe(NEW[4]), parted(window, NEW[4], NEW), reorged(window, NEW[4], NEW)
    extends = window.observe(mine(TIP, 1)[0])
    with pytest.raises(ValueError, match="first ones of the branch"):
        window.apply(reorg, NEW[1:3])
    window.append(extends)
    for stale in (lambda: window.append(extends), lambda: window.apply(reorg)):
        with pytest.raises(ValueError, match="has changed"):
            stale()
    assert window.trace(fork, NEW[3]) == window.observe(NEW[4]), "judged afresh"
    assert window.confirm(found, NEW[0]) == window.observe(NEW[0]), "judged afresh"
    assert len(window) == 11


@pytest.mark.parametrize(
    "rows",
    [
        [*CHAIN[:2], NEW[0]._replace(number=13)],
        [*CHAIN, mine(CHAIN[3], 1, "twin")[0]],
        mine(START[8], 3, "other final")[1:],
        [START[-1]._replace(hash=digest("other"))],
        [Block(12, b"short", digest("a"), 0)],
    ],
)
def test_rows_that_are_no_chain_are_refused(rows: list[Block]) -> None:
    with pytest.raises(Inconsistent, match=r"chain\.blocks"):
        Window(FINAL, rows)
