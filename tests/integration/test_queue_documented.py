"""The requests of Aidbox's own documentation, word for word, against our queue; its responses are the oracle."""

import json
from typing import Any

import pytest
import yaml

from tests.integration.queue_support import SAMPLES, Http, engine, http, needs_samples

__all__ = ["engine", "http"]
pytestmark = needs_samples

EXAMPLES = json.loads(SAMPLES.read_text())["examples"] if SAMPLES.is_file() else []
REQUESTS = [n for n, example in enumerate(EXAMPLES) if example["kind"] == "Request"]
NOT_OURS = {"meta", "pool", "requester"}  # of another moment; of an older version; of a workflow
BEFORE = {  # what is there before the request, beside the id, if the response is to come out
    "awf.task/status": {},
    "awf.task/list": {},
    "awf.task/cancel": {"status": "waiting", "outcome": None},
    "awf.task/poll": {"status": "ready", "execId": None},
    "awf.task/long-poll": {"status": "ready", "execId": None},
    "awf.task/start": {"status": "requested", "retryCount": 0},
    "awf.task/notify": {"status": "in-progress", "definition": "test/job"},
    "awf.task/success": {"status": "in-progress", "outcome": None},
    "awf.task/fail": {"status": "in-progress", "outcome": None, "outcomeReason": None},
}
LATER = ("awf.task/poll", "awf.task/long-poll")  # hand out an execId of their own


def documented(n: int) -> tuple[dict[str, str], str, dict[str, Any]]:
    """Headers and body of a request, word for word, and the response that follows it in the documentation."""
    head, _, body = EXAMPLES[n]["yaml"].partition("\n\n")
    first, *headers = head.splitlines()
    assert first == "POST /rpc"
    assert EXAMPLES[n + 1]["kind"] == "Response"
    answer = EXAMPLES[n + 1]["yaml"]
    return dict(line.split(": ") for line in headers), body, yaml.safe_load(answer[answer.index("result:") :])["result"]


def requests(prefix: str) -> list[Any]:
    """Those whose method begins so."""
    found = [(n, yaml.safe_load(documented(n)[1])["method"]) for n in REQUESTS]
    return [pytest.param(n, id=f"{n}-{method}") for n, method in found if method.startswith(prefix)]


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in NOT_OURS}


async def send(http: Http, n: int) -> tuple[Any, dict[str, Any]]:
    """The answer to a documented request, and the documented one."""
    headers, body, expected = documented(n)
    answer = await http.post(body, **headers)
    assert answer.headers["Content-Type"].startswith("text/yaml")
    return answer, expected


def put(http: Http, method: str, given: dict[str, Any], response: dict[str, Any]) -> None:
    """Put the job into the database that the documentation's response speaks of, as it was before the request."""
    resource = response.get("resource") or (response.get("resources") or [{}])[0]
    job = {**resource, **{name: given[name] for name in ("id", "execId") if name in given}, **BEFORE[method]}
    http.sql(
        "INSERT INTO work.jobs (id, definition, label, params, status, outcome, result, exec_id, execute_at,"
        " retry_count, allowed_retry_count, retry_delay, requested_to_start_timeout, in_progress_timeout)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 2, 10000, 10000, 120000)",
        *(job.get(name) for name in ("id", "definition", "label")), json.dumps(job.get("params")),
        *(job.get(name) for name in ("status", "outcome")), json.dumps(job["result"]) if "result" in job else None,
        job.get("execId"), job.get("executeAt"), job.get("retryCount", 0),
    )  # fmt: skip


@pytest.mark.parametrize("n", [n for n in requests("awf.task/") if "create" not in str(n.id)])
async def test_a_documented_request_gets_the_documented_response(http: Http, n: int) -> None:
    request = yaml.safe_load(documented(n)[1])
    put(http, request["method"], request["params"], documented(n)[2])
    answer, expected = await send(http, n)
    assert answer.result.keys() == expected.keys()
    if "inProgressTimeoutAt" in expected:
        assert len(answer.result["inProgressTimeoutAt"]) == len(expected["inProgressTimeoutAt"])
        return
    got, wanted = (tree.get("resources") or [tree["resource"]] for tree in (answer.result, expected))
    changed = {"execId"} if request["method"] in LATER else set()
    assert [{**plain(task), **dict.fromkeys(changed)} for task in got] == [
        {**plain(task), **dict.fromkeys(changed)} for task in wanted
    ]
    assert all(task.get("execId") or "execId" not in changed for task in got)
    assert {name: type(value) for name, value in got[0]["meta"].items()} == {
        name: type(value) for name, value in wanted[0]["meta"].items()
    }


@pytest.mark.parametrize("n", requests("awf.task/create-and-execute"))
async def test_a_documented_task_is_created(http: Http, n: int) -> None:
    answer, expected = await send(http, n)
    if "awf.task/subscribe" in documented(n)[1]:
        assert answer.refusal == (422, "definition-not-supported"), "there are no resources here to subscribe to"
        return
    made = answer.result["resource"]
    assert made.keys() == expected["resource"].keys()
    changed = {"id", "params"} if "ingestion.core/" in made["definition"] else {"id"}  # documented for other params
    assert {**plain(made), **dict.fromkeys(changed)} == {**plain(expected["resource"]), **dict.fromkeys(changed)}
    assert (await http.task(made["id"]))["params"] == made["params"]


@pytest.mark.parametrize("n", requests("awf.workflow/"))
async def test_a_documented_request_about_workflows_is_refused_in_words(http: Http, n: int) -> None:
    answer, _ = await send(http, n)
    assert answer.refusal == (404, "unknown-method")
    assert answer.tree["error"]["message"].startswith("Workflows are not run here: known are awf.task/")


async def test_every_documented_request_is_tried() -> None:
    tried = [*requests("awf.task/"), *requests("awf.workflow/")]
    assert len(tried) == len(REQUESTS) == 22
