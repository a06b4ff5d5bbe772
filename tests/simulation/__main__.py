"""`python -m tests.simulation --seed N` runs one seed and says all; `--seeds N` runs many, several at once."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from tests.simulation.many import bench, run_many, server_of_its_own
from tests.simulation.report import Report, story
from tests.simulation.run import Outcome, run_seed

EVERY = 25  # seeds between two lines of progress where nobody watches


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every seed passes and every kind of fault was injected and noticed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone and tell what happened")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="run N seeds (default: 200)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first of them (default: 1)")
    parser.add_argument("--stop", type=int, default=0, metavar="N", help="stop after N failing seeds (default: never)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="seeds at once (default: 2)")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server_of_its_own() as url:
        if given.seed is not None:
            return _one(url, given.seed)
        seeds = range(given.first, given.first + given.seeds)
        report = run_many(url, seeds, given.jobs, stop=given.stop, tell=_teller(seeds))
    print(report.text())
    return 0 if report.good else 1


def _one(url: str, seed: int) -> int:
    with bench(url) as made:
        outcome = run_seed(made, seed)
    print(story(outcome))
    return 1 if outcome.wrong else 0


def _teller(seeds: range) -> Callable[[Outcome, Report], None]:
    """A line of progress, and the story of each seed that fails. It says up to which seed all are done."""
    done: set[int] = set()
    upto = seeds.start - 1

    def tell(outcome: Outcome, report: Report) -> None:
        nonlocal upto
        done.add(outcome.seed)
        while upto + 1 in done:
            upto += 1
        if outcome.wrong:
            print(("\n" if sys.stdout.isatty() else "") + story(outcome), flush=True)
        if sys.stdout.isatty():
            print(f"\r{report.line}", end="\n" if len(done) == len(seeds) else "", flush=True)
        elif len(done) % EVERY == 0:
            print(f"{report.line}; all done up to {upto}", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
