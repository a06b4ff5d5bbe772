"""All checks over one snapshot of the database, so that a running indexer does not disturb them."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy.engine import Engine

from indexer.audit import coverage, deals, folds, money, sequences, task_chain
from indexer.audit.findings import Check, Finding, Tally

KEPT = 100  # findings that are told per check; the others are counted

CHECKS = (
    Check(coverage.NAME, coverage.check),
    Check(deals.NAME, deals.check),
    Check(money.NAME, money.check),
    Check(sequences.NAME, sequences.check),
    Check(task_chain.NAME, task_chain.check),
    Check(folds.NAME, folds.check),
)


class Result(NamedTuple):
    """What one check looked at, could not check, and found; `total` counts the findings beyond the first, too."""

    check: str
    counts: dict[str, int]
    notes: list[str]
    findings: list[Finding]
    total: int

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {**self._asdict(), "findings": [finding._asdict() for finding in self.findings]}


def verify(engine: Engine, tick: Callable[[str], None] = lambda text: None) -> Iterator[Result]:
    """Run all checks, one after the other; `tick` is told how far they are.

    The transaction only reads. Raises DatabaseDown or DatabaseRefused if run inside `in_words`.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        for check in CHECKS:
            tally = Tally(tick=lambda text, name=check.name: tick(f"{name}: {text}"))  # type: ignore[misc]
            found = check.run(connection, tally)
            first = list(islice(found, KEPT))
            total = len(first) + sum(1 for _ in found)
            yield Result(check.name, dict(tally.counts), tally.notes, first, total)
