"""Schema `chain`: counts that triggers on the entities keep, so that nobody has to count millions of rows.

They change in the transaction that changes the entities, by whatever changes them: folds, rollback, rebuild. Their
SQL is in `schema/sql/7*_rollups.sql`; an upgrade that changes what is counted makes them anew.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, DateTime, LargeBinary, Numeric, Table, Text

from schema.base import metadata


def _key(name: str, kind: type[BigInteger | Date | LargeBinary | Text], comment: str | None = None) -> Column[Any]:
    return Column(name, kind(), primary_key=True, autoincrement=False, comment=comment)


def _count(name: str, comment: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, comment=comment)


def _amount(name: str, comment: str) -> Column[Any]:
    return Column(name, Numeric, nullable=False, comment=f"smallest unit of the network's token; {comment}")


day_counts = Table(
    "day_counts",
    metadata,
    _key("network", Text),
    _key("chain_id", BigInteger),
    _key("day", Date, "UTC; -infinity: no event tells when"),
    _key("what", Text, "task: submitted; a status or stage of tasks; work, dispute, fee, reward"),
    _count("n", "how many of them"),
    _amount("amount", "sum of fees, or of rewards and awards"),
    schema="chain",
    comment="Tasks, work, disputes and money by day, kept by triggers on the entities.",
)

worker_counts = Table(
    "worker_counts",
    metadata,
    _key("network", Text),
    _key("chain_id", BigInteger),
    _key("worker", LargeBinary),
    _count("submitted", "units of work"),
    _count("accepted", "of these"),
    _count("lost", "of these rejected or lost; those that time alone forfeits come on top"),
    _amount("earned", "fees, rewards and awards that were paid to it"),
    _amount("slashed", "taken from its stake for its work"),
    Column("first_at", DateTime(timezone=True), comment="its first unit of work"),
    Column("last_at", DateTime(timezone=True), comment="when its newest unit of work was handed in or settled"),
    schema="chain",
    comment="What each worker did, kept by triggers on the entities.",
)

worker_days = Table(
    "worker_days",
    metadata,
    _key("network", Text),
    _key("chain_id", BigInteger),
    _key("day", Date, "UTC"),
    _key("worker", LargeBinary),
    _count("works", "units of work handed in on that day"),
    schema="chain",
    comment="Who worked on which day, kept by triggers on the entities.",
)

task_sums = Table(
    "task_sums",
    metadata,
    _key("network", Text),
    _key("chain_id", BigInteger),
    _key(
        "what",
        Text,
        "task, succeeded, failed, cancelled, disputed (by model); work (by solver), finish, commitment: how long;"
        " to_enrich: entities that lack facts; to_call_back: finalized tasks of iExec without what their callback got",
    ),
    _key("who", LargeBinary, "the model or solver; empty: not known, or all"),
    _key(
        "seconds",
        BigInteger,
        "of work and finish: from the task's submission on; of commitment: from there to the solution; else 0",
    ),
    _key("address", LargeBinary, "the engine or hub"),
    _count("n", "how many of them"),
    _amount("amount", "sum of the fees of tasks"),
    schema="chain",
    comment="Tasks by model and how long they took by solver (Arbius), and what is to be enriched, kept by triggers on"
    " the entities.",
)
