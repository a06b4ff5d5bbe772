"""Which tasks are made: first plans with every fate and route, then a mix like a real run's."""

import random
from collections.abc import Callable

from indexer.devnet.arbius import lives
from indexer.devnet.arbius.tasks import BULK, CONTRACT, ROUTER, SINGLE, Plan

Maker = Callable[[random.Random, str, int], list[Plan]]

_GOOD = {lives.CLAIM: 40, lives.PENDING: 8, lives.UPHELD: 9, lives.TIE: 3, lives.SUGGESTED: 4, lives.OPEN: 6,
         lives.COMMITTED: 4, lives.RETRACT: 5}  # fmt: skip
_BAD = (
    (lives.LOST,),
    (lives.LOST, lives.FORFEIT),
    (lives.EQUAL,),
    (lives.BEHIND,),
    (lives.BEHIND, lives.FORFEIT),
)
_ROUTES = {SINGLE: 45, BULK: 30, ROUTER: 12, CONTRACT: 13}
_SIZES = (1, 1, 1, 2, 2, 3, 4, 6, 8)
_BAD_SHARE = 0.25
_RECENT = (lives.PENDING, lives.PENDING, lives.OPEN, lives.COMMITTED)


def every_kind(engine: str) -> list[Plan]:
    """Every fate and route once, in 23 tasks."""
    return [
        Plan(engine, (lives.CLAIM, lives.UPHELD)),
        Plan(engine, (lives.LOST, lives.FORFEIT)),
        Plan(engine, (lives.BEHIND,)),
        Plan(engine, (lives.RETRACT, lives.PENDING), ROUTER),
        Plan(engine, (lives.CLAIM, lives.TIE, lives.COMMITTED, lives.CLAIM), BULK, together=True),
        Plan(engine, (lives.CLAIM, lives.CLAIM, lives.OPEN), CONTRACT, together=True),
        Plan(engine, (lives.SUGGESTED, lives.UPHELD)),
        Plan(engine, (lives.RETRACT, lives.UPHELD)),
        Plan(engine, (lives.LOST, lives.FORFEIT), BULK, together=True),
        Plan(engine, (lives.CLAIM,), ROUTER),
        Plan(engine, (lives.EQUAL,), ROUTER),
        Plan(engine, (lives.UPHELD,)),
    ]


def history(rng: random.Random, engine: str, tasks: int) -> list[Plan]:
    """Plans of `tasks` tasks together, most of which come to an end."""
    plans: list[Plan] = []
    kinds = iter(every_kind(engine))
    while tasks > 0:
        plan = next(kinds, None) or mixed(rng, engine)
        plans.append(_cut(plan, tasks))
        tasks -= len(plans[-1].fates)
    return plans


def recent(rng: random.Random, engine: str, tasks: int) -> list[Plan]:
    """Plans of `tasks` tasks together that are in their challenge window or untouched when the bulk ends."""
    plans: list[Plan] = []
    while tasks > 0:
        fates = tuple(rng.choices(_RECENT, k=rng.choice((1, 2, 3))))
        plans.append(_cut(Plan(engine, fates, rng.choice((SINGLE, BULK)), rng.random() < 0.5), tasks))
        tasks -= len(plans[-1].fates)
    return plans


def mixed(rng: random.Random, engine: str) -> Plan:
    """One plan of the mix."""
    route = rng.choices(list(_ROUTES), list(_ROUTES.values()))[0]
    if rng.random() < _BAD_SHARE:
        return Plan(engine, rng.choice(_BAD), route, rng.random() < 0.5)
    fates = rng.choices(list(_GOOD), list(_GOOD.values()), k=rng.choice(_SIZES))
    return Plan(engine, tuple(fates), route, rng.random() < 0.5)


def _cut(plan: Plan, most: int) -> Plan:
    return Plan(plan.engine, plan.fates[:most], plan.route, plan.together)
