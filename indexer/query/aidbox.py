"""What happened to one task of an Aidbox: its versions and the lines of its log, oldest first."""

from typing import Any

import sqlalchemy as sa

from indexer.query.asking import Row, Steps
from schema.aidbox import task_log, task_versions

HIDDEN = {"chain_id", "task_id", "log_id", "version", "version_number", "updated_at", "created_at", "digest", "read_at"}


def events(chain_id: int, task_id: str) -> Steps[list[Row]]:
    """The rows in the shape of events: the version's number as `block`, its id as `tx`, the rest as `arguments`."""
    found: list[Row] = []
    for table in (task_versions, task_log):
        mine = sa.and_(table.c.chain_id == chain_id, table.c.task_id == task_id)
        rows = yield sa.select(table).where(mine)
        found += [_event(table.name, row) for row in rows]
    return sorted(found, key=lambda event: (event["block"] or 0, event["event"]))


def _event(name: str, row: dict[str, Any]) -> dict[str, Any]:
    place = {"event": name, "block": row["version_number"], "log_index": 0, "time": row["updated_at"]}
    known = {key: _shown(value) for key, value in row.items() if key not in HIDDEN and value not in (None, False)}
    return place | {"tx": row["version"], "arguments": known}


def _shown(value: Any) -> Any:
    return "0x" + value.hex() if isinstance(value, bytes) else value
