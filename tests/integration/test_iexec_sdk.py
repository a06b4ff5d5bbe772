"""iExec's own SDK (npm iexec 9.0.1) and our tables, asked about the same chain: field by field, and where it throws."""

import json
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address

from indexer.config import Chain, build
from indexer.devnet import Devnet
from indexer.devnet.tools import node_packages
from indexer.query import offchain
from indexer.store import database as db
from tests.integration.conftest import fresh_database
from tests.integration.test_enrich import Row, enriched, fetch, raw
from tests.integration.test_offchain import run
from tests.integration.test_scan import ingest
from tests.services import Services, serving

HERE = Path(__file__).parents[1] / "sdk"
CHAIN, END, TASKS = 42161, 1_750_000_000, 48
STATUSES = ("UNSET", "ACTIVE", "REVEALING", "COMPLETED", "FAILED")
MANY = "value at index 0 unnamed"
ZERO_WORD, ZERO_ADDRESS = "0x" + 64 * "0", "0x" + 40 * "0"


Call = tuple[str, ...]

LISTED = (
    ("deal", "dealid", "SELECT dealid FROM iexec.deals"),
    ("account", "owner", "SELECT owner FROM iexec.accounts"),
    ("category", "catid", "SELECT catid::text FROM iexec.categories"),
    ("app", "app", "SELECT app FROM iexec.apps"),
    ("dataset", "dataset", "SELECT dataset FROM iexec.datasets"),
    ("workerpool", "workerpool", "SELECT workerpool FROM iexec.workerpools"),
)


class World:
    """A devnet that was read and enriched, services for its tasks, and the SDK's answers about it."""

    def __init__(self, devnet: Devnet, database: str, services: Services, modules: Path) -> None:
        self.devnet, self.database, self.services, self.modules = devnet, database, services, modules
        ingest(database, devnet.rpc_url, [{"network": "iexec", "addresses": [devnet.hub]}], CHAIN)
        enriched(database, devnet.rpc_url, CHAIN, "iexec")
        (head,) = fetch(database, "SELECT extract(epoch FROM analytics.now(%s))::bigint AS now", CHAIN)
        self.now: int = head["now"]

    def ask(self, calls: list[Call], key: str = "") -> dict[Call, dict[str, Any]]:
        """What the SDK answers to each call: {value} or {error}."""
        given = {"rpc": self.devnet.rpc_url, "hub": self.devnet.hub, "now": self.now, "services": self.services.url}
        command = ["node", str(HERE / "ask.mjs"), str(self.modules / "none.js")]
        question = json.dumps({**given, "key": key, "calls": calls})
        done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return dict(zip(calls, json.loads(done.stdout), strict=True))

    @cached_property
    def told(self) -> dict[Call, dict[str, Any]]:
        """What the SDK says of everything on the chain, in one process: it takes seconds to start."""
        tasks = our_tasks(self)
        calls: list[Call] = [("task", task) for task in tasks]
        calls += [("observed", task, text(row["dealid"])) for task, row in tasks.items() if row["status"] == 0]
        for kind, column, query in LISTED:
            found = fetch(self.database, query)
            assert found, kind
            calls += [(kind, row[column] if kind == "category" else text(row[column])) for row in found]
        return self.ask(calls)


@pytest.fixture(scope="module")
def world(server_url: str, template: str) -> Iterator[World]:
    modules = node_packages(HERE / "package-lock.json", "iexec-sdk-9.0.1", "The iExec SDK (npm package iexec 9.0.1)")
    with (
        Devnet(seed=3, end_time=END) as devnet,
        serving(Services()) as services,
        fresh_database(server_url, template) as database,
    ):
        devnet.bulk(TASKS)
        devnet._anvil.node.call("anvil_mine", hex(12))  # all of it is final then
        yield World(devnet, database, services, modules)


def text(value: bytes | None, zero: str = "0x") -> str:
    return zero if value is None else "0x" + value.hex()


def lower(value: Any) -> Any:
    """Checksums are no difference."""
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


def our_task(row: Row) -> dict[str, Any]:
    """A row as the SDK would show it. Zero stands where the chain has nothing yet."""
    seconds = {name: int(row[name].timestamp()) if row[name] else 0 for name in
               ("contribution_deadline", "reveal_deadline", "final_deadline")}  # fmt: skip
    late = seconds["final_deadline"] <= row["now"].timestamp()
    try:
        link = json.loads(row["results"] or b"")
    except ValueError:
        link = {"storage": "none"}
    return {
        "taskid": text(row["taskid"]), "status": row["status"], "dealid": text(row["dealid"]), "idx": str(row["idx"]),
        "timeref": str(row["timeref"]), "contributionDeadline": str(seconds["contribution_deadline"]),
        "revealDeadline": str(seconds["reveal_deadline"]), "finalDeadline": str(seconds["final_deadline"]),
        "consensusValue": text(row["consensus_value"], ZERO_WORD), "revealCounter": str(row["reveal_counter"]),
        "winnerCounter": str(row["winner_counter"]), "contributors": [text(worker) for worker in row["contributors"]],
        "resultDigest": text(row["result_digest"], ZERO_WORD), "results": link, "resultsTimestamp": "0",
        "resultsCallback": text(row["results_callback"]),
        "statusName": row["network_status"], "taskTimedOut": row["status"] != 3 and late,
    }  # fmt: skip


def our_tasks(world: World) -> dict[str, Row]:
    query = """
        SELECT t.*, d.contribution_deadline, d.reveal_deadline, d.final_deadline, v.network_status,
               analytics.now(t.chain_id) AS now
        FROM iexec.tasks t JOIN iexec.deadlines d USING (chain_id, address, taskid)
        JOIN iexec.v_tasks v ON v.task_id = analytics.hex(t.taskid)
    """
    return {text(row["taskid"]): row for row in fetch(world.database, query)}


def test_tasks_agree_wherever_the_sdk_answers_and_ours_answer_where_it_throws(world: World) -> None:
    ours, truth = our_tasks(world), world.devnet.ledger.tasks
    assert ours.keys() == truth.keys()
    answers = {task: world.told["task", task] for task in ours}
    thrown = dict.fromkeys(("not found", MANY), 0)
    for task, answer in answers.items():
        mine = our_task(ours[task])
        if truth[task].status == 0:
            assert answer["error"].startswith(f"No task found for id {task}")
            thrown["not found"] += 1
        elif len(truth[task].contributors) > 1:
            assert MANY in answer["error"]
            thrown[MANY] += 1
        else:
            told = {key: lower(value) for key, value in answer["value"].items()}
            told["contributors"] = [lower(worker) for worker in told["contributors"]]
            assert told == mine
        assert mine["status"] == truth[task].status
        assert mine["contributors"] == truth[task].contributors
        assert text(ours[task]["results"]) == truth[task].results
    assert all(thrown.values()), thrown
    assert sum("value" in answer for answer in answers.values()) >= 5


def test_tasks_that_the_sdk_can_only_observe_have_the_same_state(world: World) -> None:
    unset = {task: row for task, row in our_tasks(world).items() if row["status"] == 0}
    assert unset
    for task, row in unset.items():
        told = world.told["observed", task, text(row["dealid"])]["value"]["task"]
        assert (told["taskid"], told["status"], told["statusName"]) == (task, 0, row["network_status"])


def our_deal(row: Row, now: int, tasks: list[str]) -> dict[str, Any]:
    """A row as the SDK would show it."""
    start = int(row["start_time"].timestamp())
    final = start + 10 * int(row["work_clock_time_ref"])
    shown: dict[str, Any] = {
        part: {"pointer": text(row[part]), "owner": text(row[f"{part}_owner"]), "price": str(row[f"{part}_price"])}
        for part in ("app", "dataset", "workerpool")
    }
    names = {"dealid": "dealid", "tag": "tag", "requester": "requester", "beneficiary": "beneficiary"}
    shown |= {name: text(row[column]) for name, column in (names | {"callback": "callback"}).items()}
    numbers = {"trust": "trust", "category": "category", "botFirst": "bot_first", "botSize": "bot_size"}
    numbers |= {"workerStake": "worker_stake", "schedulerRewardRatio": "scheduler_reward_ratio"}
    shown |= {name: str(row[column]) for name, column in numbers.items()}
    shown |= {"params": row["params"], "sponsor": text(row["sponsor"] or row["requester"]), "tasks": tasks}
    return shown | {"startTime": str(start), "finalTime": str(final), "deadlineReached": final <= now}


def test_deals_agree_field_by_field(world: World) -> None:
    query = "SELECT * FROM iexec.deals d JOIN iexec.categories c USING (chain_id, address) WHERE c.catid = d.category"
    rows = fetch(world.database, query)
    assert {text(row["dealid"]) for row in rows} == world.devnet.ledger.deals.keys()
    tasks: dict[str, list[str]] = {}
    for task, row in sorted(our_tasks(world).items(), key=lambda item: item[1]["idx"]):
        tasks.setdefault(text(row["dealid"]), []).append(task)
    for row in rows:
        deal = text(row["dealid"])
        assert flat(world.told["deal", deal]["value"]) == flat(our_deal(row, world.now, tasks[deal]))


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: lower(value)}
    return found


def test_accounts_and_categories_agree(world: World) -> None:
    for row in fetch(world.database, "SELECT owner, stake, locked FROM iexec.accounts"):
        told = world.told["account", text(row["owner"])]["value"]
        assert told == {"stake": str(row["stake"]), "locked": str(row["locked"])}
    for row in fetch(world.database, "SELECT * FROM iexec.categories"):
        told = world.told["category", str(row["catid"])]["value"]
        assert (told["name"], told["description"]) == (row["name"], row["description"])
        assert told["workClockTimeRef"] == str(row["work_clock_time_ref"])


@pytest.mark.parametrize("kind", ["app", "dataset", "workerpool"])
def test_entries_agree(world: World, kind: str) -> None:
    query = "SELECT * FROM iexec.{0}s e JOIN iexec.entry_facts f USING (chain_id, address) WHERE f.entry = e.{0}"
    for row in fetch(world.database, query.format(kind)):
        (told,) = [part for part in world.told[kind, text(row["entry"])]["value"].values() if isinstance(part, dict)]
        assert lower(told["owner"]) == text(row["owner"])
        assert told.get(f"{kind}Name", told.get(f"{kind}Description")) == row["name"]
        if kind != "workerpool":
            assert lower(told[f"{kind}Checksum"]) == text(row["checksum"])


def chain_for(url: str) -> Chain:
    entry = {"name": "test", "chain_id": CHAIN, "rpc": ["http://rpc.example"], "ipfs_gateway": url, "compass": url}
    return build({"chains": [entry], "sources": [{"network": "iexec", "chain": "test"}]}, "t").chains[0]


def test_services_tell_the_sdk_and_us_the_same(world: World, tmp_path: Path) -> None:
    engine = db.engine(world.database)
    alone = [task for task in world.devnet.ledger.tasks.values() if len(task.contributors) == 1 and task.status == 3]
    stored = [task for task in alone if b"/ipfs/" in raw(task.results)]
    task, services = stored[0], world.services
    deal = world.devnet.ledger.deals[task.deal_id]
    requester = to_checksum_address(deal.requester)
    services.workerpools[to_checksum_address(deal.workerpool)] = services.url
    worker = {"walletAddress": requester, "appExitCode": 0, "currentStatus": "REVEALED", "statusUpdateList": []}
    services.tasks[task.task_id] = {"currentStatus": "COMPLETED", "dateStatusList": [], "replicates": [worker]}
    services.files[json.loads(raw(task.results))["location"]] = b"PK\x03\x04 result"
    services.requesters[task.task_id] = requester
    services.logs[task.task_id] = [{"walletAddress": requester, "stdout": "out", "stderr": "err"}]
    key = world.devnet._drive.world.keys[deal.requester]
    calls: list[Call] = [(name, task.task_id) for name in ("info", "results", "logs")]
    told = [answer["value"] for answer in world.ask(calls, key.to_hex()).values()]
    with engine.connect() as connection:
        mine = offchain.offchain_task(connection, task.task_id)
    engine.dispose()
    chain = chain_for(services.url)
    assert run(offchain.fetch_offchain_info(chain, mine)) == told[0]
    assert run(offchain.fetch_results(chain, mine, tmp_path)).path.read_bytes().hex() == told[1]
    challenge = run(offchain.log_challenge(chain, mine))
    signature = Account.from_key(key).sign_message(encode_typed_data(full_message=challenge)).signature
    (log,) = run(offchain.fetch_logs(chain, mine, challenge, "0x" + signature.hex()))
    assert [{"worker": log.worker, "stdout": log.stdout, "stderr": log.stderr}] == told[2]
    sent = [headers["Authorization"] for _, _, headers, _ in services.seen if "Authorization" in headers]
    assert len(sent) == 2
    assert sent[0].lower() == sent[1].lower(), "the header is the SDK's to the last character"
