"""The command `taskscan` in a process that was forked after everything was imported."""

import os
import sys
from collections.abc import Mapping, Sequence

import indexer.ingest.job
import indexer.work.listen
import indexer.work.worker  # noqa: F401
from indexer import cli


def taskscan(words: Sequence[str], env: Mapping[str, str], log: str) -> None:
    """`taskscan WORDS`, with what it says in the file `log`; never returns."""
    for name in [name for name in os.environ if name.startswith("TASKSCAN_")]:
        del os.environ[name]
    os.environ.update(env)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["taskscan", *words]
    cli.main()
