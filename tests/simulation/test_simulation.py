"""200 seeds: the simulated indexer ends exact, whatever goes wrong on the way, and notices what went wrong.

One seed alone: `python -m tests.simulation --seed N`; any number: `make simulate SEEDS=N`.
"""

import pytest

from indexer.errors import FinalityBroken
from tests.simulation.report import Report, story
from tests.simulation.run import Bench, run_seed
from tests.simulation.stage import Stage, act

EACH = 50


class Seeds:
    """One class per part, so that several processes share them."""

    first = 1

    def test_seeds(self, bench: Bench) -> None:
        report = Report()
        stories = []
        for seed in range(self.first, self.first + EACH):
            outcome = run_seed(bench, seed)
            report.add(outcome)
            if outcome.wrong:
                stories.append(story(outcome))
        print(report.text())
        assert not stories, "\n".join(stories)
        assert report.unnoticed == []
        assert report.compared > 1000


class TestSeedsFrom1(Seeds):
    pass


class TestSeedsFrom51(Seeds):
    first = 51


class TestSeedsFrom101(Seeds):
    first = 101


class TestSeedsFrom151(Seeds):
    first = 151


SEEDS = {
    "a_backend_that_lags_on_a_lost_branch_breaks_no_finality": 444,
    "a_stale_block_in_a_cache_breaks_no_finality": 291,
    "a_judge_with_a_stale_block_takes_no_log_away": 276,
    "receipts_of_another_branch_make_no_liar": 563,
    "a_young_chain_has_no_final_block_yet": 1211,
    "a_stale_block_in_a_cache_is_never_taken_for_final": 2059,
}


@pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)
def test_what_failed_once(bench: Bench, seed: int) -> None:
    assert run_seed(bench, seed).wrong == []


@pytest.mark.parametrize("tag", ["zero", "null", "error"])
def test_without_a_tag_that_moves_a_chain_that_goes_back_stops_too(bench: Bench, tag: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.finalized, stage.world.busy = tag, 0.0
        stage.world.mine(1100)  # a tag that still says 0 is dead, and what is 900 s old is final
        await stage.catch_up()
        depth = stage.world.head.number - 8
        stage.world.replace(depth, *([] for _ in range(depth + 30)))
        stage.sync()
        await stage.poll(4)
        assert stage.life is not None
        assert isinstance(stage.life.stopped, FinalityBroken)

    act(bench, scene, 12.0)
