"""`chain.providers`: the scoreboard of providers, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert

from indexer.chain.proportion import upper_bound
from indexer.rpc.score import Standing
from schema import script
from schema.chain import providers

FRESH = timedelta(days=30)  # a profile that is older says nothing about today's plan and limits

_c = providers.c


def note(connection: sa.Connection, chain_id: int, snapshot: Sequence[Standing]) -> None:
    """Add the counts of `snapshot` (`Pool.snapshot`) to the scoreboard, and take over its latencies and last error."""
    for standing in sorted(snapshot, key=lambda standing: standing.provider):  # one order, so that no two deadlock
        row = {
            "calls": standing.since.calls,
            "answer_bytes": standing.since.answer_bytes,
            "latency_mean_ms": standing.latency_mean_ms,
            "latency_p95_ms": standing.latency_p95_ms,
            "last_ok_at": standing.last_ok_at,
            "last_error": standing.last_error,
            "last_error_at": standing.last_error_at,
        }
        new = _new(chain_id, standing.provider, row)
        counts = {name: _c[name] + new.excluded[name] for name in ("calls", "answer_bytes")}
        kept = {name: sa.func.coalesce(new.excluded[name], _c[name]) for name in row if name not in counts}
        connection.execute(new.on_conflict_do_update(index_elements=_KEY, set_=kept | counts))
        _add_errors(connection, chain_id, standing)


def note_reread(connection: sa.Connection, chain_id: int, provider: str, compared: int, omitted: int) -> None:
    """Of `compared` logs that are true, `omitted` were missing in what `provider` had answered first."""
    new = _new(chain_id, provider, {"logs_compared": compared, "logs_omitted": omitted})
    summed = {name: _c[name] + new.excluded[name] for name in ("logs_compared", "logs_omitted")}
    totals = new.on_conflict_do_update(index_elements=_KEY, set_=summed).returning(_c.logs_compared, _c.logs_omitted)
    tried, found = connection.execute(totals).one()
    bound = upper_bound(min(found, tried), tried) if tried else None
    connection.execute(sa.update(providers).where(_mine(chain_id, provider)).values(omission_bound=bound))


def distrust(connection: sa.Connection, chain_id: int, provider: str, reason: str) -> None:
    """`provider` was caught at `reason`; the first time counts."""
    new = _new(chain_id, provider, {"distrusted_at": sa.func.now(), "distrust_reason": reason})
    first = {name: sa.func.coalesce(_c[name], new.excluded[name]) for name in ("distrusted_at", "distrust_reason")}
    connection.execute(new.on_conflict_do_update(index_elements=_KEY, set_=first))


def distrusted(connection: sa.Connection, chain_id: int) -> dict[str, str]:
    """Provider -> what it was caught at."""
    query = sa.select(_c.provider, _c.distrust_reason).where(_c.chain_id == chain_id, _c.distrusted_at.is_not(None))
    return {row.provider: row.distrust_reason for row in connection.execute(query)}


def keep_profile(connection: sa.Connection, chain_id: int, provider: str, profile: Mapping[str, object]) -> None:
    """Keep what `taskscan doctor` found of `provider`."""
    new = _new(chain_id, provider, {"profile": dict(profile), "profiled_at": sa.func.now()})
    again = {name: new.excluded[name] for name in ("profile", "profiled_at")}
    connection.execute(new.on_conflict_do_update(index_elements=_KEY, set_=again))


def profiles(connection: sa.Connection, chain_id: int) -> dict[str, dict[str, Any]]:
    """Provider -> what `taskscan doctor` found of it within the last 30 days."""
    fresh = sa.and_(_c.chain_id == chain_id, _c.profiled_at > sa.func.now() - FRESH, _c.profile.is_not(None))
    return {row.provider: row.profile for row in connection.execute(sa.select(_c.provider, _c.profile).where(fresh))}


def _add_errors(connection: sa.Connection, chain_id: int, standing: Standing) -> None:
    counted = {kind: times for kind, times in standing.since.errors.items() if times}
    if counted:
        values = {"chain_id": chain_id, "provider": standing.provider, "kinds": list(counted)}
        connection.execute(sa.text(script("provider_errors.sql")), values | {"times": list(counted.values())})


_KEY = [_c.chain_id, _c.provider]


def _new(chain_id: int, provider: str, values: Mapping[str, object]) -> Insert:
    return insert(providers).values(chain_id=chain_id, provider=provider, **values)


def _mine(chain_id: int, provider: str) -> sa.ColumnElement[bool]:
    return sa.and_(_c.chain_id == chain_id, _c.provider == provider)
