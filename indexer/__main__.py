"""The command `taskscan`, also as `python -m indexer`."""

import gc
import sys

SWITCH_SECONDS = 0.0005  # Python's own is ten times that
GC_THRESHOLDS = 50_000, 20, 20  # Python's own are 700, 10, 10 (3.11); that many small objects are some 5 MB


def main() -> None:
    """Entry point of the console script; see `indexer.cli.main`.

    Python is to look for garbage in cycles less often. Importing makes a million objects that stay, decoding makes
    lists by the hundred thousand that are in no cycle: to look at all of them took a fifth of the time of a start, and
    a seventh of that of a scan. And threads are to take turns more often: the one that writes needs Python for
    microseconds between its waits for the database, and waited longer for the one that decodes.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    from indexer.cli import main as command

    command()


if __name__ == "__main__":
    main()
