"""200 seeds: the simulated indexer ends exact, whatever goes wrong on the way, and notices what went wrong.

One seed alone: `python -m tests.simulation --seed N`; any number: `make simulate SEEDS=N`.
"""

from tests.simulation.report import Report, story
from tests.simulation.run import Bench, run_seed

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


def test_a_backend_that_lags_on_a_lost_branch_breaks_no_finality(bench: Bench) -> None:
    assert run_seed(bench, 444).wrong == []
