"""Counts that triggers keep, against the same counted from scratch, row by row, from the other views."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from indexer.ingest.run import run
from indexer.query.lists import STATUSES, Listing, rows, tasks_by_status
from indexer.store import database as db
from indexer.store import fold, migrate, repair
from indexer.store.rebuild import COUNTS
from indexer.store.rollback import rollback
from schema import FOLDS, view_scripts
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import IEXEC
from tests.support import addresses, needs_recordings, replay, settings_for

pytestmark = needs_recordings

ENGINES = addresses("arbius-dev", "arbius-engine") if needs_recordings.args[0] is False else []
RECORDED = (("iexec-dev", IEXEC, 31337), ("arbius-dev", [{"network": "arbius", "addresses": ENGINES}], 42161))
ANCESTORS = {31337: (146, 60), 42161: (284, 139)}

DAILY = """
    WITH facts AS (
        SELECT network, chain, submitted_at AS at, 'task' AS kind, NULL::text AS worker, NULL::numeric AS amount
        FROM analytics.tasks
        UNION ALL
        SELECT network, chain, finished_at, status, NULL, NULL
        FROM analytics.tasks WHERE status IN ('succeeded', 'failed') AND finished_at IS NOT NULL
        UNION ALL
        SELECT network, chain, opened_at, 'dispute', NULL, NULL FROM analytics.disputes
        UNION ALL
        SELECT network, chain, submitted_at, 'work', worker, NULL FROM analytics.work
        UNION ALL
        SELECT network, chain, block_time, CASE kind WHEN 'award' THEN 'reward' ELSE kind END, NULL, amount
        FROM analytics.payments WHERE kind IN ('fee', 'reward', 'award')
    )
    SELECT network, chain, (at AT TIME ZONE 'UTC')::date AS day,
           count(*) FILTER (WHERE kind = 'task'), count(*) FILTER (WHERE kind = 'succeeded'),
           count(*) FILTER (WHERE kind = 'failed'), count(*) FILTER (WHERE kind = 'dispute'),
           count(DISTINCT worker) FILTER (WHERE kind = 'work'),
           coalesce(sum(amount) FILTER (WHERE kind = 'fee'), 0), coalesce(sum(amount) FILTER (WHERE kind = 'reward'), 0)
    FROM facts WHERE at IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
WORKERS = """
    WITH money AS (
        SELECT network, chain, worker, sum(amount) FILTER (WHERE kind <> 'slash') AS earned,
               sum(amount) FILTER (WHERE kind = 'slash') AS slashed
        FROM (SELECT network, chain, kind, amount,
                     CASE kind WHEN 'slash' THEN from_address ELSE to_address END AS worker
              FROM analytics.payments WHERE kind IN ('fee', 'reward', 'award', 'slash')) AS p
        GROUP BY 1, 2, 3
    )
    SELECT network, chain, worker, count(*), count(*) FILTER (WHERE state = 'accepted'),
           count(*) FILTER (WHERE state IN ('rejected', 'lost')), coalesce(min(earned), 0), coalesce(min(slashed), 0),
           min(submitted_at), max(coalesce(settled_at, submitted_at))
    FROM analytics.work LEFT JOIN money USING (network, chain, worker) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
BY_STATUS = (
    "SELECT network, chain, chain_id, status, count(*) FROM analytics.tasks GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4"
)
SUBJECTS = """
    SELECT chain, contract, subject, count(*),
           count(*) FILTER (WHERE network_status IN ('claimed', 'contestation_failed')),
           count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE EXISTS (
               SELECT FROM analytics.disputes d
               WHERE d.chain_id = t.chain_id AND d.contract = t.contract AND d.task_id = t.task_id)),
           count(*) FILTER (WHERE status = 'cancelled'), sum(fee), min(submitted_at), max(submitted_at)
    FROM analytics.tasks t WHERE network = 'arbius' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
LATENCIES = """
    SELECT chain, worker, percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (
               ORDER BY extract(epoch FROM w.submitted_at - t.submitted_at)::bigint)
    FROM analytics.work w JOIN analytics.tasks t USING (network, chain, contract, task_id)
    WHERE network = 'arbius' GROUP BY 1, 2 ORDER BY 1, 2
"""
COMMITMENTS = """
    SELECT s.chain_id, s.address, extract(epoch FROM s.blocktime - c.at)::bigint, count(*)
    FROM arbius.solutions s
    JOIN arbius.solution_facts f USING (chain_id, address, task_id)
    JOIN (SELECT chain_id, address, commitment, min(block_time) AS at
          FROM arbius.signal_commitment GROUP BY 1, 2, 3) AS c
        USING (chain_id, address, commitment)
    WHERE f.tx_hash IS NOT DISTINCT FROM s.submitted_tx AND s.blocktime IS NOT NULL
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
TO_ENRICH = """
    SELECT c.name, analytics.hex(l.address), count(*)
    FROM (
        SELECT chain_id, address FROM arbius.tasks WHERE input_size IS NULL
        UNION ALL
        SELECT chain_id, address FROM arbius.solutions WHERE cid IS NULL
        UNION ALL
        SELECT chain_id, address FROM arbius.contestations WHERE slash_amount IS NULL
        UNION ALL
        SELECT chain_id, address FROM arbius.models WHERE cid IS NULL
        UNION ALL
        SELECT chain_id, address FROM arbius.validators LEFT JOIN arbius.validator_facts f
            USING (chain_id, address, validator) WHERE validators.staked IS NULL OR stale
        UNION ALL
        SELECT chain_id, address FROM iexec.deals WHERE enriched_from IS NULL
        UNION ALL
        SELECT chain_id, address FROM iexec.contributions WHERE weight IS NULL
        UNION ALL
        SELECT chain_id, address FROM iexec.tasks WHERE timeref IS NULL AND dealid IS NOT NULL
        UNION ALL
        SELECT chain_id, t.address FROM iexec.tasks t LEFT JOIN iexec.deals d USING (chain_id, address, dealid)
            WHERE finalized_at IS NOT NULL AND results_callback IS NULL AND boost IS NOT TRUE
              AND NOT EXISTS (SELECT FROM iexec.contracts h
                              WHERE h.hub = t.address AND role = 'hub' AND h.address <> hub)
        UNION ALL
        SELECT chain_id, address FROM (SELECT chain_id, address, app AS entry FROM iexec.apps UNION ALL
            SELECT chain_id, address, dataset FROM iexec.datasets UNION ALL
            SELECT chain_id, address, workerpool FROM iexec.workerpools) AS e
            WHERE entry NOT IN (SELECT entry FROM iexec.entry_facts)
    ) AS l JOIN chain.chains c USING (chain_id) GROUP BY 1, 2 ORDER BY 1, 2
"""
VOTES = """
    WITH votes AS (
        SELECT v.*, c.slash_amount, c.vote_adder, c.outcome, c.submitted_block,
               v.yea = (c.outcome = 'succeeded') AS won,
               row_number() OVER (PARTITION BY task_id, yea ORDER BY v.block_number, v.log_index) - 1 AS n,
               count(*) OVER (PARTITION BY task_id, yea) AS side, count(*) OVER (PARTITION BY task_id) AS every
        FROM arbius.votes v JOIN arbius.contestations c USING (chain_id, address, task_id)
        WHERE c.slash_amount > 0
    ), shared AS (
        SELECT *, slash_amount * (every - side + CASE WHEN yea THEN 0 ELSE vote_adder END) AS lost FROM votes
    )
    SELECT task_id, voter, 'stake' AS kind, block_number AS block, slash_amount AS amount FROM shared
    UNION ALL
    SELECT s.task_id, s.voter, 'slash', min(f.block_number), s.slash_amount
    FROM shared s JOIN arbius.contestation_vote_finish f ON f.id = s.task_id
    WHERE NOT s.won GROUP BY 1, 2, s.slash_amount
    UNION ALL
    SELECT s.task_id, s.voter, x.kind, f.block_number, x.amount
    FROM shared s JOIN arbius.contestation_vote_finish f ON f.id = s.task_id AND s.n >= f.start_idx AND s.n < f.end_idx
    CROSS JOIN LATERAL (VALUES ('unstake', slash_amount), ('award', CASE
        WHEN submitted_block IS NULL THEN 0 WHEN outcome = 'failed' AND side = 1 THEN lost
        WHEN n > 0 THEN div(lost - CASE WHEN yea THEN ceil(lost / 2) ELSE div(lost, 2) END, side - 1)
        WHEN yea THEN ceil(lost / 2) ELSE div(lost, 2) END)) AS x (kind, amount)
    WHERE s.won AND x.amount > 0
    ORDER BY 1, 2, 3, 4
"""
GIFTS = """
    SELECT block_number, log_index FROM iexec.transfer t
    WHERE t.value > 0 AND t."from" NOT IN (t.address, decode(repeat('00', 20), 'hex')) AND t."to" = t.address
      AND NOT EXISTS (SELECT FROM iexec.lock l WHERE (l.chain_id, l.block_number, l.log_index, l.owner)
                      = (t.chain_id, t.block_number, t.log_index + 1, t."from"))
    ORDER BY 1, 2
"""
IN_PIECES = """
    WITH old AS (DELETE FROM chain.reads RETURNING *)
    INSERT INTO chain.reads (chain_id, group_id, from_block, to_block, provider, requested_at, elapsed_ms, answer_bytes,
                             digest, evidence, logs)
    SELECT chain_id, group_id, n, least(n + 6, to_block), provider, requested_at, elapsed_ms, answer_bytes, digest,
           evidence, 100
    FROM old, generate_series(from_block, to_block, 7) AS n
"""
KEPT = {
    DAILY: "SELECT * FROM analytics.daily ORDER BY 1, 2, 3",
    WORKERS: "SELECT * FROM analytics.workers ORDER BY 1, 2, 3",
    BY_STATUS: "SELECT * FROM analytics.status_counts ORDER BY 1, 2, 4",
    VOTES: "SELECT task_id, voter, kind, block_number, amount FROM arbius.vote_payments ORDER BY 1, 2, 3, 4",
    GIFTS: "SELECT block_number, log_index FROM iexec.gifts ORDER BY 1, 2",
    SUBJECTS: """SELECT chain, contract, subject, tasks, succeeded, failed, disputed, cancelled, fees, first_at, last_at
        FROM analytics.subjects WHERE network = 'arbius' ORDER BY 1, 2, 3""",
    LATENCIES: """SELECT chain, worker, ARRAY[p50_seconds, p90_seconds, p99_seconds]
        FROM analytics.worker_records WHERE network = 'arbius' ORDER BY 1, 2""",
    COMMITMENTS: """SELECT chain_id, address, seconds, n FROM chain.task_sums WHERE what = 'commitment' AND n > 0
        ORDER BY 1, 2, 3""",
    TO_ENRICH: "SELECT chain, source, to_enrich FROM analytics.freshness WHERE to_enrich <> 0 ORDER BY 1, 2",
}


@pytest.fixture(scope="module")
def full(server_url: str, template: str) -> Iterator[str]:
    """A database with both recordings, in which nothing is final. To be copied, not used."""
    with fresh_database(server_url, template) as url:
        for name, sources, chain_id in RECORDED:
            with replay(name) as chain:
                settings = settings_for(url, chain.url, chain_id, sources)
                settings.chains[0].name = settings.sources[0].chain = name
                engine = db.engine(url)
                asyncio.run(run(settings, engine, until_synced=True, watch=lambda jobs: None))
                engine.dispose()
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE chain.chains SET final_block = 20")
        yield url


@pytest.fixture
def filled(full: str, server_url: str) -> Iterator[str]:
    """This test's own copy of it."""
    with fresh_database(server_url, full.rsplit("/", 1)[1]) as url:
        yield url


@contextlib.contextmanager
def transaction(url: str) -> Iterator[sa.Connection]:
    engine = db.engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def ask(url: str, query: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def assert_counts_are_true(url: str) -> None:
    for counted, kept in KEPT.items():
        assert ask(url, kept) == ask(url, counted)


def entities(url: str) -> dict[str, list[str]]:
    """Every row of every entity, as text, without what enrichment fills."""
    found = {}
    with psycopg.connect(url) as connection:
        for each in (each for folds in FOLDS.values() for each in folds):
            columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in each.folded)
            query = sql.SQL("SELECT ({})::text FROM {} ORDER BY 1").format(
                sql.SQL("ROW({})").format(columns), sql.Identifier(each.schema, each.table.name)
            )
            found[each.table.fullname] = [row[0] for row in connection.execute(query)]
    return found


def forget_folds(url: str) -> None:
    """As if nothing had ever been folded."""
    with psycopg.connect(url) as connection:
        for each in (each for folds in FOLDS.values() for each in folds):
            name = sql.Identifier(each.schema, each.table.name)
            connection.execute(sql.SQL("TRUNCATE {}").format(name))
        connection.execute("UPDATE chain.groups SET folded_to = NULL")


def forget_slashes(url: str) -> None:
    """As `forget_folds`; what no event tells goes aside."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE public.aside AS SELECT task_id, slash_amount FROM arbius.contestations")
    forget_folds(url)


def tell_slashes(url: str) -> None:
    """Enrich contestations with what was put aside."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE arbius.contestations SET slash_amount = a.slash_amount FROM public.aside a"
                           " WHERE a.task_id = contestations.task_id")  # fmt: skip


def read_in_pieces(url: str) -> None:
    """Let the ledger say that the blocks were read seven at a time, a hundred logs each."""
    with psycopg.connect(url) as connection:
        connection.execute(IN_PIECES)


def test_counts_after_reading(filled: str) -> None:
    assert len(ask(filled, KEPT[WORKERS])) > 20
    assert sum(n for *_, n in ask(filled, KEPT[COMMITMENTS])) > 20
    assert {row[3] for row in ask(filled, KEPT[BY_STATUS])} >= {"open", "review", "disputed", "claimable", "succeeded"}
    assert_counts_are_true(filled)


def test_counts_by_status_are_those_of_the_views(filled: str) -> None:
    with transaction(filled) as connection:
        found = tasks_by_status(connection)
    wanted: dict[str, dict[str, int]] = {}
    for network, status, tasks in ask(filled, "SELECT network, status, count(*) FROM analytics.tasks GROUP BY 1, 2"):
        wanted.setdefault(network, {})[status] = tasks
    assert found == wanted


@pytest.mark.parametrize("shift", ["-1 hour", "5 minutes", "1 hour", "1 day", "1 year"])
def test_states_that_time_changes_are_exact_at_any_time(filled: str, shift: str) -> None:
    with psycopg.connect(filled) as connection:
        connection.execute("UPDATE chain.chains SET head_time = head_time + %s::interval", [shift])
    assert_counts_are_true(filled)


def test_counts_after_rollbacks(filled: str) -> None:
    for chain_id, ancestors in ANCESTORS.items():
        before = ask(filled, KEPT[DAILY])
        for ancestor in ancestors:
            with transaction(filled) as connection:
                rollback(connection, chain_id, ancestor)
            assert_counts_are_true(filled)
        assert ask(filled, KEPT[DAILY]) != before


def test_counts_after_a_rebuild(filled: str) -> None:
    wanted = {query: ask(filled, query) for query in KEPT.values()}
    forget_slashes(filled)
    assert [ask(filled, query) for query in KEPT.values()] == [[] for _ in KEPT]
    with transaction(filled) as connection:
        for _, _, chain_id in RECORDED:
            fold.fold_chain(connection, chain_id)
    assert min(waiting for *_, waiting in ask(filled, KEPT[TO_ENRICH])) > 100
    assert_counts_are_true(filled)
    tell_slashes(filled)
    assert_counts_are_true(filled)
    assert ask(filled, KEPT[DAILY]) == wanted[KEPT[DAILY]]
    unlike_slashed = [(*row[:7], *row[8:]) for row in wanted[KEPT[WORKERS]]]  # stakes have to be enriched again
    assert [(*row[:7], *row[8:]) for row in ask(filled, KEPT[WORKERS])] == unlike_slashed


def test_counting_anew_changes_nothing(filled: str) -> None:
    wanted = [ask(filled, query) for query in KEPT.values()]
    with psycopg.connect(filled) as connection:
        connection.execute("SELECT analytics.recount()")
    assert [ask(filled, query) for query in KEPT.values()] == wanted


LATE = """
    CREATE TABLE public.late AS
    SELECT DISTINCT ON (f.id) f.*, c.slash_amount
    FROM arbius.contestation_vote_finish f
    JOIN arbius.contestations c ON (c.chain_id, c.address, c.task_id) = (f.chain_id, f.address, f.id)
    WHERE f.start_idx > 0 AND c.slash_amount > 0 ORDER BY f.id, f.start_idx DESC
"""
TAKEN = """
    DELETE FROM arbius.contestation_vote_finish f
    USING late l WHERE (f.chain_id, f.block_number, f.log_index) = (l.chain_id, l.block_number, l.log_index)
"""
UNTOLD = "UPDATE arbius.contestations c SET slash_amount = NULL FROM late l WHERE c.task_id = l.id"
TOLD = "UPDATE arbius.contestations c SET slash_amount = l.slash_amount FROM late l WHERE c.task_id = l.id"
FINISHED = """
    INSERT INTO arbius.contestation_vote_finish
    SELECT (jsonb_populate_record(NULL::arbius.contestation_vote_finish, to_jsonb(l))).* FROM late l
"""
WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def fold_late(url: str) -> None:
    """Fold the disputes whose last payment was late."""
    (disputes,) = (each for each in FOLDS["arbius"] if each.table.name == "contestations")
    keys = ask(url, "SELECT address, id FROM late")
    with transaction(url) as connection:
        fold.refold(connection, disputes, 42161, keys, 1_000_000)


@pytest.mark.parametrize("beside", [TOLD, "SELECT analytics.recount()"], ids=["enrichment", "a recount"])
def test_what_a_dispute_pays_counts_once_whatever_else_is_written(filled: str, beside: str) -> None:
    """A deep backfill writes events without the lock of the folds, while others learn of disputes or count anew."""
    with psycopg.connect(filled) as connection:
        for statement in (LATE, TAKEN, UNTOLD if beside == TOLD else "SELECT 1"):
            connection.execute(statement.encode())
    fold_late(filled)
    with psycopg.connect(filled) as writer, psycopg.connect(filled) as other:
        writer.execute(FINISHED.encode())
        going = threading.Thread(target=lambda: (other.execute(beside.encode()), other.commit()))
        going.start()
        while going.is_alive() and not ask(filled, WAITS):
            going.join(0.02)
        writer.commit()
        going.join()
    fold_late(filled)
    assert_counts_are_true(filled)


def upgraded(url: str) -> list[Any]:
    """All counts after an upgrade: the transaction that wrote each, the table, the row."""
    engine = db.engine(url)
    migrate.upgrade(engine)
    engine.dispose()
    rows = "SELECT xmin::text, '{0}', c::text FROM chain.{0} c"
    return ask(url, " UNION ALL ".join(rows.format(table.name) for table in COUNTS) + " ORDER BY 2, 3")


def test_an_upgrade_counts_anew_where_what_is_counted_has_changed(filled: str) -> None:
    was, other = ("'cancelled'\n        ELSE stage", "'failed'\n        ELSE stage")
    changed = [text.replace(was, other) for text in view_scripts()]
    assert changed != view_scripts()
    first = upgraded(filled)
    assert upgraded(filled) == first
    assert_counts_are_true(filled)
    with patch.object(migrate, "view_scripts", lambda: changed):
        second = upgraded(filled)
        assert upgraded(filled) == second
    assert any("cancelled" in row[2] for row in first)
    assert not any("cancelled" in row[2] for row in second)
    assert not {row[0] for row in upgraded(filled)} & {row[0] for row in second}
    assert_counts_are_true(filled)


COMMITMENT_STEPS = (
    "CREATE TABLE public.facts AS SELECT * FROM arbius.solution_facts; DELETE FROM arbius.solution_facts",
    # Half of the solutions are enriched before their commitments are read, by a chain that begins in its middle.
    "CREATE TABLE public.signals AS SELECT * FROM arbius.signal_commitment; DELETE FROM arbius.signal_commitment",
    "INSERT INTO arbius.solution_facts SELECT * FROM public.facts WHERE get_byte(task_id, 0) % 2 = 0",
    "INSERT INTO arbius.signal_commitment SELECT * FROM public.signals; fold",
    "INSERT INTO arbius.solution_facts SELECT * FROM public.facts WHERE get_byte(task_id, 0) % 2 = 1",
    # An earlier one of each is found, and was none.
    """INSERT INTO arbius.signal_commitment (chain_id, block_number, log_index, block_hash, block_time, tx_hash,
                                              tx_index, address, addr, commitment)
       SELECT chain_id, block_number, log_index + 100000, block_hash, block_time - interval '7 seconds', tx_hash,
              tx_index, address, addr, commitment FROM public.signals; fold""",
    "DELETE FROM arbius.signal_commitment WHERE log_index >= 100000",
    # Solutions of other transactions take their place, and go.
    "UPDATE arbius.solutions SET submitted_tx = 'x' WHERE get_byte(task_id, 1) % 2 = 0",
    "UPDATE arbius.solutions SET blocktime = blocktime + interval '3 seconds' WHERE get_byte(task_id, 1) % 2 = 1",
    "CREATE TABLE public.works AS SELECT * FROM arbius.solutions; DELETE FROM arbius.solutions",
    "INSERT INTO arbius.solutions SELECT * FROM public.works",
    # What was learned is learned anew, and of another transaction.
    "UPDATE arbius.solution_facts SET commitment = NULL WHERE get_byte(task_id, 2) % 3 = 0",
    "UPDATE arbius.solution_facts SET tx_hash = 'x' WHERE get_byte(task_id, 2) % 3 = 1",
    "UPDATE arbius.solution_facts f SET commitment = o.commitment FROM public.facts o WHERE o.task_id = f.task_id",
    "DELETE FROM arbius.solution_facts WHERE get_byte(task_id, 3) % 2 = 0",
    "SELECT analytics.recount()",
)


def test_ages_of_commitments_in_whatever_order_their_parts_come(filled: str) -> None:
    seen = set()
    for step in COMMITMENT_STEPS:
        with psycopg.connect(filled) as connection:
            connection.execute(step.removesuffix("; fold").encode())
        if step.endswith("; fold"):
            with transaction(filled) as connection:
                repair.fold_again(connection, 42161, 1)
        wanted = ask(filled, COMMITMENTS)
        assert ask(filled, KEPT[COMMITMENTS]) == wanted, step
        seen.add(repr(wanted))
    assert len(seen) > 9


LARGE = """
    UPDATE pg_class SET relpages = 1000000
    WHERE relkind = 'r' AND relnamespace IN ('arbius'::regnamespace, 'iexec'::regnamespace)
"""  # as in tables of 8 GB, whose bytes no int4 holds


@pytest.mark.parametrize("portion", [300, 2_000])
def test_a_deep_backfill_folds_to_the_same(filled: str, portion: int) -> None:
    """In portions, new entities from their blocks alone: as one by one, in tables and in counts."""
    wanted, counts = entities(filled), ask(filled, KEPT[DAILY])
    forget_slashes(filled)
    read_in_pieces(filled)
    with psycopg.connect(filled) as connection:
        connection.execute(LARGE)
    with patch.object(fold, "DEEP_LOGS", 0), patch.object(fold, "LOGS_AT_ONCE", portion):
        portions = 0
        for _, _, chain_id in RECORDED:
            more = True
            while more:
                with transaction(filled) as connection:
                    more = fold.fold_portion(connection, chain_id)
                portions += more
            with transaction(filled) as connection:
                fold.fold_chain(connection, chain_id)
    assert portions >= 3
    tell_slashes(filled)
    assert entities(filled) == wanted
    assert ask(filled, KEPT[DAILY]) == counts


@pytest.mark.parametrize("status", STATUSES)
def test_pages_by_status_list_what_the_view_holds(filled: str, status: str) -> None:
    """They look up stages by an index; whatever stage a task of this status can have must be among them."""
    with transaction(filled) as connection:
        found = rows(connection, Listing("tasks", (f"status={status}",), limit=10_000))
    every = ask(filled, "SELECT network, task_id, status FROM analytics.tasks")
    wanted = [(network, task_id) for network, task_id, now in every if now == status]
    assert sorted((row["network"], row["task_id"]) for row in found) == sorted(wanted)
    times = [row["submitted_at"] for row in found if row["submitted_at"]]
    assert times == sorted(times, reverse=True)
