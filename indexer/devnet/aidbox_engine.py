"""The Workflow Engine of a made-up Aidbox: tasks and workflows with their life cycle, as the Task API moves them.

It follows the documented state machine (aidbox.md B3) and the documented requests and answers of the Task API (B2).
What no page documents is decided here and marked so: the words of the log, and how an unknown id or a wrong execId is
refused. Time is its own: it passes with `advance`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from indexer.devnet.aidbox_versions import Resource, Versions
from indexer.networks.aidbox import words
from indexer.networks.aidbox.words import LOG, TASK, WORKFLOW

SETTINGS = {
    "requestedToStartTimeout": 10_000,
    "inProgressTimeout": 120_000,
    "allowedRetryCount": 2,
    "retryDelay": 10_000,
}
"""Of every definition, in milliseconds: the documented defaults."""
STEP = "aidbox.bulk/import-resource-task"
AT_ONCE = ("awf.task/wait", "awf.task/subscribe")  # in progress as soon as they are made


class Refused(Exception):
    """An error of the API: HTTP status, type and message."""

    @property
    def error(self) -> dict[str, str]:
        return {"type": self.args[1], "message": self.args[2]}


class Engine(Versions):
    """The state machine. `methods`: name in the API -> what does it, with the params as keywords."""

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        super().__init__(seed, now)
        self.steps = 0  # of `aidbox_life`
        self._due: dict[str, datetime] = {}  # task -> when its present state times out
        self.methods: dict[str, Callable[..., dict[str, Any]]] = {
            "awf.task/create-and-execute": self.create, "awf.task/status": self.status,
            "awf.task/list": self.list_tasks, "awf.task/cancel": self.cancel, "awf.task/poll": self.poll,
            "awf.task/long-poll": self.poll, "awf.task/start": self.start, "awf.task/notify": self.notify,
            "awf.task/success": self.success, "awf.task/fail": self.fail,
            "awf.workflow/create-and-execute": self.create_workflow, "awf.workflow/status": self.workflow_status,
            "awf.workflow/list": self.list_workflows, "awf.workflow/cancel": self.cancel_workflow,
        }  # fmt: skip

    def _note(self, task: Resource, action: str, before: str | None, after: str | None, **params: Any) -> None:
        """A line of the log. Its words for actions are this stand-in's own: no page lists Aidbox's."""
        subject = {"id": task["id"], "resourceType": task["resourceType"]}
        line = {"resourceType": LOG, "id": self.new_id(), "action": action, "subject": subject}
        given = {name.replace("__", "-"): value for name, value in params.items()}
        self._save(line, status__before=before, status__after=after, action__params=given or None)

    def _move(self, task: Resource, action: str, **changes: Any) -> Resource:
        moved = self._save(task, **changes)
        self._note(moved, action, task.get("status"), moved["status"])
        self._due.pop(task["id"], None)
        return moved

    # Time.

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        self.now += timedelta(seconds=seconds)
        for id, at in sorted(self._due.items(), key=lambda item: item[1]):
            if at <= self.now and id in self.tables[TASK]:
                self._timed_out(self.tables[TASK][id])

    def _timed_out(self, task: Resource) -> None:
        match task["status"]:
            case words.WAITING:
                self._move(task, "awf.task/ready", status=words.READY)
            case words.REQUESTED:
                self._move(task, "awf.task/requested-to-start-timeout", status=words.READY)
            case words.IN_PROGRESS:
                reason = {"type": words.IN_PROGRESS_TIMEOUT, "message": "Failed due to in progress timeout"}
                self._failed(task, "awf.task/in-progress-timeout", reason, None)

    def _set(self, task: Resource, setting: str) -> None:
        milliseconds = task.get(setting, SETTINGS[setting])
        self._due[task["id"]] = self.now + timedelta(milliseconds=milliseconds)

    # The user's part of the API.

    def create(
        self, definition: str, params: Any, id: str | None = None, label: str | None = None,
        executeAt: str | None = None, requester: Resource | None = None, workflow_definition: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        own = {"resourceType": TASK, "id": id or self.new_id(), "definition": definition, "params": params}
        at = datetime.fromisoformat(executeAt).replace(tzinfo=UTC) if executeAt else None
        state: dict[str, Any] = {"status": words.WAITING if at and at > self.now else words.READY}
        if definition in AT_ONCE:
            state = {"status": words.IN_PROGRESS, "retryCount": 1}
        task = self._save(
            own,
            **state,
            label=label,
            executeAt=executeAt,
            requester=requester,
            workflow__definition=workflow_definition,
        )
        self._note(task, "awf.task/create", None, task["status"])
        if state["status"] == words.WAITING and at:
            self._due[task["id"]] = at
        if definition == words.CLEAN_UP:
            answer = {"resource": task}
            self._clean_up(task)
            return answer
        return {"resource": task}

    def status(self, id: str, **include: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"resource": self._get(TASK, id)}
        if include.get("include-log?"):
            answer["log"] = [line for line in self.tables[LOG].values() if line["subject"]["id"] == id]
        return answer

    def list_tasks(self, filter: Resource | None = None, sort: Resource | None = None) -> dict[str, Any]:
        return {"resources": _chosen(self.tables[TASK].values(), filter or {}, sort or {})}

    def cancel(self, id: str) -> dict[str, Any]:
        task = self._get(TASK, id)
        if task["status"] == words.DONE:
            raise Refused(422, "task-has-been-done", f"Task id:'{id}' has already been done. Couldn't cancel it.")
        return {"resource": self._move(task, "awf.task/cancel", status=words.DONE, outcome=words.CANCELED)}

    # The executor's part.

    def poll(
        self, taskDefinitions: list[str] | None = None, workflowDefinitions: list[str] | None = None,
        maxBatchSize: int = 1, timeout: int = 60_000,
    ) -> dict[str, Any]:  # fmt: skip
        wanted = taskDefinitions or []
        ready = [t for t in self.tables[TASK].values() if t["status"] == words.READY and t["definition"] in wanted]
        given = []
        for task in ready[:maxBatchSize]:
            given.append(self._move(task, "awf.task/poll", status=words.REQUESTED, execId=self.new_id()))
            self._set(given[-1], "requestedToStartTimeout")
        return {"resources": given}

    def start(self, id: str, execId: str) -> dict[str, Any]:
        task = self._mine(id, execId, words.REQUESTED)
        attempt = task.get("retryCount", 0) + 1
        begun = self._move(task, "awf.task/start", status=words.IN_PROGRESS, retryCount=attempt)
        self._set(begun, "inProgressTimeout")
        return {"resource": begun}

    def notify(self, id: str, execId: str, notification: str, **more: Any) -> dict[str, Any]:
        task = self._mine(id, execId, words.IN_PROGRESS)
        self._note(task, notification, words.IN_PROGRESS, words.IN_PROGRESS, **more)
        self._set(task, "inProgressTimeout")
        at = self._due[id].isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"inProgressTimeoutAt": at}

    def success(self, id: str, execId: str, result: Any = None) -> dict[str, Any]:
        task = self._mine(id, execId, words.IN_PROGRESS)
        ended = self._move(task, "awf.task/success", status=words.DONE, outcome=words.SUCCEEDED, result=result)
        self._decide(ended)
        return {"resource": ended}

    def fail(self, id: str, execId: str, error: Any = None) -> dict[str, Any]:
        task = self._mine(id, execId, words.IN_PROGRESS)
        reason = {"type": words.BY_EXECUTOR, "message": "Failed by executor"}
        return {"resource": self._failed(task, "awf.task/fail", reason, error)}

    def _failed(self, task: Resource, action: str, reason: Resource, error: Any) -> Resource:
        if task.get("retryCount", 0) < task.get("allowedRetryCount", SETTINGS["allowedRetryCount"]):
            at = self.now + timedelta(milliseconds=SETTINGS["retryDelay"])
            again = at.replace(tzinfo=None).isoformat(timespec="seconds")
            kept = task.get("execId") if self.rng.random() < 0.5 else None  # no page tells which
            waits = self._move(task, action, status=words.WAITING, executeAt=again, execId=kept)
            self._due[task["id"]] = at
            return waits
        ended = {"status": words.DONE, "outcome": words.FAILED, "outcomeReason": reason, "error": error}
        done = self._move(task, action, **ended)
        self._decide(done)
        return done

    def _get(self, kind: str, id: str) -> Resource:
        if id not in self.tables[kind]:
            raise Refused(404, "not-found", f"{kind} id:'{id}' is not found")
        return self.tables[kind][id]

    def _mine(self, id: str, exec_id: str, status: str) -> Resource:
        task = self._get(TASK, id)
        if task["status"] != status or task.get("execId") != exec_id:
            raise Refused(422, "wrong-execution", f"Task id:'{id}' is not {status} in execution '{exec_id}'")
        return task

    # Workflows.

    def create_workflow(
        self, definition: str, params: Any, id: str | None = None, label: str | None = None
    ) -> dict[str, Any]:  # fmt: skip
        own = {"resourceType": WORKFLOW, "id": id or self.new_id(), "definition": definition, "params": params}
        flow = self._save(own, status=words.IN_PROGRESS, label=label)
        steps = params.get("inputs", [params]) if isinstance(params, dict) else [params]
        asked: list[Resource] = [{"definition": STEP, "params": {"input": each}} for each in steps]
        actions = [{"action": "awf.workflow.action/schedule-task", "task-request": each} for each in asked]
        self._decision(flow, {"event": "awf.workflow.event/workflow-init"}, actions)
        for each in asked:
            self.create(each["definition"], each["params"], requester=_by(flow))
        return {"resource": flow}

    def workflow_status(self, id: str, **include: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"resource": self._get(WORKFLOW, id)}
        tasks = [t for t in self.tables[TASK].values() if t.get("requester", {}).get("id") == id]
        if include.get("include-activities?"):
            answer["activities"] = [t for t in tasks if t["definition"] != words.DECISION_TASK]
        if include.get("include-decisions?"):
            answer["decisions"] = [t for t in tasks if t["definition"] == words.DECISION_TASK]
        return answer

    def list_workflows(self, filter: Resource | None = None, sort: Resource | None = None) -> dict[str, Any]:
        return {"resources": _chosen(self.tables[WORKFLOW].values(), filter or {}, sort or {})}

    def cancel_workflow(self, id: str) -> dict[str, Any]:
        flow = self._get(WORKFLOW, id)
        if flow["status"] == words.DONE:
            what = f"Workflow id:'{id}' has already been done. Couldn't cancel it."
            raise Refused(422, "workflow-has-been-done", what)
        for task in list(self.tables[TASK].values()):
            if task.get("requester", {}).get("id") == id and task["status"] != words.DONE:
                self.cancel(task["id"])
        return {"resource": self._save(flow, status=words.DONE, outcome=words.CANCELED)}

    def _decide(self, ended: Resource) -> None:
        """What a workflow does once a step of it has ended: it ends with the last one."""
        flow = self.tables[WORKFLOW].get(ended.get("requester", {}).get("id", ""))
        if flow is None or flow["status"] == words.DONE or ended["definition"] == words.DECISION_TASK:
            return
        steps = self.workflow_status(flow["id"], **{"include-activities?": True})["activities"]
        over = all(step["status"] == words.DONE for step in steps)
        what = {"action": f"awf.workflow.action/{'complete-workflow' if over else 'do-nothing'}"}
        event = {"event": "awf.workflow.event/task-completed", "task-id": ended["id"]}
        self._decision(flow, event, [what])
        if over:
            good = all(step["outcome"] == words.SUCCEEDED for step in steps)
            end: Resource = {"outcome": words.SUCCEEDED, "result": "Finished"}
            if not good:
                reason = {"type": words.WORKFLOW_BY_EXECUTOR, "message": "Failed by executor"}
                end = {"outcome": words.FAILED, "outcomeReason": reason}
            self._save(flow, status=words.DONE, **end)

    def _decision(self, flow: Resource, params: Resource, result: Any) -> None:
        made = self.create(
            words.DECISION_TASK, params, requester=_by(flow), workflow_definition=flow["definition"]
        )["resource"]  # fmt: skip
        asked = self._move(made, "awf.task/poll", status=words.REQUESTED, execId=self.new_id())
        begun = self._move(asked, "awf.task/start", status=words.IN_PROGRESS, retryCount=1)
        self._move(begun, "awf.task/success", status=words.DONE, outcome=words.SUCCEEDED, result=result)

    # Clean-up.

    def _clean_up(self, task: Resource) -> None:
        begun = self._move(task, "awf.task/start", status=words.IN_PROGRESS, retryCount=1, execId=self.new_id())
        counts = dict.fromkeys((TASK, LOG, WORKFLOW), 0)
        for rule in task["params"]["rules"]:
            policy = rule["retentionPolicy"]
            oldest = self.now - timedelta(**{f"{policy['unit']}s": policy["value"]})
            for kind in (TASK, WORKFLOW):
                for old in list(self.tables[kind].values()):
                    if self._matches(old, rule, oldest):
                        for line in [x for x in self.tables[LOG].values() if x["subject"]["id"] == old["id"]]:
                            self._delete(line)
                            counts[LOG] += 1
                        self._delete(old)
                        counts[kind] += 1
        done = {"status": words.DONE, "outcome": words.SUCCEEDED, "result": {"deletedRowsCount": counts}}
        self._move(begun, "awf.task/success", **done)

    def _matches(self, old: Resource, rule: Resource, oldest: datetime) -> bool:
        ended = datetime.fromisoformat(old["meta"]["lastUpdated"])
        named = rule.get("includeDefinitions")
        return old["status"] == words.DONE and ended <= oldest and (named is None or old["definition"] in named)


def _by(flow: Resource) -> Resource:
    return {"id": flow["id"], "resourceType": WORKFLOW}


def _chosen(found: Any, filter: Resource, sort: Resource) -> list[Resource]:
    chosen = []
    for each in found:
        named = each["definition"]
        good = named in filter.get("includeDefinitions", [named]) and named not in filter.get("excludeDefinitions", [])
        good = good and all(each.get(key) == filter[key] for key in ("status", "outcome") if key in filter)
        if good and filter.get("ilike", "").lower() in f"{each['id']} {named} {each.get('label', '')}".lower():
            chosen.append(each)
    for field, direction in sort.items():
        chosen.sort(key=lambda each: str(each["meta"][field]), reverse=direction == "desc")
    return chosen
