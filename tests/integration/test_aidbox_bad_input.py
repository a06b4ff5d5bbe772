"""An Aidbox that refuses, fails, is slow, has another clock or holds nonsense: said in words, and nothing is lost."""

import json
from datetime import timedelta
from typing import Any

import pytest

from indexer.devnet.aidbox import SECRET, Fault, Node
from indexer.devnet.aidbox_engine import Engine
from indexer.errors import (
    AccessDenied,
    LoginRefused,
    MalformedAnswer,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TimedOut,
)
from indexer.networks.aidbox import TASK, WORKFLOW
from indexer.networks.aidbox.words import READING
from indexer.rpc import aidbox as questions
from indexer.rpc.rest import Rest
from indexer.store import aidbox as store
from tests.integration.aidbox_support import (
    ask,
    incidents,
    job,
    live,
    lived,
    served,
    sync,
    tasks,
    true_tasks,
    versions,
)


async def asked(node: Node, secret: str = SECRET, timeout: float = 5.0) -> Any:
    with served(node) as url:
        rest = Rest(url, "taskscan", secret, timeout)
        try:
            return await questions.search(rest, TASK, {"_count": "1"})
        finally:
            await rest.close()


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault(403, b'{"error":{"message":"Not you"}}'), AccessDenied, r"denies GET /AidboxTask .*: Not you\. Allow"),
        (Fault(422, b'{"error":{"type":"x","message":"what?"}}'), RpcRefused, r"what\? \(code 422\)"),
        (Fault(500, b"boom"), ServerFault, "failed: HTTP 500 Internal Server Error: boom"),
        (Fault(502, b"<html>"), ServerFault, "HTTP 502 Bad Gateway"),
        (Fault(429, b"slow down", {"Retry-After": "7"}), RateLimited, "limits the rate"),
        (Fault(503, b"", {"Retry-After": "9"}), RateLimited, "limits the rate"),
        (Fault(302, b"", {"Location": "http://elsewhere/"}), RpcRefused, "put the final URL"),
        (Fault(200, b"{"), MalformedAnswer, "it is no JSON object"),
        (Fault(200, b"[]"), MalformedAnswer, "it is no JSON object"),
        (Fault(200, b'{"entry":{}}'), MalformedAnswer, "it holds no list of resources"),
        (Fault(0, seconds=1.0), TimedOut, "did not answer within 0.3 s"),
    ],
)  # fmt: skip
async def test_each_fault_is_an_error_of_its_own(fault: Fault, error: type[TaskscanError], said: str) -> None:
    node = lived(3)
    node.faults.append(fault)
    with pytest.raises(error, match=said) as raised:
        await asked(node, timeout=0.3 if fault.seconds else 5.0)
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after == float(fault.headers["Retry-After"])


@pytest.mark.parametrize("logins", [frozenset({"basic"}), frozenset({"token"}), frozenset({"basic", "token"})])
async def test_either_login_will_do_and_no_secret_is_ever_shown(logins: frozenset[str]) -> None:
    node = lived(3, logins=logins)
    assert len((await asked(node)).found) == 1
    assert ("/auth/token" in node.asked) == ("basic" not in logins)
    with pytest.raises(LoginRefused, match="Correct client_id and client_secret") as raised:
        await asked(node, "falsch-9a7c")
    assert "falsch-9a7c" not in str(raised.value)
    assert "falsch-9a7c" not in repr(raised.value.facts)


async def test_a_token_is_renewed_before_it_expires_and_when_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.devnet import aidbox

    node = lived(3, logins=frozenset({"token"}))
    with served(node) as url:
        rest = Rest(url, "taskscan", SECRET)
        for _ in range(3):
            await questions.search(rest, TASK, {})
        assert len(node.tokens) == 1
        node.tokens.append("another")  # the server has forgotten the first
        await questions.search(rest, TASK, {})
        assert len(node.tokens) == 3
        monkeypatch.setattr(aidbox, "TOKEN_SECONDS", 0)
        node.tokens.append("another")
        for _ in range(3):
            await questions.search(rest, TASK, {})
        assert len(node.tokens) == 7, "a token of no life is renewed each time"
        await rest.close()


async def test_the_client_cannot_be_made_to_poll() -> None:
    node = lived(3)
    with served(node) as url:
        rest = Rest(url, "taskscan", SECRET)
        for method in set(node.engine.methods) - READING:
            with pytest.raises(ValueError, match="no method that only reads"):
                await questions.rpc(rest, method, {})
        await rest.close()
    assert node.asked == []


def test_a_wrong_secret_ends_the_command_in_one_sentence(migrated: str) -> None:
    node = lived(3)
    with served(node) as url, pytest.raises(LoginRefused, match=r"^127\.0\.0\.1:\d+ does not let this client in: "):
        sync(migrated, url, "falsch-9a7c")
    assert ask(migrated, "SELECT 1 FROM aidbox.tasks") == []


def test_workflows_that_are_denied_keep_nobody_from_the_tasks(migrated: str) -> None:
    node = lived(30)
    node.denied |= {WORKFLOW, "awf.workflow/list"}
    with served(node) as url:
        sync(migrated, url)
    assert tasks(migrated) == true_tasks(node)
    ((kind, subject, text),) = ask(migrated, "SELECT kind, subject, message FROM chain.incidents")
    assert (kind, subject) == ("AccessDenied", WORKFLOW)
    assert "awf.workflow/list" in text
    assert "AccessPolicy" in text


def test_no_way_at_all_is_an_error(migrated: str) -> None:
    node = lived(3)
    node.denied |= {TASK, "awf.task/list"}
    with served(node) as url, pytest.raises(AccessDenied, match=r"denies awf\.task/list to this client"):
        sync(migrated, url)


async def test_faults_on_the_way_lose_nothing(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults of every kind between good answers: the pass fails or is tried again, and in the end all is there."""
    from indexer.ingest import aidbox as ingest

    monkeypatch.setattr(ingest, "PASS_SECONDS", 0.0)
    monkeypatch.setattr(ingest, "LONGEST_REST", 0.01)
    node = lived(60, 5, cap=20)
    kinds = [
        Fault(500),
        Fault(429, b"", {"Retry-After": "0.01"}),
        Fault(200, b'{"entry":[{"resour'),
        Fault(503),
        Fault(422),
    ]
    async with job(migrated, node) as reader:
        for number in range(10):
            live(node, 6)
            node.faults.extend(node.engine.rng.choice(kinds) for _ in range(number % 4))
            reader._due = 0.0
            await reader.keep_up()
        node.faults.clear()
        await reader.tick()
    assert tasks(migrated) == true_tasks(node)
    for resource in (TASK, WORKFLOW):
        assert versions(migrated, resource) == {fact for fact in node.engine.ledger if fact.resource == resource}


@pytest.mark.parametrize("histories", ["kept", "refused"])
async def test_another_clock_is_told_and_nothing_is_lost(migrated: str, histories: str) -> None:
    """Its clock goes back by an hour: later versions seem older than those before."""
    node = lived(20, 8, histories=histories)
    async with job(migrated, node) as reader:
        await reader.tick()
        assert "ClockSkew" not in incidents(migrated)
        with node.lock:
            node.engine.now -= timedelta(hours=1)
            node.skew = -3600
            node.engine.create("after/the-jump", {"n": 1}, id="back-in-time")
        await reader._read_all(sweep=False)
        await reader._read_all(sweep=False)
    assert "back-in-time" in tasks(migrated)
    texts = ask(migrated, "SELECT message FROM chain.incidents WHERE kind = 'ClockSkew'")
    assert texts
    assert "-3,600 s off" in texts[0][0]


def put(node: Node, **fields: Any) -> None:
    number = node.engine._txid + 1
    meta = {"lastUpdated": "2026-01-01T00:00:00Z", "createdAt": "2026-01-01T00:00:00Z", "versionId": str(number)}
    node.engine.put(
        {"resourceType": TASK, "definition": "odd", "status": "ready", "params": {}, "meta": meta, **fields}
    )


def test_new_fields_and_words_are_kept_and_reported_once(migrated: str) -> None:
    node = lived(5)
    for n in range(3):
        put(node, id=f"odd-{n}", status="paused", priority=n)
    with served(node) as url:
        sync(migrated, url)
        sync(migrated, url)
    odd = ask(migrated, "SELECT task_id, status, extra FROM aidbox.tasks WHERE definition = 'odd' ORDER BY 1")
    assert odd == [(f"odd-{n}", "paused", {"priority": n}) for n in range(3)]
    shown = ask(migrated, "SELECT status, network_status FROM analytics.tasks WHERE subject = 'odd'")
    assert shown == [(None, "paused")] * 3
    rows = ask(migrated, "SELECT kind, times, message FROM chain.incidents ORDER BY kind")
    assert [(kind, times) for kind, times, _ in rows] == [("UnknownField", 1), ("UnknownWord", 1)]
    assert "there is a field priority" in rows[0][2]
    assert "status says 'paused'" in rows[1][2]


def test_hostile_resources_become_rows_or_are_kept_raw(migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.rpc import retry

    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    node = lived(5)
    put(node, id="nul", label="a\0b", params={"a\0": ["\ud800", 10**30]})
    put(node, id="bytes", label="\udcff\udcfe")  # sent as the bytes ff fe
    put(node, id="long", definition="d" * 9000)
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    put(node, id="deep", params=deep)
    put(node, id="y" * 300)
    with served(node) as url:
        sync(migrated, url)
        sync(migrated, url)
    query = (
        "SELECT task_id, label_raw, length(definition_raw), params->'raw_names' FROM aidbox.tasks WHERE task_id IN {}"
    )
    rows = ask(migrated, query.format("('nul', 'bytes', 'long')") + " ORDER BY task_id")
    assert rows[0][:2] == ("bytes", b"\xff\xfe")
    assert rows[1][0::2] == ("long", 9000)
    assert (rows[2][1], rows[2][3]) == (b"a\0b", {"6100": [{"raw": "eda080"}, 10**30]})
    ((data,),) = ask(migrated, "SELECT data FROM aidbox.unreadable WHERE reason LIKE '%no id%'")
    assert json.loads(data)["id"] == "y" * 300
    ((data,),) = ask(migrated, "SELECT DISTINCT data FROM aidbox.unreadable WHERE reason LIKE '%too deeply%' LIMIT 1")
    assert b'"deep"' in data
    assert set(incidents(migrated)) <= {"ResourceUnreadable"}


def test_an_answer_with_one_resource_that_is_no_json_is_read_around_it(
    migrated: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    from indexer.devnet import aidbox
    from indexer.rpc import retry

    node = lived(30, 9)
    real = aidbox._dump
    monkeypatch.setattr(aidbox, "_dump", lambda value: real(value).replace(b'"broken-json"', b"[" * 200_000))
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    put(node, id="bad", params="broken-json")
    live(node, 5)
    with served(node) as url:
        sync(migrated, url)
    truth = true_tasks(node)
    del truth["bad"]
    assert tasks(migrated) == truth
    assert ask(migrated, "SELECT DISTINCT resource FROM aidbox.unreadable") == [(TASK,)]


def test_one_version_told_in_two_ways_keeps_both(migrated: str) -> None:
    node = Node(Engine(2))
    put(node, id="two", result={"n": 1}, status="done", outcome="succeeded")
    with served(node) as url:
        sync(migrated, url)
        for entry in node.engine.past[TASK]:
            entry.resource["result"] = {"n": 2}
        sync(migrated, url)
    assert ask(migrated, "SELECT result FROM aidbox.tasks") == [({"n": 1},)]
    ((reason, data),) = ask(migrated, "SELECT reason, data FROM aidbox.unreadable")
    assert "was read before with other content" in reason
    assert json.loads(data)["columns"]["result"] == {"n": 2}
    assert incidents(migrated) == ["ResourceUnreadable"]


def test_a_task_that_comes_back_is_there_again(migrated: str) -> None:
    node = Node(Engine(3))
    put(node, id="phoenix", status="done", outcome="failed")
    with served(node) as url:
        sync(migrated, url)
        gone = node.engine.tables[TASK].pop("phoenix")
        node.engine.past[TASK].clear()
        sync(migrated, url)
        assert tasks(migrated)["phoenix"] == ["done", "failed", gone["meta"]["versionId"], True]
        put(node, id="phoenix", status="ready")
        sync(migrated, url)
    assert tasks(migrated)["phoenix"][:2] == ["ready", "open"]
    assert tasks(migrated)["phoenix"][3] is False
    assert store.OVERLAP.total_seconds() == 60
