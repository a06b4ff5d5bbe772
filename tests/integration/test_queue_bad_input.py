"""The job queue and whoever asks it wrongly: secrets, bodies, parameters, sizes, rates, a database that is down."""

import asyncio
import base64
import io
import json
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.engine import Engine

from indexer.errors import TaskRefused
from indexer.store import database as db
from indexer.work import clients, server
from indexer.work.quota import Quota
from tests.integration.queue_support import Http, engine, http, queue_of
from tests.proxy import TcpProxy

__all__ = ["engine", "http"]

POLL = json.dumps({"method": "awf.task/poll", "params": {"taskDefinitions": ["test/job"]}})


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        "", "Basic", "Basic !", "Basic dGVzdGVy", basic("tester", "wrong"), basic("tester", ""), basic("nobody", "x"),
        basic("te\0ster", "x"), basic("x" * 5000, "y" * 5000), "Bearer x", "Digest x", "Basic \xff",
    ],
)  # fmt: skip
async def test_who_does_not_prove_to_be_a_client_is_refused_and_not_told_why(http: Http, header: str) -> None:
    answer = await http.post(POLL, Authorization=header)
    assert answer.refusal == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.tree["error"]["message"] == "Client id and secret, or the token, are not valid."


async def test_a_token_of_the_client_credentials_grant(http: Http) -> None:
    grant = {"grant_type": "client_credentials", "client_id": "tester", "client_secret": http.login[1]}
    made = (await http.post(json.dumps(grant), "/auth/token", Authorization="")).tree
    assert (made["token_type"], made["expires_in"]) == ("Bearer", 3600)
    bearer = f"Bearer {made['access_token']}"
    assert (await http.post(POLL, Authorization=bearer)).status == 200
    http.sql("UPDATE work.tokens SET expires_at = now()")
    assert (await http.post(POLL, Authorization=bearer)).refusal == (401, "unauthorized")
    for wrong in ({"client_secret": "x"}, {"client_id": "x"}, {"client_id": None}):
        answer = await http.post(json.dumps({**grant, **wrong}), "/auth/token")
        assert answer.refusal == (401, "unauthorized")
    answer = await http.post(json.dumps({**grant, "grant_type": "password"}), "/auth/token")
    assert answer.refusal == (400, "unsupported-grant-type")


async def test_no_secret_is_stored_and_a_new_one_or_a_removed_client_ends_the_old(http: Http, engine: Engine) -> None:
    grant = {"grant_type": "client_credentials", "client_id": "tester", "client_secret": http.login[1]}
    token = (await http.post(json.dumps(grant), "/auth/token")).tree["access_token"]
    stored = str(http.sql("SELECT encode(secret_hash, 'escape'), clients::text FROM work.clients"))
    stored += str(http.sql("SELECT encode(token_hash, 'escape'), tokens::text FROM work.tokens"))
    assert http.login[1] not in stored
    assert token not in stored
    with engine.begin() as connection:
        fresh = clients.add(connection, "tester")
    for header in (http.basic, f"Bearer {token}"):
        assert (await http.post(POLL, Authorization=header)).status == 401
    assert (await http.post(POLL, Authorization=basic("tester", fresh))).status == 200
    with engine.begin() as connection:
        assert clients.remove(connection, "tester")
    assert (await http.post(POLL, Authorization=basic("tester", fresh))).status == 401


async def test_no_token_of_an_old_secret_outlasts_it(http: Http, engine: Engine) -> None:
    grant = {"grant_type": "client_credentials", "client_id": "tester", "client_secret": http.login[1]}
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.begin() as connection:
        clients.add(connection, "tester")
        asking = asyncio.create_task(http.post(json.dumps(grant), "/auth/token"))
        while not asking.done() and not http.sql(waits):
            await asyncio.wait([asking], timeout=0.02)
    assert (await asking).status == 401
    assert http.sql("SELECT 1 FROM work.tokens") == []


BODIES = [
    ("{", "application/json"), ("", "application/json"), ("nul", "application/json"), ('"text"', "application/json"),
    ("[" * 100_000, "application/json"), ('{"method": "x", "params": NaN}', "application/json"), ("7", "text/yaml"),
    ('{"method": "x", "params": "\\u0000"}', "application/json"), (b"\xff\xfe", "application/json"),
    ('{"method": "x", "params": "\\ud800"}', "application/json"), ('{"params": {}}', "application/json"),
    ('{"method": ["awf.task/poll"]}', "application/json"), ("a: b: c", "text/yaml"), (b"\xff", "text/yaml"),
    ("a: &x [1, 1]\nb: [*x, *x]", "text/yaml"), ("[" * 5000, "text/yaml"), ("a: .inf", "text/yaml"),
    ("!!python/object/apply:os.system [id]", "text/yaml"), ("a: !!binary aGk=", "text/yaml"),
    ("1: number", "text/yaml"), ("a: !!set {b}", "text/yaml"), ("a: " + "9" * 3000, "text/yaml"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), BODIES, ids=[str(n) for n in range(len(BODIES))])
async def test_a_body_that_is_none_is_refused_in_its_own_format(http: Http, body: str | bytes, kind: str) -> None:
    answer = await http.post(body, Content_Type=kind)
    assert answer.refusal == (400, "malformed-body")
    assert answer.headers["Content-Type"].startswith(kind)
    assert len(answer.tree["error"]["message"]) < 400
    assert "Traceback" not in answer.body


async def test_another_type_another_method_another_path(http: Http) -> None:
    assert (await http.post(POLL, Content_Type="text/xml")).refusal == (415, "unsupported-content-type")
    assert (await http.call("inspect", id="x")).refusal == (404, "unknown-method")
    assert (await http.post(json.dumps({"method": "aidbox.pg/vacuum-table"}))).refusal == (404, "unknown-method")
    assert (await http.post(POLL, "/other")).status == 404
    async with http.session.get(f"{http.url}/rpc") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("poll", {}, "taskDefinitions must name the definitions"),
        ("poll", {"taskDefinitions": "test/job"}, "got `str` - at `params.taskDefinitions`"),
        ("poll", {"taskDefinitions": ["a"], "maxBatchSize": 0}, "at `params.maxBatchSize`"),
        ("long-poll", {"taskDefinitions": ["a"], "timeout": 10**9}, "at `params.timeout`"),
        ("start", {"id": "x"}, "missing required field `execId`"),
        ("start", {"id": "no such id!", "execId": "y"}, "at `params.id`"),
        ("notify", {"id": "x", "execId": "y", "notification": "dance"}, "Invalid enum value 'dance'"),
        ("notify", {"id": "x", "execId": "y", "notification": "progress"}, "missing required field `progress-current`"),
        ("create-and-execute", {"params": {}}, "missing required field `definition`"),
        ("create-and-execute", {"definition": "a", "executeAt": "tomorrow"}, "'tomorrow' is no time such as"),
        ("create-and-execute", {"definition": "a", "retryDelay": -1}, "at `params.retryDelay`"),
        ("create-and-execute", {"definition": "a", "concurrencyLimit": 0}, "at `params.concurrencyLimit`"),
        ("list", {"filter": {"status": "lost"}}, "Invalid enum value 'lost'"),
        ("cancel", [], "Expected `object`, got `array`"),
    ],
)
async def test_wrong_parameters_are_named(http: Http, method: str, params: Any, said: str) -> None:
    answer = await http.post(json.dumps({"method": f"awf.task/{method}", "params": params}))
    assert answer.refusal == (422, "invalid-params")
    assert said in answer.tree["error"]["message"]


async def test_an_id_that_is_not_there_and_a_state_that_does_not_fit(http: Http) -> None:
    for method in ("start", "success", "fail"):
        assert (await http.call(method, id="none", execId="x")).refusal == (404, "task-not-found")
    assert (await http.call("status", id="none")).refusal == (404, "task-not-found")
    await http.create(id="one")
    assert (await http.call("start", id="one", execId="x")).refusal == (422, "wrong-exec-id"), "not polled yet"
    (task,) = await http.poll()
    mine = {"id": "one", "execId": task["execId"]}
    assert (await http.call("success", **mine)).refusal == (422, "wrong-status")
    assert (await http.call("fail", **mine)).refusal == (422, "wrong-status")
    assert (await http.call("notify", **mine, notification="heartbeat")).refusal == (422, "wrong-status")
    assert (await http.task("one"))["status"] == "requested", "refusals change nothing"
    assert (await http.call("create-and-execute", definition="test/job", id="one")).refusal[0] == 409


async def test_a_body_or_a_batch_that_is_too_large(http: Http) -> None:
    answer = await http.post(io.BytesIO(b" " * (server.BODY_BYTES + 1)))
    assert answer.refusal == (413, "body-too-large")
    largest = json.dumps({"method": "awf.task/create-and-execute", "params": {"definition": "a", "label": ""}})
    assert (await http.post(io.BytesIO(largest.ljust(server.BODY_BYTES).encode()))).status == 200
    assert (await http.post(json.dumps([json.loads(POLL)] * 101))).refusal == (413, "batch-too-large")


async def test_who_asks_too_often_waits_and_guessing_secrets_too(http: Http) -> None:
    refused = [await http.post(POLL, Authorization=basic("tester", str(n))) for n in range(30)]
    assert [answer.status for answer in refused[:20]] == [401] * 20
    assert refused[-1].refusal == (429, "too-many-requests")
    assert int(refused[-1].headers["Retry-After"]) >= 1
    statuses = set()
    for n in range(20):  # the quota fills up again by one a second: on a slow machine between two questions
        guesses = (http.post(POLL, Authorization=basic("tester", f"again {n} {k}")) for k in range(5))
        statuses |= {answer.status for answer in (await asyncio.gather(*guesses, http.post(POLL)))[5:]}
    assert 429 in statuses, "from this address nobody gets in for a moment"


async def test_a_client_that_floods_is_slowed_down(http: Http) -> None:
    batch = json.dumps(["no request"] * 100)
    answers = await asyncio.gather(*(http.post(batch) for _ in range(24)))
    slowed = [answer for answer in answers if answer.status == 429]
    assert slowed
    assert all(answer.status in (200, 429) for answer in answers)
    assert slowed[0].refusal == (429, "too-many-requests")


def test_a_quota_fills_up_again_and_forgets_nobody_who_owes() -> None:
    now = [0.0]
    quota = Quota(2.0, 10.0, clock=lambda: now[0])
    quota.take("a", 15)
    with pytest.raises(TaskRefused) as refused:
        quota.take("a")
    assert refused.value.retry_after == 3
    now[0] = 3.0
    quota.take("a")
    for n in range(30_000):
        quota.take(f"other {n}")
    now[0] = 3.1
    with pytest.raises(TaskRefused):
        quota.check("a")


async def test_a_database_that_is_down_costs_an_error_and_no_job(http: Http, engine: Engine) -> None:
    port = int(urlsplit(http.database).port or 0)
    with TcpProxy(port) as proxy:
        through = db.engine(http.database.replace(f":{port}", f":{proxy.port}"))
        async with queue_of(through, http.login) as frail:
            mine = await frail.started()
            with proxy.shut():
                answer = await frail.call("success", **mine)
                assert answer.refusal == (503, "database-down")
                assert answer.headers["Retry-After"] == "2"
                assert urlsplit(http.database).password not in answer.body
            assert (await frail.call("success", **mine)).result["resource"]["outcome"] == "succeeded"
            waiting = asyncio.create_task(frail.call("long-poll", taskDefinitions=["test/job"], timeout=20_000))
            await asyncio.sleep(0.2)
            proxy.cut()
            await http.create()
            answer = await waiting
            assert answer.status in (200, 503)
        through.dispose()


async def test_what_sql_could_be_made_of_stays_text(http: Http) -> None:
    nasty = "'; DROP TABLE work.jobs; --"
    made = await http.create(definition=nasty, label=nasty, params={nasty: nasty})
    (task,) = await http.poll(nasty)
    assert (task["id"], task["label"], task["params"]) == (made["id"], nasty, {nasty: nasty})
    found = (await http.call("list", filter={"ilike": nasty})).result["resources"]
    assert [task["id"] for task in found] == [made["id"]]
    with psycopg.connect(http.database) as connection:
        assert connection.execute("SELECT count(*) FROM work.jobs").fetchone() == (1,)
