"""Bench "sparse": a long, nearly empty chain behind a provider's cap: how many calls beyond what the cap forces?"""

import shutil
import tempfile
from pathlib import Path

from indexer.store import server
from tests.bench.process import Served, log_server, taskscan

BLOCKS = 10_000_000
LOGS = 100_000
CAP = 10_000
Figures = dict[str, float]


def run(times: int, *, mute: bool = False) -> list[Figures]:
    """Figures of each run; `mute`: the provider refuses without naming its limit."""
    options = ["--logs", str(LOGS), "--blocks", str(BLOCKS), "--per-block", "1", "--max-range", str(CAP)]
    with log_server(*options, *(["--mute"] if mute else [])) as served:
        return [_once(served) for _ in range(times)]


def _once(served: Served) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        served.get("/reset")
        ran = taskscan(folder, folder / "data", served.url)
        stats = served.get("/stats")
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)
    return {
        "calls": stats["calls"],
        "calls_forced": BLOCKS / CAP,
        "calls_per_forced": stats["calls"] / (BLOCKS / CAP),
        "get_logs_calls": stats["methods"]["eth_getLogs"],
        "refused": stats["refused"],
        "requests": stats["requests"],
        "seconds_whole_process": ran.seconds,
        "peak_memory_mb": ran.peak_bytes / 1e6,
    }
