"""Progress, results and logs of iExec tasks, and a Koii node's version, from services that answer as the real ones."""

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from indexer.config import Chain, build
from indexer.errors import (
    ConfigError,
    MalformedAnswer,
    NotKnownThere,
    NotSaved,
    RateLimited,
    RpcRefused,
    ServerFault,
    SignatureRefused,
    TimedOut,
    TooLargeToKeep,
    Unreachable,
    UsageError,
)
from indexer.networks.arbius.facts import ipfs_cid
from indexer.networks.koii import base58
from indexer.query import offchain
from indexer.query.offchain import OffchainTask
from indexer.query.task_node import task_node_version
from indexer.rpc import endpoint
from tests.services import Services, serving

T = TypeVar("T")
ID = "0x" + "ab" * 32
ZIP = b"PK\x03\x04" + bytes(range(256)) * 40
CID = base58.encode(ipfs_cid(ZIP))
WALLET = Account.from_key(b"\x07" * 32)
POOL = "0x8EF2eC3Ef9535d4b4349BfEc7d8b31A580e60244"
KOII = "8Qu9XtPMgUp5mPZLYxnYvWRgQCyXGnXXbgrwpGc94psw"
MODEL = {
    "chainTaskId": ID, "currentStatus": "RUNNING", "trust": 1, "resultLink": None,
    "dateStatusList": [{"date": "2026-01-31T12:00:00Z", "status": "RECEIVED"}],
    "replicates": [{"walletAddress": WALLET.address, "appExitCode": 0, "currentStatus": "COMPUTED", "chainTaskId": ID,
                    "statusUpdateList": [{"status": "CREATED", "date": "2026-01-31T12:00:01Z", "cause": None}]}],
}  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[Services]:
    with serving(Services()) as services:
        yield services


@pytest.fixture
def services(shared: Services) -> Services:
    url, shared.faults = shared.url, {}
    shared.seen.clear()
    shared.workerpools, shared.tasks = {POOL: url}, {ID: MODEL}
    shared.requesters, shared.files = {ID: WALLET.address}, {f"/ipfs/{CID}": ZIP}
    shared.logs = {ID: [{"walletAddress": WALLET.address, "stdout": "done\n", "stderr": ""}]}
    shared.secrets = {KOII: "node-secret-1"}
    return shared


@pytest.fixture
def chain(services: Services) -> Chain:
    return configured(services.url, services.url)


def configured(gateway: str, compass: str) -> Chain:
    entry = {"name": "one", "chain_id": 42161, "rpc": ["http://rpc.example"]}
    source = {"network": "iexec", "chain": "one"}
    entry |= {"ipfs_gateway": gateway, "compass": compass}
    return build({"chains": [entry], "sources": [source]}, "t").chains[0]


def task(**changes: Any) -> OffchainTask:
    link = json.dumps({"storage": "ipfs", "location": f"/ipfs/{CID}"}).encode()
    made = OffchainTask("one", 42161, ID, offchain.COMPLETED, POOL.lower(), WALLET.address.lower(), link)
    return made._replace(**changes)


def signed(challenge: dict[str, Any], wallet: Any = WALLET) -> str:
    return "0x" + wallet.sign_message(encode_typed_data(full_message=challenge)).signature.hex()


def run(asked: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asked)


def test_known_chains_have_the_services_of_the_sdk() -> None:
    entry = {"name": "one", "chain_id": 42161}
    chain = build({"chains": [entry], "sources": []}, "t").chains[0]
    assert chain.ipfs_gateway is not None
    assert chain.ipfs_gateway.get_secret_value() == "https://ipfs-gateway.arbitrum-mainnet.iex.ec"
    assert chain.compass is not None
    assert chain.compass.get_secret_value() == "https://compass.arbitrum-mainnet.iex.ec"


def test_progress_is_told_in_the_shape_of_the_sdk(services: Services, chain: Chain) -> None:
    worker = {"worker": WALLET.address, "exitCode": 0, "status": "COMPUTED"}
    assert run(offchain.fetch_offchain_info(chain, task(status=0))) == {
        "task": {"status": "RUNNING", "statusHistory": MODEL["dateStatusList"]},
        "replicates": [worker | {"statusHistory": MODEL["replicates"][0]["statusUpdateList"]}],  # type: ignore[index]
    }
    assert [path for _, path, _, _ in services.seen] == [f"/42161/workerpools/{POOL}", f"/tasks/{ID}"]


def test_a_result_is_streamed_into_a_file(chain: Chain, tmp_path: Path) -> None:
    found = run(offchain.fetch_results(chain, task(), tmp_path))
    assert (found.path, found.path.read_bytes()) == (tmp_path / f"{ID}.zip", ZIP)
    assert found[1:] == (len(ZIP), hashlib.sha256(ZIP).hexdigest(), CID, True)
    assert [path.name for path in tmp_path.iterdir()] == [f"{ID}.zip"]


def test_bytes_that_are_not_the_cid_are_not_called_proved(services: Services, chain: Chain, tmp_path: Path) -> None:
    services.files[f"/ipfs/{CID}"] = ZIP + b"."
    assert run(offchain.fetch_results(chain, task(), tmp_path)).proved is False
    services.files[f"/ipfs/{CID}"] = bytes(offchain.ONE_BLOCK + 1)
    assert run(offchain.fetch_results(chain, task(), tmp_path)).proved is False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": 2}, "is not completed"),
        ({"results": b""}, "says nothing of where"),
        ({"results": None}, "says nothing of where"),
        ({"results": b"\xff\x00"}, "says nothing of where"),
        ({"results": b'{"storage": "dropbox", "location": "/results/x"}'}, "stored on 'dropbox', not on ipfs"),
        ({"results": b'{"storage": "ipfs"}'}, "has no location"),
        ({"results": b'{"storage": "ipfs", "location": "//elsewhere.example/ipfs/Qm"}'}, "has no location"),
        ({"results": b'{"storage": "ipfs", "location": "/ipfs/Qm/../../etc"}'}, "has no location"),
        ({"results": b'{"storage": "ipfs", "location": "/ipfs/Qm?x=1"}'}, "has no location"),
    ],
)
def test_results_that_are_nowhere(chain: Chain, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(offchain.fetch_results(chain, task(**changes), tmp_path))


@pytest.mark.parametrize("fault", ["cut off", "cut off chunks"])
def test_a_cut_off_result_leaves_no_file(services: Services, chain: Chain, tmp_path: Path, fault: str) -> None:
    services.faults["/ipfs"] = fault
    with pytest.raises(MalformedAnswer, match=r"^127\.0\.0\.1:\d+ sent an answer that cannot be read: it was cut off"):
        run(offchain.fetch_results(chain, task(), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_results_are_bounded_whether_or_not_their_size_is_told(
    services: Services, chain: Chain, tmp_path: Path
) -> None:
    with pytest.raises(TooLargeToKeep, match=r"offers 10,244 bytes for the result of task 0x\w+; at most 999 bytes"):
        run(offchain.fetch_results(chain, task(), tmp_path, most=999))
    services.faults["/ipfs"] = "endless"
    with pytest.raises(TooLargeToKeep, match=r"at most 1\.0 MiB are taken"):
        run(offchain.fetch_results(chain, task(), tmp_path, most=1024**2))
    services.faults = {"/tasks": "endless"}
    with pytest.raises(TooLargeToKeep, match=r"at most 32\.0 MiB are taken"):
        run(offchain.fetch_offchain_info(chain, task()))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match=r"nowhere/0x\w+\.zip cannot be written: No such file or directory\."):
        run(offchain.fetch_results(chain, task(), tmp_path / "nowhere"))


FAULTS = [
    ("404", NotKnownThere, r"has nothing of task 0x\w+ \(HTTP 404\)\.$"),
    ("500", ServerFault, "HTTP 500"),
    ("503", ServerFault, "HTTP 503"),
    ("429", RateLimited, "HTTP 429"),
    ("400", RpcRefused, r"refuses task 0x\w+: HTTP 400 Bad Request"),
    ("302", RpcRefused, "HTTP 302"),
    ("html", MalformedAnswer, r"no JSON of the expected shape about task"),
    ('{"currentStatus": 5}', MalformedAnswer, "no JSON of the expected shape"),
    ("cut off", MalformedAnswer, "cut off"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "words"), FAULTS)
def test_a_failing_scheduler(
    services: Services, chain: Chain, fault: str, error: type[Exception], words: str
) -> None:  # fmt: skip
    services.faults["/tasks"] = fault
    with pytest.raises(error, match=words) as raised:
        run(offchain.fetch_offchain_info(chain, task()))
    assert "\n" not in str(raised.value)


def test_a_service_that_hangs_is_given_up(services: Services, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    services.faults["/42161"] = "hang"
    monkeypatch.setattr(endpoint.Endpoint.__init__, "__defaults__", tuple(
        0.2 if value == 30.0 else value for value in endpoint.Endpoint.__init__.__defaults__ or ()))  # fmt: skip
    with pytest.raises(TimedOut, match=r"did not answer within 0\.2 s"):
        run(offchain.fetch_offchain_info(chain, task()))


def test_services_that_are_missing_or_lost(services: Services, chain: Chain) -> None:
    with pytest.raises(NotKnownThere, match=r"nothing of workerpool 0x00000000000000000000000000000000000000AA"):
        run(offchain.fetch_offchain_info(chain, task(workerpool="0x" + "00" * 19 + "aa")))
    with pytest.raises(UsageError, match=r"workerpool of task .* is not known yet"):
        run(offchain.fetch_offchain_info(chain, task(workerpool=None)))
    services.workerpools[POOL] = "ftp://elsewhere"
    with pytest.raises(MalformedAnswer, match="no URL for workerpool"):
        run(offchain.fetch_offchain_info(chain, task()))
    lost = configured("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"^127\.0\.0\.1:9 cannot be reached"):
        run(offchain.fetch_offchain_info(lost, task()))
    bare = lost.model_copy(update={"compass": None, "ipfs_gateway": None})
    with pytest.raises(ConfigError, match=r"^Chain one has no compass: set it in its \[\[chains\]\] entry\.$"):
        run(offchain.fetch_offchain_info(bare, task()))
    with pytest.raises(ConfigError, match="has no ipfs_gateway"):
        run(offchain.fetch_results(bare, task(), Path()))


def test_logs_are_shown_for_the_requesters_signature(services: Services, chain: Chain) -> None:
    challenge = run(offchain.log_challenge(chain, task()))
    (log,) = run(offchain.fetch_logs(chain, task(), challenge, signed(challenge)))
    assert (log.worker, log.stdout, log.stderr) == (WALLET.address, "done\n", "")
    method, path, headers, _ = services.seen[-1]
    assert (method, path) == ("GET", f"/tasks/{ID}/logs")
    assert headers["Authorization"].endswith(f"_{signed(challenge)}_{WALLET.address}")


def test_a_refused_signature_is_named_and_never_shown(services: Services, chain: Chain) -> None:
    challenge = run(offchain.log_challenge(chain, task()))
    old = {**challenge, "message": {"challenge": "an older one"}}
    with pytest.raises(SignatureRefused, match=r"^127\.0\.0\.1:\d+ does not accept the signature: HTTP 401"):
        run(offchain.fetch_logs(chain, task(), old, signed(old)))
    services.faults[f"/tasks/{ID}/logs"] = "echo"
    with pytest.raises(SignatureRefused) as raised:
        run(offchain.fetch_logs(chain, task(), challenge, signed(challenge)))
    assert "***" in str(raised.value)
    assert signed(challenge)[2:] not in str(raised.value)
    other = Account.from_key(b"\x08" * 32)
    with pytest.raises(UsageError, match=f"The signature is of {other.address.lower()}, but the requester"):
        run(offchain.fetch_logs(chain, task(), challenge, signed(challenge, other)))
    for nonsense in ("", "0x12", "no hex", "0x" + "ff" * 65):
        with pytest.raises(UsageError, match="signature cannot be read"):
            run(offchain.fetch_logs(chain, task(), challenge, nonsense))
    with pytest.raises(UsageError, match=r"requester of task .* is not known yet"):
        run(offchain.log_challenge(chain, task(requester=None)))


@pytest.mark.parametrize("answer", ['{"domain": {}}', '{"types": 1, "domain": {}, "message": {}}', "[]"])
def test_a_challenge_that_is_none_is_not_given_out(services: Services, chain: Chain, answer: str) -> None:
    services.faults["/tasks/logs/challenge"] = answer
    with pytest.raises(MalformedAnswer):
        run(offchain.log_challenge(chain, task()))


def koii(services: Services, secrets: dict[str, str], node: bool = True) -> Chain:
    entry = {"name": "koii", "kind": "k2"}
    own = {"task_node": {"url": services.url, "secrets": secrets}} if node else {}
    return build({"chains": [entry | own], "sources": [{"network": "koii", "chain": "koii"}]}, "t").chains[0]


def test_a_task_node_tells_its_version_to_who_has_the_secret(services: Services) -> None:
    assert run(task_node_version(koii(services, {KOII: "node-secret-1"}), KOII)) == "1.11.19"
    method, path, _, body = services.seen[-1]
    assert (method, path) == ("POST", "/namespace-wrapper")
    assert json.loads(body) == {"args": ["getTaskNodeVersion"], "taskId": KOII, "secret": "node-secret-1"}


def test_a_task_node_that_is_not_configured_or_refuses(services: Services) -> None:
    with pytest.raises(ConfigError, match=rf"^Chain koii has no task node\. Add .*{KOII} = "):
        run(task_node_version(koii(services, {}, node=False), KOII))
    with pytest.raises(ConfigError, match=f"^The secret of task {KOII} is not configured"):
        run(task_node_version(koii(services, {}), KOII))
    assert services.seen == []
    with pytest.raises(SignatureRefused, match=f"does not accept the secret of task {KOII}: .*Invalid secret provided"):
        run(task_node_version(koii(services, {KOII: "wrong-secret"}), KOII))
    services.faults["/namespace-wrapper"] = "echo"
    with pytest.raises(SignatureRefused) as raised:
        run(task_node_version(koii(services, {KOII: "node-secret-1"}), KOII))
    assert "node-secret-1" not in str(raised.value)
    for fault, error in (("{}", RpcRefused), ("422", RpcRefused), ("html", MalformedAnswer)):
        services.faults["/namespace-wrapper"] = fault
        with pytest.raises(error):
            run(task_node_version(koii(services, {KOII: "node-secret-1"}), KOII))
