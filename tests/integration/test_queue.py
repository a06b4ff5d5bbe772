"""The job queue's state machine over HTTP: executions, timeouts, retries, limits, several servers on one database.

Time passes by SQL, for the queue's only clock is the database's.
"""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import Engine

from indexer.store import database as db
from indexer.work.jobs import create
from indexer.work.params import Create
from tests.integration.queue_support import Http, engine, http, queue_of

__all__ = ["engine", "http"]


async def log(http: Http, key: str) -> list[tuple[str, str | None, str | None]]:
    """What happened to a task: action, status before, status after."""
    answer = await http.call("status", id=key, **{"include-log?": True})
    return [(e["action"], e.get("status-before"), e.get("status-after")) for e in answer.result["log"]]


async def test_a_job_from_creation_to_success_with_its_log(http: Http) -> None:
    made = await http.create(label="a label", params={"n": [1, None, "ü", 2**70, 0.5]})
    assert made["status"] == "ready"
    (task,) = await http.poll()
    assert (task["id"], task["status"], task["params"]) == (made["id"], "requested", made["params"])
    mine = {"id": task["id"], "execId": task["execId"]}
    started = (await http.call("start", **mine)).result["resource"]
    assert (started["status"], started["retryCount"]) == ("in-progress", 1)
    beat = await http.call("notify", **mine, notification="heartbeat", message="still here")
    assert set(beat.result) == {"inProgressTimeoutAt"}
    progress = {"notification": "awf.task/progress", "progress-current": 3, "progress-total": 9, "progress-unit": "x"}
    assert (await http.call("notify", **mine, **progress)).status == 200
    done = (await http.call("success", **mine, result={"rows": 3})).result["resource"]
    assert (done["status"], done["outcome"], done["result"]) == ("done", "succeeded", {"rows": 3})
    assert done["execId"] == task["execId"]
    assert int(done["meta"]["versionId"]) > int(made["meta"]["versionId"])
    assert await log(http, task["id"]) == [
        ("awf.task/create-and-execute", None, "ready"),
        ("awf.task/poll", "ready", "requested"),
        ("awf.task/start", "requested", "in-progress"),
        ("awf.task/notify", "in-progress", "in-progress"),
        ("awf.task/notify", "in-progress", "in-progress"),
        ("awf.task/success", "in-progress", "done"),
    ]
    entries = (await http.call("status", id=task["id"], **{"include-log?": True})).result["log"]
    assert entries[4]["action-params"] == progress
    assert entries[3]["subject"] == {"id": task["id"], "resourceType": "AidboxTask"}


async def test_what_is_repeated_by_the_same_execution_is_no_error(http: Http) -> None:
    """An answer that got lost makes a worker ask again."""
    mine = await http.started()
    assert (await http.call("start", **mine)).result["resource"]["retryCount"] == 1
    for _ in range(2):
        assert (await http.call("success", **mine, result=1)).result["resource"]["outcome"] == "succeeded"
    assert (await http.call("fail", **mine)).refusal == (422, "wrong-status")


async def test_a_failure_is_tried_again_with_another_execution_until_all_attempts_are_used_up(http: Http) -> None:
    first = await http.started(allowedRetryCount=2, retryDelay=5000)
    waiting = (await http.call("fail", **first, error={"why": "x"})).result["resource"]
    assert (waiting["status"], waiting["retryCount"]) == ("waiting", 1)
    assert "execId" not in waiting
    assert await http.poll() == [], "its time has not come"
    http.later(5000)
    (again,) = await http.poll()
    assert again["id"] == first["id"]
    assert again["execId"] != first["execId"]
    assert (await http.call("success", **first)).refusal == (422, "wrong-exec-id")
    second = {"id": again["id"], "execId": again["execId"]}
    await http.call("start", **second)
    over = (await http.call("fail", **second, error={"why": "y"})).result["resource"]
    assert (over["status"], over["outcome"], over["error"]) == ("done", "failed", {"why": "y"})
    assert over["outcomeReason"] == {"type": "awf.task/failed-by-executor", "message": "Failed by executor"}
    assert (await http.call("fail", **second)).result["resource"]["outcome"] == "failed"


async def test_an_execution_that_gives_no_sign_of_life_loses_its_job(http: Http) -> None:
    zombie = await http.started(inProgressTimeout=60_000, retryDelay=0)
    http.later(59_000)
    assert (await http.task(zombie["id"]))["status"] == "in-progress"
    assert (await http.call("notify", **zombie, notification="heartbeat")).status == 200
    http.later(59_000)
    assert await http.poll() == [], "the sign of life counts"
    http.later(60_000)
    (again,) = await http.poll() or await http.poll()  # time may pass twice, or the server's own look come between
    for method in ("notify", "success", "fail", "start"):
        answer = await http.call(method, **zombie, **({"notification": "heartbeat"} if method == "notify" else {}))
        assert answer.refusal == (422, "wrong-exec-id"), method
    assert (await http.task(zombie["id"]))["execId"] == again["execId"]
    assert ("awf.task/in-progress-timeout", "in-progress", "waiting") in await log(http, zombie["id"])


async def test_the_last_attempt_without_a_sign_of_life_fails(http: Http) -> None:
    mine = await http.started(allowedRetryCount=1, inProgressTimeout=1000)
    http.later(1000)
    await http.poll()
    over = await http.task(mine["id"])
    assert (over["status"], over["outcome"]) == ("done", "failed")
    assert over["outcomeReason"]["type"] == "awf.task/failed-due-to-in-progress-timeout"


async def test_a_job_that_is_polled_but_not_started_is_handed_out_again(http: Http) -> None:
    await http.create(requestedToStartTimeout=10_000)
    (first,) = await http.poll()
    assert await http.poll() == []
    http.later(10_000)
    (second,) = await http.poll()
    assert second["id"] == first["id"]
    assert (await http.call("start", id=first["id"], execId=first["execId"])).refusal == (422, "wrong-exec-id")
    started = (await http.call("start", id=first["id"], execId=second["execId"])).result["resource"]
    assert started["retryCount"] == 1, "what was never started is no attempt"


@pytest.mark.parametrize(
    ("given", "status"), [("2020-01-01T00:00:00", "ready"), ("2999-01-01T00:00:00+02:00", "waiting")]
)
async def test_execute_at(http: Http, given: str, status: str) -> None:
    made = await http.create(executeAt=given)
    assert made["status"] == status
    assert made["executeAt"] == {"ready": given, "waiting": "2998-12-31T22:00:00"}[status]
    assert len(await http.poll()) == (status == "ready")


@pytest.mark.parametrize("status", ["ready", "waiting", "requested", "in-progress"])
async def test_cancel_from_every_state(http: Http, status: str) -> None:
    made = await http.create(**({"executeAt": "2999-01-01T00:00:00"} if status == "waiting" else {}))
    task = {"execId": "none"}
    if status in ("requested", "in-progress"):
        (task,) = await http.poll()
    if status == "in-progress":
        await http.call("start", id=made["id"], execId=task["execId"])
    over = (await http.call("cancel", id=made["id"])).result["resource"]
    assert (over["status"], over["outcome"]) == ("done", "canceled")
    assert (await http.call("cancel", id=made["id"])).refusal == (422, "task-has-been-done")
    assert (await http.call("success", id=made["id"], execId=task["execId"])).status == 422
    http.later(10**9)
    assert await http.poll() == []


async def test_jobs_are_handed_out_in_order_each_to_one_caller(http: Http, engine: Engine) -> None:
    async with queue_of(engine, http.login) as other:
        made = [(await http.create())["id"] for _ in range(30)]
        polled = await asyncio.gather(*((http, other)[n % 2].poll(maxBatchSize=4) for n in range(12)))
    got = [task["id"] for tasks in polled for task in tasks]
    assert sorted(got) == sorted(made), "each once"
    assert all(tasks == sorted(tasks, key=lambda task: made.index(task["id"])) for tasks in polled)
    assert len({task["execId"] for tasks in polled for task in tasks}) == 30


async def test_never_more_at_once_than_the_limit_allows(http: Http, engine: Engine) -> None:
    for n in range(12):
        await http.create(
            params={"site": "ab"[n % 2]}, concurrencyLimit=2, concurrencyPath=["site"], requestedToStartTimeout=600_000
        )
    running: list[dict[str, Any]] = []
    async with queue_of(engine, http.login) as other:
        for _ in range(3):
            polled = await asyncio.gather(*((http, other)[n % 2].poll(maxBatchSize=5) for n in range(6)))
            running += [task for tasks in polled for task in tasks]
    assert sorted(task["params"]["site"] for task in running) == ["a", "a", "b", "b"]
    await http.call("start", id=running[0]["id"], execId=running[0]["execId"])
    await http.call("success", id=running[0]["id"], execId=running[0]["execId"])
    (one,) = await http.poll(maxBatchSize=5)
    assert one["params"] == running[0]["params"], "the place of the one that ended"


def test_no_place_is_given_twice_to_many_who_ask_all_the_time(migrated: str) -> None:
    """Whoever gets the lock of those that came before must count what they took, not what was there before them."""
    engine = db.engine(migrated)
    with engine.begin() as connection:
        for n in range(12):
            create(connection, Create(id=f"job{n}", definition="test/job", concurrency_limit=1), "us")
    engine.dispose()

    def asks(_: int) -> list[int]:
        """How many jobs were out each time that one was handed out here; each is given back at once."""
        seen: list[int] = []
        with psycopg.connect(migrated, autocommit=True) as connection:
            for _ in range(2000):
                for (mine,) in connection.execute("SELECT (work.take(ARRAY['test/job'], 2, 'us')).id").fetchall():
                    out = connection.execute("SELECT count(*) FROM work.jobs WHERE status = 'requested'").fetchone()
                    seen += out or ()
                    connection.execute("UPDATE work.jobs SET status = 'ready', due_at = NULL WHERE id = %s", [mine])
        return seen

    with ThreadPoolExecutor(6) as threads:
        seen = [n for each in threads.map(asks, range(6)) for n in each]
    assert set(seen) == {1}


async def test_a_long_poll_is_woken_by_a_job_that_another_server_takes_in(http: Http, engine: Engine) -> None:
    async with queue_of(engine, http.login) as other:
        waiting = asyncio.create_task(other.call("long-poll", taskDefinitions=["test/job"], timeout=20_000))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        made = await http.create()
        (task,) = (await asyncio.wait_for(waiting, 10)).result["resources"]
    assert task["id"] == made["id"]


async def test_a_long_poll_ends_with_its_timeout_and_of_two_that_wait_one_gets_the_job(http: Http) -> None:
    began = time.monotonic()
    assert (await http.call("long-poll", taskDefinitions=["test/job"], timeout=300)).result == {"resources": []}
    assert 0.3 <= time.monotonic() - began < 5
    waiting = [
        asyncio.create_task(http.call("long-poll", taskDefinitions=["test/job"], timeout=2000)) for _ in range(2)
    ]
    await asyncio.sleep(0.1)
    await http.create()
    polled = [answer.result["resources"] for answer in await asyncio.gather(*waiting)]
    assert sorted(map(len, polled)) == [0, 1]


async def test_who_hangs_up_gets_no_job(http: Http) -> None:
    waiting = asyncio.create_task(http.call("long-poll", taskDefinitions=["test/job"], timeout=20_000))
    await asyncio.sleep(0.3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.2)
    made = await http.create()
    await asyncio.sleep(0.3)
    assert (await http.task(made["id"]))["status"] == "ready"


async def test_a_batch_is_answered_in_order_faults_in_their_places(http: Http) -> None:
    batch = [
        {"method": "awf.task/create-and-execute", "params": {"definition": "test/job", "id": "one"}},
        {"method": "awf.task/status", "params": {"id": "two"}},
        {"method": "awf.task/create-and-execute", "params": {"definition": "test/job", "id": "one"}},
        "no request",
        {"method": "awf.task/poll", "params": {"taskDefinitions": ["test/job"]}},
    ]
    for body, kind in ((json.dumps(batch), "application/json"), (json.dumps([]), "text/yaml")):
        answer = await http.post(body, Content_Type=kind)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(kind)
        if kind == "text/yaml":
            assert answer.tree == []
            continue
        first, second, third, fourth, fifth = answer.tree
        assert first["result"]["resource"]["id"] == "one"
        assert [each["error"]["type"] for each in (second, third, fourth)] == [
            "task-not-found", "task-already-exists", "malformed-body",
        ]  # fmt: skip
        assert fifth["result"]["resources"][0]["id"] == "one"


async def test_list_filters_and_sorts(http: Http) -> None:
    for key, definition, label in (("a", "x/one", "50% of it"), ("b", "x/two", "half"), ("c", "y/one", None)):
        await http.create(id=key, definition=definition, label=label)
    await http.call("cancel", id="b")

    async def ids(filter: dict[str, Any] | None = None, **sort: str) -> list[str]:
        answer = await http.call("list", filter=filter or {}, sort=sort)
        return [task["id"] for task in answer.result["resources"]]

    assert await ids() == ["a", "b", "c"]
    assert await ids(createdAt="desc") == ["c", "b", "a"]
    assert await ids(lastUpdated="desc") == ["b", "c", "a"]
    assert await ids({"includeDefinitions": ["x/one", "x/two"], "excludeDefinitions": ["x/two"]}) == ["a"]
    assert await ids({"status": "done", "outcome": "canceled"}) == ["b"]
    assert await ids({"ilike": "ONE"}) == ["a", "c"]
    assert await ids({"ilike": "0% o"}) == ["a"], "no pattern"


async def test_a_wait_ends_by_itself(http: Http) -> None:
    made = await http.create(definition="awf.task/wait", params={"duration": {"minutes": 1, "seconds": 30}})
    assert made["status"] == "in-progress"
    http.later(89_000)
    await http.poll()
    assert (await http.task(made["id"]))["status"] == "in-progress"
    http.later(1_000)
    await http.poll()
    assert (await http.task(made["id"]))["outcome"] == "succeeded"
    wrong = await http.call("create-and-execute", definition="awf.task/wait", params={"duration": {"moons": 1}})
    assert wrong.refusal == (422, "invalid-params")


async def test_time_passes_while_nobody_asks(http: Http) -> None:
    mine = await http.started(inProgressTimeout=1000, allowedRetryCount=1)
    http.later(1000)
    for _ in range(100):
        if http.sql("SELECT 1 FROM work.jobs WHERE id = %s AND status = 'done'", mine["id"]):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the server did not look at the time")


async def test_what_ended_long_ago_is_forgotten_and_nothing_else(http: Http, engine: Engine) -> None:
    for key in ("old", "older", "new"):
        mine = await http.started(id=key)
        await http.call("success", **mine)
    running, ready = await http.started(id="running"), await http.create(id="ready")
    http.sql("ALTER TABLE work.jobs DISABLE TRIGGER touch")
    http.sql("UPDATE work.jobs SET updated_at = now() - interval '7 days 1 hour' WHERE id <> 'new'")
    http.sql("UPDATE work.jobs SET updated_at = now() - interval '6 days 23 hours' WHERE id = 'new'")
    http.sql("ALTER TABLE work.jobs ENABLE TRIGGER touch")
    async with queue_of(engine, http.login, keep_days=7):
        for _ in range(100):
            if not http.sql("SELECT 1 FROM work.jobs WHERE id IN ('old', 'older')"):
                break
            await asyncio.sleep(0.05)
    assert {key for (key,) in http.sql("SELECT id FROM work.jobs")} == {"new", running["id"], ready["id"]}
    assert {key for (key,) in http.sql("SELECT job_id FROM work.job_log")} == {"new", running["id"], ready["id"]}


async def test_settings_are_those_of_the_definition_unless_given(http: Http) -> None:
    usual, own = await http.create(), await http.create(retryDelay=7, concurrencyLimit=3)
    answers = [await http.call("status", id=task["id"], **{"include-settings?": True}) for task in (usual, own)]
    expected = {  # aidbox.md B3
        "requestedToStartTimeout": 10_000, "inProgressTimeout": 120_000, "allowedRetryCount": 2, "retryDelay": 10_000,
    }  # fmt: skip
    assert answers[0].result["settings"] == expected
    assert answers[1].result["settings"] == {**expected, "retryDelay": 7, "concurrencyLimit": 3}
