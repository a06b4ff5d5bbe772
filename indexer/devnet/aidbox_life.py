"""What happens in a made-up Aidbox: users ask for tasks and workflows, executors work, fail and vanish."""

from datetime import UTC
from typing import Any

from indexer.devnet.aidbox_engine import Engine
from indexer.devnet.aidbox_versions import Resource
from indexer.networks.aidbox import words
from indexer.networks.aidbox.words import TASK, WORKFLOW

IMPORT = "aidbox.bulk/import-resource-task"
DEFINITIONS = ("clinic/send-letter", "clinic/label-images", IMPORT, "aidbox.task/run-sql")
TYPES = ("Organization", "Patient", "Claim", "Observation")
CLEAN_UP_EVERY = 60  # steps


def step(engine: Engine, *, hurry: bool = True) -> None:
    """Let some things happen. `hurry`: time passes, too; otherwise somebody else lets it."""
    rng = engine.rng
    engine.steps += 1
    if hurry:
        engine.advance(rng.uniform(0.5, 4.0))
    if rng.random() < 0.6:
        _ask(engine)
    if rng.random() < 0.12:
        inputs = [{"url": f"https://storage.example/{kind}.ndjson.gz", "resourceType": kind} for kind in TYPES]
        engine.create_workflow("aidbox.bulk/import-resources-workflow", {"inputs": inputs[: rng.randint(1, 3)]})
    for _ in range(rng.randint(0, 4)):
        _work(engine, hurry)
    if rng.random() < 0.05:
        _cancel(engine)
    if engine.steps % CLEAN_UP_EVERY == 0:
        rules = [{"retentionPolicy": {"unit": "minute", "value": 1}}]
        engine.create(words.CLEAN_UP, {"rules": rules})


def _ask(engine: Engine) -> None:
    rng = engine.rng
    params: dict[str, Any] = {"patient": engine.new_id(), "urgent": rng.random() < 0.2}
    at = None
    if rng.random() < 0.2:
        moment = engine.now.astimezone(UTC).replace(tzinfo=None, microsecond=0)
        at = moment.replace(second=0).isoformat() if rng.random() < 0.5 else moment.isoformat()
    label = f"letter {rng.randint(1, 999)}" if rng.random() < 0.5 else None
    user = {"id": f"user-{rng.randint(1, 5)}", "resourceType": "User"}
    engine.create(rng.choice(DEFINITIONS), params, label=label, executeAt=at, requester=user)


def _work(engine: Engine, hurry: bool) -> None:
    """One step of an executor, who can also go away for good."""
    rng, tasks = engine.rng, list(engine.tables[TASK].values())
    running = [t for t in tasks if t["status"] == words.IN_PROGRESS and "execId" in t]
    asked = [t for t in tasks if t["status"] == words.REQUESTED]
    if running and rng.random() < 0.55:
        _go_on(engine, rng.choice(running), hurry)
    elif asked and rng.random() < 0.85:
        task = rng.choice(asked)
        engine.start(task["id"], task["execId"])
    else:
        engine.poll(taskDefinitions=list(DEFINITIONS), maxBatchSize=rng.randint(1, 3))


def _go_on(engine: Engine, task: Resource, hurry: bool) -> None:
    rng, mine = engine.rng, (task["id"], task["execId"])
    chance = rng.random()
    if chance < 0.45:
        result = rng.choice([{"imported-resources": rng.randint(0, 500)}, [{"id": "pt-1"}], "Finished", None])
        engine.success(*mine, result=result)
    elif chance < 0.6:
        engine.fail(*mine, error={"message": "no such patient"})
    elif chance < 0.75:
        engine.notify(*mine, "progress", progress__current=rng.randint(1, 9), progress__total=10)
    elif chance < 0.9:
        engine.notify(*mine, "awf.task/heartbeat", message="task is alive")
    elif hurry:
        engine.advance(150.0)  # nobody gives a sign of life any more


def _cancel(engine: Engine) -> None:
    tasks = [t for t in engine.tables[TASK].values() if t["status"] != words.DONE and "requester" in t]
    flows = [f for f in engine.tables[WORKFLOW].values() if f["status"] != words.DONE]
    if flows and engine.rng.random() < 0.3:
        engine.cancel_workflow(engine.rng.choice(flows)["id"])
    elif tasks:
        engine.cancel(engine.rng.choice(tasks)["id"])
