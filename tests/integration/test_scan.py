"""The scanner on recorded traffic of the real contracts: complete, once, whatever happens on the way."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from indexer.ingest.run import ChainJob, run
from indexer.store import database as db
from tests.support import (
    addresses,
    assert_same_logs,
    needs_recordings,
    recording,
    replay,
    settings_for,
    stored_logs,
    toml_for,
)

pytestmark = needs_recordings

HUB = addresses("iexec-dev", "iexec-poco-6.1") if needs_recordings.args[0] is False else []
IEXEC = [{"network": "iexec", "addresses": HUB}]
STYLES = ("geth", "alchemy", "infura", "quicknode", "reth", "ankr", "arbitrum", "publicnode", "drpc")
WATCHED = ("iexec-poco-6.1", "iexec-registry", "iexec-workerpool")


def ingest(database: str, url: str, sources: list[dict[str, Any]], chain_id: int = 31337) -> list[ChainJob]:
    """One run until synced, in this process."""
    engine = db.engine(database)
    settings = settings_for(database, url, chain_id, sources)
    try:
        return asyncio.run(run(settings, engine, until_synced=True, watch=lambda jobs: None))
    finally:
        engine.dispose()


def watched(name: str = "iexec-dev") -> list[str]:
    return addresses(name, *WATCHED)


def coverage(database: str) -> list[Any]:
    with psycopg.connect(database) as connection:
        query = "SELECT contract, from_block, to_block FROM analytics.coverage ORDER BY 1, 2"
        return connection.execute(query).fetchall()


def test_workerpools_born_on_the_way_are_read_from_their_first_block(migrated: str) -> None:
    with replay("iexec-dev", "--max-range", "10", "--style", "alchemy") as chain:
        ingest(migrated, chain.url, IEXEC)
    assert_same_logs(migrated, "iexec-dev", watched())
    with psycopg.connect(migrated) as connection:
        born = connection.execute("SELECT address, from_block, found_in FROM chain.sources WHERE role = 'workerpool'")
        found = {"0x" + address.hex(): (block, tx) for address, block, tx in born}
        groups = connection.execute("SELECT count(DISTINCT group_id) FROM chain.sources").fetchone()
    assert set(found) == set(addresses("iexec-dev", "iexec-workerpool"))
    assert all(tx is not None for _, tx in found.values())
    assert groups == (1,), "all contracts are read with one filter in the end"


def test_reading_again_changes_nothing_and_costs_next_to_nothing(migrated: str) -> None:
    with replay("iexec-dev") as chain:
        ingest(migrated, chain.url, IEXEC)
        before, calls = stored_logs(migrated), chain.stats()["methods"]["eth_getLogs"]
        ingest(migrated, chain.url, IEXEC)
        assert stored_logs(migrated) == before
        assert chain.stats()["methods"]["eth_getLogs"] == calls


def test_a_head_that_moves_is_followed_run_by_run(migrated: str) -> None:
    with replay("iexec-dev", "--head", "60") as chain:
        ingest(migrated, chain.url, IEXEC)
        assert_same_logs(migrated, "iexec-dev", watched(), upto=60)
        for head in (61, 90, 147):
            chain.control(head=head)
            ingest(migrated, chain.url, IEXEC)
            assert_same_logs(migrated, "iexec-dev", watched(), upto=head)


def test_what_is_not_final_yet_is_read_and_called_pending(migrated: str) -> None:
    with replay("iexec-dev", "--finality-lag", "20") as chain:
        ingest(migrated, chain.url, IEXEC)
    assert_same_logs(migrated, "iexec-dev", watched())
    with psycopg.connect(migrated) as connection:
        query = "SELECT finality, min(last_block) > 127 FROM analytics.tasks GROUP BY 1 ORDER BY 1"
        assert connection.execute(query).fetchall() == [("final", False), ("pending", True)]


def test_coverage_says_what_was_read_and_how_it_is_known(migrated: str) -> None:
    with replay("iexec-dev", "--max-range", "7", "--style", "infura") as chain:
        ingest(migrated, chain.url, IEXEC)
    with psycopg.connect(migrated) as connection:
        rows = connection.execute(
            "SELECT contract, to_block, evidence FROM analytics.coverage WHERE network = 'iexec'"
        ).fetchall()
        reads = connection.execute(
            "SELECT sum(r.to_block - r.from_block + 1), count(r.bound_hash), count(*) FROM chain.reads r"
            " JOIN chain.groups g USING (group_id)"
        ).fetchone()
    assert sorted(contract for contract, _, _ in rows) == sorted(watched())
    assert {row[1:] for row in rows} == {(147, "head-bound")}
    assert reads is not None
    assert reads[0] == 148
    assert reads[1] == reads[2], "every read is bound to a header"


def test_a_source_that_is_added_later_is_read_from_its_first_block(migrated: str) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev") as chain:
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": engines[:1]}], 42161)
        assert_same_logs(migrated, "arbius-dev", engines[:1])
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": engines}], 42161)
    assert_same_logs(migrated, "arbius-dev", engines)
    assert [(row[0], row[2]) for row in coverage(migrated)] == sorted((engine, 291) for engine in engines)


def test_a_lower_start_block_is_caught_up_and_nothing_doubles(migrated: str) -> None:
    (engine, _) = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev") as chain:
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": [engine], "start_block": 100}], 42161)
        assert min(block for block, _ in stored_logs(migrated)) >= 100
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": [engine], "start_block": 5}], 42161)
    assert_same_logs(migrated, "arbius-dev", [engine])
    assert coverage(migrated) == [(engine, 5, 291)]


def test_a_removed_source_is_not_read_any_more_and_keeps_its_rows(migrated: str) -> None:
    nova, one = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev", "--head", "200") as chain:
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": [nova, one]}], 42161)
        chain.control(head=250)
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": [one]}], 42161)
        stored = stored_logs(migrated)
        kept = {key for key, (_, row) in stored.items() if row["address"].hex() == nova[2:]}
        assert kept
        assert max(block for block, _ in kept) <= 200
        chain.control(head=291)
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": [nova, one]}], 42161)
    assert_same_logs(migrated, "arbius-dev", [nova, one])


def test_raised_evidence_reads_again_and_doubles_nothing(migrated: str) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev") as chain:
        for evidence in ("single", "head-bound"):
            source = {"network": "arbius", "addresses": engines, "evidence": evidence}
            ingest(migrated, chain.url, [source], 42161)
            assert_same_logs(migrated, "arbius-dev", engines)
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT DISTINCT evidence FROM analytics.coverage").fetchall() == [("head-bound",)]


@pytest.mark.parametrize("style", STYLES)
def test_every_provider_limit_is_found_and_kept(migrated: str, style: str) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    options = ("--style", style, "--max-range", "40", "--max-results", "300", "--max-batch", "5")
    with replay("arbius-dev", *options) as chain:
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": engines}], 42161)
        refused = chain.stats()["refused"]
    assert_same_logs(migrated, "arbius-dev", engines)
    assert refused.get("range", 0) <= 6, "a limit is learnt once, not run into all the time"


def test_a_provider_that_fails_now_and_then_is_outlasted(migrated: str) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    faults = [option for fault in ("502=0.1", "429=0.05", "truncate=0.1", "rpcerror=0.1", "dup=0.2")
              for option in ("--fault", fault)]  # fmt: skip
    with replay("arbius-dev", "--max-range", "25", "--style", "alchemy", *faults) as chain:
        ingest(migrated, chain.url, [{"network": "arbius", "addresses": engines}], 42161)
    assert_same_logs(migrated, "arbius-dev", engines)


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "indexer", "run", "--config", str(config), "--until-synced"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(config: Path) -> None:
    process = start(config)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 0, said


def test_kill_9_at_random_moments_loses_and_doubles_nothing(migrated: str, tmp_path: Path) -> None:
    chance = random.Random(5)
    engines = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev", "--max-range", "2", "--style", "alchemy", "--max-batch", "2", "--latency", "5") as chain:
        source = {"network": "arbius", "addresses": engines, "start_block": 0}
        config = toml_for(tmp_path, migrated, chain.url, 42161, [source])
        kills = 0
        for _ in range(5):
            process, seen = start(config), chain.stats()["methods"].get("eth_getLogs", 0)
            while process.poll() is None and chain.stats()["methods"].get("eth_getLogs", 0) == seen:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 0.5))
            kills += process.poll() is None
            process.kill()
            process.communicate()
            stored = {block for block, _ in stored_logs(migrated)}
            with psycopg.connect(migrated) as connection:
                covered = connection.execute("SELECT from_block, to_block FROM chain.coverage").fetchall()
            assert all(any(first <= block <= last for first, last in covered) for block in stored)
        assert kills >= 2
        finish(config)
    assert_same_logs(migrated, "arbius-dev", engines)


def test_kill_9_inside_a_transaction_leaves_nothing_of_it(migrated: str, tmp_path: Path) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    with replay("arbius-dev") as chain, psycopg.connect(migrated) as other:
        config = toml_for(tmp_path, migrated, chain.url, 42161, [{"network": "arbius", "addresses": engines}])
        other.execute("LOCK TABLE chain.reads IN ACCESS EXCLUSIVE MODE")  # rows are copied before the ledger's row
        process = start(config)
        with psycopg.connect(migrated, autocommit=True) as watcher:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chain.reads'::regclass"
            while watcher.execute(waiting).fetchone() == (0,):
                assert process.poll() is None
                time.sleep(0.05)
        process.kill()
        process.communicate()
        other.rollback()
        assert stored_logs(migrated) == {}
        finish(config)
    assert_same_logs(migrated, "arbius-dev", engines)


def test_a_stop_signal_ends_a_run_within_seconds(migrated: str, tmp_path: Path) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    options = ("--max-range", "2", "--style", "alchemy", "--max-batch", "2", "--latency", "200")
    with replay("arbius-dev", *options) as chain:
        source = {"network": "arbius", "addresses": engines, "start_block": 0}
        process = start(toml_for(tmp_path, migrated, chain.url, 42161, [source]))
        while chain.stats()["methods"].get("eth_getLogs", 0) < 6:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=5)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert recording("arbius-dev")["name"] == "arbius-dev"
