"""How tasks come to be and are solved: by each of the four routes, by one validator alone or many at once."""

from collections.abc import Callable
from dataclasses import dataclass

from indexer.devnet.arbius import ids
from indexer.devnet.arbius.engine import Handle
from indexer.devnet.arbius.facts import EARLY, Commitment, Model, Task
from indexer.devnet.arbius.world import Flow, World, place
from indexer.devnet.chain import Block, Tx

SINGLE, BULK, ROUTER, CONTRACT = "single", "bulk", "router", "contract"
_VERSIONS = (0, 0, 0, 1, 255)
_TIPS = (0, 0, 10**16, 14 * 10**16, 3 * 10**18)
_SUBJECTS = ("a cat in a rocket ship", "a lighthouse at night", "twelve robots", "une forêt enneigée", "サイコロ")


@dataclass(frozen=True)
class Plan:
    """Tasks submitted together. `fates`: what becomes of each; `together`: solved by one call, claimed by another."""

    engine: str
    fates: tuple[str, ...]
    route: str = SINGLE
    together: bool = False


def hex_text(value: bytes) -> str:
    """Bytes as the ledger keeps them."""
    return "0x" + value.hex()


def raw(text: str) -> bytes:
    """The bytes of hex text."""
    return bytes.fromhex(text[2:])


@dataclass(frozen=True)
class _Request:
    """Who asks for what. `user` sends the transaction, `owner` is entered in the task."""

    route: str
    user: str
    owner: str
    model: Model
    fee: int
    version: int


def submit(world: World, engine: Handle, plan: Plan, made: list[Task], *, anybody: bool) -> Flow:
    """Submit the tasks of a plan; when they have been mined they are in `made`. `anybody`: no allow list, please."""
    model, user = _model(world, engine, anybody=anybody), world.person("user")
    route = SINGLE if plan.route == BULK and engine.form == EARLY else plan.route
    version = 0 if route == CONTRACT else world.rng.choice(_VERSIONS)
    owner = user if world.rng.random() < 0.7 else world.person("user")
    request = _Request(route, user, owner, model, model.fee + world.rng.choice(_TIPS), version)
    if route in (BULK, CONTRACT):
        yield [_submission(world, engine, request, plan.fates, _input(world), made)]
    else:
        yield [_submission(world, engine, request, (fate,), _input(world), made) for fate in plan.fates]


def _submission(
    world: World, engine: Handle, request: _Request, fates: tuple[str, ...], content: bytes, made: list[Task]
) -> Tx:
    """One transaction that submits as many tasks as there are fates."""

    def effect(block: Block) -> None:
        new = [_task(engine, request, fate, content, block) for fate in fates]
        for task in new:
            engine.books.submitted(task)
        place(world.chain, engine, new)
        made.extend(new)

    arguments = (request.owner, raw(request.model.model_id), request.fee, content)
    if request.route == ROUTER:
        arguments_of_router = (request.version, *arguments, 0, 200_000)
        return engine.helper("router", request.user, "submitTask", *arguments_of_router, effect=effect)
    if request.route == CONTRACT:
        return engine.helper("bulk", request.user, "submitTasks", *arguments, len(fates), effect=effect)
    if request.route == BULK:
        return engine.call(request.user, "bulkSubmitTask", request.version, *arguments, len(fates), effect=effect)
    return engine.call(request.user, "submitTask", request.version, *arguments, effect=effect)


def _task(engine: Handle, request: _Request, fate: str, content: bytes, block: Block) -> Task:
    """The task without its id."""
    contract = {ROUTER: "router", CONTRACT: "bulk"}.get(request.route)
    return Task(
        task_id="",
        engine=engine.facts.name,
        engine_version=engine.form,
        fate=fate,
        route=request.route,
        sender=engine.facts.contracts[contract] if contract else request.user,
        tx_from=request.user,
        owner=request.owner,
        model=request.model.model_id,
        fee=request.fee,
        version=request.version,
        input=hex_text(content),
        cid=hex_text(ids.cid(content)),
        block=block.number,
        blocktime=block.timestamp,
    )


def _model(world: World, engine: Handle, *, anybody: bool) -> Model:
    models = [model for model in engine.facts.models.values() if model.allow is None or not anybody]
    return world.rng.choice(models)


def _input(world: World) -> bytes:
    """What is asked for: mostly JSON; at times not text at all, empty, or long."""
    chance = world.rng.random()
    if chance < 0.08:
        return b"\xff\xfe\x00" + world.random_bytes(29)
    if chance < 0.12:
        return b""
    padding = "blurry " * (400 if chance > 0.95 else 1)
    seed, subject = world.rng.getrandbits(32), world.rng.choice(_SUBJECTS)
    return f'{{"prompt": "{subject} #{seed}", "negative_prompt": "{padding.strip()}"}}'.encode()


def commit(world: World, engine: Handle, task: Task, solver: str, by: str | None = None) -> tuple[bytes, Tx]:
    """A solution's cid and the transaction in which its commitment is signalled, by the solver or `by` the bulk."""
    cid = b"\x12\x20" + world.random_bytes(32)
    digest = ids.commitment(solver, raw(task.task_id), cid)

    def effect(block: Block) -> None:
        sender = by or solver
        task.commitment = Commitment(hex_text(digest), sender, block.number)

    if by is None:
        return cid, engine.call(solver, "signalCommitment", digest, effect=effect)
    return cid, engine.helper("bulk", solver, "bulkSignalCommitment", [digest], effect=effect)


def solve(world: World, engine: Handle, tasks: list[Task], solver: str, *, together: bool) -> Flow:
    """Commit to and solve tasks of one model, all in one call if `together`, which the early form cannot.

    Nothing is solved by a solver that the model's allow list names no longer when its turn comes.
    """
    by = engine.facts.contracts["bulk"] if world.rng.random() < 0.1 else None
    commitments = [commit(world, engine, task, solver, by) for task in tasks]
    yield [tx for _, tx in commitments]
    if together and engine.form != EARLY:
        yield from world.turn(engine, solver, len(tasks))
        if may_solve(engine, tasks[0], solver):
            yield [_solutions(engine, tasks, [cid for cid, _ in commitments], solver)]
        return
    for task, (cid, _) in zip(tasks, commitments, strict=True):
        yield from world.turn(engine, solver, 1)
        if not may_solve(engine, task, solver):
            return
        effect = _solved(engine, [task], [cid], solver, SINGLE)
        yield [engine.call(solver, "submitSolution", raw(task.task_id), cid, effect=effect)]


def _solutions(engine: Handle, tasks: list[Task], cids: list[bytes], solver: str) -> Tx:
    effect = _solved(engine, tasks, cids, solver, BULK)
    return engine.call(solver, "bulkSubmitSolution", [raw(task.task_id) for task in tasks], cids, effect=effect)


def _solved(engine: Handle, tasks: list[Task], cids: list[bytes], solver: str, route: str) -> Callable[[Block], None]:
    def effect(block: Block) -> None:
        for task, cid in zip(tasks, cids, strict=True):
            engine.books.solved(task, solver, cid, route, block)

    return effect


def claim(world: World, engine: Handle, tasks: list[Task]) -> Flow:
    """Claim tasks as soon as time allows, by whom it may be; several by the bulk contract. Forfeited ones are left."""
    facts = engine.facts
    while any(facts.state(task, world.now) == "challengeable" for task in tasks):
        solved = max(task.solution.blocktime for task in tasks if task.solution)
        yield solved + facts.params["minClaimSolutionTime"] + world.rng.randint(1, 300)
    ready = [task for task in tasks if facts.state(task, world.now) == "claimable"]
    by = world.person("user")
    if len(ready) > 1 or (ready and world.rng.random() < 0.2):
        yield [_claims(engine, ready, by)]
        return
    for task in ready:
        assert task.solution is not None
        if world.rng.random() < 0.6:
            by = task.solution.validator
        yield [engine.call(by, "claimSolution", raw(task.task_id), effect=_claimed(engine, [task], by, SINGLE))]


def _claims(engine: Handle, tasks: list[Task], by: str) -> Tx:
    effect = _claimed(engine, tasks, by, CONTRACT)
    return engine.helper("bulk", by, "claimSolutions", [raw(task.task_id) for task in tasks], effect=effect)


def _claimed(engine: Handle, tasks: list[Task], by: str, route: str) -> Callable[[Block], None]:
    def effect(block: Block) -> None:
        for task in tasks:
            engine.books.claimed(task, by, route, block)

    return effect


def solver_for(world: World, engine: Handle, tasks: list[Task]) -> str:
    """A validator that may solve all of these tasks."""
    return world.rng.choice([who for who in world.solvers(engine) if may_solve(engine, tasks[0], who)])


def may_solve(engine: Handle, task: Task, who: str) -> bool:
    """Whether the model's allow list, if it has one, lets a validator solve the task."""
    allow = engine.facts.models[task.model].allow
    return allow is None or who in allow
