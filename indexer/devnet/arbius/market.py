"""Traffic beside tasks: models, parameters, stakes, pauses, mistakes."""

from collections.abc import Callable

from indexer.devnet.arbius import ids
from indexer.devnet.arbius.books import WHOLE
from indexer.devnet.arbius.disputes import USUAL_ADDER, set_adder
from indexer.devnet.arbius.engine import Handle, create_registry
from indexer.devnet.arbius.facts import EARLY, V6, Model
from indexer.devnet.arbius.tasks import hex_text, raw
from indexer.devnet.arbius.world import MASTERS, Flow, Last, World, deposit
from indexer.devnet.chain import Block, Tx

# Setters of the early form -> the getter that shows what they set, and a factor in percent.
_EARLY_SETTERS = {
    "setValidatorMinimumPercentage": ("validatorMinimumPercentage", 110),
    "setSlashAmountPercentage": ("slashAmountPercentage", 120),
    "setSolutionFeePercentage": ("solutionFeePercentage", 95),
    "setRetractionFeePercentage": ("retractionFeePercentage", 130),
    "setTreasuryRewardPercentage": ("treasuryRewardPercentage", 105),
    "setMinClaimSolutionTime": ("minClaimSolutionTime", 110),
    "setMinRetractionWaitTime": ("minRetractionWaitTime", 90),
    "setMinContestationVotePeriodTime": ("minContestationVotePeriodTime", 105),
    "setMaxContestationValidatorStakeSince": ("maxContestationValidatorStakeSince", 150),
    "setExitValidatorMinUnlockTime": ("exitValidatorMinUnlockTime", 50),
}


def set_up(world: World, engine: Handle) -> Flow:
    """What the owner does at the beginning: the first models, what they mine, the stake of a solution."""
    author = world.people["author"][0]
    # The same on every engine, so that one id names a model of each.
    yield [_register(engine, author, 0, b'{"meta": {"title": "shared"}}')]
    own = engine.facts.name.encode()
    yield [
        _register(engine, world.people["author"][1], WHOLE // 10, b'{"meta": {"title": "dear, of %s"}}' % own),
        _register(engine, world.people["author"][2], WHOLE // 20, b'{"meta": {"title": "cheap, of %s"}}' % own),
    ]
    shared, dear, _ = engine.facts.models
    yield [_set_rate(engine, shared, WHOLE), _set_rate(engine, dear, WHOLE // 2)]
    yield [_set(engine, "setSolutionStakeAmount", "solutionsStakeAmount", WHOLE // 1000)]


def prepare_v6(world: World, engine: Handle) -> Flow:
    """What V6 needs before anything can be contested, and two models that not everybody may solve."""
    masters = [world.people["validator"][i] for i in MASTERS]
    registry, create = create_registry(engine, masters)
    yield [create]
    engine.facts.contracts["registry"] = registry
    yield [engine.call(engine.owner, "setMasterContesterRegistry", registry), set_adder(engine, USUAL_ADDER)]
    allowed = world.solvers(engine)[:3]
    yield [
        _register(engine, world.people["author"][i], fee, b"closed %d" % i, allowed) for i, fee in ((1, 0), (2, 10**16))
    ]
    yield [_set_rate(engine, list(engine.facts.models)[-1], WHOLE // 4)]


def _register(engine: Handle, author: str, fee: int, template: bytes, allow: list[str] | None = None) -> Tx:
    registrant = engine.owner

    def effect(block: Block) -> None:
        name = hex_text(ids.model_id(registrant, author, fee, template))
        cid = hex_text(ids.cid(template))
        engine.facts.models[name] = Model(
            name, registrant, author, fee, cid, hex_text(template), block.number, allow=allow
        )

    if allow is None:
        return engine.call(registrant, "registerModel", author, fee, template, effect=effect)
    return engine.call(registrant, "registerModelWithAllowList", author, fee, template, allow, effect=effect)


def _set_rate(engine: Handle, model: str, rate: int) -> Tx:
    def effect(_: Block) -> None:
        engine.facts.models[model].rate = rate

    return engine.call(engine.owner, "setSolutionMineableRate", raw(model), rate, effect=effect)


def _set(engine: Handle, function: str, parameter: str, value: int) -> Tx:
    def effect(_: Block) -> None:
        engine.facts.params[parameter] = value

    return engine.call(engine.owner, function, value, effect=effect)


def parameters(world: World, engine: Handle) -> Flow:
    """The owner changes what may be changed: nearly all in the early form, little later."""
    params = engine.facts.params
    yield Last([_set(engine, "setVersion", "version", params["version"] + 1)])
    if engine.form == EARLY:
        for function, (name, percent) in _EARLY_SETTERS.items():
            if engine.form == EARLY:
                yield Last([_set(engine, function, name, params[name] * percent // 100)])
    yield Last([_set(engine, "setStartBlockTime", "startBlockTime", world.now - 1)])
    if engine.form != EARLY:
        yield Last([_set(engine, "setSolutionModelFeePercentage", "solutionModelFeePercentage", 80 * WHOLE // 100)])


def offices(world: World, engine: Handle) -> Flow:
    """Pauser and treasury change hands, accrued fees are fetched, the engine pauses for two transactions."""
    pauser, treasury = world.person("user"), world.rng.choice(world.people["treasury"])

    def effect(_: Block) -> None:
        engine.facts.pauser, engine.facts.treasury = pauser, treasury

    def fetched(_: Block) -> None:
        engine.facts.total_held -= engine.facts.accrued_fees
        engine.facts.accrued_fees = 0

    yield [
        engine.call(engine.owner, "transferPauser", pauser),
        engine.call(engine.owner, "transferTreasury", treasury, effect=effect),
        engine.call(pauser, "setPaused", True),
        engine.refused(world.people["validator"][0], "signalCommitment", world.random_bytes(32)),
        engine.call(pauser, "setPaused", False),
        engine.call(pauser, "withdrawAccruedFees", effect=fetched),
    ]


def models(world: World, engine: Handle) -> Flow:
    """Fees, addresses and mined rates of models change; validators of the early form say what they support."""
    name = world.rng.choice(list(engine.facts.models))
    yield Last([_set_rate(engine, name, world.rng.choice((0, WHOLE // 4, WHOLE)))])
    if engine.form == EARLY:
        supporters = world.rng.sample(world.solvers(engine), 2)
        yield [engine.call(who, "signalSupport", raw(name), world.rng.random() < 0.7) for who in supporters]
        return
    model, fee, addr = engine.facts.models[name], world.rng.choice((0, WHOLE // 50, WHOLE // 4)), world.person("author")

    def effect(_: Block) -> None:
        model.fee, model.addr = fee, addr

    fee_tx = engine.call(engine.owner, "setModelFee", raw(name), fee)
    yield Last([fee_tx, engine.call(engine.owner, "setModelAddr", raw(name), addr, effect=effect)])


def allow_lists(world: World, engine: Handle) -> Flow:
    """Allow lists grow, shrink and are given up, and one model keeps another share; only in V6."""
    closed = [model for model in engine.facts.models.values() if model.allow is not None]
    if engine.form != V6 or not closed:
        return
    model = world.rng.choice(closed)
    yield Last([_allow(engine, model, world.rng.sample(world.solvers(engine), 2), added=True)])
    if model.allow:
        yield Last([_allow(engine, model, [world.rng.choice(model.allow)], added=False)])
    yield Last([_override(engine, model, world.rng.choice((WHOLE // 2, WHOLE // 5)))])
    yield world.now + 3000
    yield Last([_override(engine, model, None)])
    if len(closed) > 1:

        def effect(_: Block) -> None:
            model.allow = None

        yield Last([engine.call(engine.owner, "disableModelAllowList", raw(model.model_id), effect=effect)])


def _allow(engine: Handle, model: Model, solvers: list[str], *, added: bool) -> Tx:
    function = "addToModelAllowList" if added else "removeFromModelAllowList"

    def effect(_: Block) -> None:
        # Somebody else may have given up the list meanwhile: it is then changed without a meaning.
        if model.allow is not None:
            kept = [who for who in model.allow if who not in solvers]
            model.allow = kept + solvers if added else kept

    return engine.call(engine.owner, function, raw(model.model_id), solvers, effect=effect)


def _override(engine: Handle, model: Model, percentage: int | None) -> Tx:
    def effect(_: Block) -> None:
        model.fee_override = percentage

    name = raw(model.model_id)
    if percentage is None:
        return engine.call(engine.owner, "clearSolutionModelFeePercentageOverride", name, effect=effect)
    return engine.call(engine.owner, "setSolutionModelFeePercentageOverride", name, percentage, effect=effect)


def stakes(world: World, engine: Handle) -> Flow:
    """Validators top up themselves and each other, ask for a part back, change their mind or fetch it."""
    who, other = world.rng.sample(world.solvers(engine), 2)
    yield [deposit(engine, who, who, 5 * WHOLE), deposit(engine, other, who, 3 * WHOLE)]
    validator = engine.facts.validators[who]
    yield [_ask(engine, who, 2 * WHOLE), _ask(engine, who, WHOLE)]
    fetched, cancelled = validator.requests[-2:]
    yield [_cancel(engine, who, cancelled.count)]
    yield fetched.unlock_time
    to = world.person("user")

    def effect(_: Block) -> None:
        engine.books.withdrawn(who, fetched, to)

    yield [engine.call(who, "validatorWithdraw", fetched.count, to, effect=effect)]


def _ask(engine: Handle, who: str, amount: int) -> Tx:
    def effect(block: Block) -> None:
        engine.books.withdrawal_asked(who, amount, block)

    return engine.call(who, "initiateValidatorWithdraw", amount, effect=effect)


def _cancel(engine: Handle, who: str, count: int) -> Tx:
    def effect(_: Block) -> None:
        engine.facts.validators[who].requests[count - 1].state = "cancelled"

    return engine.call(who, "cancelValidatorWithdraw", count, effect=effect)


def mistakes(world: World, engine: Handle) -> Flow:
    """Calls that must fail: they leave calldata and no log."""
    user, nothing = world.person("user"), world.random_bytes(32)
    claimed = [task for task in engine.facts.tasks.values() if task.claim]
    txs = [
        engine.refused(user, "submitTask", 0, user, nothing, WHOLE, b"{}"),
        engine.refused(world.person("validator"), "submitSolution", nothing, b"\x12\x20"),
        engine.refused(user, "contestationVoteFinish", nothing, 8),
        engine.refused(user, "voteOnContestation", nothing, True),
        engine.refused(user, "setVersion", 99),
    ]
    txs += [engine.refused(user, "claimSolution", raw(task.task_id)) for task in claimed[-2:]]
    yield txs


MARKET: tuple[Callable[[World, Handle], Flow], ...] = (parameters, offices, models, allow_lists, stakes, mistakes)
# What goes on for ever: each of it leaves the engine as usable as before.
LIVELY: tuple[Callable[[World, Handle], Flow], ...] = (models, allow_lists, stakes, mistakes)
