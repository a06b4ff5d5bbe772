"""The command `taskscan` as its users have it: in a process of its own, or, where that proves no more, in this one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
import structlog

from indexer import cli

ROOT = Path(__file__).parents[2]


class Said(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what is set for Taskscan, and the code of this tree."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCAN_")}
    return {**plain, "PYTHONPATH": str(ROOT), **more}


def start(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `taskscan WORDS` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "indexer", *words],
        cwd=cwd,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 120) -> Said:
    """Wait for its end."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{out}{err}") from None
    return Said(process.returncode, out, err)


class Inside:
    """Runs commands in this process, with the exit code, standard output and standard error of a real one."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *words: str) -> Said:
        self._capture.readouterr()
        code = 0
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with patch.object(sys, "argv", ["taskscan", *words]):
                cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            structlog.reset_defaults()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return Said(code, *self._capture.readouterr())


@pytest.fixture
def taskscan(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Inside:
    """Commands in this process, in an empty folder, with nothing set in the environment."""
    for name in [name for name in os.environ if name.startswith("TASKSCAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Inside(capfd)


def config(
    folder: Path, *, database: str = "", chain_id: int = 42161, rpc: str = "", clock: str = "wall", **source: Any
) -> Path:  # fmt: skip
    """A configuration with one chain and one source; without `database` the embedded server in `folder`."""
    place = f"url = {json.dumps(database)}" if database else f"data_dir = {json.dumps(str(folder / 'data'))}"
    source = {"network": "arbius", "chain": "one", **source}
    chain = f'[[chains]]\nname = "one"\nchain_id = {chain_id}\nclock = "{clock}"\nrpc = [{json.dumps(rpc)}]'
    lines = [f"[database]\n{place}", chain]
    lines += ["[[sources]]", *(f"{key} = {json.dumps(value)}" for key, value in source.items())]
    path = folder / "my.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
