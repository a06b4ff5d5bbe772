"""What the indexer noticed: the texts of its log lines and incidents, and its own counters, by kind of fault."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

# What a log line or an incident says when a fault was seen. One pattern may serve several kinds.
SAYS = {
    "rate": r"limits the rate",
    "server": r"failed: HTTP 5",
    "timeout": r"did not answer within",
    "unreachable": r"the connection broke",
    "cut": r"cannot be read|cut off",
    "huge": r"exceeds 32 MiB|range_refused|refuses a range",
    "cap": r"range_refused|refuses a range",
    "null": r"has no block",
    "rpc_error": r"backend unavailable",
    "missing": r"is missing",
    "duplicate": r"logs_repeated",
    "disorder": r"logs_disordered|out of order",
    "removed": r"removed log",
    "wrong_hash": r"two hashes|has the hash its logs name|do not give its bloom",
    "omit": r"it left out|A second look at|do not give its bloom",
    "stale_final": r"went back",
    "stale_block": r"divergence_refuted|cannot be: |not the one that was final|different branches|another branch|"
    r"two hashes|has the hash its logs name",
    "chain_id": r"serves chain",
    "lag": r"has no block|beyond current head",
    "clock": r"clock went back",
    "silence": r"subscription silent",
    "disconnect": r"does not answer|terminating|closed the connection|gave up a transaction",
}
COUNTS = {
    "RateLimited": ("rate",),
    "ServerFault": ("server", "rpc_error"),
    "TimedOut": ("timeout",),
    "Unreachable": ("unreachable",),
    "MalformedAnswer": ("cut", "missing"),
    "NotThereYet": ("null", "lag"),
    "TooLarge": ("huge", "cap"),
    "Inconsistent": ("stale_block",),
    "OtherBranch": ("stale_block",),
    "Contradiction": ("removed", "wrong_hash", "stale_block"),
    "lagging": ("lag", "stale_final"),
}
"""What a counter (of errors by class in `chain.providers`, or of the job's progress) tells of."""

HARNESS = ("crash", "reorg")
"""Noticed otherwise: a dead process by the next one, which begins; reorgs by the rows that tell of them."""

CERTAIN = ("rate", "server", "timeout", "unreachable", "rpc_error", "chain_id")
"""Kinds that nobody can overlook: each seed must notice them, not only each run."""


class Notices:
    """Collects what was noticed in one run of a seed."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def logs(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Take in log lines."""
        for entry in entries:
            self.text(" ".join(str(value) for value in entry.values()))

    def counted(self, counts: Mapping[str, int]) -> None:
        """Take in counters."""
        for name, times in counts.items():
            for kind in COUNTS.get(name, ()) if times else ():
                self.kinds[kind] += times

    def text(self, text: str, times: int = 1) -> None:
        """Take in the words of a log line, an error or an incident."""
        for kind, pattern in SAYS.items():
            if re.search(pattern, text):
                self.kinds[kind] += times
