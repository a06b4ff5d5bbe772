"""The twelve cases that indexers get wrong (and a few more), each on a slow chain, read block by block, and on a fast
one, read in ranges."""

from collections.abc import Sequence
from functools import partial

import pytest

from indexer.errors import FinalityBroken
from tests.simulation.abi import IEXEC, WORKERPOOL
from tests.simulation.faults import FaultyNode
from tests.simulation.life import Crash
from tests.simulation.lives import HUB
from tests.simulation.node import Quirks, View
from tests.simulation.run import Bench
from tests.simulation.stage import FINAL, Stage, act
from tests.simulation.world import Log

pytestmark = pytest.mark.parametrize("seconds", [12.0, 0.25], ids=["slow", "fast"])


def test_parent_mismatch_at_tip_plus_one(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx(3)])
        await stage.catch_up()
        stage.world.replace(1, [stage.tx(1)], [stage.tx(2)])
        await stage.catch_up()
        (depth,) = stage.reorgs()  # a sparse window goes back to the highest block that it holds
        assert depth == 1 or (seconds < 1 and depth > 1)
        await stage.check()

    act(bench, scene, seconds)


def test_sibling_at_the_same_height(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx(3)])
        await stage.catch_up()
        stage.world.replace(1, [stage.tx(2)])
        stage.sync()
        await stage.poll(3)
        (depth,) = stage.reorgs()  # a sparse window goes back to the highest block that it holds
        assert depth == 1 or (seconds < 1 and depth > 1)
        await stage.check()

    act(bench, scene, seconds)


def test_lagging_backend_is_no_reorg(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        for behind in (1, 5, 9):
            stage.world.put([stage.tx()])
            stage.sync()
            stage.node.views[0].height -= behind
            await stage.poll(2)
        assert stage.reorgs() == []
        assert stage.incidents() <= {"NotThereYet"}
        await stage.catch_up()
        assert stage.reorgs() == []
        await stage.check()

    act(bench, scene, seconds)


def test_longer_branch_whose_head_jumps_by_several(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx()], [])
        await stage.catch_up()
        stage.world.replace(3, [stage.tx()], [], [stage.tx()], [stage.tx()], [], [stage.tx(4)])
        await stage.catch_up()
        assert len(stage.reorgs()) == 1
        await stage.check()

    act(bench, scene, seconds)


def test_reorg_while_offline(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx()])
        await stage.catch_up()
        await stage.end()
        stage.world.replace(2, [], [stage.tx()], [stage.tx()], [])
        await stage.catch_up()
        assert len(stage.reorgs()) == 1
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_empty_block_becomes_non_empty_and_back(bench: Bench, seconds: float, before: int, after: int) -> None:
    async def scene(stage: Stage) -> None:
        first, second = ([stage.tx(count)] if count else [] for count in (before, after))
        stage.world.put(first)
        await stage.catch_up()
        stage.world.replace(1, second, [])
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def omit_once(stage: Stage, wanted: int | None) -> None:
    """The first provider leaves out the logs of the newest block, or so many of them, the first time it is asked."""
    node, lost = stage.node, list(stage.world.head.logs)
    asked = 0

    def matching(filter_: dict[str, object], view: object) -> list[Log]:
        nonlocal asked
        found = type(node).matching(node, filter_, view)  # type: ignore[arg-type]
        if asked or not any(log in found for log in lost):
            return found
        asked += 1
        return [log for log in found if log not in lost[:wanted]]

    node.matching = matching  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("left_out", [None, 1, 2], ids=["all", "one", "two"])
def test_logs_missing_at_the_head(bench: Bench, seconds: float, left_out: int | None) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        stage.world.put([stage.tx(4)])
        omit_once(stage, left_out)
        await stage.catch_up()
        await stage.grow_final()
        assert "Distrusted" in stage.incidents()
        await stage.check()

    act(bench, scene, seconds)


def test_logs_missing_in_a_historical_range_with_evidence_bloom(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.receipts = False  # or nobody would ask for logs: whole receipts prove more
        stage.world.finalize_all()
        stage.node.faults.rates, stage.node.omits_final = {"omit": 0.5}, True
        stage.node.faults.omits = 3
        await stage.catch_up()
        await stage.poll(3)
        assert stage.node.faults.injected["omit"]
        await stage.check()

    act(bench, scene, seconds, evidence="bloom")


def test_a_range_left_out_is_found_once_its_provider_is_caught(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.faults.rates, stage.node.omits_final = {"omit": 1.0}, True
        await stage.poll()
        assert stage.differences()
        stage.world.put([stage.tx(3)], [stage.tx(2)], [stage.tx(4)])
        await stage.catch_up()
        stage.node.faults.rates = {}
        await stage.grow_final()
        await stage.poll(3)
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize("real", [True, False], ids=["in-a-block", "in-none"])
def test_logs_that_never_were_are_removed_and_their_provider_is_caught(
    bench: Bench, seconds: float, real: bool
) -> None:  # fmt: skip
    """`real`: they name a block that the chain has."""

    async def scene(stage: Stage) -> None:
        liars = list[str]()

        def logs(node: FaultyNode, true: Sequence[Log]) -> bytes:
            whole = type(node).logs(node, true)
            if liars or len({log.owner.hash for log in true}) < (1 if seconds > 1 else 2):
                return whole
            owner = true[-1].owner if real else stage.world.chain[true[-1].owner.number - 1]
            entry = true[-1].address, true[-1].topics, true[-1].data
            never = Log(owner, true[-1].tx_hash, true[-1].tx_index, true[-1].index + 5, entry)
            liars.append(node.name)
            made = node.log(never, block_hash=None if real else bytes(31) + b"\1")
            return whole[:-1] + b"," + made + b"]"

        await stage.catch_up()
        for node in stage.nodes:  # whoever is asked first lies once
            node.logs = partial(logs, node)  # type: ignore[method-assign]
        stage.world.put([stage.tx(3)], [], [stage.tx(2)])
        await stage.catch_up()
        await stage.grow_final()
        names = stage.ask("SELECT subject FROM chain.incidents WHERE kind = 'Distrusted' AND chain_id = %s")
        assert [name for (name,) in names] == liars != []
        await stage.check()

    act(bench, scene, seconds, providers=2)


def test_reorg_below_the_final_block_stops_and_changes_nothing(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()])
        await stage.catch_up()
        true = list(stage.world.chain)
        stage.world.replace(stage.world.head.number - 8, *([stage.tx()] for _ in range(30)))
        stage.sync()
        for _ in range(4):
            await stage.poll()
        assert stage.life is not None
        assert isinstance(stage.life.stopped, FinalityBroken)
        assert "FinalityBroken" in stage.incidents()
        assert stage.reorgs() == []
        stage.world.chain = true
        await stage.check()

    act(bench, scene, seconds)


def test_stale_block_cached_as_canonical(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx()])
        await stage.catch_up()
        stage.world.replace(2, [stage.tx()], [stage.tx()], [stage.tx()])
        stage.node.faults.rates = {"stale_block": 0.8}
        stage.sync()
        await stage.poll(6)
        stage.world.put([stage.tx()])
        stage.sync()
        await stage.poll(6)
        assert stage.node.faults.injected["stale_block"]
        stage.node.faults.rates = {}
        stage.world.put([])
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize("commit", range(1, 4))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_crash_around_every_commit_of_a_rollback(bench: Bench, seconds: float, commit: int, before: bool) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx(2)])
        await stage.catch_up()
        stage.world.replace(2, [stage.tx()], [], [stage.tx()])
        stage.sync()
        stage.bench.doom.at_commit, stage.bench.doom.before = stage.bench.doom.commits + commit, before
        with pytest.raises(Crash):
            await stage.poll(6)
        await stage.end()
        stage.bench.doom.clear()
        await stage.catch_up()
        assert len(stage.reorgs()) == 1
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize("post", range(1, 7))
def test_crash_at_every_request_of_a_reorg(bench: Bench, seconds: float, post: int) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx(2)])
        await stage.catch_up()
        stage.world.replace(2, [stage.tx()], [], [stage.tx()])
        stage.sync()
        stage.bench.doom.at_post = stage.bench.doom.posts + post
        with pytest.raises(Crash):
            await stage.poll(8)
        await stage.end()
        stage.bench.doom.clear()
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_crash_at_every_await_of_a_reorg(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        turn = 1 + (seconds < 1)  # each other one here, and those between on the other kind of chain
        while True:
            turn += 2
            await stage.catch_up()
            stage.world.replace(2, [stage.tx()], [stage.tx(2)])
            stage.sync()
            if not await stage.dies_at(turn):
                break
        assert turn > 20
        await stage.catch_up()
        await stage.poll()
        await stage.check()

    act(bench, scene, seconds)


def test_reorg_during_the_hand_over_from_scan_to_head(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put(*([stage.tx()] for _ in range(6)))
        await stage.poll()  # prepared, and some of it read
        for depth in (3, 1, 5):
            stage.world.replace(depth, *([stage.tx()] for _ in range(depth + 1)))
            stage.world.final += 2
            stage.sync()
            await stage.poll()
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_a_workerpool_born_on_a_branch_that_is_lost(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        births = [stage.tx()._replace(entries=tuple(stage.world.lives.birth()[0])) for _ in range(2)]
        stage.world.put([births[0]], [])
        await stage.catch_up()
        stage.world.replace(2, [births[1]], [], [])
        await stage.catch_up()
        await stage.poll(2)
        query = "SELECT count(*) FROM chain.sources WHERE chain_id = %s AND role = 'workerpool' AND from_block > 24"
        assert stage.ask(query) == [(1,)]
        await stage.check()

    act(bench, scene, seconds, networks=("iexec",))


def test_branches_that_take_turns(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx()])
        await stage.catch_up()
        for _ in range(4):
            stage.world.replace(2, [stage.tx()], [stage.tx()])
            stage.sync()
            await stage.poll()
            assert stage.world.flip_back()
            stage.sync()
            await stage.poll()
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_finality_that_stalls_keeps_the_window_open(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        for _ in range(12):
            stage.world.put(*([stage.tx()] for _ in range(4)))
            stage.sync()
            await stage.poll()
        stage.world.replace(40, *([stage.tx()] for _ in range(43)))
        await stage.catch_up()
        assert len(stage.reorgs()) == 1
        await stage.check()

    act(bench, scene, seconds)


def test_a_reorg_goes_below_a_pause_where_only_age_makes_blocks_final(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks = Quirks(finalized="error")
        stage.world.put(*([stage.tx()] for _ in range(30)))
        await stage.catch_up()
        stage.world.pause(86_400)
        stage.world.put(*([stage.tx()] for _ in range(50)))
        await stage.catch_up()
        stage.world.replace(55, *([stage.tx()] for _ in range(58)))
        await stage.catch_up()
        assert len(stage.reorgs()) == 1
        await stage.check()

    act(bench, scene, seconds)


def test_a_second_provider_that_lies_about_the_head_changes_nothing(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        stage.world.put([stage.tx()], [stage.tx()])
        stage.sync()
        old = list(stage.world.chain)
        await stage.catch_up()
        stage.world.replace(2, [stage.tx()], [stage.tx()], [stage.tx()])
        await stage.catch_up()
        for _ in range(3):  # it stays on the branch that was lost
            stage.world.put([stage.tx()])
            stage.nodes[0].sync()
            stage.nodes[1].views[0].chain, stage.nodes[1].views[0].height = old, len(old) - 1
            await stage.poll(2)
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds, providers=2)


def routed(stage: Stage, logs: View) -> None:
    """Posts that ask for logs meet the backend `logs`, all others the one that is up to date."""
    node = stage.node

    def view(request: object) -> View:
        calls = request if isinstance(request, list) else [request]
        asks_logs = any(call["method"] == "eth_getLogs" for call in calls)
        return logs if asks_logs else node.views[0]

    node.view = view  # type: ignore[method-assign]


def test_scan_meets_a_backend_on_a_branch_that_was_lost(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.put(*([stage.tx()] for _ in range(3)))
        lost = list(stage.world.chain)
        stage.world.replace(3, *([stage.tx()] for _ in range(3)))
        stage.world.final = stage.world.head.number - 1
        stage.sync()
        routed(stage, View(lost, len(lost) - 1, FINAL))
        await stage.poll(3)
        del stage.node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_scan_without_batches_meets_a_backend_on_a_branch_that_was_lost(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        node = stage.node
        node.quirks.max_batch = 1
        await stage.poll()
        stage.world.put(*([stage.tx()] for _ in range(20)))
        lost = View(list(stage.world.chain), stage.world.head.number, FINAL)
        stage.world.replace(20, *([stage.tx()] for _ in range(20)))
        stage.world.finalize_all()
        stage.sync()

        def view(request: object) -> View:
            tag = isinstance(request, dict) and request["params"][:1] in (["latest"], ["finalized"])
            return node.views[0] if tag else lost

        node.view = view  # type: ignore[method-assign]
        await stage.end()
        await stage.poll(3)
        assert all("missing" in told for told in stage.differences()), "nothing of the lost branch is stored"
        await stage.end()
        del node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_the_head_of_a_lagging_backend_on_a_lost_branch_is_not_final(bench: Bench, seconds: float) -> None:
    """Simulation, seed 126: of a head at 51 from one backend and a final block 54 from another the lower one won."""

    async def scene(stage: Stage) -> None:
        stage.world.put([stage.tx()], [stage.tx()], [])
        await stage.catch_up()
        lost, node = View(stage.world.chain, stage.world.head.number, FINAL), stage.node
        stage.world.replace(3, *([stage.tx()] for _ in range(30)))
        stage.world.final = stage.world.head.number - 5
        stage.sync()

        def view(request: object) -> View:
            asks_head = isinstance(request, dict) and request["params"][:1] == ["latest"]
            return lost if asks_head else node.views[0]

        node.view = view  # type: ignore[method-assign]
        await stage.end()
        await stage.poll(3)
        del node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize("longest", [1, 2])
def test_a_provider_that_takes_short_batches(bench: Bench, seconds: float, longest: int) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.max_batch = longest
        await stage.catch_up()
        for _ in range(3):
            stage.world.replace(1, [stage.tx()], [stage.tx()], [stage.tx()])
            await stage.catch_up()
        await stage.grow_final()
        await stage.check()

    act(bench, scene, seconds)


def test_a_lagging_backend_behind_a_provider_without_batches(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.max_batch = 1
        stage.world.finalize_all()
        stage.sync()
        routed(stage, View(stage.world.chain, 3, 0))
        await stage.poll(3)
        del stage.node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_a_lagging_backend_at_the_head_of_a_provider_with_short_batches(
    bench: Bench, seconds: float, longest: int
) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.max_batch = longest
        await stage.catch_up()
        for _ in range(4):
            routed(stage, View(stage.world.chain, stage.world.head.number, FINAL))
            stage.world.put([stage.tx()], [stage.tx()], [stage.tx()])
            stage.sync()
            await stage.poll(3)
        del stage.node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_requests_for_blocks_in_which_nothing_happened(bench: Bench, seconds: float) -> None:
    """At most 2 calls per new block on a slow chain, 3 per poll on a fast one, which grows while it is asked."""

    async def scene(stage: Stage) -> None:
        node, slow = stage.node, seconds > 1
        await stage.catch_up()

        def grow(request: object) -> View:
            if not slow:
                stage.world.put([], [])
            node.sync()
            return node.views[0]

        node.view = grow  # type: ignore[method-assign]
        await stage.poll(2)
        before, polls = node.calls, 32
        for _ in range(polls):
            stage.world.put([])
            await stage.poll()
        assert node.calls - before <= polls * (2 if slow else 3) + 4
        del node.view
        await stage.catch_up()
        await stage.check()

    act(bench, scene, seconds)


def test_groups_that_join_while_the_head_is_read(bench: Bench, seconds: float) -> None:
    """Workerpools are read beside at the start; what the head's reader asked for before they joined is not theirs."""

    async def scene(stage: Stage) -> None:
        for latency in (0.06, 0.08, 0.1, 0.14, 0.2, 0.3):
            stage.bench.reset()
            stage.node.latency = latency
            stage.node.quirks.max_batch = 1
            await stage.poll(3)
            await stage.catch_up()
            assert stage.differences() == []
            await stage.end()

    async def with_pools(stage: Stage) -> None:
        births = [stage.tx()._replace(entries=tuple(stage.world.lives.birth()[0])) for _ in range(2)]
        pools = [next(entry[1][3][-20:] for entry in birth.entries if len(entry[1]) == 4) for birth in births]
        news = [
            stage.tx()._replace(entries=((pool, *WORKERPOOL["PolicyUpdate"].encode(1, 2, 3, 4)),)) for pool in pools
        ]
        news.append(stage.tx()._replace(entries=((HUB, *IEXEC["Lock"].encode(births[0].hash[:20], 5)),)))
        stage.world.put(births, *(news for _ in range(14)))
        stage.world.finalize_all()
        stage.world.put(*(news for _ in range(20)))
        stage.sync()
        await scene(stage)

    act(bench, with_pools, seconds, networks=("iexec",))
