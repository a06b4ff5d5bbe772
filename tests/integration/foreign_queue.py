"""A queue that is not ours: the Task Executor API as aidbox.md B2 and B3 tell it, in memory, with a clock of its own.

It answers only what a worker asks of an Aidbox, keeps every request, and knows no settings.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from indexer.devnet.loopback import Answer, Request, serving

LOGIN = "Basic " + base64.b64encode(b"worker:secret").decode()


class ForeignQueue:
    """Hands out `jobs` (id -> params) in their order. `skew`: how wrong its clock is."""

    def __init__(self, jobs: dict[str, dict[str, Any]], skew: timedelta) -> None:
        self.skew, self.url = skew, ""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.tasks: dict[str, dict[str, Any]] = {
            key: {"id": key, "definition": "taskscan/scan-range", "params": params, "status": "ready"}
            for key, params in jobs.items()
        }
        self.lock = threading.Lock()

    def take_away(self, key: str) -> None:
        """Give a job to another execution."""
        self.tasks[key] |= {"status": "in-progress", "execId": "of somebody else", "retryCount": 2}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"].removeprefix("awf.task/"), request["params"]
        with self.lock:
            self.requests.append((method, params))
            if method == "long-poll":
                ready = [task for task in self.tasks.values() if task["status"] == "ready"][
                    : params.get("maxBatchSize", 1)
                ]
                for task in ready:
                    task |= {"status": "requested", "execId": f"exec of {task['id']}"}
                return {"result": {"resources": [dict(task) for task in ready]}}
            task = self.tasks[params["id"]]
            if method == "status":
                return {"result": {"resource": dict(task)}}
            if params["execId"] != task.get("execId"):
                return {"error": {"type": "execution-is-over", "message": f"{params['execId']} has it no more"}}
            if method == "start":
                task |= {"status": "in-progress", "retryCount": 1}
            elif method == "notify":
                return {"result": {"inProgressTimeoutAt": (datetime.now(UTC) + self.skew).isoformat()}}
            else:
                outcome = {"success": "succeeded", "fail": "failed"}[method]
                task |= {
                    "status": "done",
                    "outcome": outcome,
                    "result": params.get("result"),
                    "error": params.get("error"),
                }
            return {"result": {"resource": dict(task)}}

    def said(self, method: str) -> list[dict[str, Any]]:
        """Parameters of the requests of one method."""
        with self.lock:
            return [params for name, params in self.requests if name == method]


@contextmanager
def foreign(queue: ForeignQueue) -> Iterator[ForeignQueue]:
    """Serve it; sets its `url`."""

    def answer(request: Request) -> Answer:
        asked = json.loads(request.body)
        if request.headers["Authorization"] != LOGIN:
            status, tree = 401, {"error": {"type": "unauthorized", "message": "who are you?"}}
        elif isinstance(asked, list):
            status, tree = 200, [queue.answer(each) for each in asked]
        else:
            tree = queue.answer(asked)
            status = 422 if "error" in tree else 200
        return Answer(json.dumps(tree).encode(), status)

    with serving(answer) as queue.url:
        yield queue
