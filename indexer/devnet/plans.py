"""Which deals are made: first one of every kind, then a mix like a real run's (iexec.md, section 7)."""

import random
from dataclasses import replace

from indexer.devnet.deals import Plan
from indexer.devnet.poco import SHORT_CATEGORY

# Every flow and every kind of deal at least once, within 56 tasks.
EVERY_KIND = (
    Plan(("nominal", "nominal", "fast"), dataset=True),
    Plan(("liar", "nominal"), replicated=True),
    Plan(("fast", "nominal"), tee=True),
    Plan(("nominal", "fast"), callback=True, presigned=True),
    Plan(("unrevealed", "liar"), replicated=True, dataset=True, presigned=True),
    Plan(("reopened", "stalled_reopened"), replicated=True),
    Plan(("idle", "stalled", "hidden", "unset", "unset"), replicated=True, sponsored=True),
    Plan(("nominal", "fast"), new_pool=True),
    Plan(("fast",) * 5, split=True, sponsored=True),
    Plan(("nominal", "fast", "hidden"), free=True),
    Plan(("idle", "hidden", "unset"), category=1),
    Plan(("nominal",) * 8, category=2, dataset=True),
    Plan(("stalled", "hidden", "unset", "idle"), replicated=True, claims=False),
    Plan(("stalled_reopened", "unset"), replicated=True, claims=False),
    Plan(("reopened", "fast"), category=1),
    Plan(("nominal", "unset", "fast"), split=True, presigned=True),
    Plan(("fast", "idle"), tee=True, callback=True, category=3),
    Plan(("fast",), free=True, presigned=True),
)
_SIZES = (1, 1, 1, 2, 2, 3, 4, 5, 8)
_GOOD = {"nominal": 10, "fast": 6}
_BAD = {"idle": 3, "hidden": 3, "unset": 4}
_GOOD_MANY = {"nominal": 8, "liar": 3, "unrevealed": 2, "reopened": 2}
_BAD_MANY = {"stalled": 3, "hidden": 2, "stalled_reopened": 2, "idle": 1, "unset": 2}
_CATEGORIES = {0: 60, 1: 20, 2: 12, 3: 5, 4: 3}
# Shares of the deals; those of the tasks follow from them.
_BAD_SHARE, _REPLICATED_SHARE, _UNCLAIMED_SHARE = 0.2, 0.3, 0.3


def settled_plans(rng: random.Random, tasks: int) -> list[Plan]:
    """Plans of `tasks` tasks together that run to their end: every kind first, then a mix."""
    plans: list[Plan] = []
    left = tasks
    while left > 0:
        plan = EVERY_KIND[len(plans)] if len(plans) < len(EVERY_KIND) else random_plan(rng)
        plans.append(replace(plan, flows=plan.flows[:left]))
        left -= len(plans[-1].flows)
    return plans


def unsettled_plans(rng: random.Random, tasks: int) -> list[Plan]:
    """Plans of `tasks` tasks together that stay in flight: UNSET, ACTIVE or REVEALING, deadlines far ahead."""
    plans = []
    while tasks > 0:
        flows = tuple(rng.choices(("idle", "stalled", "hidden", "unset"), k=min(tasks, rng.randint(1, 4))))
        plans.append(Plan(flows, category=rng.choice((1, 2)), replicated=True, claims=False))
        tasks -= len(flows)
    return plans


def random_plan(rng: random.Random) -> Plan:
    """One plan of the mix."""
    bad, replicated = rng.random() < _BAD_SHARE, rng.random() < _REPLICATED_SHARE
    weights = (_BAD_MANY if bad else _GOOD_MANY) if replicated else (_BAD if bad else _GOOD)
    flows = tuple(rng.choices(list(weights), list(weights.values()), k=rng.choice(_SIZES)))
    return Plan(
        flows,
        category=rng.choices(list(_CATEGORIES), list(_CATEGORIES.values()))[0],
        replicated=replicated,
        tee=rng.random() < 0.15,
        callback=rng.random() < 0.15,
        dataset=rng.random() < 0.3,
        free=rng.random() < 0.2,
        sponsored=rng.random() < 0.15,
        presigned=rng.random() < 0.2,
        split=rng.random() < 0.1,
        new_pool=rng.random() < 0.02,
        claims=rng.random() >= _UNCLAIMED_SHARE,
    )


def live_plan(rng: random.Random) -> Plan:
    """A plan for the live phase: mostly the short category, so that deadlines pass while one watches."""
    plan = random_plan(rng)
    return replace(plan, flows=plan.flows[:3], category=SHORT_CATEGORY if rng.random() < 0.8 else 0)
