"""`python -m tests.simulation --seed N` runs one seed and says all; `--seeds N` runs many in two processes."""

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.many import bench, run_many, server_of_its_own
from tests.simulation.report import story
from tests.simulation.run import Outcome, run_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every seed passes and every kind of fault was noticed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone and tell what happened")
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="run N seeds (default: 200)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="the first of them (default: 1)")
    parser.add_argument("--stop", type=int, default=0, metavar="N", help="stop after N failing seeds (default: never)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")
    given = parser.parse_args(arguments)
    with server_of_its_own() as url:
        if given.seed is not None:
            return _one(url, given.seed)
        seeds = range(given.first, given.first + given.seeds)
        report = run_many(url, seeds, given.processes, stop=given.stop, tell=_tell)
    print(report.text())
    return 0 if report.good else 1


def _one(url: str, seed: int) -> int:
    with bench(url) as made:
        outcome = run_seed(made, seed)
    print(story(outcome))
    return 1 if outcome.wrong else 0


def _tell(outcome: Outcome) -> None:
    if outcome.wrong:
        print(story(outcome), flush=True)


if __name__ == "__main__":
    sys.exit(main())
