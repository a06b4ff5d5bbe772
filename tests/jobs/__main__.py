"""`make jobs JOBS=2000 WORKERS=8`: each range written once, none lost, whatever is killed."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from indexer.store import database as db
from indexer.store import migrate, server
from tests.acceptance.node import running
from tests.jobs.chaos import SlowNode, run

BLOCKS = 40  # of a job


def main() -> int:
    """0 when nothing was lost or written twice, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=1.5, help="seconds between two kills or freezes")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="taskscan-jobs-"))
    try:
        with server.using(folder / "data") as cluster, running(SlowNode(given.jobs * BLOCKS - 1)) as node:
            engine = db.engine(cluster.url)
            migrate.upgrade(engine)
            engine.dispose()
            tally = run(
                folder, cluster.url, node, jobs=given.jobs, workers=given.workers, seed=given.seed, every=given.every
            )
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)
    for name, value in vars(tally).items():
        print(f"{name.replace('_', ' '):18} {value if name != 'seconds' else f'{value:.0f}'}")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
