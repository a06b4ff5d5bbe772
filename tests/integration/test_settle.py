"""Providers that leave logs out, and tables that were damaged: a second look finds and mends it."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from indexer.audit.findings import Finding
from indexer.audit.verify import verify
from indexer.ingest.job import ChainJob
from indexer.store import database as db
from tests.acceptance.command import Inside, taskscan
from tests.support import (
    Replay,
    addresses,
    assert_same_logs,
    needs_recordings,
    open_job,
    replay,
    settings_for,
    stored_logs,
    toml_for,
)

__all__ = ["taskscan"]

pytestmark = needs_recordings

WATCHED = ("iexec-poco-6.1", "iexec-registry", "iexec-workerpool")
LIAR = ("--fault", "omit=0.4")


def sources(**more: Any) -> list[dict[str, Any]]:
    return [{"network": "iexec", "addresses": addresses("iexec-dev", "iexec-poco-6.1"), **more}]


def follow(database: str, chains: list[Replay], wanted: list[dict[str, Any]], heads: tuple[int, ...]) -> ChainJob:
    """Follow a chain that all of `chains` serve, head by head."""
    engine = db.engine(database)
    settings = settings_for(database, chains[0].url, 31337, wanted, rpc=[chain.url for chain in chains])

    async def walk() -> ChainJob:
        async with open_job(settings, engine) as job:
            for head in heads:
                for chain in chains:
                    chain.control(head=head)
                await job.tick()
            return job

    return asyncio.run(walk())


def fetch(database: str, query: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def findings(database: str) -> list[Finding]:
    """What `taskscan verify` finds."""
    engine = db.engine(database)
    try:
        return [finding for result in verify(engine) for finding in result.findings]
    finally:
        engine.dispose()


HEADS = (60, 75, 76, 90, 91, 92, 110, 130, 140, 147)


def test_with_evidence_bloom_the_tables_are_exact_although_the_only_provider_omits_logs(migrated: str) -> None:
    with replay("iexec-dev", "--head", "60", "--finality-lag", "20", *LIAR) as liar:
        follow(migrated, [liar], sources(evidence="bloom"), HEADS)
        assert liar.stats()["faults"]["omit"] > 3
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    assert {row[0] for row in fetch(migrated, "SELECT DISTINCT evidence FROM chain.coverage")} == {"bloom"}
    assert fetch(migrated, "SELECT count(*) FROM analytics.incidents WHERE kind = 'Distrusted'") == [(1,)]


def test_a_provider_that_omits_logs_is_caught_by_another_one_and_all_it_said_is_read_again(migrated: str) -> None:
    options = ("--head", "60", "--finality-lag", "20")
    with replay("iexec-dev", *options, *LIAR) as liar, replay("iexec-dev", *options) as honest:
        follow(migrated, [liar, honest], sources(), HEADS)
        liars = liar.url.removeprefix("http://")
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    scores = fetch(migrated, "SELECT provider, distrusted_at IS NOT NULL, logs_omitted > 0 FROM chain.providers")
    assert sorted(row for row in scores if row[1]) == [(liars, True, True)]
    assert fetch(migrated, "SELECT count(*) FROM chain.reads WHERE doubt IS NOT NULL AND to_block <= 127") == [(0,)]
    assert findings(migrated) == []
    assert "left out" in fetch(migrated, "SELECT message FROM analytics.incidents WHERE kind = 'Distrusted'")[0][0]


def test_what_was_read_before_it_was_final_is_confirmed_by_another_provider_afterwards(migrated: str) -> None:
    options = ("--head", "60", "--finality-lag", "20")
    with replay("iexec-dev", *options) as one, replay("iexec-dev", *options) as other:
        follow(migrated, [one, other], sources(), HEADS)
    known = dict(fetch(migrated, "SELECT evidence, sum(to_block - from_block + 1) FROM chain.coverage GROUP BY 1"))
    assert known["second-provider"] >= 60
    reads = fetch(migrated, "SELECT count(*) FROM chain.reads WHERE to_block <= 127")
    assert reads[0][0] < 60, "confirmed reads of single blocks are kept as ranges"
    left_out = (
        "SELECT n FROM generate_series(0, 147) n"
        " WHERE NOT EXISTS (SELECT FROM chain.reads WHERE n BETWEEN from_block AND to_block)"
    )
    assert fetch(migrated, left_out) == []


WOUNDS = {
    "a lost event": "DELETE FROM iexec.task_finalize"
    " WHERE block_number IN (SELECT max(block_number) FROM iexec.task_finalize)",
    "an argument that was changed": "UPDATE iexec.scheduler_notice SET dealid = sha256(dealid)",
    "an event that never was": "INSERT INTO iexec.transfer SELECT chain_id, block_number, log_index + 5000, block_hash,"
    " block_time, tx_hash, tx_index, address, \"from\", \"to\", value FROM iexec.transfer LIMIT 3",
    "an entity that was changed": "UPDATE iexec.accounts SET stake = stake + 5",
}  # fmt: skip


@pytest.mark.parametrize("wound", WOUNDS)
def test_verify_repair_reads_again_what_is_wrong(migrated: str, taskscan: Inside, tmp_path: Path, wound: str) -> None:
    with replay("iexec-dev") as chain:
        follow(migrated, [chain], sources(), (147,))
        good = stored_logs(migrated)
        with psycopg.connect(migrated) as connection:
            assert connection.execute(WOUNDS[wound]).rowcount > 0  # type: ignore[arg-type]
        path = str(toml_for(tmp_path, migrated, chain.url, 31337, sources()))
        assert taskscan("verify", "--config", path).code == 1
        said = taskscan("verify", "--repair", "--config", path)
        assert said.code == 0, said
    assert stored_logs(migrated) == good
