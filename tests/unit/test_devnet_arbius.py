"""The devnet's own rules of Arbius: identifiers against known and recorded ones, states and sums by hand."""

import pytest

from indexer.devnet.arbius import ids
from indexer.devnet.arbius.books import EARLY_PARAMS, V5_2_PARAMS, V6_PARAMS, Books
from indexer.devnet.arbius.facts import EARLY, V5_2, V6, Contestation, Engine, Model, Solution, Task, Validator
from indexer.devnet.chain import Block
from tests.support import needs_recordings, recording

WHOLE = 10**18
SOLVER, CONTESTER, YEA, NAY = ("0x" + 20 * f"{i:02x}" for i in range(1, 5))
MODEL = "0x" + 32 * "aa"
SOLVED = 1_000_000


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_the_cid_of_a_known_file() -> None:
    # `printf 'test\n' | ipfs add`: QmeomffUNfmQy76CQGy9NdmqEnnHU9soCexBnGU3ezPHVH; arbius.md, section 2.
    assert ids.cid(b"test\n").hex().startswith("1220f4ad8a3b")


@needs_recordings
def test_ids_are_those_of_the_real_contracts() -> None:
    for engine in recording("arbius-dev")["truth"]["engines"]:
        previous = bytes(32)
        for task in sorted(engine["tasks"], key=lambda task: (task["block"], task["log_index"])):
            cid = ids.cid(raw(task["input"]))
            assert cid == raw(task["cid"])
            found = ids.task_id(task["sender"].lower(), previous, raw(task["model"]), int(task["fee"]), cid)
            assert found == raw(task["id"])
            previous = found
            if task["solution"]:
                solution = task["solution"]
                digest = ids.commitment(solution["validator"].lower(), found, raw(solution["cid"]))
                assert digest == raw(task["commitment"]["hash"])


def engine(form: str) -> Engine:
    params = {**EARLY_PARAMS, **(V5_2_PARAMS if form != EARLY else {}), **(V6_PARAMS if form == V6 else {})}
    found = Engine("one", "0x", {}, form=form, params=params, reward_pool=500_000 * WHOLE)
    found.validators = {who: Validator(who, since=1, staked=100 * WHOLE) for who in (SOLVER, CONTESTER, YEA, NAY)}
    found.models[MODEL] = Model(MODEL, "0x", "0x", WHOLE, "0x", "0x", 1)
    return found


def solved_task() -> Task:
    task = Task("0x1", "one", V6, "", "single", "0x", "0x", "0x", MODEL, 3 * WHOLE, 0, "0x", "0x", 5, SOLVED - 60)
    task.solution = Solution(SOLVER, "0x", 10**15, "single", 6, SOLVED)
    return task


@pytest.mark.parametrize(("form", "wait"), [(EARLY, 2000), (V5_2, 3600), (V6, 3600)])
def test_a_solution_is_claimable_one_second_after_its_window(form: str, wait: int) -> None:
    task = solved_task()
    assert engine(form).state(task, SOLVED + wait) == "challengeable"
    assert engine(form).state(task, SOLVED + wait + 1) == "claimable"


@pytest.mark.parametrize(("form", "cooldown"), [(EARLY, 6000), (V5_2, 3960), (V6, 3960)])
def test_a_loss_forfeits_what_was_solved_up_to_a_cooldown_later(form: str, cooldown: int) -> None:
    facts, task = engine(form), solved_task()
    facts.validators[SOLVER].last_loss = SOLVED - cooldown
    assert facts.state(task, SOLVED + 10_000) == "forfeited"
    facts.validators[SOLVER].last_loss -= 1
    assert facts.state(task, SOLVED + 10_000) == "claimable"


@pytest.mark.parametrize(("form", "votes", "wait"), [(EARLY, 2, 4000), (EARLY, 5, 4000), (V5_2, 2, 381), (V6, 5, 411)])
def test_votes_are_counted_when_the_voting_time_is_over(form: str, votes: int, wait: int) -> None:
    facts, task = engine(form), solved_task()
    task.contestation = Contestation(CONTESTER, WHOLE, 7, SOLVED + 5, votes=[(NAY, False)] * votes)
    assert facts.state(task, SOLVED + 5 + wait - 1) == "voting"
    assert facts.state(task, SOLVED + 5 + wait) == "awaiting_finish"


def contested(form: str, votes: list[tuple[str, bool]]) -> tuple[Engine, Task]:
    facts, task = engine(form), solved_task()
    books = Books(facts, 600_000 * WHOLE)
    books.contested(task, CONTESTER, Block(7, SOLVED + 5))
    for voter, yea in votes:
        books.voted(task, voter, yea)
    books.finished(task, 10, Block(8, SOLVED + 900))
    return facts, task


@pytest.mark.parametrize(("form", "outcome"), [(EARLY, "failed"), (V5_2, "failed"), (V6, "succeeded")])
def test_a_tie_succeeds_by_the_bonus_only(form: str, outcome: str) -> None:
    facts, task = contested(form, [])
    assert facts.state(task, SOLVED + 900) == f"contestation_{outcome}"
    assert (facts.validators[SOLVER].last_loss == SOLVED + 900) == (outcome == "succeeded")


def test_winners_share_what_the_losers_locked() -> None:
    # Slash amount of V5_2 and V6: 0.001 % of the 100,000 tokens that circulate.
    facts, _ = contested(V6, [(YEA, True), (NAY, False)])
    stakes = {who: validator.staked - 100 * WHOLE for who, validator in facts.validators.items()}
    assert stakes == {SOLVER: -WHOLE, NAY: -WHOLE, CONTESTER: WHOLE + 10**15, YEA: WHOLE}
    facts, _ = contested(V5_2, [(NAY, False)])
    stakes = {who: validator.staked - 100 * WHOLE for who, validator in facts.validators.items()}
    assert stakes == {SOLVER: 10**15, NAY: 0, CONTESTER: -WHOLE, YEA: 0}
    # Fee 3, of which the model's 1 goes to the treasury and 1.8 of the other 2 to the solver.
    assert facts.accrued_fees == WHOLE + WHOLE // 5
