"""What several tests use: recorded chains behind `replay.py`, settings for them, and the tables as plain data."""

import contextlib
import gzip
import json
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import Engine

from indexer.config import Settings, build
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.store.leases import Lease
from indexer.store.store import Store

RECORDINGS = Path(__file__).parents[2] / "shared" / "recordings"
needs_recordings = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no folder ../shared/recordings here")

PAYING = frozenset((
    "arbius.fees_paid", "arbius.rewards_paid", "arbius.validator_deposit", "arbius.validator_withdraw",
    "iexec.transfer", "iexec.lock", "iexec.unlock", "iexec.reward", "iexec.seize", "iexec.deposit",
    "iexec.deposit_for", "iexec.withdraw", "iexec.faulty_contribution",
))  # fmt: skip
"""Event tables that payments are read from, page by page: they alone have more than one index besides the key."""
FIXED = {"chain_id", "block_number", "log_index", "block_hash", "block_time", "tx_hash", "tx_index", "address"}


@cache
def recording(name: str) -> dict[str, Any]:
    """The recording `name`, parsed."""
    with gzip.open(RECORDINGS / f"{name}.json.gz") as file:
        found: dict[str, Any] = json.load(file)
    return found


def addresses(name: str, *protocols: str) -> list[str]:
    """Addresses of the recorded contracts of these protocols."""
    return [c["address"] for c in recording(name)["contracts"] if c["protocol"] in protocols]


class Replay:
    """A running `replay.py`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def stats(self) -> dict[str, Any]:
        """Requests, calls, faults so far."""
        with urllib.request.urlopen(f"{self.url}/stats") as answer:
            return dict(json.load(answer))

    def control(self, **move: int) -> None:
        """Move the head: `advance=n` or `head=n`."""
        request = urllib.request.Request(
            f"{self.url}/control", json.dumps(move).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).read()


@contextlib.contextmanager
def replay(name: str, *options: str) -> Iterator[Replay]:
    """Serve the recording `name` with the given options of `replay.py`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(RECORDINGS / "replay.py"), str(RECORDINGS / f"{name}.json.gz")]
    process = subprocess.Popen([*command, "--port", str(port), *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "replay.py did not start"
        yield Replay(port)
    finally:
        process.kill()
        process.communicate()


def settings_for(
    database: str, url: str, chain_id: int, sources: Sequence[dict[str, Any]], rpc: Sequence[str] = ()
) -> Settings:  # fmt: skip
    """Settings that read `sources` of one chain at `url` into `database`; `rpc`: several endpoints instead of `url`."""
    chain = {"name": "test", "chain_id": chain_id, "clock": "head", "rpc": list(rpc) or [url]}
    tree = {
        "database": {"url": database},
        "chains": [chain],
        "sources": [{"chain": "test", **source} for source in sources],
    }
    return build(tree, "test")


@contextlib.asynccontextmanager
async def open_job(
    settings: Settings, engine: Engine, budget_bytes: int = IN_FLIGHT_BYTES, lease: Lease | None = None
) -> AsyncIterator[ChainJob]:
    """The job of the first chain of `settings`, prepared. At the end it and the connections of `engine` are closed."""
    store = Store(engine)
    job = ChainJob(settings.chains[0], settings.sources, store, Budget(budget_bytes), lease=lease)
    try:
        await job.prepare()
        yield job
    finally:
        await job.close()
        store.close()


def toml_for(folder: Path, database: str, url: str, chain_id: int, sources: Sequence[dict[str, Any]]) -> Path:
    """The same as a file."""
    lines = [f"[database]\nurl = {json.dumps(database)}"]
    lines += [f'[[chains]]\nname = "test"\nchain_id = {chain_id}\nclock = "head"\nrpc = [{json.dumps(url)}]']
    for source in sources:
        body = "\n".join(f"{key} = {json.dumps(value)}" for key, value in source.items())
        lines.append(f'[[sources]]\nchain = "test"\n{body}')
    path = folder / "taskscan.toml"
    path.write_text("\n".join(lines))
    return path


def event_tables(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """(schema, table) of every table that holds logs."""
    query = """
        SELECT table_schema, table_name FROM information_schema.columns
        WHERE table_schema IN ('arbius', 'iexec', 'chain') AND column_name = 'tx_index'
          AND table_name <> 'orphaned_logs' ORDER BY 1, 2
    """
    return [(row[0], row[1]) for row in connection.execute(query)]


def stored_logs(database: str) -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
    """Every stored log: (block, log index) -> ("schema.table", row as a dict)."""
    found: dict[tuple[int, int], tuple[str, dict[str, Any]]] = {}
    with psycopg.connect(database) as connection:
        for schema, table in event_tables(connection):
            with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
                for row in cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))):
                    key = row["block_number"], row["log_index"]
                    assert key not in found, f"log {key} is in {found[key][0]} and in {schema}.{table}"
                    found[key] = f"{schema}.{table}", row
    return found


def recorded_logs(name: str, watched: Sequence[str], upto: int | None = None) -> dict[tuple[int, int], dict[str, Any]]:
    """Every recorded log of the watched contracts: (block, log index) -> log as `eth_getLogs` gives it."""
    logs = {(int(log["blockNumber"], 16), int(log["logIndex"], 16)): log for log in recording(name)["logs"]}
    return {
        key: log for key, log in logs.items() if log["address"] in watched and (upto is None or key[0] <= upto)
    }  # fmt: skip


def assert_same_logs(database: str, name: str, watched: Sequence[str], upto: int | None = None) -> None:
    """The tables hold exactly the recorded logs of the watched contracts, by place, hash, address and transaction."""
    stored = {
        key: (row["address"].hex(), row["block_hash"].hex(), row["tx_hash"].hex(), row["tx_index"])
        for key, (_, row) in stored_logs(database).items()
    }
    expected = {
        key: (log["address"][2:], log["blockHash"][2:], log["transactionHash"][2:], int(log["transactionIndex"], 16))
        for key, log in recorded_logs(name, watched, upto).items()
    }
    assert stored == expected


def held(payments: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Account of an iExec hub -> its stake and what is locked, as `viewAccount` has them, by payments alone."""
    stake, locked = Counter[str](), Counter[str]()
    for row in payments:
        kind, giver, taker, amount = row["kind"], row["from_address"], row["to_address"], int(row["amount"])
        if row["source_event"] == "Seize":  # what was locked is taken, without a Transfer
            locked[giver] -= amount
            continue
        if kind in ("stake", "withdraw", "transfer"):
            stake[giver] -= amount
        if kind in ("deposit", "unstake", "refund", "reward", "transfer"):
            stake[taker] += amount
        locked[giver] += amount if kind == "stake" else 0
        locked[taker] -= amount if kind in ("unstake", "refund") else 0
    return {account: (stake[account], locked[account]) for account in stake.keys() | locked.keys()}


def staked(payments: Iterable[Mapping[str, Any]], v6: Mapping[str, int]) -> Counter[tuple[str, str]]:
    """(engine, validator) -> what it has staked, as `validators` has it, by payments alone.

    `v6`: engine -> block from which on it credits what it pays to a solver or a voter.
    """
    stake = Counter[tuple[str, str]]()
    for row in payments:
        engine, kind, amount = row["contract"], row["kind"], int(row["amount"])
        if row["source_event"] in ("ValidatorWithdraw", "SolutionSubmitted", "ContestationVote"):
            stake[engine, row["from_address"]] -= amount
        elif kind in ("deposit", "unstake", "slash"):
            stake[engine, row["to_address"]] += amount  # nobody's, where a vote was lost
        elif kind in ("fee", "reward", "award") and engine in v6 and row["block"] > v6[engine]:
            stake[engine, row["to_address"]] += amount
    return stake
