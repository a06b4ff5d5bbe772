"""`python -m tests.bench [NAME]`, see BENCHES: measure, and print one table."""

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import structlog
from rich.console import Console
from rich.table import Table

from indexer.store import server
from tests.bench import enrich, head, head_writes, ingest, koii, memory, sparse, volume

AIMS = {
    "events": {
        "logs_per_s": ">= 30,000",
        "share_of_slower_limit_percent": ">= 60",
        "peak_memory_mb": "< 250",
    },
    "ingest": {
        "logs_per_s": ">= 20,000",
        "peak_memory_mb": "< 250",
    },
    "sparse": {"calls_per_forced": "<= 1.05"},
    "sparse, limit not named": {},
    "head": {
        "calls_per_quiet_poll_slow": "1",
        "calls_per_poll_kept_up_slow": "<= 2",
        "calls_per_quiet_poll_fast": "<= 3",
        "calls_per_poll_kept_up_fast": "<= 3",
        "second_looks_percent": "<= 1",
        "latency_ms_p95": "< 1,000",
        "latency_ms_p100": "< 1,000",
    },
    "head-writes": {"head_logs_per_s_by_5130": ">= 5,000"},
    "enrich": {"tasks_per_s": ">= 200", "calls_per_100_tasks": "<= 3"},
    "volume": {
        "counts_ms": "< 100",
        "daily_whole_s": "< 0.1",
        "pool_depth_whole_s": "< 0.1",
        "fold_us_per_log_last": "as first",
        "head_logs_per_s_by_5130": ">= 5,000",
        "rollback_ms": "< 500",
        "rollback_us_per_log": "as first",
        "show_ms": "< 10",
        "tasks_at_all_s": "< 30",
        "tasks_at_one_ms": "< 20",
        "work_by_worker_s": "< 2",
        **{f"{name}_whole_s": "< 2" for name in ("workers", "worker_records", "subjects", "latencies")},
    },
    "koii": {
        "kpl_written_s": "< 5",
        "kpl_unchanged_s": "< 0.5",
        "kpl_all_paid_written_s": "< 5",
        "kpl_all_paid_peak_memory_mb": "< 500",
        "koii_written_s": "< 5",
        "koii_unchanged_s": "< 0.5",
    },
    "memory": {"resident_mb_last": "as first"},
}
Runs = list[dict[str, float]]
ALONE: dict[str, Callable[[argparse.Namespace], Runs]] = {
    "head": lambda given: [head.run_once() for _ in range(given.runs)],
    "head-writes": lambda given: head_writes.alone(given.tasks),
    "volume": lambda given: volume.run(given.tasks, given.keep),
    "enrich": lambda given: enrich.run(given.runs),
    "koii": lambda given: koii.run(given.nodes),
    "memory": lambda given: memory.run(given.hours),
}
BENCHES = ("all", "events", "ingest", "sparse", *ALONE)


def main() -> None:
    """Parse the options, run the benches, print the medians."""
    given = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    found: dict[str, Runs] = {}
    if given.bench in ("events", "all"):
        found["events"] = ingest.run(given.logs, given.runs, folds=False)
    if given.bench in ("ingest", "all"):
        found["ingest"] = ingest.run(given.logs, given.runs)
    if given.bench in ("sparse", "all"):
        found["sparse"] = sparse.run(given.runs)
        found["sparse, limit not named"] = sparse.run(given.runs, mute=True)
    if alone := ALONE.get(given.bench):
        found[given.bench] = alone(given)
    facts = _machine(given.logs)
    _print(facts, found)
    if given.json:
        given.json.write_text(json.dumps({"machine": facts, "medians": _medians(found), "runs": found}, indent=2))


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and cost of Taskscan.")
    options.add_argument("bench", nargs="?", choices=BENCHES, default="all")
    options.add_argument("--logs", type=int, default=500_000, help="logs that `events` and `ingest` read (500000)")
    options.add_argument("--tasks", type=int, default=300_000, help="tasks of `volume`, `head-writes` (300000)")
    keeping = "where `volume` keeps its data; filled already: only reads are measured"
    options.add_argument("--keep", type=Path, metavar="FOLDER", help=keeping)
    options.add_argument("--nodes", type=int, default=10_000, help="nodes of the task of `koii` (default 10000)")
    options.add_argument("--hours", type=int, default=24, help="hours that `memory` simulates (default 24)")
    options.add_argument("--runs", type=int, default=3, help="runs of which the medians are shown (default 3)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write machine, medians and all runs to FILE")
    return options.parse_args()


def _machine(logs: int) -> dict[str, object]:
    version = subprocess.run([server.psql_path(), "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "postgresql": version.split()[-1],
        "logs": logs,
    }


def _medians(found: dict[str, Runs]) -> dict[str, dict[str, float]]:
    return {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in found.items()}


def _print(facts: dict[str, object], found: dict[str, Runs]) -> None:
    table = Table(title=", ".join(f"{name} {value}" for name, value in facts.items()), title_justify="left")
    for name in ("bench", "figure", "median", "runs", "aim"):
        table.add_column(name, justify="right" if name in ("median", "runs") else "left")
    for bench, medians in _medians(found).items():
        for key, value in medians.items():
            runs = "  ".join(_shown(run[key]) for run in found[bench])
            table.add_row(
                bench,
                key.replace("_", " "),
                _shown(value),
                runs,
                AIMS[bench].get(key, "< 50" if key.startswith("page") else ""),
            )
        table.add_section()
    Console(width=None if os.isatty(1) else 140).print(table)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"


if __name__ == "__main__":
    main()
