"""Rollback, held against indexes that never saw what was taken back."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from indexer.errors import FinalityBroken
from indexer.networks.iexec import task_ids
from indexer.store import database as db
from indexer.store.rollback import Rolled, lowest_since, rollback
from schema import FOLDS
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import IEXEC, ingest
from tests.support import FIXED, addresses, event_tables, needs_recordings, replay

pytestmark = needs_recordings

ENGINES = addresses("arbius-dev", "arbius-engine") if needs_recordings.args[0] is False else []
SOURCES = {"iexec-dev": IEXEC, "arbius-dev": [{"network": "arbius", "addresses": ENGINES}]}
CHAIN = {"iexec-dev": 31337, "arbius-dev": 42161}
HEADS = {"iexec-dev": (30, 101, 146, 147), "arbius-dev": (60, 139, 284, 291)}
on_iexec = pytest.mark.parametrize("full", ["iexec-dev"], indirect=True)

CONTRACTS = """
    SELECT s.chain_id, s.address, s.network, s.role, s.from_block, s.found_in, s.active, g.evidence, g.folded_to,
           array_agg((c.from_block, c.to_block, c.evidence)::text ORDER BY c.from_block, c.evidence)
    FROM chain.sources s JOIN chain.groups g USING (group_id) LEFT JOIN chain.coverage c USING (group_id)
    GROUP BY s.chain_id, s.address, g.group_id
"""


class Index(NamedTuple):
    """An index of a recording, in which nothing counts as final, and what its tables held at earlier heads."""

    name: str
    url: str
    stages: dict[int, dict[str, set[str]]]

    @property
    def chain(self) -> int:
        return CHAIN[self.name]

    @property
    def whole(self) -> dict[str, set[str]]:
        return self.stages[max(self.stages)]


@pytest.fixture(scope="module", params=SOURCES)
def full(request: pytest.FixtureRequest, server_url: str, template: str) -> Iterator[Index]:
    """The whole recording, read head by head. To be copied, not used."""
    name, stages = request.param, {}
    with fresh_database(server_url, template) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_ids, "MARK_EVERY", 100)
        with replay(name, "--head", str(HEADS[name][0])) as chain:
            for head in HEADS[name]:
                chain.control(head=head)
                ingest(url, chain.url, SOURCES[name], CHAIN[name])
                stages[head] = tables(url)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE chain.chains SET final_block = 20")
        yield Index(name, url, stages)


@pytest.fixture
def index(full: Index, server_url: str) -> Iterator[Index]:
    """This test's own copy of it."""
    with fresh_database(server_url, full.url.rsplit("/", 1)[1]) as url:
        yield full._replace(url=url)


def read(index: Index) -> None:
    """Read on, up to the head of the recording."""
    with replay(index.name) as chain:
        ingest(index.url, chain.url, SOURCES[index.name], index.chain)


@contextmanager
def transaction(index: Index) -> Iterator[sa.Connection]:
    engine = db.engine(index.url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def roll(index: Index, ancestor: int) -> Rolled:
    with transaction(index) as connection:
        return rollback(connection, index.chain, ancestor)


def above(index: Index, block: int) -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
    return {key: log for key, log in logs(index.url).items() if key[0] > block}


def nothing_is_final(index: Index) -> None:
    with psycopg.connect(index.url) as connection:
        connection.execute("UPDATE chain.chains SET final_block = NULL")


def fetch(index: Index, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(index.url, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def logs(url: str) -> dict[tuple[int, int], tuple[str, dict[str, Any]]]:
    """The logs that count, as (block, log index) -> ("schema.table", row)."""
    with psycopg.connect(url) as connection:
        names = [found for found in event_tables(connection) if found != ("chain", "orphaned_logs")]
        queries = [sql.SQL("SELECT * FROM {}").format(sql.Identifier(*name)) for name in names]
        rows = [
            (".".join(name), row)
            for name, query in zip(names, queries, strict=True)
            for row in connection.cursor(row_factory=psycopg.rows.dict_row).execute(query)
        ]
    return {(row["block_number"], row["log_index"]): (name, row) for name, row in rows}


def tables(url: str) -> dict[str, set[str]]:
    """Every row of every table of the networks as text, and every contract with what is read of it.

    Without facts that no event tells: they survive a rollback, and test_enrich.py says when.
    """
    enriched = {str(fold.table): list(fold.enriched) for folds in FOLDS.values() for fold in folds}
    with psycopg.connect(url) as connection:
        found = {"contracts": {repr(row) for row in connection.execute(CONTRACTS)}}
        query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('arbius', 'iexec')"
        for schema, table in [*connection.execute(query).fetchall(), ("chain", "unknown_logs")]:
            if table.endswith("_facts"):
                continue
            name = f"{schema}.{table}"
            rows = sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t").format(sql.Identifier(schema, table))
            found[name] = {row[0] for row in connection.execute(rows, [enriched.get(name, [])])}
    return found


def unmarked(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the cache of sums: where they stand depends on the ranges that were read."""
    return {name: rows for name, rows in found.items() if not name.endswith("marks")}


def assert_same(found: dict[str, set[str]], wanted: dict[str, set[str]]) -> None:
    """EXCEPT in both directions, table by table."""
    assert found.keys() == wanted.keys()
    differ = {name: (found[name] - wanted[name], wanted[name] - found[name]) for name in found}
    assert {name: both for name, both in differ.items() if both != (set(), set())} == {}


def test_a_rollback_leaves_what_the_index_was_up_to_there(index: Index) -> None:
    *cuts, head = HEADS[index.name]
    pools = len(index.whole["contracts"])
    for ancestor in reversed(cuts):
        removed = len(above(index, ancestor))
        assert roll(index, ancestor).rows_removed == removed > 0
        assert_same(tables(index.url), index.stages[ancestor])
        assert fetch(index, "SELECT head_block, final_block FROM chain.chains")[0]["head_block"] == ancestor
        last = fetch(index, "SELECT max(to_block) AS read, (SELECT max(to_block) FROM chain.coverage) FROM chain.reads")
        assert last == [{"read": ancestor, "max": ancestor}]
    assert index.name != "iexec-dev" or len(index.stages[cuts[0]]["contracts"]) < pools, "a pool is born above"
    assert head == max(index.stages)
    read(index)
    assert_same(unmarked(tables(index.url)), unmarked(index.whole))


def test_a_rollback_below_every_event_leaves_only_what_is_configured(index: Index) -> None:
    nothing_is_final(index)
    count, configured = len(logs(index.url)), fetch(index, "SELECT * FROM chain.sources WHERE found_in IS NULL")
    assert roll(index, 0).rows_removed == count
    left = tables(index.url)
    assert len(left.pop("contracts")) == len(configured)
    assert {name for name, rows in left.items() if rows} <= {"iexec.contracts"}
    assert fetch(index, "SELECT count(*) AS n FROM chain.groups g WHERE NOT EXISTS"
                 " (SELECT FROM chain.sources s WHERE s.group_id = g.group_id)") == [{"n": 0}]  # fmt: skip


def plain(value: object) -> object:
    """A stored value as JSON has it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, Decimal) else value


def test_orphaned_logs_are_exactly_what_was_removed(index: Index) -> None:
    ancestor = HEADS[index.name][1]
    with psycopg.connect(index.url) as connection:
        raw = (
            index.chain,
            ancestor + 1,
            999_999,
            b"\1" * 32,
            b"\2" * 32,
            0,
            b"\3" * 20,
            [b"\4" * 32, b"\5"],
            b"",
            "odd",
        )
        insert = "INSERT INTO chain.unknown_logs VALUES (%s, %s, %s, %s, now(), %s, %s, %s, %s, %s, %s)"
        connection.execute(insert, raw)
    removed = above(index, ancestor)
    rolled = roll(index, ancestor)
    orphans = fetch(index, "SELECT * FROM chain.orphaned_logs")
    assert len(orphans) == rolled.rows_removed
    found = {(row["block_number"], row["log_index"]): row for row in orphans}
    assert found.keys() == removed.keys()
    for key, (table, log) in removed.items():
        row = found[key]
        assert (row["stored_in"], row["reorg_id"]) == (table, rolled.reorg_id)
        assert {name: row[name] for name in FIXED} == {name: log[name] for name in FIXED}
        assert row["arguments"] == {name: plain(value) for name, value in log.items() if name not in FIXED}
        assert row["believed_at"] is not None
        assert row["believed_at"] < row["removed_at"]
    (reorg,) = fetch(index, "SELECT * FROM chain.reorgs")
    head = max(HEADS[index.name])
    assert (reorg["ancestor"], reorg["depth"], reorg["rows_removed"]) == (ancestor, head - ancestor, len(removed))
    assert reorg["rows_added"] is None


def test_the_head_window_is_cut_and_its_times_stay(index: Index) -> None:
    ancestor, head = HEADS[index.name][1], max(HEADS[index.name])
    blocks = [(index.chain, n, n.to_bytes(32), (n - 1).to_bytes(32), n) for n in range(ancestor - 5, head + 3)]
    with psycopg.connect(index.url) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM chain.blocks")
        cursor.executemany("INSERT INTO chain.blocks VALUES (%s, %s, %s, %s, to_timestamp(%s))", blocks)
    with transaction(index) as rolling:
        before = rollback(rolling, index.chain, ancestor, new_head_hash=b"\7" * 32)
    kept = fetch(index, "SELECT max(block_number) AS newest, count(*) AS n FROM chain.blocks")
    assert kept == [{"newest": ancestor, "n": 6}]
    assert fetch(index, "SELECT old_head_hash, new_head_hash, depth FROM chain.reorgs") == [
        {"old_head_hash": (head + 2).to_bytes(32), "new_head_hash": b"\7" * 32, "depth": head + 2 - ancestor}
    ]
    times = "SELECT DISTINCT extract(epoch FROM {})::int AS at FROM chain.{}"
    assert fetch(index, times.format("head_time", "chains")) == [{"at": ancestor}]
    assert fetch(index, times.format("to_time", "coverage")) == [{"at": ancestor}]
    with transaction(index) as later:
        assert lowest_since(later, index.chain, before.reorg_id) is None
        assert lowest_since(later, index.chain, before.reorg_id - 1) == ancestor


def test_below_the_final_block_nothing_is_changed(index: Index) -> None:
    with pytest.raises(FinalityBroken, match=r"Chain test .* block 19, .* up to 20 were final"):
        roll(index, 19)
    assert_same(tables(index.url), index.whole)
    assert fetch(index, "SELECT * FROM chain.reorgs") == fetch(index, "SELECT * FROM chain.orphaned_logs") == []


@on_iexec
def test_a_rollback_that_breaks_off_changes_nothing(index: Index) -> None:
    """PostgreSQL itself breaks it off: at the first row moved, where the ledger is cut, in the very last statement."""
    reads = fetch(index, "SELECT * FROM chain.reads ORDER BY read_id")
    with psycopg.connect(index.url) as connection:
        connection.execute("CREATE FUNCTION public.stop() RETURNS trigger LANGUAGE plpgsql"
                           " AS 'BEGIN RAISE ''stopped here''; END'")  # fmt: skip
    for what, table in (("INSERT", "orphaned_logs"), ("UPDATE", "coverage"), ("UPDATE", "reorgs")):
        with psycopg.connect(index.url) as connection:
            trigger = sql.SQL("CREATE OR REPLACE TRIGGER stop BEFORE {} ON {} EXECUTE FUNCTION public.stop()")
            connection.execute(trigger.format(sql.SQL(what), sql.Identifier("chain", table)))
        with pytest.raises(sa.exc.DBAPIError, match="stopped here"):
            roll(index, HEADS[index.name][1])
        with psycopg.connect(index.url) as connection:
            connection.execute(sql.SQL("DROP TRIGGER stop ON {}").format(sql.Identifier("chain", table)))
        assert_same(tables(index.url), index.whole)
        assert fetch(index, "SELECT * FROM chain.reads ORDER BY read_id") == reads
        assert fetch(index, "SELECT * FROM chain.reorgs") == fetch(index, "SELECT * FROM chain.orphaned_logs") == []


def wait_for(index: Index, waiting: int) -> None:
    """Wait until so many connections to the database wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(index.url, autocommit=True) as watcher:
        for _ in range(600):
            if watcher.execute(query).fetchone() == (waiting,):
                return
            time.sleep(0.05)
    raise AssertionError(f"nobody waits: {waiting} expected")


@on_iexec
def test_a_rollback_waits_for_a_writer_and_takes_its_rows_back_too(index: Index) -> None:
    first, second = HEADS[index.name][1], HEADS[index.name][0]
    total = len(above(index, second))
    roll(index, first)

    def while_it_writes() -> Rolled:
        with psycopg.connect(index.url) as holder:
            holder.execute("LOCK TABLE chain.reads IN ACCESS EXCLUSIVE MODE")  # a writer has copied its rows by then
            locked.set()
            wait_for(index, 1)
            nothing_is_final(index)
            rolling = threads.submit(roll, index, second)
            wait_for(index, 2)
            assert not rolling.done()
        return rolling.result(timeout=30)

    locked = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        done = threads.submit(while_it_writes)
        locked.wait(10)
        read(index)
        assert done.result(timeout=60).rows_removed == total
    read(index)
    assert_same(unmarked(tables(index.url)), unmarked(index.whole))


def commit_when_waited_for(index: Index, connection: sa.Connection) -> None:
    wait_for(index, 1)
    connection.commit()


@on_iexec
def test_writers_wait_for_a_rollback_and_read_what_it_took_back(index: Index) -> None:
    with ThreadPoolExecutor(1) as threads:
        with transaction(index) as connection:
            rollback(connection, index.chain, HEADS[index.name][0])
            finished = threads.submit(commit_when_waited_for, index, connection)
            read(index)
        finished.result(timeout=30)
    assert_same(unmarked(tables(index.url)), unmarked(index.whole))
