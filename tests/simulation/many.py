"""Many seeds on one server, in several processes, each with a database of its own."""

import multiprocessing
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

from indexer.store import database as db
from indexer.store import migrate, server
from tests.integration.conftest import fresh_database
from tests.simulation.report import Report
from tests.simulation.run import Bench, Outcome, run_seed

_mine: list[Bench] = []
_kept = ExitStack()


def run_many(
    url: str, seeds: range, jobs: int = 2, *, stop: int = 0,
    tell: Callable[[Outcome, Report], None] = lambda outcome, report: None,
) -> Report:  # fmt: skip
    """Run `seeds` in so many processes; stop after `stop` failing ones (0: never), or at Ctrl-C with what there is.

    `tell` hears of each seed and of the sum up to it.
    """
    report, began = Report(), time.perf_counter()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _open, [url])
    try:
        waiting: set[Future[Outcome]] = {pool.submit(_run, seed) for seed in seeds}
        for done in as_completed(waiting):
            outcome = done.result()
            report.add(outcome)
            report.seconds = time.perf_counter() - began
            tell(outcome, report)
            if stop and len(report.failed) >= stop:
                break
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        pool.shutdown(cancel_futures=True)
    return report


def _open(url: str) -> None:
    """In a worker: a database of its own, which goes with the server. Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _mine.append(_kept.enter_context(bench(url)))


def _run(seed: int) -> Outcome:
    return run_seed(_mine[0], seed)


@contextmanager
def bench(url: str) -> Iterator[Bench]:
    """A bench in a new database of the server at `url`."""
    with fresh_database(url) as database:
        engine = db.engine(database)
        migrate.upgrade(engine)
        engine.dispose()
        made = Bench(database)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def server_of_its_own() -> Iterator[str]:
    """The URL of a new PostgreSQL, which is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-simulation-"))
    try:
        with server.using(folder, fast=True) as running:
            yield running.url
    finally:
        server.remove(folder)
        shutil.rmtree(folder)
