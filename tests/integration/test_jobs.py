"""Kill -9 and frozen workers, killed servers: the small form of `make jobs JOBS=2000 WORKERS=8`."""

from pathlib import Path

from tests.acceptance.node import running
from tests.jobs.chaos import SlowNode, run


def test_each_range_is_written_once_and_none_is_lost_whatever_is_killed(migrated: str, tmp_path: Path) -> None:
    with running(SlowNode(30 * 20 - 1)) as node:
        tally = run(tmp_path, migrated, node, jobs=30, workers=3, every=0.4)
    assert tally.wrong == []
    assert tally.started >= tally.jobs
    assert tally.workers_killed + tally.servers_killed + tally.frozen > 0
