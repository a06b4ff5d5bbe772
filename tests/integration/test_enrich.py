"""Enrichment on recordings of the real contracts and on the devnet: every fact that no event carries, by the ledger."""

import asyncio
from typing import Any

import psycopg
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from psycopg import sql

from indexer.ingest.enrich import enrich
from indexer.ingest.progress import Progress
from indexer.networks.arbius.facts import ipfs_cid
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.pool import Pool
from indexer.rpc.transport import Provider
from indexer.store import database as db
from indexer.store.rollback import rollback
from indexer.store.store import Store
from schema.facts import KINDS
from tests.integration.test_scan import ingest
from tests.support import addresses, needs_recordings, recording, replay

pytestmark = needs_recordings

IEXEC, ARBIUS = 31337, 42161
FACTS = [
    *(("arbius", f"{name}_facts") for name in (
        "task", "solution", "contestation", "model", "validator", "parameter", "override")),
    *(("iexec", f"{name}_facts") for name in ("deal", "callback", "contribution", "entry")),
]  # fmt: skip
Row = dict[str, Any]


def enriched(database: str, url: str, chain_id: int, *networks: str) -> Provider:
    """Enrich until nothing is left to ask; the provider with its counters."""

    async def run() -> Provider:
        provider, store = Provider(Endpoint(url)), Store(db.engine(database))
        pool, progress = Pool([provider]), Progress("test", networks=networks)
        try:
            while await enrich(chain_id, pool, store, progress):
                pass
        finally:
            store.close()
            await pool.close()
        return provider

    return asyncio.run(run())


def fetch(database: str, query: str, *values: object) -> list[Row]:
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode(), values).fetchall()


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def read(database: str, name: str, *options: str) -> Provider:
    """Read a recording and enrich it."""
    network, chain_id, protocol = {
        "iexec-dev": ("iexec", IEXEC, "iexec-poco-6.1"),
        "arbius-dev": ("arbius", ARBIUS, "arbius-engine"),
    }[name]
    with replay(name, *options) as chain:
        ingest(database, chain.url, [{"network": network, "addresses": addresses(name, protocol)}], chain_id)
        return enriched(database, chain.url, chain_id, network)


def test_every_term_of_every_deal_is_as_on_chain(iexec: str) -> None:
    rows = {row["dealid"]: row for row in fetch(iexec, "SELECT * FROM iexec.deals")}
    for deal in recording("iexec-dev")["truth"]["deals"]:
        row = rows[raw(deal["dealid"])]
        for part in ("app", "dataset"):
            found = row[part], row[f"{part}_owner"], row[f"{part}_price"]
            assert found == (raw(deal[part][0]), raw(deal[part][1]), deal[part][2])
        assert row["workerpool_price"] == deal["workerpool"][2]
        assert (row["trust"], row["category"], row["tag"]) == (deal["trust"], deal["category"], raw(deal["tag"]))
        for name in ("requester", "beneficiary", "callback"):
            assert row[name] == raw(deal[name])
        assert (row["params"], row["params_raw"]) == (deal["params"], None)
        assert (row["worker_stake"], row["scheduler_reward_ratio"]) == (
            deal["workerStake"], deal["schedulerRewardRatio"],
        )  # fmt: skip
        assert row["enriched_from"] == "eth_call@147"
    assert len(rows) == 118


def test_every_task_shows_its_deal_its_time_and_what_it_handed_on(iexec: str) -> None:
    rows = {row["taskid"]: row for row in fetch(iexec, "SELECT * FROM iexec.tasks")}
    deals = {deal["dealid"]: deal for deal in recording("iexec-dev")["truth"]["deals"]}
    times = {0: 300, 1: 1200, 2: 3600, 3: 10800, 4: 36000}
    for task in recording("iexec-dev")["truth"]["tasks"]:
        row, deal = rows[raw(task["taskid"])], deals[task["dealid"]]
        assert (row["requester"], row["app"]) == (raw(deal["requester"]), raw(deal["app"][0]))
        assert (row["category"], row["timeref"]) == (deal["category"], times[deal["category"]])
        assert row["results_callback"] == (raw(task["resultsCallback"]) if task["status"] == 3 else None)
    assert sum(bool(row["results_callback"]) for row in rows.values()) == 19


def test_every_contribution_has_its_seal_enclave_and_weight(iexec: str) -> None:
    rows = {(row["taskid"], row["worker"]): row for row in fetch(iexec, "SELECT * FROM iexec.contributions")}
    for made in recording("iexec-dev")["truth"]["contributions"]:
        row = rows[raw(made["taskid"]), raw(made["worker"])]
        assert row["result_seal"] == raw(made["resultSeal"])
        assert row["enclave_challenge"] == raw(made["enclaveChallenge"])
        assert row["weight"] == made["weightLog2"]


def test_timeouts_of_all_tasks_show_at_the_time_of_the_head(iexec: str) -> None:
    shown = {row["task_id"]: row["network_status"] for row in fetch(iexec, "SELECT * FROM iexec.v_tasks")}
    truth = recording("iexec-dev")["truth"]["tasks"]
    assert shown == {task["taskid"]: task["derivedStatus"] for task in truth}
    assert sum(status == "TIMEOUT" for status in shown.values()) == 11


def called(to: str, signature: str, *words: bytes) -> bytes | None:
    """What the recorded chain answers at its head."""
    data = keccak(text=signature)[:4] + b"".join(word.rjust(32, b"\0") for word in words)
    answer = recording("arbius-dev")["calls"].get(f"{to}:0x{data.hex()}")
    return None if answer is None else raw(answer)


def arbius_tasks() -> dict[tuple[bytes, bytes], Row]:
    engines = recording("arbius-dev")["truth"]["engines"]
    return {(raw(engine["engine"]), raw(task["id"])): task for engine in engines for task in engine["tasks"]}


def test_every_arbius_task_has_owner_version_cid_and_input(arbius: str) -> None:
    rows = {(row["address"], row["task_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.tasks")}
    assert rows.keys() == arbius_tasks().keys()
    for key, task in arbius_tasks().items():
        row = rows[key]
        assert (row["owner"], row["version"]) == (raw(task["owner"]), task["task_version"])
        assert (row["cid"], row["input_size"]) == (raw(task["cid"]), len(raw(task["input"])))
    sources = fetch(arbius, "SELECT enriched_from, count(*) FROM arbius.task_facts GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in sources] == [("calldata", 317), ("calldata, eth_call@291", 83)]


def test_every_input_is_kept_once_and_shown(arbius: str) -> None:
    shown = {(row["contract"], row["task_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.v_inputs")}
    for (engine, task_id), task in arbius_tasks().items():
        row = shown["0x" + engine.hex(), "0x" + task_id.hex()]
        assert (row["input"], row["link"]) == (raw(task["input"]), f"ipfs://{row['cid']}")


def test_engines_tell_their_parameters_and_agree_with_what_events_tell(arbius: str) -> None:
    rows = fetch(arbius, "SELECT * FROM arbius.v_parameters")
    assert len(rows) == 2 * 18
    assert {row["differs"] for row in rows if row["by_engine"] is not None} == {False}
    for row in rows:
        first, *rest = row["name"].split("_")
        answer = called(row["contract"], f"{first}{''.join(word.capitalize() for word in rest)}()")
        assert row["by_engine"] == (None if answer is None else int.from_bytes(answer, "big")), row["name"]
    fresh = fetch(arbius, "SELECT DISTINCT asked_block, enriched_from FROM arbius.v_parameters v"
                          " JOIN arbius.parameter_facts f ON f.block_number = v.asked_block")  # fmt: skip
    assert fresh == [{"asked_block": 291, "enriched_from": "eth_call@291"}]


def test_fee_shares_of_models_that_no_event_tells(arbius: str) -> None:
    rows = fetch(arbius, "SELECT * FROM arbius.v_model_fees")
    asked = [row for row in rows if row["asked_block"] is not None]
    for row in asked:
        model = raw(row["model"])
        has = called(row["contract"], "hasSolutionModelFeePercentageOverride(bytes32)", model) or b""
        share = called(row["contract"], "solutionModelFeePercentageOverride(bytes32)", model) or b""
        assert row["has_override"] == bool(int.from_bytes(has, "big"))
        assert row["fee_override"] == (int.from_bytes(share, "big") if row["has_override"] else None)
    assert {row["contract"] for row in asked} == {"0x3320fdf96e8e58502d91bd3a8f291082e261b7f3"}, "nova is no V6"
    assert len(asked) < len(rows)


def test_every_solution_and_contestation_has_what_the_chain_knows(arbius: str) -> None:
    solutions = {(row["address"], row["task_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.solutions")}
    disputes = {(row["address"], row["task_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.contestations")}
    for key, task in arbius_tasks().items():
        assert (key in solutions, key in disputes) == (bool(task["solution"]), bool(task["contestation"]))
        if task["solution"]:
            assert solutions[key]["cid"] == raw(task["solution"]["cid"])
            stake = called("0x" + key[0].hex(), "solutionsStake(bytes32)", key[1])
            assert solutions[key]["stake"] == int.from_bytes(stake or b"", "big")
        if task["contestation"]:
            assert disputes[key]["slash_amount"] == int(task["contestation"]["slash_amount"])


def test_every_solution_is_linked_to_its_commitment(arbius: str) -> None:
    rows = {(raw(row["contract"]), raw(row["task_id"])): row for row in fetch(arbius, "SELECT * FROM arbius.v_results")}
    for key, task in arbius_tasks().items():
        if task["solution"]:
            row, made = rows[key], task["commitment"]
            assert (row["commitment"], row["committed_block"]) == (raw(made["hash"]), made["block"])
            assert row["committed_by"] == raw(made["by"])
            assert row["commitment_to_solution"].total_seconds() > 0


def test_every_model_and_validator_is_as_on_chain(arbius: str) -> None:
    models = {(row["address"], row["model_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.models")}
    kept = {(row["address"], row["model_id"]): row for row in fetch(arbius, "SELECT * FROM arbius.model_facts")}
    validators = {(row["address"], row["validator"]): row for row in fetch(arbius, "SELECT * FROM arbius.validators")}
    changes: dict[bytes, list[tuple[str, bool]]] = {}
    for row in fetch(arbius, "SELECT model, solver, added FROM arbius.model_allow_list_updated ORDER BY block_number"):
        changes.setdefault(row["model"], []).append(("0x" + row["solver"].hex(), row["added"]))
    for engine in recording("arbius-dev")["truth"]["engines"]:
        address = raw(engine["engine"])
        for model in engine["models"]:
            row, fact = models.pop((address, raw(model["id"]))), kept[address, raw(model["id"])]
            assert (row["addr"] or row["registered_addr"], row["registered_fee"]) == (raw(model["addr"]), model["fee"])
            assert row["cid"] == raw(model["cid"])
            terms = encode(
                ["address", "address", "uint256", "bytes"],
                [fact["registrant"], row["registered_addr"], int(row["registered_fee"]), row["cid"]],
            )
            assert keccak(terms) == row["model_id"]
            allowed = set(filter(None, (fact["allow_list"] or "").split(",")))
            for solver, added in changes.get(raw(model["id"]), []):
                (allowed.add if added else allowed.discard)(solver)
            if row["requires_allow_list"] is False:  # lifted: the ledger says nobody is named any more
                allowed.clear()
            assert (allowed, fact["enriched_from"]) == ({who.lower() for who in model["allow"] or ()}, "calldata")
        for validator in engine["validators"]:
            row = validators.pop((address, raw(validator)))
            answer = called("0x" + address.hex(), "validators(address)", raw(validator)) or b""
            assert row["staked"] == int.from_bytes(answer[:32], "big")
            since = int.from_bytes(answer[32:64], "big")
            assert (row["since"] and int(row["since"].timestamp())) == (since or None)
    assert not models
    assert not validators


def test_all_ten_states_are_as_in_the_ledger(arbius: str) -> None:
    shown = fetch(arbius, "SELECT contract, task_id, network_status FROM arbius.v_tasks")
    states = {key: "open" if task["state"] == "committed" else task["state"] for key, task in arbius_tasks().items()}
    assert {(raw(row["contract"]), raw(row["task_id"])): row["network_status"] for row in shown} == states
    assert len(set(states.values())) == 10


def test_nothing_is_left_to_enrich(iexec: str, arbius: str) -> None:
    for database in (iexec, arbius):
        assert fetch(database, "SELECT sum(to_enrich)::int AS left FROM analytics.freshness") == [{"left": 0}]
        assert fetch(database, "SELECT * FROM chain.fact_retries") == []


def test_windows_of_tasks_open_and_close_with_their_deadlines(iexec: str) -> None:
    now = recording("iexec-dev")["head_timestamp"]
    rows = {row["task_id"]: row for row in fetch(iexec, "SELECT * FROM iexec.v_windows")}
    for task in recording("iexec-dev")["truth"]["tasks"]:
        row = rows[task["taskid"]]
        assert row["final_deadline"].timestamp() == task["dealFinalDeadline"]
        if task["status"]:
            assert row["contribution_deadline"].timestamp() == task["contributionDeadline"]
            assert (row["reveal_deadline"] and row["reveal_deadline"].timestamp()) == (task["revealDeadline"] or None)
        assert row["window_state"] == expected_window(task, now)


def expected_window(task: Row, now: int) -> str | None:
    """By the protocol's table of calls and their conditions (iexec.md, section 3)."""
    if task["status"] >= 3:
        return None
    if task["dealFinalDeadline"] <= now:
        return "claimable"
    if task["status"] == 0:
        return "waiting"
    if task["status"] == 1:
        return "contributing" if task["contributionDeadline"] > now else "contribution_closed"
    closed = task["revealDeadline"] <= now
    if task["revealCounter"] and (closed or task["revealCounter"] == task["winnerCounter"]):
        return "finalizable"
    return "reopenable" if closed and not task["revealCounter"] else "revealing"


def test_hashes_read_as_people_write_them(arbius: str) -> None:
    known = {
        b"hello world": "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",  # as `ipfs add` names these contents
        b"hello world\n": "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
    }
    for content, name in known.items():
        assert fetch(arbius, "SELECT analytics.cid(%s) AS name", ipfs_cid(content)) == [{"name": name}]
    assert fetch(arbius, "SELECT analytics.cid(%s) AS name", b"\x12\x20" + bytes(31)) == [{"name": None}]
    rows = fetch(arbius, "SELECT * FROM arbius.v_inputs")
    assert len({row["cid"] for row in rows if row["cid"].startswith("Qm")}) > 150
    assert all(row["link"] == f"ipfs://{row['cid']}" for row in rows)
    assert any(row["input_text"] and row["input_text"].startswith('{"prompt"') for row in rows)


def facts_of(database: str) -> list[Any]:
    """All enriched columns of all entities."""
    found: list[Any] = []
    for network in ("arbius", "iexec"):
        for kind in KINDS[network]:
            names = [column.name for column in kind.entity.primary_key]
            shown = [name for name in kind.copied if name != "enriched_from"]
            columns = sql.SQL(", ").join(map(sql.Identifier, [*names, *shown]))
            table = sql.Identifier(network, kind.entity.name)
            query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
                columns, table, sql.SQL(", ").join(map(sql.Identifier, names))
            )
            with psycopg.connect(database) as connection:
                found += [(kind.entity.name, *row) for row in connection.execute(query)]
    return found


def forget(database: str) -> None:
    """Back to what events tell, if reading has enriched already."""
    with psycopg.connect(database) as connection:
        for place in FACTS:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(*place)))
        for statement in (
            "UPDATE arbius.tasks SET owner = NULL, version = NULL, cid = NULL, input_size = NULL",
            "UPDATE arbius.solutions SET cid = NULL, stake = NULL",
            "UPDATE arbius.contestations SET slash_amount = NULL",
            "UPDATE arbius.models SET cid = NULL, registered_fee = NULL, registered_addr = NULL",
            "UPDATE arbius.validators SET staked = NULL, since = NULL",
            "UPDATE iexec.deals SET enriched_from = NULL, app = NULL, category = NULL, requester = NULL",
            "UPDATE iexec.tasks SET requester = NULL, app = NULL, category = NULL, timeref = NULL,"
            " results_callback = NULL",
            "UPDATE iexec.contributions SET result_seal = NULL, enclave_challenge = NULL, weight = NULL",
        ):
            connection.execute(statement.encode())


def roll_back(database: str, chain_id: int, ancestor: int) -> None:
    engine = db.engine(database)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE chain.chains SET final_block = 0")
        rollback(connection, chain_id, ancestor)
    engine.dispose()


@pytest.mark.parametrize("ancestor", [60, 250])
def test_facts_outlive_a_rollback_and_are_not_asked_for_again(migrated: str, arbius: str, ancestor: int) -> None:
    with replay("arbius-dev") as chain:
        source = [{"network": "arbius", "addresses": addresses("arbius-dev", "arbius-engine")}]
        ingest(migrated, chain.url, source, ARBIUS)
        enriched(migrated, chain.url, ARBIUS, "arbius")
        roll_back(migrated, ARBIUS, ancestor)
        assert facts_of(migrated) != facts_of(arbius)
        before = chain.stats()["methods"]
        ingest(migrated, chain.url, source, ARBIUS)
        enriched(migrated, chain.url, ARBIUS, "arbius")
        after = chain.stats()["methods"]
    assert facts_of(migrated) == facts_of(arbius)
    (silent,) = fetch(migrated, "SELECT 2 * count(*) AS n FROM arbius.override_facts")
    moving = 20 + 2 * 21 + silent["n"]
    assert after["eth_call"] - before["eth_call"] <= moving, "only what the removed blocks may have moved"
    assert after.get("eth_getTransactionByHash", 0) == before.get("eth_getTransactionByHash", 0)


def test_facts_of_another_transaction_are_asked_for_anew(migrated: str, arbius: str) -> None:
    read(migrated, "arbius-dev")
    for statement in (
        "UPDATE arbius.task_facts SET tx_hash = '\\x11', owner = '\\x22', input = '\\x33'",
        "UPDATE arbius.tasks SET owner = NULL, input_size = NULL, cid = NULL, version = NULL",
    ):
        with psycopg.connect(migrated) as connection:
            connection.execute(statement.encode())
    with replay("arbius-dev") as chain:
        enriched(migrated, chain.url, ARBIUS, "arbius")
    assert facts_of(migrated) == facts_of(arbius)


def test_stakes_follow_the_chain(migrated: str, arbius: str) -> None:
    source = [{"network": "arbius", "addresses": addresses("arbius-dev", "arbius-engine")}]
    with replay("arbius-dev", "--head", "180") as chain:
        for head in (180, 181, 230, 291):
            chain.control(head=head)
            ingest(migrated, chain.url, source, ARBIUS)
            enriched(migrated, chain.url, ARBIUS, "arbius")
            for row in fetch(migrated, "SELECT * FROM arbius.validators"):
                assert row["staked"] == staked(row["address"], row["validator"], head)
    assert facts_of(migrated) == facts_of(arbius)


def staked(engine: bytes, validator: bytes, block: int) -> int:
    """What the recorded engine answered at a block."""
    data = (keccak(text="validators(address)")[:4] + validator.rjust(32, b"\0")).hex()
    key = f"0x{engine.hex()}:0x{data}"
    changes = recording("arbius-dev")["calls_at"].get(key)
    if isinstance(changes, list):
        answer = [value for since, value in changes if since <= block][-1]
    else:
        answer = recording("arbius-dev")["calls"][key]
    return int(answer[2:66], 16)


def test_a_node_without_old_state_is_asked_at_the_head(migrated: str, iexec: str) -> None:
    source = [{"network": "iexec", "addresses": addresses("iexec-dev", "iexec-poco-6.1")}]
    with replay("iexec-dev", "--state-window", "4", "--head", "100") as chain:
        ingest(migrated, chain.url, source, IEXEC)
        chain.control(head=147)
        with psycopg.connect(migrated) as connection:
            connection.execute("UPDATE chain.chains SET head_block = 147")
        forget(migrated)
        enriched(migrated, chain.url, IEXEC, "iexec")
    sources = fetch(migrated, "SELECT DISTINCT enriched_from FROM iexec.deal_facts")
    assert sources == [{"enriched_from": "eth_call@147"}]
    assert fetch(migrated, "SELECT sum(to_enrich)::int AS left FROM analytics.freshness") == [{"left": 0}]


@pytest.mark.parametrize("options", [("--hostile", "5"), ("--max-batch", "7"), ("--fault", "nulltx=0.3")])
def test_faulty_and_narrow_providers_change_nothing(migrated: str, arbius: str, options: tuple[str, ...]) -> None:
    with replay("arbius-dev") as chain:
        source = [{"network": "arbius", "addresses": addresses("arbius-dev", "arbius-engine")}]
        ingest(migrated, chain.url, source, ARBIUS)
    forget(migrated)
    with replay("arbius-dev", *options) as chain:
        enriched(migrated, chain.url, ARBIUS, "arbius")
        for _ in range(15):  # what was answered with null waits for its next try: as if that time had passed
            with psycopg.connect(migrated) as connection:
                waiting = connection.execute("UPDATE chain.fact_retries SET next_at = now() - interval '1 second'")
            if not waiting.rowcount:
                break
            enriched(migrated, chain.url, ARBIUS, "arbius")
    assert facts_of(migrated) == facts_of(arbius)


def test_what_nobody_can_tell_stays_unknown_and_rests(migrated: str) -> None:
    with replay("arbius-dev") as chain:
        source = [{"network": "arbius", "addresses": addresses("arbius-dev", "arbius-engine")}]
        ingest(migrated, chain.url, source, ARBIUS)
    forget(migrated)
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE arbius.tasks SET submitted_tx = '\\x77', task_id = task_id || '\\x00'"
                           " WHERE submitted_block = 26")  # fmt: skip
    with replay("arbius-dev") as chain:
        enriched(migrated, chain.url, ARBIUS, "arbius")
        lost = fetch(migrated, "SELECT * FROM arbius.tasks WHERE submitted_block = 26")
        assert lost
        assert all(row["input_size"] is None and row["owner"] is None for row in lost)
        resting = fetch(migrated, "SELECT tries, next_at > now() AS later FROM chain.fact_retries")
        assert resting == [{"tries": 3, "later": True}] * len(lost)
        assert fetch(migrated, "SELECT sum(to_enrich)::int AS left FROM analytics.freshness") == [{"left": len(lost)}]
        quiet = enriched(migrated, chain.url, ARBIUS, "arbius")
    assert quiet.calls == 0


def test_a_node_that_knows_nothing_is_not_asked_again_at_once(migrated: str) -> None:
    with replay("arbius-dev") as chain:
        source = [{"network": "arbius", "addresses": addresses("arbius-dev", "arbius-engine")}]
        ingest(migrated, chain.url, source, ARBIUS)
    forget(migrated)
    with psycopg.connect(migrated) as connection:
        connection.execute("UPDATE arbius.solutions SET submitted_tx = '\\x77', validator = '\\x77'")
        solved = connection.execute("SELECT count(*) FROM arbius.solutions").fetchone()
    with replay("arbius-dev") as chain:
        asked = enriched(migrated, chain.url, ARBIUS, "arbius")
        assert solved is not None
        assert 2 * solved[0] <= asked.methods["eth_call"] < 3 * solved[0], "two getters of each solution, once"
        assert enriched(migrated, chain.url, ARBIUS, "arbius").calls == 0
