"""Evidence that does not rest on one provider's word: `receipts` and `second-provider` as levels of a source."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.command import Inside, Said, taskscan
from tests.acceptance.node import ENGINE, Node, running
from tests.integration.test_settle import LIAR, WATCHED, fetch, findings, follow, sources
from tests.support import addresses, assert_same_logs, needs_recordings, recorded_logs, replay, stored_logs, toml_for

__all__ = ["taskscan"]

OPTIONS = ("--head", "100", "--finality-lag", "20")
HEADS = (100, 101, 120, 147)


def levels(database: str, upto: int = 1000) -> set[str]:
    """The evidence of what is covered up to a block."""
    rows = fetch(database, "SELECT DISTINCT from_block, evidence FROM analytics.coverage")
    return {evidence for first, evidence in rows if first <= upto}


@needs_recordings
def test_with_receipts_the_tables_are_exact_although_the_only_provider_omits_logs(
    migrated: str, taskscan: Inside, tmp_path: Path
) -> None:  # fmt: skip
    with replay("iexec-dev", *OPTIONS, *LIAR) as liar:
        follow(migrated, [liar], sources(evidence="receipts"), HEADS)
        path = str(toml_for(tmp_path, migrated, liar.url, 31337, sources(evidence="receipts")))
        methods = liar.stats()["methods"]
        assert methods["eth_getBlockReceipts"] > 40
        assert "eth_getTransactionReceipt" not in methods
        assert taskscan("verify", "--config", path).code == 0
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    assert levels(migrated) == {"receipts"}
    tasks = "SELECT DISTINCT ON (status = 0) '0x' || encode(taskid, 'hex'), status = 0 AS is_unset FROM iexec.tasks"
    for task, is_unset in fetch(migrated, tasks):
        told = taskscan("why", task, "--config", path).out
        assert "known by receipts" in told
        assert ("iexec.orders_matched:" if is_unset else "iexec.task_initialize:") in told


class Sealed(Node):
    """One that has receipts of nothing."""

    def eth_getBlockByNumber(self, block: str, full: bool) -> dict[str, Any] | None:
        found = super().eth_getBlockByNumber(block, full)
        return found and {**found, "receiptsRoot": self.hash(-7), "transactions": [self.hash(-8)]}

    def eth_getBlockByHash(self, _hash: str, full: bool) -> dict[str, Any] | None:
        return self.eth_getBlockByNumber("latest", full)


def test_without_any_receipts_it_says_so_and_what_to_do(migrated: str, taskscan: Inside, tmp_path: Path) -> None:
    with running(Sealed(head=30)) as node:
        source = {"network": "arbius", "addresses": [ENGINE], "start_block": 3, "evidence": "receipts"}
        path = str(toml_for(tmp_path, migrated, node.url, 42161, [source]))
        said = taskscan("run", "--until-synced", "--config", path)
    assert said.code == 1
    assert "No provider of chain test gives receipts (127.0.0.1:" in said.err
    assert 'set `evidence = "bloom"`' in said.err
    assert "Traceback" not in said.err
    assert levels(migrated) == set()


@needs_recordings
def test_what_two_providers_say_alike_counts_as_confirmed_by_the_second(migrated: str) -> None:
    with replay("iexec-dev", *OPTIONS, "--max-range", "25") as one, replay("iexec-dev", *OPTIONS) as other:
        follow(migrated, [one, other], sources(evidence="second-provider"), HEADS)
        names = {chain.url.removeprefix("http://") for chain in (one, other)}
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    assert levels(migrated, upto=HEADS[-1] - 20) == {"second-provider"}
    reads = fetch(migrated, "SELECT provider, confirmed_by FROM chain.reads WHERE to_block <= 127")
    assert {frozenset(row) for row in reads} == {frozenset(names)}
    assert fetch(migrated, "SELECT count(*) FROM chain.incidents") == [(0,)]


@needs_recordings
@pytest.mark.parametrize("order", ["liar first", "honest first"])
def test_where_two_providers_differ_a_proof_decides(migrated: str, order: str) -> None:
    with replay("iexec-dev", *OPTIONS, "--fault", "omit=0.9") as liar, replay("iexec-dev", *OPTIONS) as honest:
        chains = [liar, honest] if order == "liar first" else [honest, liar]
        follow(migrated, chains, sources(evidence="second-provider"), HEADS)
    assert_same_logs(migrated, "iexec-dev", addresses("iexec-dev", *WATCHED))
    assert levels(migrated, upto=HEADS[-1] - 20) <= {"second-provider", "bloom", "receipts"}
    assert fetch(migrated, "SELECT count(*) FROM chain.reads WHERE doubt IS NOT NULL AND to_block <= 127") == [(0,)]
    assert findings(migrated) == []
    said = " ".join(row[0] for row in fetch(migrated, "SELECT message FROM chain.incidents"))
    assert "is not trusted any more: it left out" in said
    caught = fetch(migrated, "SELECT provider FROM chain.providers WHERE distrusted_at IS NOT NULL")
    assert caught == [(liar.url.removeprefix("http://"),)]


WOUNDS = {
    "a lost event": "DELETE FROM iexec.task_finalize"
    " WHERE block_number = (SELECT max(block_number) FROM iexec.task_finalize) RETURNING block_number",
    "arguments that were changed": "UPDATE iexec.transfer SET value = value + 1"
    " WHERE block_number % 9 = 0 RETURNING block_number",
    "an event that never was": "INSERT INTO iexec.transfer SELECT chain_id, block_number, log_index + 5000, block_hash,"
    ' block_time, tx_hash, tx_index, address, "from", "to", value FROM iexec.transfer LIMIT 1 RETURNING block_number',
}


def told(said: Said) -> set[int]:
    """The blocks in which the second provider differs, as `verify --json` says."""
    assert said.out, said.err
    (check,) = (check for check in json.loads(said.out)["checks"] if check["check"] == "second provider")
    return {n for each in check["findings"] for n in range(each["first_block"], each["last_block"] + 1)}


@needs_recordings
@pytest.mark.parametrize("wound", WOUNDS)
def test_verify_against_a_second_provider_names_the_blocks_and_repairs_just_those(
    migrated: str, taskscan: Inside, tmp_path: Path, wound: str
) -> None:  # fmt: skip
    with replay("iexec-dev") as one, replay("iexec-dev", "--max-range", "40") as other:
        follow(migrated, [one], sources(), (147,))
        path = str(toml_for(tmp_path, migrated, one.url, 31337, sources()))
        words = ("verify", "--config", path, "--provider", other.url, "--json")
        before = stored_logs(migrated)
        with psycopg.connect(migrated) as connection:
            blocks = {row[0] for row in connection.execute(WOUNDS[wound]).fetchall()}  # type: ignore[arg-type]
        found = taskscan(*words)
        assert (found.code, told(found)) == (1, blocks)
        assert taskscan(*words, "--repair").code == 0
        assert stored_logs(migrated) == before
        outside = f"0..{min(blocks) - 1}"
        assert told(taskscan(*words, "--blocks", outside)) == set()


@needs_recordings
def test_a_second_provider_that_lies_changes_nothing(migrated: str, taskscan: Inside, tmp_path: Path) -> None:
    with replay("iexec-dev") as one, replay("iexec-dev", "--fault", "omit=1") as liar:
        follow(migrated, [one], sources(), (147,))
        path = str(toml_for(tmp_path, migrated, one.url, 31337, sources()))
        before = stored_logs(migrated)
        name = liar.url.removeprefix("http://")
        said = taskscan("verify", "--config", path, "--provider", liar.url, "--repair")
    assert said.code == 1, "it still says something else"
    assert f"{name}: the tables hold" in said.out
    assert stored_logs(migrated) == before
    assert fetch(migrated, "SELECT count(*) FROM chain.incidents WHERE kind = 'Repaired'") == [(0,)]


@needs_recordings
def test_what_to_compare_with_is_said_plainly(migrated: str, taskscan: Inside, tmp_path: Path) -> None:
    with replay("iexec-dev") as one, replay("arbius-dev") as wrong:
        follow(migrated, [one], sources(), (147,))
        path = str(toml_for(tmp_path, migrated, one.url, 31337, sources()))
        name = one.url.removeprefix("http://")
        said = taskscan("verify", "--config", path, "--provider", name, "--sample", "0.01")
        assert said.code == 0
        logs = len(recorded_logs("iexec-dev", addresses("iexec-dev", *WATCHED)))
        assert f"second provider: 148 blocks, {logs:,} logs: right" in said.out, "one portion is the least"
        for words, sentence in (
            (("--provider", "nobody.example"), f"No [[chains]] entry has the provider nobody.example: give its URL, or "
             f"one of {name}."),
            (("--provider", wrong.url), "serves chain 42161, which no [[chains]] entry names."),
            (("--provider", name, "--blocks", "9..3"), "'9..3' is no range of blocks: write FIRST..LAST"),
            (("--blocks", "3..9"), "name it by --provider"),
        ):  # fmt: skip
            said = taskscan("verify", "--config", path, *words)
            assert said.code == 2
            assert sentence in said.err
