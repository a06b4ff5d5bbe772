"""What `taskscan status` reads from the database, and whether that is as fresh as the chain's own pace allows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from schema import script
from schema.chain import leases, providers

USUAL_PACE = 12.0  # seconds per block where a chain's own is not known yet
BLOCKS = 20  # that data may lie behind
LEAST_SECONDS = 60.0  # that data of any chain may lie behind: a poll, an answer, a commit
SNAPSHOTS = ("koii", "aidbox")  # read as they stand from time to time: no block tells their age
LEAST_BLOCKS = 2  # that data of a chain with `clock = "head"` may always lie behind


class Status(NamedTuple):
    """`sources`: one row per network and chain; `tables`: those with rows, largest first, in bytes with indexes.

    `late`: for each network and chain whose data is older than it should be, why, in words. `providers`: the
    scoreboard; `leases`: who writes which chain, or wrote it last.
    """

    sources: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    unknown_logs: int
    incidents: int
    late: list[str]
    providers: list[dict[str, Any]]
    leases: list[dict[str, Any]]


def read_status(connection: sa.Connection) -> Status:
    """Freshness per network and chain, sizes, and counts of what needs a look."""
    sources = [dict(row) for row in connection.execute(sa.text(script("status_sources.sql"))).mappings()]
    paces = {row["chain"]: dict(row) for row in connection.execute(sa.text(script("status_paces.sql"))).mappings()}
    tables = connection.execute(sa.text(script("status_tables.sql"))).mappings()
    unknown_logs, incidents = connection.execute(sa.text(script("status_counts.sql"))).one()
    reasons = [_late(row, paces[row["chain"]]) for row in sources]
    for row, reason in zip(sources, reasons, strict=True):
        row["late"] = reason
    return Status(
        sources,
        [dict(row) for row in tables],
        unknown_logs,
        incidents,
        late=[f"{row['network']} @ {row['chain']}: {row['late']}" for row in sources if row["late"]],
        providers=_rows(connection, sa.select(providers).order_by(providers.c.chain_id, providers.c.provider)),
        leases=_rows(connection, sa.select(leases).order_by(leases.c.chain_id)),
    )


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "profile"} for row in connection.execute(query).mappings()
    ]


def _late(source: Mapping[str, Any], chain: Mapping[str, Any]) -> str | None:
    """Why the data of `source` is older than its chain's pace allows; None: it is not."""
    read_to, head, pace = source["read_to"], source["head_block"], chain["seconds_per_block"] or USUAL_PACE
    if read_to is None or head is None:
        return "nothing is read yet without a gap"
    if chain["clock"] == "head":
        behind, allowed = head - read_to, min(BLOCKS, max(LEAST_BLOCKS, LEAST_SECONDS // pace))
        return f"read to block {read_to:,}, {behind:,} behind the newest block {head:,}" if behind > allowed else None
    age = source["lag_seconds"]
    if age is None:
        age = (chain["head_age"] or 0.0) + (head - read_to) * pace
    allowed = max(LEAST_SECONDS, BLOCKS * pace)
    if age <= allowed:
        return None
    if source["network"] in SNAPSHOTS:
        return (
            f"it was to be read again {age:,.0f} s ago, and {allowed:,.0f} s late is the most that is usual. Is "
            "`taskscan run` at work?"
        )
    where = "which is the newest block that any provider has told of" if read_to >= head else f"of {head:,}"
    return (
        f"read to block {read_to:,}, {where}: its time lies {age:,.0f} s back; with a block every {pace:,.2f} s it "
        f"should be {allowed:,.0f} s at most"
    )
