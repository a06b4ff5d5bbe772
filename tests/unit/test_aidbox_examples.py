"""Every example of Aidbox's documentation: its resources are read whole, and the stand-in answers as it shows."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from indexer.devnet.aidbox import CLIENT, SECRET, Node
from indexer.devnet.aidbox_engine import Engine
from indexer.networks.aidbox import TASK, read
from indexer.networks.aidbox.fields import Fields
from indexer.networks.aidbox.resource import FIELDS
from tests.unit.aidbox_examples import Example, examples, needs_samples, resources

pytestmark = needs_samples

EXAMPLES = examples()
NAMED = {"ids": [example.name for example in EXAMPLES]}
TOLD_BY_TIME = {"meta", "id", "execId", "executeAt", "inProgressTimeoutAt"}  # what each installation makes anew
BEFORE: dict[str, dict[str, Any]] = {
    "awf.task/cancel": {"status": "waiting", "outcome": None},
    "awf.task/poll": {"status": "ready", "execId": None},
    "awf.task/long-poll": {"status": "ready", "execId": None},
    "awf.task/start": {"status": "requested", "retryCount": None},
    "awf.task/success": {"status": "in-progress", "outcome": None},
    "awf.task/fail": {"status": "in-progress", "outcome": None, "outcomeReason": None},
    "awf.workflow/cancel": {"status": "in-progress", "outcome": None},
}
"""What differs in a resource before the method from what the example shows after it."""


def test_the_examples_are_all_there() -> None:
    assert len(EXAMPLES) >= 22
    assert len([answer for example in EXAMPLES for answer in example.answers]) >= 25


@pytest.mark.parametrize("example", EXAMPLES, **NAMED)
def test_each_resource_is_read_and_nothing_of_it_is_unknown(example: Example) -> None:
    for _, answer in example.answers:
        for resource in resources(answer):
            version = read(resource, TASK)
            assert version.odd == ()
            assert version.extra == {}
            assert back(version.columns, FIELDS[version.resource]) == {
                name: value for name, value in resource.items() if name not in ("id", "meta", "resourceType")
            }
            meta = resource.get("meta", {})
            assert version.id == resource["id"]
            assert version.number == (int(meta["versionId"]) if meta else None)
            assert [iso(version.created_at), iso(version.updated_at)] == [
                meta.get("createdAt"),
                meta.get("lastUpdated"),
            ]


def back(columns: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """The columns as the resource that they came from."""
    found: dict[str, Any] = {}
    for column, (path, kind, _) in fields.items():
        if (value := columns[column]) is None:
            continue
        if kind == "number":
            value = int(value)
        elif kind == "time":
            value = value.astimezone(UTC).replace(tzinfo=None).isoformat()
        outer, _, inner = path.partition(".")
        if inner:
            found.setdefault(outer, {})[inner] = value
        else:
            found[outer] = value
    return found


def iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None


def ask(node: Node, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    import base64

    login = {"Authorization": "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()}
    status, body, _ = node.answer("POST", "/rpc", login, json.dumps(request).encode())
    return status, json.loads(body)


@pytest.mark.parametrize("example", EXAMPLES, **NAMED)
def test_the_stand_in_answers_as_the_example_shows(example: Example) -> None:
    """Word for word; of what each installation makes anew (ids, times, numbers) only that it is there."""
    method = example.request["method"]
    for status, shown in example.answers[:1]:
        node = Node(Engine(1, datetime(2023, 5, 1, tzinfo=UTC)))
        prepare(node.engine, example.request, shown)
        assert alike(ask(node, example.request), (status, shown), method)


def prepare(engine: Engine, request: dict[str, Any], shown: dict[str, Any]) -> None:
    """Put into the engine what was there before the request, going by the answer that the example shows."""
    before = BEFORE.get(request["method"], {})
    if "create-and-execute" in request["method"]:
        return
    for resource in resources(copy.deepcopy(shown)):
        put(engine, resource | before)
    wanted = request["params"]
    if "error" in shown:
        done = {"resourceType": "AidboxWorkflow", "status": "done", "outcome": "succeeded", "definition": "x"}
        put(engine, {"id": wanted["id"], **done})
    if request["method"] == "awf.task/notify":
        running = {"resourceType": TASK, "status": "in-progress", "definition": "x", "params": {}}
        put(engine, {"id": wanted["id"], "execId": wanted["execId"], **running})


def put(engine: Engine, resource: dict[str, Any]) -> None:
    own = {name: value for name, value in resource.items() if value is not None}
    engine.put(own if "meta" in own else {**own, "meta": {"lastUpdated": "2023-05-01T00:00:00Z", "versionId": "1"}})


def alike(got: tuple[int, Any], shown: tuple[int, Any], method: str) -> bool:
    reading = method.rpartition("/")[2] in ("status", "list")
    assert got[0] == shown[0]
    if method == "awf.task/create-and-execute" and "mapping" in got[1]["result"]["resource"]["params"]:
        shown[1]["result"]["resource"]["params"] = got[1]["result"]["resource"]["params"]  # the page contradicts itself
    assert plain(got[1], reading) == plain(shown[1], reading)
    return True


def plain(value: Any, reading: bool) -> Any:
    """`value` without what each installation makes anew, unless it only reads what is there."""
    if isinstance(value, dict):
        own = {name: plain(each, reading) for name, each in value.items()}
        own.pop("meta" if "definition" in own and not reading else "", None)
        if not reading:
            own = {name: (... if name in TOLD_BY_TIME and name != "id" else each) for name, each in own.items()}
            own = {name: each for name, each in own.items() if name != "executeAt"}
            if "resourceType" in own:
                own["id"] = ...
        elif own.get("resourceType") == "AidboxWorkflow" and own.get("meta", {}).get("versionId") == "1":
            del own["meta"]
        return own
    return [plain(each, reading) for each in value] if isinstance(value, list) else value
