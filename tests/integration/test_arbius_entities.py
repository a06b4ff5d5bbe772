"""Entities of Arbius on the recording of the real engines: what became of every task, by the recording's ledger."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from eth_utils.crypto import keccak
from psycopg import sql

from indexer.store import database as db
from indexer.store.fold import fold_chain, folded, refold, touched_keys
from schema.arbius import EVENTS, FOLDS
from tests.integration.conftest import fresh_database
from tests.integration.test_scan import ingest
from tests.support import addresses, needs_recordings, recording, replay, staked

pytestmark = needs_recordings

CHAIN, HEAD = 42161, 291
V5, V6 = 138, 199
STATUS = {
    "open": "open", "retracted": "cancelled", "challengeable": "review", "claimable": "claimable",
    "claimed": "succeeded", "forfeited": "succeeded", "voting": "disputed", "awaiting_finish": "disputed",
    "contestation_succeeded": "failed", "contestation_failed": "succeeded",
}  # fmt: skip
TERMINAL = {"retracted", "claimed", "contestation_succeeded", "contestation_failed"}
Row = dict[str, Any]


def read(url: str, start_block: int | None = None, head: int = HEAD) -> None:
    """Read both engines up to `head` into the database and fold them."""
    engines = addresses("arbius-dev", "arbius-engine")
    start = {} if start_block is None else {"start_block": start_block}
    with replay("arbius-dev", "--head", str(head)) as chain:
        ingest(url, chain.url, [{"network": "arbius", "addresses": engines} | start], CHAIN)
    engine = db.engine(url)
    with engine.begin() as connection:
        fold_chain(connection, CHAIN)
    engine.dispose()


@pytest.fixture(scope="module")
def filled(server_url: str, template: str) -> Iterator[str]:
    """The URL of a database that holds the whole recording; tests only read it."""
    with fresh_database(server_url, template) as url:
        read(url)
        yield url


def rows(url: str, query: str, *values: object) -> list[Row]:
    with psycopg.connect(url) as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def by_task(url: str, table: str) -> dict[tuple[str, str], Row]:
    name = sql.Identifier("arbius", table)
    with psycopg.connect(url) as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(sql.SQL("SELECT * FROM {}").format(name)).fetchall()
    return {(str(text(row["address"])), str(text(row["task_id"]))): row for row in found}


def truth() -> dict[tuple[str, str], Row]:
    """The recording's ledger: (engine, task id) -> what happened to the task."""
    engines = recording("arbius-dev")["truth"]["engines"]
    return {(engine["engine"].lower(), task["id"]): task for engine in engines for task in engine["tasks"]}


def text(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


def lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


def when(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def block_time(number: int) -> int:
    return int(recording("arbius-dev")["blocks"][number]["timestamp"], 16)


def state(task: Row) -> str:
    return "open" if task["state"] == "committed" else str(task["state"])


def word(engine: str, getter: str, *arguments: int) -> str:
    types = {"validators(address)", "validatorWithdrawPendingAmount(address)"}
    assert getter.endswith(")") or getter in types
    return f"{engine}:0x{keccak(text=getter)[:4].hex()}" + "".join(f"{argument:064x}" for argument in arguments)


def words(answer: str) -> list[int]:
    return [int(answer[n : n + 64], 16) for n in range(2, len(answer), 64)]


def answer_at(key: str, block: int) -> list[int] | None:
    """What the engine itself answered to a recorded eth_call at a block; None: it reverted."""
    changes = recording("arbius-dev")["calls_at"].get(key)
    if changes is None or isinstance(changes, int):
        answer = recording("arbius-dev")["calls"].get(key)
        return words(answer) if answer is not None and (changes is None or block >= changes) else None
    last = [answer for since, answer in changes if since <= block]
    return words(last[-1]) if last and last[-1] is not None else None


def test_every_task_is_as_the_ledger_says(filled: str) -> None:
    stored, ledger = by_task(filled, "tasks"), truth()
    assert stored.keys() == ledger.keys()
    for key, task in ledger.items():
        row, claim, back = stored[key], task["claim"] or {}, task["retracted"] or {}
        found = {
            "model": text(row["model"]), "fee": row["fee"], "sender": text(row["sender"]),
            "tx": text(row["submitted_tx"]), "block": row["submitted_block"], "log": row["submitted_log_index"],
            "at": row["blocktime"], "suggestions": row["suggestions"],
            "claimed": (row["claimed_block"], row["claimed_at"]),
            "retracted": (row["retracted_block"], row["retracted_at"]),
        }  # fmt: skip
        assert found == {
            "model": task["model"], "fee": int(task["fee"]), "sender": lower(task["sender"]),
            "tx": task["tx"], "block": task["block"], "log": task["log_index"],
            "at": when(task["blocktime"]), "suggestions": len(task["suggestions"]),
            "claimed": (claim.get("block"), when(claim.get("blocktime"))),
            "retracted": (back.get("block"), when(back.get("blocktime"))),
        }  # fmt: skip


def test_every_state_of_all_ten_is_right_by_the_clock_of_the_head(filled: str) -> None:
    found = rows(filled, "SELECT * FROM arbius.v_tasks")
    states = {(row["contract"], row["task_id"]): row["network_status"] for row in found}
    assert states == {key: state(task) for key, task in truth().items()}
    assert set(states.values()) == set(STATUS), "the recording has a task in each state"
    assert all(row["status"] == STATUS[row["network_status"]] for row in found)
    assert all(row["fee_amount"] * 10**18 == row["fee"] for row in found)
    assert all((row["finished_at"] is not None) == (row["network_status"] in TERMINAL) for row in found)


def test_every_solution_is_as_the_ledger_says(filled: str) -> None:
    stored = by_task(filled, "solutions")
    solved = {key: task for key, task in truth().items() if task["solution"]}
    assert stored.keys() == solved.keys()
    tasks = by_task(filled, "tasks")
    for key, task in solved.items():
        row, told = stored[key], task["solution"]
        expected = (lower(told["validator"]), told["block"], when(told["blocktime"]))
        assert (text(row["validator"]), row["submitted_block"], row["blocktime"]) == expected
        wide = tasks[key]
        assert (text(wide["solution_validator"]), wide["solution_block"], wide["solution_blocktime"]) == expected
        assert text(row["submitted_tx"]) == told["tx"]
        assert row["claimed"] == (task["claim"] is not None)
        answer = answer_at(word(key[0], "solutions(bytes32)", int(key[1], 16)), HEAD)
        assert answer is not None
        assert row["claimed"] == bool(answer[2])


def test_every_contestation_vote_and_outcome_is_as_the_ledger_says(filled: str) -> None:
    stored, tasks = by_task(filled, "contestations"), by_task(filled, "tasks")
    contested = {key: task for key, task in truth().items() if task["contestation"]}
    assert stored.keys() == contested.keys()
    votes: dict[tuple[str, str], list[list[object]]] = {}
    for vote in rows(filled, "SELECT * FROM arbius.votes ORDER BY block_number, log_index"):
        key = str(text(vote["address"])), str(text(vote["task_id"]))
        votes.setdefault(key, []).append([text(vote["voter"]), vote["yea"]])
    for key, task in contested.items():
        row, told = stored[key], task["contestation"]
        assert text(row["validator"]) == lower(told["contester"])
        assert text(row["solver"]) == lower(task["solution"]["validator"])
        assert row["blocktime"] == when(told["blocktime"])
        assert row["outcome"] == told["outcome"]
        assert votes[key] == [[lower(voter), yea] for voter, yea in told["votes"]]
        yeas = sum(yea for _, yea in told["votes"])
        assert (row["yeas"], row["nays"]) == (yeas, len(told["votes"]) - yeas)
        assert row["finishes"] == len(told["finishes"])
        answer = answer_at(word(key[0], "contestations(bytes32)", int(key[1], 16)), HEAD)
        assert answer is not None
        assert (row["finish_start_index"] or 0) == answer[2]
        wide, same = tasks[key], ("yeas", "nays", "outcome", "finished_block", "finished_at")
        assert wide["settled"] == row["finish_start_index"]
        assert [wide[name] for name in same] == [row[name] for name in same]
        assert (wide["contester"], wide["contested_at"]) == (row["validator"], row["blocktime"])
    assert votes.keys() == contested.keys()


def test_payments_stand_at_the_tasks_that_they_are_for(filled: str) -> None:
    stored = by_task(filled, "solutions")
    fees = {(row["block_number"], row["log_index"]): row for row in rows(filled, "SELECT * FROM arbius.fees_paid")}
    rewards = {
        (row["block_number"], row["log_index"]): row for row in rows(filled, "SELECT * FROM arbius.rewards_paid")
    }
    paid = {key: row for key, row in stored.items() if row["paid_at"] is not None}
    expected = {
        key for key, task in truth().items()
        if (task["claim"] and task["claim"]["block"] > V5 and key[0] == addresses("arbius-dev", "arbius-engine")[1])
        or (state(task) == "contestation_failed" and key[0] == addresses("arbius-dev", "arbius-engine")[1])
    }  # fmt: skip
    assert paid.keys() == expected
    assert {(row["paid_block"], row["paid_log_index"]) for row in paid.values()} == fees.keys()
    rewarded = {(row["paid_block"], row["rewarded_log_index"]) for row in paid.values() if row["rewarded_log_index"]}
    assert rewarded == rewards.keys()
    for key, row in paid.items():
        fee, task = fees[row["paid_block"], row["paid_log_index"]], truth()[key]
        assert row["model_fee"] + row["remaining_fee"] == int(task["fee"]), "what is paid out is the task's fee"
        assert fee["task"] is None or text(fee["task"]) == key[1]
        reward = rewards.get((row["paid_block"], row["rewarded_log_index"]))
        assert reward is None or reward["task"] is None or text(reward["task"]) == key[1]
        assert row["total_rewards"] == (reward["total_rewards"] if reward else None)


def test_payments_of_the_view_are_all_that_events_tell(filled: str) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for row in rows(filled, "SELECT kind, source_event, amount FROM arbius.v_payments"):
        assert row["amount"] > 0
        found[row["kind"], row["source_event"]] += int(row["amount"])
    parts = "SELECT sum(model_fee + remaining_fee) AS fees FROM arbius.fees_paid"
    won = "SELECT sum(treasury_reward + task_owner_reward + validator_reward) AS rewards FROM arbius.rewards_paid"
    deposits = "SELECT sum(amount) AS amount FROM arbius.validator_deposit"
    withdrawals = "SELECT sum(amount) AS amount FROM arbius.validator_withdraw"
    lost = [task for task in truth().values() if state(task) == "contestation_succeeded"]
    locked: Counter[tuple[str, str]] = Counter()
    for (engine, key), task in truth().items():
        stake = answer_at(f"{engine}:0xb4dc35b7{key[2:]}", HEAD) or [0]  # solutionsStake(bytes32)
        end = {"claimed": ("unstake", "SolutionClaimed"), "contestation_failed": ("unstake", "ContestationVoteFinish"),
               "contestation_succeeded": ("slash", "ContestationVoteFinish")}  # fmt: skip
        locked["stake", "SolutionSubmitted"] += stake[0]
        if state(task) in end:
            locked[end[state(task)]] += stake[0]
        if contested := task["contestation"]:
            each, votes = int(contested["slash_amount"]), contested["votes"]
            winners = sum(yea == (contested["outcome"] == "succeeded") for _, yea in votes)
            paid = max((end for _, end in contested["finishes"]), default=0)
            locked["stake", "ContestationVote"] += each * len(votes)
            if contested["outcome"]:
                locked["unstake", "ContestationVoteFinish"] += each * min(paid, winners)
                locked["slash", "ContestationVoteFinish"] += each * (len(votes) - winners)
                locked["award", "ContestationVoteFinish"] += sum(won for _, won in shares(contested, 0, paid))
    assert found == locked + Counter({
        ("stake", "TaskSubmitted"): sum(int(task["fee"]) for task in truth().values()),
        ("fee", "FeesPaid"): rows(filled, parts)[0]["fees"],
        ("reward", "RewardsPaid"): rows(filled, won)[0]["rewards"],
        ("refund", "ContestationVoteFinish"): sum(int(task["fee"]) for task in lost),
        ("refund", "TaskRetracted"): sum(int(task["fee"]) * 9 // 10 for task in truth().values() if task["retracted"]),
        ("deposit", "ValidatorDeposit"): rows(filled, deposits)[0]["amount"],
        ("withdraw", "ValidatorWithdraw"): rows(filled, withdrawals)[0]["amount"],
    })  # fmt: skip


def test_stakes_of_validators_are_what_their_engine_says(filled: str) -> None:
    """What is locked, given back, lost and won, vote by vote, adds up to `validators()` of the recorded engines."""
    held = staked(rows(filled, "SELECT * FROM arbius.v_payments"), {addresses("arbius-dev", "arbius-engine")[1]: V6})
    told = {}
    for engine in recording("arbius-dev")["truth"]["engines"]:
        for validator in engine["validators"]:
            answer = answer_at(word(lower(engine["engine"]), "validators(address)", int(validator, 16)), HEAD)
            told[str(lower(engine["engine"])), str(lower(validator))] = answer[0] if answer else 0
    assert {key: held[key] for key in told} == told
    assert sum(told.values()) > 0


def shares(told: Mapping[str, Any], start: int, end: int) -> Iterator[tuple[str | None, int]]:
    """Who wins how much of what the others lost, as the recorded engine divides it: half for the first, who contested
    (rounded up) or solved (down), the rest in equal parts. A solver who is alone takes all, a contester only half."""
    upheld = told["outcome"] == "failed"
    winners = [lower(voter) for voter, yea in told["votes"] if yea != upheld]
    total = int(told["slash_amount"]) * (len(told["votes"]) - len(winners))
    first = total - total // 2
    if upheld:
        first = total if len(winners) == 1 else total // 2
    for n, voter in list(enumerate(winners))[start:end]:
        yield voter, first if n == 0 else (total - first) // (len(winners) - 1)


def transfers() -> list[tuple[int, str, str, int]]:
    """(block, from, to, amount) of every recorded transfer of an engine's token."""
    transfer = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
    tokens = addresses("arbius-dev", "erc20")
    return [
        (int(log["blockNumber"], 16), *("0x" + topic[-40:] for topic in log["topics"][1:3]), int(log["data"], 16))
        for log in recording("arbius-dev")["logs"]
        if log["address"] in tokens and log["topics"][0] == transfer
    ]


def test_fees_that_engines_hold_are_what_the_token_moved(filled: str) -> None:
    """A bulk of tasks is one transfer, so sums are compared: per block, from whom, to which engine."""
    held: Counter[tuple[int, str, str]] = Counter()
    moved: Counter[tuple[int, str, str]] = Counter()
    for row in rows(
        filled, "SELECT * FROM arbius.v_payments WHERE source_event IN ('TaskSubmitted', 'ValidatorDeposit')"
    ):
        held[row["block"], row["from_address"], row["contract"]] += int(row["amount"])
    for block, sender, engine, amount in transfers():
        if engine in addresses("arbius-dev", "arbius-engine") and (block, sender, engine) in held:
            moved[block, sender, engine] += amount
    assert len(held) > 50
    assert held == moved


def test_what_an_engine_holds_for_a_task_is_paid_out_or_back(filled: str) -> None:
    sums = rows(
        filled,
        """
        SELECT task_id, sum(amount) FILTER (WHERE kind = 'stake') AS held,
               sum(amount) FILTER (WHERE kind IN ('fee', 'refund')) AS given
        FROM arbius.v_payments WHERE kind IN ('fee', 'refund') OR source_event = 'TaskSubmitted'
        GROUP BY 1 HAVING bool_or(source_event IN ('FeesPaid', 'ContestationVoteFinish'))
    """,
    )
    assert len(sums) > 50
    assert [row for row in sums if row["held"] != row["given"]] == []


def test_refunds_are_what_the_token_moved(filled: str) -> None:
    moved = Counter((block, sender, amount) for block, sender, _, amount in transfers())
    refunds = rows(filled, "SELECT * FROM arbius.v_payments WHERE kind = 'refund'")
    assert len(refunds) > 10
    for row in refunds:
        assert moved[row["block"], row["contract"], int(row["amount"])] > 0


def test_awards_are_what_the_token_moved_until_they_went_to_the_stake(filled: str) -> None:
    v5 = addresses("arbius-dev", "arbius-engine")[1]
    awards = rows(filled, "SELECT * FROM arbius.v_payments WHERE kind = 'award'")
    paid = [row for row in awards if row["contract"] != v5 or row["block"] <= V6]
    assert 10 < len(paid) < len(awards)
    moved = Counter(transfers())
    for row in paid:
        assert moved[row["block"], row["contract"], row["to_address"], int(row["amount"])] > 0


def test_work_and_disputes_show_what_the_ledger_says(filled: str) -> None:
    words_of = {
        "claimed": "accepted", "contestation_failed": "accepted", "contestation_succeeded": "rejected",
        "forfeited": "lost",
    }  # fmt: skip
    work = {(row["contract"], row["task_id"]): row for row in rows(filled, "SELECT * FROM arbius.v_work")}
    for key, row in work.items():
        assert row["state"] == words_of.get(state(truth()[key]), "submitted")
        assert row["worker"] == lower(truth()[key]["solution"]["validator"])
    disputes = {(row["contract"], row["task_id"]): row for row in rows(filled, "SELECT * FROM arbius.v_disputes")}
    clock = when(recording("arbius-dev")["head_timestamp"])
    assert clock is not None
    for key, row in disputes.items():
        told = truth()[key]
        assert (row["opened_by"], row["outcome"]) == (
            lower(told["contestation"]["contester"]),
            told["contestation"]["outcome"],
        )
        if row["outcome"]:
            assert (row["leading"] == "yeas") == (row["outcome"] == "succeeded")
            assert row["settled_at"] >= row["deadline"], "no vote is finished before its time"
        else:
            assert (row["deadline"] < clock) == (state(told) == "awaiting_finish")


def test_models_have_the_fee_and_rate_that_the_engine_answers(filled: str) -> None:
    stored = {(text(row["address"]), text(row["model_id"])): row for row in rows(filled, "SELECT * FROM arbius.models")}
    told = {
        (engine["engine"].lower(), model["id"]): model
        for engine in recording("arbius-dev")["truth"]["engines"] for model in engine["models"]
    }  # fmt: skip
    assert stored.keys() == told.keys()
    changed = 0
    for (engine, model_id), model in told.items():
        row = stored[engine, model_id]
        answer = answer_at(word(engine, "models(bytes32)", int(model_id, 16)), HEAD)
        assert answer is not None
        assert row["rate"] == model["rate"] == answer[2]
        assert row["fee"] in (None, answer[0])
        assert (row["fee"] is None) == (model["fee"] == model["fee_now"])
        assert row["addr"] is None or int(row["addr"].hex(), 16) == answer[1]
        changed += row["addr"] is not None
    assert changed == 1


def test_validators_have_the_deposits_and_requests_that_the_engine_answers(filled: str) -> None:
    stored = {(str(text(r["address"])), r["validator"]): r for r in rows(filled, "SELECT * FROM arbius.validators")}
    told = {
        (engine["engine"].lower(), bytes.fromhex(validator[2:]))
        for engine in recording("arbius-dev")["truth"]["engines"] for validator in engine["validators"]
    }  # fmt: skip
    assert stored.keys() == told
    requests = rows(filled, "SELECT * FROM arbius.withdraw_requests")
    for (engine, validator), row in stored.items():
        mine = [r for r in requests if (text(r["address"]), r["validator"]) == (engine, validator)]
        pending = answer_at(word(engine, "validatorWithdrawPendingAmount(address)", int(validator.hex(), 16)), HEAD)
        count = answer_at(
            word(engine, "pendingValidatorWithdrawRequestsCount(address)", int(validator.hex(), 16)), HEAD
        )
        assert [row["pending"]] == (pending or [0])
        assert row["pending"] == sum(r["amount"] for r in mine if r["state"] == "pending")
        assert row["pending_withdrawals"] == sum(r["state"] == "pending" for r in mine)
        assert [len(mine)] == (count or [0])
    assert Counter(r["state"] for r in requests) == {"pending": 5, "cancelled": 5, "withdrawn": 5}
    assert all(r["unlock_at"] == when(int(r["unlock_time"])) for r in requests)


GETTERS = {
    "min_claim_solution_time": "minClaimSolutionTime",
    "min_contestation_vote_period_time": "minContestationVotePeriodTime",
    "contestation_vote_extension_time": "contestationVoteExtensionTime",
    "min_retraction_wait_time": "minRetractionWaitTime",
    "max_contestation_validator_stake_since": "maxContestationValidatorStakeSince",
    "exit_validator_min_unlock_time": "exitValidatorMinUnlockTime",
    "validator_minimum_percentage": "validatorMinimumPercentage",
    "slash_amount_percentage": "slashAmountPercentage",
    "solution_fee_percentage": "solutionFeePercentage",
    "retraction_fee_percentage": "retractionFeePercentage",
    "treasury_reward_percentage": "treasuryRewardPercentage",
    "task_owner_reward_percentage": "taskOwnerRewardPercentage",
    "solution_model_fee_percentage": "solutionModelFeePercentage",
    "solutions_stake_amount": "solutionsStakeAmount",
    "solution_rate_limit": "solutionRateLimit",
    "master_contester_vote_adder": "masterContesterVoteAdder",
    "master_contester_registry": "masterContesterRegistry",
    "start_block_time": "startBlockTime",
    "paused": "paused",
    "version": "version",
    "owner": "owner",
}


def test_parameters_are_at_every_block_what_the_engine_answers(filled: str) -> None:
    stored = rows(filled, "SELECT * FROM arbius.parameters ORDER BY address, since_block")
    assert {row["since_block"] for row in stored} >= {5, 48, 86, 128, 134, 199, 243, 247, 275, 279}
    for engine in addresses("arbius-dev", "arbius-engine"):
        mine = [row for row in stored if text(row["address"]) == engine]
        for block in range(mine[0]["since_block"], HEAD + 1):
            row = [row for row in mine if row["since_block"] <= block][-1]
            for column, getter in GETTERS.items():
                answer = answer_at(word(engine, f"{getter}()"), block)
                found = int(row[column].hex(), 16) if isinstance(row[column], bytes) else row[column]
                assert (found or 0) == (answer or [0])[0], f"{column} of {engine} at block {block}"


def test_history_equals_an_index_that_was_built_only_up_to_there(
    filled: str, server_url: str, template: str
) -> None:  # fmt: skip
    for block in random.Random(11).sample(range(30, HEAD), 3):
        with fresh_database(server_url, template) as url:
            read(url, head=block)
            assert snapshot(filled, block) == snapshot(url, None)
            past = """
                SELECT analytics.hex(t.task_id), s.network_status
                FROM arbius.fold_tasks(%s, %s, %s, %s) t
                CROSS JOIN LATERAL arbius.live_state(
                    t.chain_id, t.address, t.stage, t.solution_validator, t.solution_blocktime, t.contested_at,
                    t.yeas + t.nays, to_timestamp(%s), %s) s
            """
            keys = [(row["address"], row["task_id"]) for row in rows(filled, "SELECT * FROM arbius.tasks")]
            engines, ids = [key[0] for key in keys], [key[1] for key in keys]
            then = rows(filled, past, CHAIN, engines, ids, block, block_time(block), block)
            now = rows(url, "SELECT task_id AS hex, network_status FROM arbius.v_tasks")
            assert {row["hex"]: row["network_status"] for row in then} == {
                row["hex"]: row["network_status"] for row in now
            }


def snapshot(url: str, at_block: int | None) -> dict[str, set[tuple[object, ...]]]:
    """All entities: as they are stored, or as the folds give them at a block for all keys that are known."""
    engine, found = db.engine(url), {}
    with engine.connect() as connection:
        for fold in FOLDS:
            columns = fold.folded
            query = sa.select(*columns)
            if at_block is not None:
                c = fold.table.c
                keys = connection.execute(sa.select(c.address, c[fold.key]).distinct()).all()
                given = folded(fold, CHAIN, [(row[0], row[1]) for row in keys], at_block).subquery()
                query = sa.select(*(given.c[column.name] for column in columns))
            lines = [tuple(row) for row in connection.execute(query)]
            found[fold.table.name] = set(lines)
            assert len(lines) == len(found[fold.table.name]), "no row twice"
    engine.dispose()
    return found


def test_rebuilt_entities_are_the_stored_ones(filled: str) -> None:
    assert snapshot(filled, HEAD) == snapshot(filled, None)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ranges_read_in_any_order_give_the_same_entities(
    server_url: str, template: str, filled: str, seed: int
) -> None:
    chance = random.Random(seed)
    cuts = sorted({0, *chance.sample(range(1, HEAD), 12), HEAD + 1})
    ranges = [(first, end - 1) for first, end in pairwise(cuts)]
    chance.shuffle(ranges)
    engines = [bytes.fromhex(address[2:]) for address in addresses("arbius-dev", "arbius-engine")]
    with fresh_database(server_url, template) as url:
        target = db.engine(url)
        for first, last in ranges:
            copy_events(filled, url, first, last)
            with target.begin() as connection:
                for fold in FOLDS:
                    keys = touched_keys(connection, fold, CHAIN, engines, first, last)
                    refold(connection, fold, CHAIN, keys, HEAD)
        target.dispose()
        assert snapshot(url, None) == snapshot(filled, None)


def copy_events(source: str, target: str, first: int, last: int) -> None:
    with psycopg.connect(source) as old, psycopg.connect(target) as new:
        for name in EVENTS:
            table = sql.Identifier("arbius", name)
            wanted = sql.SQL("SELECT * FROM {} WHERE block_number BETWEEN %s AND %s").format(table)
            for row in old.execute(wanted, (first, last)).fetchall():
                places = sql.SQL(", ").join(sql.Placeholder() * len(row))
                new.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(table, places), row)


@pytest.mark.parametrize("start", [29, 33, 90, 140, 175, 181, 215, 286])
def test_reading_that_began_later_tells_what_is_known(migrated: str, start: int) -> None:
    read(migrated, start_block=start)
    found = {
        (row["contract"], row["task_id"]): row["network_status"]
        for row in rows(migrated, "SELECT * FROM arbius.v_tasks")
    }
    told = rows(
        migrated,
        "SELECT address, block_number FROM arbius.initialized"
        " UNION ALL SELECT address, block_number FROM arbius.fees_paid",
    )
    ledger, known = truth(), by_task(migrated, "tasks")
    for key, status in found.items():
        task = ledger[key]
        if status is None:  # nothing before the finish has told the engine's version, so a tie may mean either
            assert known[key]["outcome"] is None
            assert state(task).startswith("contestation_")
            assert not [row for row in told if row["address"] == known[key]["address"]
                        and row["block_number"] < known[key]["finished_block"]]  # fmt: skip
        elif task["block"] >= start or state(task) in TERMINAL:
            assert status == state(task)
        assert (known[key]["model"] is None) == (task["block"] < start)
    ended = {
        key for key, task in ledger.items()
        if any((task[end] or {}).get("block", 0) >= start for end in ("claim", "retracted"))
    }  # fmt: skip
    assert ended <= found.keys()
    assert all(found[key] == state(ledger[key]) for key in ended)


@pytest.mark.parametrize("column", ["task_id", "submitter", "subject"])
@pytest.mark.parametrize("comparison", ["= %s", "LIKE %s || '%%'"])
def test_a_filter_on_hex_text_uses_an_index(filled: str, column: str, comparison: str) -> None:
    query = sql.SQL("EXPLAIN SELECT * FROM arbius.v_tasks WHERE {} ").format(sql.Identifier(column))
    with psycopg.connect(filled) as connection:
        connection.execute("SET enable_seqscan = off")
        cursor = psycopg.ClientCursor(connection)
        plan = "\n".join(row[0] for row in cursor.execute(query + sql.SQL(comparison), ("0xab12",)).fetchall())
    source = {"task_id": "task_id", "submitter": "sender", "subject": "model"}[column]
    assert f"ix_tasks_{source}_hex" in plan
    assert "Index Cond" in plan
