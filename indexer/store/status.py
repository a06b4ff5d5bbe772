"""What `taskscan status` reads from the database."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from schema import script


class Status(NamedTuple):
    """`sources`: one row per network and chain; `tables`: those with rows, largest first, in bytes with indexes."""

    sources: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    unknown_logs: int
    incidents: int


def read_status(connection: sa.Connection) -> Status:
    """Freshness per network and chain, sizes, and counts of what needs a look."""
    sources = connection.execute(sa.text(script("status_sources.sql"))).mappings()
    tables = connection.execute(sa.text(script("status_tables.sql"))).mappings()
    counts = connection.execute(sa.text(script("status_counts.sql"))).one()
    return Status([dict(row) for row in sources], [dict(row) for row in tables], *counts)
