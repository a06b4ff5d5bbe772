"""States at every second, between blocks too, against brute force over the recorded logs (`tests/life_model.py`)."""

import bisect
import random
from collections import Counter
from typing import Any

from tests.integration.test_enrich import ARBIUS, IEXEC, fetch
from tests.life_model import Engine, Log, PocoTask, name_of
from tests.support import addresses, needs_recordings, recording

pytestmark = needs_recordings
MOMENTS = 45
SECONDS = {0: 300, 1: 1200, 2: 3600, 3: 10800, 4: 36000}  # of the categories, iexec.md section 2
TASK_EVENTS = {"TaskInitialize", "TaskContribute", "TaskConsensus", "TaskReveal", "TaskReopen", "TaskFinalize",
               "TaskClaimed"}  # fmt: skip


def times(name: str) -> list[int]:
    return [int(block["timestamp"], 16) for block in recording(name)["blocks"]]


def logs_by_block(name: str, protocol: str) -> dict[int, list[Log]]:
    found: dict[int, list[Log]] = {}
    for log in recording(name)["logs"]:
        if log["address"] in addresses(name, protocol):
            found.setdefault(int(log["blockNumber"], 16), []).append(log)
    return found


def moments(borders: set[int], at: list[int], seed: int) -> list[tuple[int, int]]:
    """Blocks and seconds, in order: around borders, between blocks, and long after the last one."""
    rng = random.Random(seed)
    near = [border + step for border in borders for step in (-1, 0, 1) if border > at[20]]
    chosen = rng.sample(sorted(set(near)), MOMENTS) + [rng.randint(at[20], at[-1] + 4000) for _ in range(MOMENTS // 3)]
    chosen += [at[-1] + 10 * 36000, at[-1]]
    return [(bisect.bisect_right(at, second) - 1, second) for second in sorted(chosen)]


class Arbius:
    """Both engines, played block by block."""

    def __init__(self) -> None:
        truth = recording("arbius-dev")["truth"]["engines"]
        self.engines = {e["engine"].lower(): Engine([u["version"] for u in e["upgrades"]]) for e in truth}
        self.logs, self.times, self.block = logs_by_block("arbius-dev", "arbius-engine"), times("arbius-dev"), -1

    def play(self, upto: int) -> None:
        while self.block < upto:
            self.block += 1
            for log in self.logs.get(self.block, ()):
                self.engines[log["address"]].take(log, self.times[self.block])

    def states(self, now: int) -> dict[tuple[str, str], str]:
        return {(at, f"0x{task}"): e.state(task, now) for at, e in self.engines.items() for task in e.tasks}

    def borders(self) -> set[int]:
        return {engine.border(task) for engine in self.engines.values() for task in engine.tasks} - {0}


def test_the_model_of_arbius_ends_as_the_truth_does() -> None:
    model = Arbius()
    model.play(len(model.times) - 1)
    words = {(e["engine"].lower(), t["id"]): t["state"].replace("committed", "open")
             for e in recording("arbius-dev")["truth"]["engines"] for t in e["tasks"]}  # fmt: skip
    assert model.states(model.times[-1]) == words
    odd = {what for engine in model.engines.values() for what in engine.odd}
    assert odd == {"tie", "won against the votes", "another adder at the finish"}


def test_arbius_states_at_every_second(arbius: str) -> None:
    ahead, model, seen = Arbius(), Arbius(), Counter[str]()
    borders: set[int] = set()
    for block in range(len(ahead.times)):
        ahead.play(block)
        borders |= ahead.borders()
    at = "SELECT contract, task_id, network_status FROM analytics.tasks_at(%s, %s, to_timestamp(%s))"
    for block, second in moments(borders, model.times, 5):
        model.play(block)
        wanted = model.states(second)
        found = {(r["contract"], r["task_id"]): r["network_status"] for r in fetch(arbius, at, ARBIUS, block, second)}
        assert differences(found, wanted) == [], (block, second)
        seen.update(wanted.values())
    assert len(seen) == 10, seen


def differences(found: dict[Any, Any], wanted: dict[Any, Any]) -> list[tuple[Any, Any, Any]]:
    keys = sorted(found.keys() | wanted.keys())
    return [
        (key, found.get(key, "-"), wanted.get(key, "-")) for key in keys if found.get(key, "-") != wanted.get(key, "-")
    ]


class Poco:
    """All tasks of all deals, played block by block."""

    def __init__(self) -> None:
        truth = recording("iexec-dev")["truth"]
        self.deals = {deal["dealid"][2:]: deal for deal in truth["deals"]}
        self.ids: dict[str, list[str]] = {}
        for task in truth["tasks"]:
            self.ids.setdefault(task["dealid"][2:], []).append(task["taskid"][2:])
        self.logs, self.times, self.block = logs_by_block("iexec-dev", "iexec-poco-6.1"), times("iexec-dev"), -1
        self.tasks: dict[str, PocoTask] = {}

    def play(self, upto: int) -> None:
        while self.block < upto:
            self.block += 1
            for log in self.logs.get(self.block, ()):
                self._take(log, self.times[self.block])

    def _take(self, log: Log, time: int) -> None:
        name = name_of("iexec", log)
        if name == "OrdersMatched":
            deal = log["data"][2:66]
            unit = SECONDS[self.deals[deal]["category"]]
            self.tasks |= {task: PocoTask(time, unit) for task in self.ids[deal]}
        elif name in TASK_EVENTS:
            self.tasks[log["topics"][1][2:]].take(log, time)

    def states(self, now: int) -> dict[str, tuple[str, str | None]]:
        return {f"0x{task}": (made.state(now), made.window(now)) for task, made in self.tasks.items()}

    def contributions(self) -> dict[tuple[str, str], str]:
        return {(task, worker[24:]): status for task, made in self.tasks.items()
                for worker, (_, status) in made.contributions.items()}  # fmt: skip


def test_the_model_of_iexec_ends_as_the_truth_does() -> None:
    model, truth = Poco(), recording("iexec-dev")["truth"]
    model.play(len(model.times) - 1)
    found = {task: state for task, (state, _) in model.states(model.times[-1]).items()}
    assert found == {task["taskid"]: task["derivedStatus"] for task in truth["tasks"]}
    assert model.contributions() == {(c["taskid"][2:], c["worker"][2:]): c["status"] for c in truth["contributions"]}


STATES = """
    WITH given AS (SELECT to_timestamp(%s) AS second, %s::bigint AS chain, %s::bigint AS block)
    SELECT t.task_id, t.network_status,
           iexec.window_state(f.status, f.start_time, e.timeref,
                              CASE WHEN f.consensus_value IS NOT NULL THEN f.consensus_at END,
                              f.reveal_counter, f.winner_counter, g.second) AS window_state
    FROM given g
    CROSS JOIN LATERAL (SELECT array_agg(address) AS addresses, array_agg(taskid) AS keys FROM iexec.tasks) k
    CROSS JOIN LATERAL analytics.tasks_at(g.chain, g.block, g.second) t
    JOIN LATERAL iexec.fold_tasks(g.chain, k.addresses, k.keys, g.block) f
        ON analytics.hex(f.taskid) = t.task_id
    JOIN iexec.tasks e ON e.taskid = f.taskid
"""
CONTRIBUTIONS = """
    SELECT f.taskid, f.worker, f.status
    FROM (SELECT array_agg(address) AS addresses, array_agg(taskid) AS keys FROM iexec.tasks) AS t
    CROSS JOIN LATERAL iexec.fold_contributions(%s, t.addresses, t.keys, %s) f
"""


def test_iexec_states_windows_and_contributions_at_every_second(iexec: str) -> None:
    ahead, model, seen = Poco(), Poco(), Counter[str | None]()
    borders: set[int] = set()
    for block in range(len(ahead.times)):
        ahead.play(block)
        borders |= {border for task in ahead.tasks.values() for border in task.borders()}
    for block, second in moments(borders, model.times, 6):
        model.play(block)
        wanted = model.states(second)
        rows = fetch(iexec, STATES, second, IEXEC, block)
        found = {row["task_id"]: (row["network_status"], row["window_state"]) for row in rows}
        assert differences(found, wanted) == [], (block, second)
        made = {(r["taskid"].hex(), r["worker"].hex()): r["status"] for r in fetch(iexec, CONTRIBUTIONS, IEXEC, block)}
        assert differences(made, model.contributions()) == [], block
        seen.update(word for pair in wanted.values() for word in pair)
        seen.update(model.contributions().values())
    assert {"UNSET", "ACTIVE", "REVEALING", "COMPLETED", "FAILED", "TIMEOUT", "REJECTED", "reopenable", "finalizable",
            "contribution_closed", "revealing", "contributing", "waiting", "claimable"} <= seen.keys()  # fmt: skip
