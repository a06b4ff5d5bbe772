"""The scoreboard of providers in a real database."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.engine import Engine

from indexer.rpc.score import Standing, Tally
from indexer.store import database as db
from indexer.store import providers, sources

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def engine(migrated: str) -> Iterator[Engine]:
    made = db.engine(migrated)
    with made.begin() as connection:
        sources.settle_chain(connection, 5, "five", "wall", (0, "0x" + "ab" * 32))
    yield made
    made.dispose()


def rows(url: str, query: str = "SELECT * FROM analytics.providers ORDER BY provider") -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def standing(provider: str, calls: int, /, **errors: int) -> Standing:
    tally = Tally(calls, 100 * calls)
    tally.errors.update(errors)
    return Standing(
        provider, tally, 12.5, 40.0, NOON, "a failed: HTTP 502" if errors else None, NOON if errors else None
    )


def test_counts_add_up_and_latencies_are_the_newest(engine: Engine, migrated: str) -> None:
    for snapshot in (
        [standing("b", 3, ServerFault=2), standing("a", 1)],
        [standing("a", 10, TimedOut=1), standing("b", 4, ServerFault=1, RateLimited=5)],
        [standing("b", 1)],
    ):
        with engine.begin() as connection:
            providers.note(connection, 5, snapshot)
    a, b = rows(migrated)
    assert (a["provider"], a["chain"], a["calls"], a["answer_bytes"], a["errors"]) == (
        "a",
        "five",
        11,
        1100,
        {"TimedOut": 1},
    )
    assert (b["calls"], b["errors"]) == (8, {"ServerFault": 3, "RateLimited": 5})
    assert (b["latency_mean_ms"], b["latency_p95_ms"], b["last_ok_at"]) == (12.5, 40.0, NOON)
    assert b["last_error"] == "a failed: HTTP 502", "the last one stays until there is another"
    assert (b["distrusted_at"], b["logs_compared"], b["omission_rate"], b["omission_bound"]) == (None, 0, None, None)


def test_the_omission_rate_has_its_bound(engine: Engine, migrated: str) -> None:
    with engine.begin() as connection:
        providers.note_reread(connection, 5, "a", 40, 0)
        providers.note_reread(connection, 5, "a", 60, 0)
        providers.note_reread(connection, 5, "b", 10, 1)
        providers.note_reread(connection, 5, "c", 0, 0)
        providers.note_reread(connection, 6, "a", 1, 1)
    a, b, c = rows(migrated)
    assert (a["logs_compared"], a["omission_rate"]) == (100, 0)
    assert a["omission_bound"] == pytest.approx(0.02951, abs=1e-5), "0 of 100: the table of the binomial distribution"
    assert (b["logs_omitted"], b["omission_rate"]) == (1, 0.1)
    assert b["omission_bound"] == pytest.approx(0.3942, abs=1e-4)
    assert (c["omission_rate"], c["omission_bound"]) == (None, None)


def test_distrust_lasts_and_keeps_its_first_reason(engine: Engine, migrated: str) -> None:
    with engine.begin() as connection:
        providers.distrust(connection, 5, "liar", "left out a log of block 7")
    (before,) = rows(migrated)
    with engine.begin() as connection:
        providers.distrust(connection, 5, "liar", "left out a log of block 9")
        providers.note(connection, 5, [standing("liar", 2), standing("honest", 2)])
        assert providers.distrusted(connection, 5) == {"liar": "left out a log of block 7"}
        assert providers.distrusted(connection, 6) == {}
    after = next(row for row in rows(migrated) if row["provider"] == "liar")
    assert (after["distrusted_at"], after["calls"]) == (before["distrusted_at"], 2)


def test_a_profile_is_kept_and_grows_old(engine: Engine, migrated: str) -> None:
    with engine.begin() as connection:
        providers.note(connection, 5, [standing("a", 2)])
        providers.keep_profile(connection, 5, "a", {"range_cap": 10})
        providers.keep_profile(connection, 5, "a", {"range_cap": 500})
        assert providers.profiles(connection, 5) == {"a": {"range_cap": 500}}
        connection.execute(sa.text("UPDATE chain.providers SET profiled_at = now() - interval '40 days'"))
        assert providers.profiles(connection, 5) == {}
    assert rows(migrated)[0]["calls"] == 2


def test_a_provider_of_a_chain_that_was_never_read_is_in_the_table_but_in_no_view(
    engine: Engine, migrated: str
) -> None:
    with engine.begin() as connection:
        providers.keep_profile(connection, 77, "a", {"range_cap": 10})
    assert rows(migrated) == []
    assert len(rows(migrated, "SELECT * FROM chain.providers")) == 1
