"""Contestations: who contests, who votes how, and when the votes are counted."""

from functools import partial

from indexer.devnet.arbius.engine import Handle
from indexer.devnet.arbius.facts import EARLY, V6, Task
from indexer.devnet.arbius.tasks import raw
from indexer.devnet.arbius.world import Flow, World
from indexer.devnet.chain import Block, Tx

USUAL_ADDER = 50


def contest(world: World, engine: Handle, task: Task, *, yeas: int, nays: int) -> Flow:
    """Contest a solution and vote, so that `yeas` and `nays` count the two automatic votes as well."""
    assert task.solution is not None
    solver = task.solution.validator
    if world.now >= task.solution.blocktime + engine.facts.params["minClaimSolutionTime"]:
        return
    contester = world.contester(engine, solver)
    effect = partial(engine.books.contested, task, contester)
    yield [engine.call(contester, "submitContestation", raw(task.task_id), effect=effect)]
    voters = [who for who in world.solvers(engine) + world.losers(engine) if who not in (contester, solver)]
    chosen = world.rng.sample(voters, yeas + nays - 2)
    votes = [_vote(engine, task, voter, i < yeas - 1) for i, voter in enumerate(chosen)]
    world.rng.shuffle(votes)
    half = world.rng.randint(0, len(votes))
    for some in (votes[:half], votes[half:]):
        if some and _still_open(world, engine, task):
            yield some


def _still_open(world: World, engine: Handle, task: Task) -> bool:
    assert task.contestation is not None
    return world.now < engine.facts.deadline(task.contestation)


def _vote(engine: Handle, task: Task, voter: str, yea: bool) -> Tx:
    effect = partial(_voted, engine, task, voter, yea)
    return engine.call(voter, "voteOnContestation", raw(task.task_id), yea, effect=effect)


def _voted(engine: Handle, task: Task, voter: str, yea: bool, _: Block) -> None:
    engine.books.voted(task, voter, yea)


def finish(world: World, engine: Handle, task: Task, *, upheld: bool) -> Flow:
    """Count the votes, now and then in several calls, the last of which may go far beyond the end.

    `upheld`: the solver shall win; from V6 on the bonus of the contester must be taken away for that, for one block.
    """
    if task.contestation is None:
        return
    while world.now < engine.facts.deadline(task.contestation):
        yield engine.facts.deadline(task.contestation) + world.rng.randint(0, 60)
    amounts = world.rng.choice(([4], [6], [10], [1, 10], [1, 5, 3]))
    who = world.person("user")
    txs = [_finish(engine, task, who, amount) for amount in amounts]
    if upheld and engine.form == V6:
        yield [set_adder(engine, world.rng.choice((0, 0, 1))), *txs, set_adder(engine, USUAL_ADDER)]
        return
    for tx in txs:
        yield [tx]


def _finish(engine: Handle, task: Task, who: str, amount: int) -> Tx:
    effect = partial(engine.books.finished, task, amount)
    return engine.call(who, "contestationVoteFinish", raw(task.task_id), amount, effect=effect)


def set_adder(engine: Handle, adder: int) -> Tx:
    """The owner changes how many votes a master contester's contestation is worth."""

    def effect(_: Block) -> None:
        engine.facts.params["masterContesterVoteAdder"] = adder

    return engine.call(engine.owner, "setMasterContesterVoteAdder", adder, effect=effect)


def lost(world: World, engine: Handle, task: Task, *, behind: int | None = None) -> Flow:
    """A contestation that succeeds; from V6 on by the bonus only if it shall be `behind` by so many votes."""
    yeas = world.rng.randint(2, 4)
    nays = world.rng.randint(1, yeas - 1) if behind is None or engine.form != V6 else yeas + behind
    yield from contest(world, engine, task, yeas=yeas, nays=nays)
    yield from finish(world, engine, task, upheld=False)


def upheld(world: World, engine: Handle, task: Task, *, tie: bool = False) -> Flow:
    """A contestation that fails; a tie is enough for that, except for the bonus of V6."""
    yeas = world.rng.randint(1, 2)
    nays = yeas + (1 if engine.form == V6 else 0) + (0 if tie else world.rng.randint(0, 2))
    yield from contest(world, engine, task, yeas=yeas, nays=nays)
    yield from finish(world, engine, task, upheld=True)


def voting(world: World, engine: Handle, task: Task) -> Flow:
    """A contestation whose votes nobody counts."""
    yield from contest(world, engine, task, yeas=world.rng.randint(1, 2), nays=world.rng.randint(1, 3))


def suggest(world: World, engine: Handle, task: Task) -> Flow:
    """From V6 on anybody may suggest a contestation, several times too."""
    if engine.form != V6:
        return
    people = world.rng.sample(world.people["user"], world.rng.randint(1, 2))
    yield [
        engine.call(who, "suggestContestation", raw(task.task_id), effect=partial(engine.books.suggested, task, who))
        for who in people
    ]


def retract(world: World, engine: Handle, task: Task) -> Flow:
    """The owner of an unsolved task takes it back, which only the early form allows."""
    while world.now - task.blocktime <= engine.facts.params["minRetractionWaitTime"]:
        yield task.blocktime + engine.facts.params["minRetractionWaitTime"] + world.rng.randint(1, 600)
    if engine.form == EARLY:
        effect = partial(engine.books.retracted, task)
        yield [engine.call(task.owner, "retractTask", raw(task.task_id), effect=effect)]
