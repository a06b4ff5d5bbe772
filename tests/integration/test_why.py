"""`taskscan why` on the recorded chains: what brought a row, and why something is not there."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from indexer.ingest.run import run
from indexer.store import database as db
from indexer.store.rollback import rollback
from tests.acceptance.command import Inside, Said, taskscan
from tests.integration.conftest import fresh_database
from tests.support import addresses, needs_recordings, recording, replay, settings_for, toml_for

__all__ = ["taskscan"]
pytestmark = needs_recordings

HEAD, FINAL, READ_TO = 100, 80, 100
ENGINES = addresses("arbius-dev", "arbius-engine") if needs_recordings.args[0] is False else []
SOURCE: list[dict[str, Any]] = [{"network": "arbius", "addresses": ENGINES[:1], "start_block": 20}]
TASK_SUBMITTED = "0xc3d3e0544c80e3bb83f62659259ae1574f72a91515ab3cae3dd75cf77e1b0aea"  # arbius.md: TaskSubmitted


@pytest.fixture(scope="module")
def filled(server_url: str, template: str) -> Iterator[str]:
    """The first engine of the recording, from block 20 to block 100, of which 80 are final."""
    with (
        fresh_database(server_url, template) as url,
        replay("arbius-dev", "--head", str(HEAD), "--finality-lag", "20") as c,
    ):
        engine = db.engine(url)
        settings = settings_for(url, c.url, 42161, SOURCE)
        asyncio.run(run(settings, engine, until_synced=True, watch=lambda jobs: None))
        engine.dispose()
        yield url


@contextmanager
def asking(database: str, taskscan: Inside, folder: Path) -> Iterator[Any]:
    """`ask(words) -> Said`, while the whole recording is served."""
    with replay("arbius-dev") as chain:
        config = toml_for(folder, database, chain.url, 42161, SOURCE)

        def ask(*words: str) -> Said:
            return taskscan("why", *words, "--config", str(config))

        yield ask


def logs(**having: Any) -> list[dict[str, Any]]:
    """Recorded logs of the first engine within the blocks read."""
    found = [log for log in recording("arbius-dev")["logs"] if log["address"] == ENGINES[0]]
    return [log for log in found if all(having[key](log) for key in having)]


def number(log: dict[str, Any]) -> int:
    return int(log["blockNumber"], 16)


def place(log: dict[str, Any]) -> str:
    return f"{number(log)}:{int(log['logIndex'], 16)}"


def of_same(log: dict[str, Any]) -> list[dict[str, Any]]:
    """The engine's logs of the same transaction."""
    return [one for one in logs() if one["transactionHash"] == log["transactionHash"]]


def submitted() -> list[dict[str, Any]]:
    return logs(of=lambda log: log["topics"][0] == TASK_SUBMITTED and 20 <= number(log) <= FINAL)


def test_a_task_leads_to_all_its_events_and_each_to_the_answer_that_brought_it(
    filled: str, taskscan: Inside, tmp_path: Path
) -> None:
    task = submitted()[0]["topics"][1]
    expected = [log for log in logs() if task in log["topics"][1:3] and 20 <= number(log) <= READ_TO]
    with asking(filled, taskscan, tmp_path) as ask:
        said = ask(task[:14], "--json")
    answer = json.loads(said.out)
    assert (said.code, answer["subject"], answer["missing"]) == (0, task, [])
    assert [event["row"].split(":", 1)[1] for event in answer["events"]] == [place(log) for log in expected]
    first = answer["events"][0]
    assert first["row"].startswith("arbius.task_submitted:")
    assert first["decoded_by"] == "TaskSubmitted(bytes32,bytes32,uint256,address)"
    assert (first["tx"], first["contract"]) == (expected[0]["transactionHash"], ENGINES[0])
    assert (first["final"], first["folded"], first["evidence"]) == (True, True, "head-bound")
    assert f"arbius.tasks {task}" in first["folded_into"]
    (read, *_) = first["reads"]
    with psycopg.connect(filled) as connection:
        query = "SELECT provider, from_block, to_block, '0x' || encode(digest, 'hex') FROM chain.reads ORDER BY read_id"
        rows = connection.execute(query).fetchall()
    assert (read["provider"], read["from_block"], read["to_block"], read["digest"]) in rows
    assert read["from_block"] <= first["block"] <= read["to_block"] <= read["bound_block"]


def test_a_transaction_and_a_row_lead_to_the_same(filled: str, taskscan: Inside, tmp_path: Path) -> None:
    log = submitted()[3]
    with asking(filled, taskscan, tmp_path) as ask:
        by_tx = json.loads(ask(log["transactionHash"], "--json").out)["events"]
        by_row = json.loads(ask(f"arbius.task_submitted:{place(log)}", "--json").out)["events"]
        text = ask(f"arbius.task_submitted:{place(log)}").out
    assert len(by_tx) == len(of_same(log))
    assert by_row[0] in by_tx
    for words in (
        "first read  127.0.0.1:",
        "head-bound, bound to block",
        "decoded by  TaskSubmitted(",
        "final",
        log["topics"][1],
    ):
        assert words in text


def test_what_is_not_final_is_called_pending(filled: str, taskscan: Inside, tmp_path: Path) -> None:
    log = logs(late=lambda log: FINAL < number(log) <= READ_TO)[0]
    with asking(filled, taskscan, tmp_path) as ask:
        answer = json.loads(ask(log["transactionHash"], "--json").out)
        assert [event["final"] for event in answer["events"]] == [False] * len(answer["events"])
        assert "pending: not final yet" in ask(log["transactionHash"]).out


SHARED = (
    "SELECT left(task_id, 4) FROM analytics.tasks GROUP BY 1 HAVING count(*) > 1 LIMIT 1",
    """
    SELECT begins
    FROM (SELECT tx_hash, left(analytics.hex(tx_hash), 4) AS begins FROM arbius.task_submitted
          UNION SELECT tx_hash, left(analytics.hex(tx_hash), 4) FROM arbius.solution_submitted) AS t
    WHERE NOT EXISTS (SELECT FROM analytics.tasks WHERE starts_with(task_id, begins))
    GROUP BY 1 HAVING count(*) > 1 LIMIT 1
    """,
)  # beginnings of several tasks; of several transactions and no task


def test_an_ambiguous_beginning_lists_what_it_fits_and_nonsense_is_a_usage_error(
    filled: str, taskscan: Inside, tmp_path: Path
) -> None:
    with asking(filled, taskscan, tmp_path) as ask:
        with psycopg.connect(filled) as connection:
            (of_tasks,), (of_transactions,) = (connection.execute(query).fetchone() or () for query in SHARED)
        for beginning, what in ((of_tasks, "  task of arbius @ "), (of_transactions, "  transaction")):
            said = ask(beginning)
            assert said.code == 2
            assert f"Several begin with {beginning}:" in said.err
            assert what in said.err
        for words in ("hello", "0xzz", "0x", "arbius.task_submited:1:2"):
            assert ask(words).code == 2, words
        assert "did you mean arbius.task_submitted?" in ask("arbius.task_submited:1:2").err


def absent(ask: Any, subject: str) -> str:
    said = ask(subject, "--json")
    assert said.code == 1
    assert json.loads(said.out)["events"] == []
    return "\n".join(json.loads(said.out)["missing"])


def test_why_a_transaction_is_not_there(filled: str, taskscan: Inside, tmp_path: Path) -> None:
    early, late = logs(early=lambda log: number(log) < 20)[0], logs(late=lambda log: number(log) > READ_TO)[0]
    others = [log for log in recording("arbius-dev")["logs"] if 20 < number(log) < FINAL]
    with_ours = {log["transactionHash"] for log in others if log["address"] == ENGINES[0]}
    foreign = next(log for log in others if log["transactionHash"] not in with_ours)
    both = zip(recording("arbius-dev")["txs"], recording("arbius-dev")["receipts"], strict=True)
    failed = next(tx["hash"] for tx, receipt in both if receipt["status"] == "0x0")
    with asking(filled, taskscan, tmp_path) as ask:
        assert f"block {number(early)} lies below its first block 20" in absent(ask, early["transactionHash"])
        assert f"block {number(late)} lies above the newest block that is known (100)" in absent(
            ask, late["transactionHash"]
        )
        said = absent(ask, foreign["transactionHash"])
        assert "None of these contracts is watched" in said
        assert foreign["address"] in said
        assert "without any log: it failed" in absent(ask, failed)
        assert "No provider of 1 chains knows a transaction" in absent(ask, "0x" + "ab" * 32)


def test_why_a_row_is_not_there(filled: str, taskscan: Inside, tmp_path: Path) -> None:
    log = submitted()[0]
    with asking(filled, taskscan, tmp_path) as ask:
        assert f"At this place stands arbius.task_submitted:{place(log)}." in absent(
            ask, f"arbius.solution_claimed:{place(log)}"
        )
        assert "is covered and no such log was in the answers" in absent(ask, "arbius.solution_claimed:70:9999")
        assert "lies below its first block" in absent(ask, "arbius.solution_claimed:5:0")
        assert "lies above the newest block" in absent(ask, "arbius.solution_claimed:5000:0")


@pytest.fixture
def copied(server_url: str, filled: str) -> Iterator[str]:
    with fresh_database(server_url, filled.rsplit("/", 1)[1]) as url:
        yield url


def test_what_a_reorg_removed_an_omission_and_a_gap(copied: str, taskscan: Inside, tmp_path: Path) -> None:
    gone = logs(late=lambda log: 90 < number(log) <= READ_TO)[0]
    engine = db.engine(copied)
    with engine.begin() as connection:
        reorg = rollback(connection, 42161, 90).reorg_id
    engine.dispose()
    alone = [log for log in submitted() if all(one["topics"][0] == TASK_SUBMITTED for one in of_same(log))]
    kept = alone[0]
    with psycopg.connect(copied) as connection:
        connection.execute(
            "DELETE FROM arbius.task_submitted WHERE tx_hash = %s", (bytes.fromhex(kept["transactionHash"][2:]),)
        )
        connection.execute("UPDATE chain.chains SET head_block = 100")
    with asking(copied, taskscan, tmp_path) as ask:
        said = absent(ask, gone["transactionHash"])
        assert f"was removed by reorg {reorg} at" in said
        assert "(back to block 90)" in said
        assert f"block {number(gone)} is not covered yet" in said
        assert "is covered and no such log was in the answers" in absent(ask, kept["transactionHash"])


def test_a_log_that_no_codec_knows_is_found(copied: str, taskscan: Inside, tmp_path: Path) -> None:
    named = bytes.fromhex("c0de" * 16)
    with psycopg.connect(copied) as connection:
        connection.execute(
            "INSERT INTO chain.unknown_logs VALUES (42161, 75, 4000, %(h)s, now(), %(h)s, 0, %(a)s,"
            " ARRAY[%(h)s, %(n)s], '', 'no event of this contract has this signature')",
            {"h": b"\x11" * 32, "a": bytes.fromhex(ENGINES[0][2:]), "n": named},
        )
    with asking(copied, taskscan, tmp_path) as ask:
        assert "(chain.unknown_logs, index 4000) names it, but could not be decoded: no event of" in absent(
            ask, "0x" + named.hex()
        )
        row = json.loads(ask("chain.unknown_logs:75:4000", "--json").out)["events"][0]
    assert row["decoded_by"] == "nothing: no event of this contract has this signature"
