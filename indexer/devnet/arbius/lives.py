"""The lives of tasks: what the tasks of one plan go through together, from their submission to their fate."""

from collections.abc import Callable

from indexer.devnet.arbius import disputes
from indexer.devnet.arbius.engine import Handle
from indexer.devnet.arbius.facts import Task
from indexer.devnet.arbius.tasks import Plan, claim, commit, solve, solver_for, submit
from indexer.devnet.arbius.world import Flow, World

OPEN, COMMITTED, RETRACT, CLAIM, SUGGESTED, PENDING = "open", "committed", "retract", "claim", "suggested", "pending"
LOST, EQUAL, BEHIND, FORFEIT = "lost", "equal", "behind", "forfeit"
UPHELD, TIE, VOTING = "upheld", "tie", "voting"
# Fates whose solver loses, or suffers from the loss of a task solved together with it.
BAD = (LOST, EQUAL, BEHIND, FORFEIT)
# By how many votes those are behind that succeed nevertheless.
_BEHIND = {LOST: None, EQUAL: 0, BEHIND: 2}


def run(world: World, plan: Plan) -> Flow:
    """The whole life of a plan's tasks. A plan has bad fates only, or none."""
    engine, tasks = world.engines[plan.engine], list[Task]()
    if plan.fates[0] in BAD:
        yield from _run_bad(world, engine, plan)
        return
    yield from submit(world, engine, plan, tasks, anybody=False)
    early = [task for task in tasks if task.fate in (OPEN, COMMITTED, RETRACT)]
    solved = [task for task in tasks if task not in early]
    world.spawned += [_UNSOLVED[task.fate](world, engine, task) for task in early if task.fate != OPEN]
    if not solved:
        return
    yield from solve(world, engine, solved, solver_for(world, engine, solved), together=plan.together)
    solved = [task for task in solved if task.solution]
    claimed = [task for task in solved if task.fate == CLAIM]
    if plan.together and claimed:
        world.spawned.append(claim(world, engine, claimed))
    else:
        world.spawned += [claim(world, engine, [task]) for task in claimed]
    world.spawned += [_SOLVED[task.fate](world, engine, task) for task in solved if task.fate in _SOLVED]


def _run_bad(world: World, engine: Handle, plan: Plan) -> Flow:
    """One validator solves all and loses one contestation; what else it solved lately is forfeited."""
    tasks = list[Task]()
    loser = yield from world.free_loser(engine)
    yield from submit(world, engine, plan, tasks, anybody=True)
    yield from solve(world, engine, tasks, loser, together=plan.together)
    for task in tasks:
        if task.fate in _BEHIND:
            yield from disputes.lost(world, engine, task, behind=_BEHIND[task.fate])
    world.busy.discard((engine.facts.name, loser))


def crossing(world: World, engine: Handle, upgrade: Flow) -> Flow:
    """A contestation that most reject, counted after an `upgrade` that changes what that means."""
    tasks = list[Task]()
    loser = yield from world.free_loser(engine)
    yield from submit(world, engine, Plan(engine.facts.name, (BEHIND, FORFEIT)), tasks, anybody=True)
    yield from solve(world, engine, tasks, loser, together=False)
    yield from disputes.contest(world, engine, tasks[0], yeas=2, nays=3)
    yield from upgrade
    yield from disputes.finish(world, engine, tasks[0], upheld=False)
    world.busy.discard((engine.facts.name, loser))


def claim_stock(world: World, engine: Handle) -> Flow:
    """Somebody claims a solution that nobody had cared for."""
    facts = engine.facts
    for task in facts.tasks.values():
        key = facts.name, task.task_id
        if task.fate == PENDING and key not in world.reserved and facts.state(task, world.now) == "claimable":
            world.reserved.add(key)
            yield from claim(world, engine, [task])
            return


def _commit(world: World, engine: Handle, task: Task) -> Flow:
    """A commitment that nothing follows."""
    yield [commit(world, engine, task, solver_for(world, engine, [task]))[1]]


def _suggested(world: World, engine: Handle, task: Task) -> Flow:
    yield from disputes.suggest(world, engine, task)
    yield from claim(world, engine, [task])


def _tie(world: World, engine: Handle, task: Task) -> Flow:
    yield from disputes.upheld(world, engine, task, tie=True)


_UNSOLVED: dict[str, Callable[[World, Handle, Task], Flow]] = {COMMITTED: _commit, RETRACT: disputes.retract}
_SOLVED: dict[str, Callable[[World, Handle, Task], Flow]] = {
    SUGGESTED: _suggested,
    UPHELD: disputes.upheld,
    TIE: _tie,
    VOTING: disputes.voting,
}
