"""Processes that are measured: `taskscan run` with its time and memory, and the log server that it reads from."""

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.bench.chain import CHAIN_ID, ENGINE

ROOT = Path(__file__).parents[2]
WATCH_SECONDS = 0.02


class Ran(NamedTuple):
    """What a process cost: wall time and CPU time in seconds, peak resident memory in bytes, what it said; and when it
    had done what it was run for."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    said: str
    ended: datetime


class Served(NamedTuple):
    """A running log server."""

    url: str

    def get(self, path: str) -> Any:
        """The JSON at `path`: /stats, /bodies or /reset."""
        # Not through a proxy that the environment names.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url + path) as answer:
            return json.load(answer)


@cache
def environment() -> dict[str, str]:
    """The environment without what would lead Taskscan to another database, or its requests to a proxy.

    Compiled modules are kept in a folder of our own, filled beforehand: an installed Taskscan has them too.
    """
    compiled = tempfile.mkdtemp(prefix="taskscan-bench-pyc-")
    atexit.register(shutil.rmtree, compiled)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCAN_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": compiled}
    used = "import indexer.cli, indexer.ingest.run"
    subprocess.run([sys.executable, "-c", used], env=kept, check=True)
    return kept


@contextlib.contextmanager
def log_server(*options: str) -> Iterator[Served]:
    """Start `tests.bench.log_server` with these options; it takes a few seconds to make its logs."""
    command = [sys.executable, "-m", "tests.bench.log_server", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("the log server did not start")
        yield Served(url)
    finally:
        process.kill()
        process.communicate()


def measured(command: list[str], folder: Path, enough: Callable[[], bool] | None = None) -> Ran:
    """Run `command` in `folder` to its end, or interrupt it as by Ctrl-C once there is `enough`.

    Raises SystemExit with its words when it fails.
    """
    where = environment()
    with (folder / "said").open("w+") as said:
        began, ended = time.monotonic(), None
        process = subprocess.Popen(command, stdout=said, stderr=said, env=where, cwd=folder)
        peak = _watch(process.pid)
        if enough:
            while process.poll() is None and not enough():
                time.sleep(5 * WATCH_SECONDS)
            ended = datetime.now(UTC)
            process.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode != 0 and not enough:
        raise SystemExit(f"{' '.join(command)} failed:\n{text}")
    return Ran(seconds, usage.ru_utime + usage.ru_stime, peak(), text, ended or datetime.now(UTC))


def _watch(process: int) -> Callable[[], int]:
    """Follow VmHWM of a process; a function that gives the highest. `ru_maxrss` would count us before its exec."""
    highest = [0]

    def follow() -> None:
        with contextlib.suppress(OSError, StopIteration):
            while True:
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                highest[0] = 1024 * int(re.findall(r"\d+", next(line for line in lines if line[:6] == "VmHWM:"))[0])
                time.sleep(WATCH_SECONDS)

    thread = threading.Thread(target=follow)
    thread.start()

    def peak() -> int:
        thread.join()
        return highest[0]

    return peak


def postgres_cpu_seconds(url: str) -> float:
    """CPU time that the server's processes have used so far, those that ended included."""
    with psycopg.connect(url) as connection:
        postmaster = int(_stat(connection.info.backend_pid)[1])
    seconds = sum(map(int, _stat(postmaster)[11:15]))
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((stat := _stat(int(folder.name)))[1]) == postmaster:
                seconds += sum(map(int, stat[11:13]))
    return seconds / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on: 1 parent, 11 and 12 own time, 13 and 14 that of dead children."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def taskscan(
    folder: Path, data_dir: Path, url: str, enough: Callable[[], bool] | None = None, module: str = "indexer"
) -> Ran:  # fmt: skip
    """`taskscan run --until-synced` in `folder`, on the embedded database in `data_dir`, or until there is `enough`.

    `module`: what `python -m` runs as taskscan.
    """
    config = folder / "taskscan.toml"
    config.write_text(
        f"[database]\ndata_dir = {json.dumps(str(data_dir))}\n"
        f'[[chains]]\nname = "bench"\nchain_id = {CHAIN_ID}\nclock = "head"\nrpc = ["{url}"]\n'
        f'[[sources]]\nnetwork = "arbius"\nchain = "bench"\naddresses = ["{ENGINE}"]\nstart_block = 0\n'
    )
    command = [sys.executable, "-m", module, "run", "--config", str(config), "--until-synced"]
    return measured(command, folder, enough)
