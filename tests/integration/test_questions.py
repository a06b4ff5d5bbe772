"""The questions of `indexer.query` and their views, recomputed in plain Python from the truth of the recordings."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from indexer.query import (
    Rows,
    ask,
    claim_all,
    claimable,
    expiring,
    latencies,
    open_disputes,
    parameter_history,
    pool_depth,
    stuck,
    subjects,
    task_by_id,
    tasks,
    worker_records,
)
from indexer.query.asking import Query, connect
from tests.support import needs_recordings, recording

pytestmark = needs_recordings
ALL = 100_000


@pytest.fixture(scope="module")
def database(filled: str) -> Iterator[sa.Connection]:
    with connect(filled) as connection:
        yield connection


def rows(database: sa.Connection, query: Query[Rows[Any]]) -> list[Any]:
    return ask(database, query).rows


def engines() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = recording("arbius-dev")["truth"]["engines"]
    return found


def arbius(*states: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(engine, task) for engine in engines() for task in engine["tasks"] if not states or task["state"] in states]


def iexec() -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Every task, its deal, and what its deadlines allow at the head, by iexec.md section 3."""
    truth, now = recording("iexec-dev")["truth"], recording("iexec-dev")["head_timestamp"]
    deals = {deal["dealid"]: deal for deal in truth["deals"]}
    return [(task, deals[task["dealid"]], _allowed(task, deals[task["dealid"]], now)) for task in truth["tasks"]]


TIMES = {0: 300, 1: 1200, 2: 3600, 3: 10800, 4: 36000}


def _allowed(task: dict[str, Any], deal: dict[str, Any], now: int) -> str:
    start, unit = deal["startTime"], TIMES[deal["category"]]
    if task["status"] >= 3:
        return "done"
    if now >= start + 10 * unit:
        return "claimable"
    if task["status"] == 2:
        closed = now >= task["revealDeadline"]
        if task["revealCounter"] and (closed or task["revealCounter"] == task["winnerCounter"]):
            return "finalizable"
        return "reopenable" if closed else "revealing"
    if task["status"] == 1:
        return "contribution_closed" if now >= start + 7 * unit else "contributing"
    return "waiting"


def called(signature: str, *arguments: Any) -> str:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return "0x" + (keccak(text=signature)[:4] + encode(types, arguments)).hex()


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_solutions_to_claim_and_their_calls(database: sa.Connection) -> None:
    found = rows(database, claimable(network="arbius", action="claim", limit=ALL))
    assert {(row.task_id, row.account, row.gain, row.call) for row in found} == {
        (
            task["id"], task["solution"]["validator"].lower(), int(task["fee"]),
            (42161, engine["engine"].lower(), called("claimSolution(bytes32)", raw(task["id"])), None),
        )
        for engine, task in arbius("claimable")
    }  # fmt: skip
    assert len(found) == 30
    one = found[0].account
    assert rows(database, claimable(worker=one, limit=ALL)) == [row for row in rows(
        database, claimable(network="arbius", limit=ALL)) if row.account == one and row.role == "worker"]  # fmt: skip


def test_votes_to_count_and_to_pay(database: sa.Connection) -> None:
    found = rows(database, claimable(network="arbius", limit=ALL))
    voters = {(row.action, row.task_id, row.account) for row in found if row.role == "voter"}
    wanted = {("finish", task["id"], who.lower()) for _, task in arbius("awaiting_finish")
              for who, _ in task["contestation"]["votes"]}  # fmt: skip
    for _, task in arbius("contestation_succeeded", "contestation_failed"):
        contested = task["contestation"]
        winners = [who for who, yea in contested["votes"] if yea == (contested["outcome"] == "succeeded")]
        paid = max(end for _, end in contested["finishes"])
        wanted |= {("settle", task["id"], who.lower()) for who in winners[paid:]}
    assert voters == wanted
    for row in found:
        if row.action == "finish":
            (task,) = [task for _, task in arbius() if task["id"] == row.task_id]
            votes = len(task["contestation"]["votes"])
            assert row.call_data == called("contestationVoteFinish(bytes32,uint32)", raw(task["id"]), votes)


def test_timed_out_tasks_to_claim(database: sa.Connection) -> None:
    found = rows(database, claimable(network="iexec", action="claim", limit=ALL))
    timed_out = {task["taskid"]: (task, deal) for task, deal, allowed in iexec() if allowed == "claimable"}
    parts = ("app", "dataset", "workerpool")
    price = {key: sum(deal[part][2] for part in parts) for key, (_, deal) in timed_out.items()}
    wanted = set()
    for key, (task, deal) in timed_out.items():
        sponsored = deal["sponsor"] != deal["requester"]
        wanted.add((key, "requester", deal["requester"], 0 if sponsored else price[key]))
        if sponsored:
            wanted.add((key, "payer", deal["sponsor"], price[key]))
        wanted |= {(key, "worker", who, deal["workerStake"]) for who in task.get("contributors", [])}
    assert {(row.task_id, row.role, row.account, row.gain) for row in found} == wanted
    for row in found:
        task, deal = timed_out[row.task_id]
        unset = called("initializeAndClaimArray(bytes32[],uint256[])", [raw(deal["dealid"])], [task["idx"]])
        assert row.call_data == (called("claim(bytes32)", raw(row.task_id)) if task["status"] else unset)
    (call,) = claim_all(found)
    begun = {key for key, (task, _) in timed_out.items() if task["status"]}
    assert {key for key in timed_out if key[2:] in call.data} == begun


def test_what_is_stuck_with_whose_stake(database: sa.Connection) -> None:
    found = rows(database, stuck(limit=ALL))
    mine = [row for row in found if row.network == "arbius" and row.role == "worker"]
    solvers = {(row.reason, row.task_id, row.account) for row in mine}
    states, locked = {"claimable", "forfeited"}, recording("arbius-dev")["calls"]
    assert {one for one in solvers if one[0] in states} == {
        (task["state"], task["id"], task["solution"]["validator"].lower()) for engine, task in arbius(*states)
        if int(locked.get(f"{engine['engine'].lower()}:0xb4dc35b7{task['id'][2:]}", "0x0"), 16)
    }  # fmt: skip
    assert all(row.action is None and row.until is None for row in found if row.reason == "forfeited")
    idle = {"claimable", "contribution_closed", "finalizable", "reopenable"}
    held = {(row.reason, row.task_id, row.account, row.stake) for row in found
            if row.network == "iexec" and row.role == "worker"}  # fmt: skip
    assert held == {
        (allowed, task["taskid"], who, deal["workerStake"])
        for task, deal, allowed in iexec() if allowed in idle and deal["workerStake"]
        for who in task.get("contributors", [])
    }  # fmt: skip


def test_what_time_ends_next(database: sa.Connection) -> None:
    now = recording("iexec-dev")["head_timestamp"]
    wanted = set()
    for engine, task in arbius("challengeable", "voting"):
        params = engine["params"]
        if task["state"] == "voting":
            c = task["contestation"]
            end = c["blocktime"] + params["vote"] + params["ext"] * len(c["votes"])
            wanted.add((task["id"], "vote", end, "awaiting_finish"))
        else:
            wanted.add((task["id"], "challenge", task["solution"]["blocktime"] + params["claim"], "claimable"))
    for task, deal, allowed in iexec():
        start, unit = deal["startTime"], TIMES[deal["category"]]
        ends = [("final", start + 10 * unit, "TIMEOUT")]
        if task["status"] < 2:
            ends.append(("contribution", start + 7 * unit, "contribution_closed"))
        if task["status"] == 2:
            becomes = "finalizable" if task["revealCounter"] else "reopenable"
            ends.append(("reveal", task["revealDeadline"], becomes))
        coming = [end for end in ends if end[1] > now]
        if allowed not in ("done", "claimable"):
            wanted.add((task["taskid"], *min(coming, key=lambda end: end[1])))
    found = rows(database, expiring(limit=ALL))
    assert {(r.task_id, r.window, int(r.deadline.timestamp()), r.becomes) for r in found} == wanted
    assert [row.deadline for row in found] == sorted(row.deadline for row in found)


def test_open_disputes_and_who_leads(database: sa.Connection) -> None:
    calls = recording("arbius-dev")["calls"]
    wanted = {}
    for engine, task in arbius("voting", "awaiting_finish"):
        answer = calls.get(f"{engine['engine'].lower()}:0x{keccak(text='masterContesterVoteAdder()')[:4].hex()}")
        adder = int(answer, 16) if answer else 0
        yeas = sum(yea for _, yea in task["contestation"]["votes"])
        nays = len(task["contestation"]["votes"]) - yeas
        leading = "yeas" if yeas + adder > nays else "nays"
        wanted[task["id"]] = (yeas, nays, adder, leading, task["state"], task["state"] == "awaiting_finish")
    found = rows(database, open_disputes(limit=ALL))
    assert {r.task_id: (r.yeas, r.nays, r.adder, r.leading, r.state, r.call_data is not None) for r in found} == wanted
    assert len(wanted) == 14


def test_a_timeline_ends_in_the_state_of_the_task_and_holds_its_logs(database: sa.Connection) -> None:
    named = defaultdict(set)
    for name, protocol in (("arbius-dev", "arbius-engine"), ("iexec-dev", "iexec-poco-6.1")):
        watched = {c["address"] for c in recording(name)["contracts"] if c["protocol"] == protocol}
        for log in recording(name)["logs"]:
            if log["address"] in watched:
                data = log["data"][2:]
                for word in [*log["topics"][1:], *("0x" + data[at : at + 64] for at in range(0, len(data), 64))]:
                    named[word].add((int(log["blockNumber"], 16), int(log["logIndex"], 16)))
    states = {task["id"]: task["state"].replace("committed", "open") for _, task in arbius()}
    states |= {task["taskid"]: task["derivedStatus"] for task, _, _ in iexec()}
    statement = sa.text("""SELECT t.task_id, l.* FROM analytics.tasks t, analytics.timeline(t.task_id) l""")
    lives = defaultdict(list)
    for row in database.execute(statement).mappings():
        lives[row["task_id"]].append(row)
    assert lives.keys() == states.keys()
    for key, life in lives.items():
        past = [row for row in life if row["kind"] != "due"]
        assert [row["network_status"] for row in past if row["network_status"]][-1] == states[key], key
        assert {(row["block"], row["log_index"]) for row in past if row["kind"] == "event"} >= named[key], key
        assert [row["at"] for row in life] == sorted(row["at"] for row in life)


def test_a_task_by_a_part_of_its_id_is_the_same_in_all_views(database: sa.Connection) -> None:
    for _, truth in arbius("contestation_failed")[-3:]:
        found = ask(database, task_by_id(truth["id"][:24]))
        mine = rows(database, tasks(subject=truth["model"], owner=truth["owner"].lower(), limit=ALL))
        assert [row for row in mine if row.task_id == truth["id"]] == [found.task]
        votes = [moment.details["yea"] for moment in found.timeline if moment.what == "ContestationVote"]
        assert votes == [yea for _, yea in truth["contestation"]["votes"]]
        assert len(found.disputes) == len(found.work) == 1
        assert {payment.kind for payment in found.payments} <= {"fee", "reward", "award", "stake", "unstake", "slash"}
    settled = [truth["taskid"] for truth, _, _ in iexec() if truth["status"] >= 3][::40]
    every = sa.text("SELECT count(*) FROM analytics.payments WHERE task_id = :key")
    paid = {key: len(ask(database, task_by_id(key)).payments) for key in [truth["id"], *settled]}
    assert paid == {key: database.scalar(every, {"key": key}) for key in paid}
    assert sum(paid.values()) > 10


def test_tasks_are_filtered_by_everything_together(database: sa.Connection) -> None:
    everything = [task for _, task in arbius()]
    worker = Counter(t["solution"]["validator"].lower() for t in everything if t["solution"]).most_common(1)[0][0]
    middle = sorted(task["blocktime"] for task in everything)[200]
    since = datetime.fromtimestamp(middle, UTC)
    found = rows(database, tasks(worker=worker, since=since, network="arbius", limit=ALL))
    assert {row.task_id for row in found} == {
        t["id"] for t in everything
        if t["solution"] and t["solution"]["validator"].lower() == worker and t["blocktime"] >= middle
    }  # fmt: skip
    pages, after = [], None
    while not pages or after:  # of its newest works, then of more
        page = ask(database, tasks(worker=worker, limit=3, after=after))
        pages, after = [*pages, *page.rows], page.next
    assert pages == rows(database, tasks(worker=worker, limit=ALL))
    before = rows(database, tasks(until=since, network="arbius", limit=ALL))
    assert {row.task_id for row in before} == {t["id"] for t in everything if t["blocktime"] < middle}


def percentile(values: Sequence[int], share: float) -> int:
    return sorted(values)[math.ceil(share * len(values)) - 1]


def test_latencies(database: sa.Connection) -> None:
    times = [int(block["timestamp"], 16) for block in recording("arbius-dev")["blocks"]]
    solved = [task for _, task in arbius() if task["solution"]]
    work = [task["solution"]["blocktime"] - task["blocktime"] for task in solved]
    commitments = [task["solution"]["blocktime"] - times[task["commitment"]["block"]] for task in solved]
    found = {(row.network, row.measure): row for row in ask(database, latencies())}
    for measure, values in (("submit_to_work", work), ("commitment_to_solution", commitments)):
        row = found["arbius", measure]
        assert (row.n, row.p50_seconds, row.p90_seconds, row.p99_seconds, row.max_seconds) == (
            len(values), *(percentile(values, share) for share in (0.5, 0.9, 0.99)), max(values),
        )  # fmt: skip
    middle = sorted(task["blocktime"] for _, task in arbius())[200]
    late = [task["solution"]["blocktime"] - task["blocktime"] for task in solved if task["blocktime"] >= middle]
    since = ask(database, latencies(since=datetime.fromtimestamp(middle, UTC)))
    assert next(row.n for row in since if (row.network, row.measure) == ("arbius", "submit_to_work")) == len(late)


def test_records_of_workers(database: sa.Connection) -> None:
    made = defaultdict(list)
    for _, task in arbius():
        if task["solution"]:
            made[task["solution"]["validator"].lower()].append(task)
    accepted, lost = ("claimed", "contestation_failed"), ("contestation_succeeded", "forfeited")
    slashed: Counter[str] = Counter()
    for engine, task in arbius("contestation_succeeded", "contestation_failed"):
        won = task["state"] == "contestation_succeeded"
        for voter, yea in task["contestation"]["votes"]:
            slashed[voter.lower()] += int(task["contestation"]["slash_amount"]) if yea != won else 0
        if won:
            stake = recording("arbius-dev")["calls"].get(
                f"{engine['engine'].lower()}:0xb4dc35b7{task['id'][2:]}", "0x0"
            )
            slashed[task["solution"]["validator"].lower()] += int(stake, 16)
    found = {row.worker: row for row in rows(database, worker_records(network="arbius", limit=ALL))}
    assert found.keys() == made.keys()
    for worker, works in made.items():
        row, took = found[worker], [task["solution"]["blocktime"] - task["blocktime"] for task in works]
        states = Counter(task["state"] for task in works)
        assert (row.submitted, row.accepted, row.lost) == (
            len(works), sum(states[s] for s in accepted), sum(states[s] for s in lost),
        )  # fmt: skip
        assert row.pending == row.submitted - row.accepted - row.lost
        assert (row.p50_seconds, row.p99_seconds) == (percentile(took, 0.5), percentile(took, 0.99))
        assert row.slashed == slashed[worker]


def told(signature: str) -> Iterator[tuple[list[str], list[str], int]]:
    """Topics, words of data and time of each recorded log of this event of the hub."""
    (hub,) = (c["address"] for c in recording("iexec-dev")["contracts"] if c["protocol"] == "iexec-poco-6.1")
    blocks = recording("iexec-dev")["blocks"]
    for log in recording("iexec-dev")["logs"]:
        if log["address"] == hub and log["topics"][0] == "0x" + keccak(text=signature).hex():
            data = log["data"][2:]
            words = ["0x" + data[at : at + 64] for at in range(0, len(data), 64)]
            yield log["topics"], words, int(blocks[int(log["blockNumber"], 16)]["timestamp"], 16)


def contributed() -> dict[tuple[str, str], int]:
    """(task, worker) -> when it contributed."""
    found = told("TaskContribute(bytes32,address,bytes32)")
    return {(topics[1], "0x" + topics[2][-40:]): at for topics, _, at in found}


def moved(signature: str) -> Counter[str]:
    """Account -> sum of what a Reward or Seize tells."""
    found: Counter[str] = Counter()
    for _, (owner, amount, _), _ in told(signature):
        found["0x" + owner[-40:]] += int(amount, 16)
    return found


def test_latencies_of_iexec(database: sa.Connection) -> None:
    start = {task["taskid"]: deal["startTime"] for task, deal, _ in iexec()}
    first: dict[str, int] = {}
    for (key, _), at in contributed().items():
        first[key] = min(at, first.get(key, at))
    ends = [(topics[1], at) for end in ("TaskFinalize(bytes32,bytes)", "TaskClaimed(bytes32)")
            for topics, _, at in told(end)]  # fmt: skip
    wanted = {
        "submit_to_work": [at - start[key] for key, at in first.items()],
        "submit_to_finish": [at - start[key] for key, at in ends],
    }
    found = {row.measure: row for row in ask(database, latencies()) if row.network == "iexec"}
    assert found.keys() == wanted.keys()
    for measure, values in wanted.items():
        row = found[measure]
        assert (row.n, row.p50_seconds, row.p90_seconds, row.p99_seconds, row.max_seconds) == (
            len(values), *(percentile(values, share) for share in (0.5, 0.9, 0.99)), max(values),
        )  # fmt: skip


def test_records_of_iexec_workers(database: sa.Connection) -> None:
    """By what the contracts said of each contribution, and by the recorded logs."""
    truth, at = recording("iexec-dev")["truth"], contributed()
    start = {task["taskid"]: deal["startTime"] for task, deal, _ in iexec()}
    status = {task["taskid"]: task["status"] for task in truth["tasks"]}
    earning = {deal[part][1] for deal in truth["deals"] for part in ("app", "dataset", "workerpool")}
    seized, rewarded = moved("Seize(address,uint256,bytes32)"), moved("Reward(address,uint256,bytes32)")
    made = defaultdict(list)
    for each in truth["contributions"]:
        made[each["worker"]].append(each)
    found = {row.worker: row for row in rows(database, worker_records(network="iexec", limit=ALL))}
    assert found.keys() == made.keys()
    for worker, mine in made.items():
        row, took = found[worker], [at[each["taskid"], worker] - start[each["taskid"]] for each in mine]
        proved = [each["status"] == "PROVED" for each in mine if status[each["taskid"]] == 3]
        reopened = sum(each["status"] == "REJECTED" for each in mine if status[each["taskid"]] != 3)
        assert (row.submitted, row.accepted, row.lost) == (
            len(mine), sum(proved), len(proved) - sum(proved) + reopened,
        ), worker  # fmt: skip
        assert row.pending == row.submitted - row.accepted - row.lost
        assert (row.p50_seconds, row.p90_seconds, row.p99_seconds) == tuple(
            percentile(took, share) for share in (0.5, 0.9, 0.99)
        )
        if worker not in earning:  # who also owns an app or a pool gets more than its work earns
            assert (row.earned, row.slashed) == (rewarded[worker], seized[worker])
    assert sum(worker not in earning for worker in made) > 3


def test_the_leaderboard_of_subjects(database: sa.Connection) -> None:
    wanted = {}
    for engine in engines():
        for model in {task["model"] for task in engine["tasks"]}:
            mine = [task for task in engine["tasks"] if task["model"] == model]
            states = Counter(task["state"] for task in mine)
            wanted[engine["engine"].lower(), model] = (
                len(mine), states["claimed"] + states["contestation_failed"], states["contestation_succeeded"],
                sum(task["contestation"] is not None for task in mine), states["retracted"],
                sum(int(task["fee"]) for task in mine),
            )  # fmt: skip
    found = rows(database, subjects(network="arbius", limit=ALL))
    assert {
        (row.contract, row.subject): (row.tasks, row.succeeded, row.failed, row.disputed, row.cancelled, row.fees)
        for row in found
    } == wanted
    assert [row.tasks for row in found] == sorted((row.tasks for row in found), reverse=True)


def test_how_deep_the_pool_was(database: sa.Connection) -> None:
    everything = [task for _, task in arbius()]
    for row in rows(database, pool_depth(network="arbius")):
        end = (datetime.combine(row.day, datetime.min.time(), UTC) + timedelta(days=1)).timestamp()
        there = [task for task in everything if task["blocktime"] < end]
        solved = [task for task in there if task["solution"] and task["solution"]["blocktime"] < end]
        blocks = recording("arbius-dev")["blocks"]
        gone = [t for t in there if t["retracted"] is not None
                and int(blocks[retraction(t)]["timestamp"], 16) < end]  # fmt: skip
        assert row.waiting == len(there) - len(solved) - len(gone), row.day


def retraction(task: dict[str, Any]) -> int:
    """The block of TaskRetracted."""
    topic = "0x" + keccak(text="TaskRetracted(bytes32)").hex()
    (log,) = (log for log in recording("arbius-dev")["logs"] if log["topics"][:2] == [topic, task["id"]])
    return int(log["blockNumber"], 16)


PARAMETERS = {
    "min_claim_solution_time": "minClaimSolutionTime()", "master_contester_vote_adder": "masterContesterVoteAdder()",
    "min_contestation_vote_period_time": "minContestationVotePeriodTime()", "solutions_stake_amount": "",
}  # fmt: skip


def test_parameters_over_time_are_as_the_getters_said(database: sa.Connection) -> None:
    seen = 0
    for engine in engines():
        history = rows(database, parameter_history(contract=engine["engine"].lower(), limit=ALL))
        for name, getter in PARAMETERS.items():
            told = recording("arbius-dev")["calls_at"].get(
                f"{engine['engine'].lower()}:0x{keccak(text=getter)[:4].hex()}"
            )
            if isinstance(told, list):
                wanted = [(block, int(value, 16)) for block, value in told if value is not None]
                mine = [(row.since_block, int(row.value)) for row in reversed(history) if row.parameter == name]
                assert [one for one in mine if one[1] or one in wanted] == wanted, name
                seen += len(wanted)
    assert seen
