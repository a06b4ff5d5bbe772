"""Check 4, first part: events that cannot be there unless another one is, too.

Sources: semperai/arbius, contract/contracts/V2_EngineV*.sol (who may call what, and when); PoCo,
contracts/facets/IexecPoco1Facet.sol and IexecPoco2Facet.sol.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.audit.findings import Contract, Finding, Tally, contracts, hex_of
from schema import arbius, iexec

NAME = "order of events"
EVENTS = {"arbius": arbius.EVENTS, "iexec": iexec.EVENTS}


class Rule(NamedTuple):
    """An event of `table` needs one of any of `needs`, of the same contract, with the same values of the keys.

    Each of `needs` is the table and its columns, in the order of `keys`. The needed event comes earlier; with
    `together` it is in the same block, before or after. `after` names a table that tells, by the first key, from
    where on the needed event can lie.
    """

    network: str
    table: str
    keys: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    together: bool = False
    after: tuple[str, str] | None = None


_SUBMITTED, _SOLVED, _CONTESTED = (
    ("task_submitted", "id"),
    ("solution_submitted", "task"),
    ("contestation_submitted", "task"),
)
_INITIATED = ("validator_withdraw_initiated", "addr", "count")
_MATCHED, _STARTED = ("orders_matched", "dealid"), ("task_initialize", "taskid")
_NOTICED = (("scheduler_notice", "dealid"), ("scheduler_notice_boost", "deal_id"))

RULES = (
    Rule("arbius", "task_submitted", ("model",), (("model_registered", "id"),)),
    Rule("arbius", "task_retracted", ("id",), (_SUBMITTED,)),
    Rule("arbius", "solution_submitted", ("task",), (_SUBMITTED,)),
    Rule("arbius", "solution_claimed", ("task",), (_SOLVED,), after=_SUBMITTED),
    Rule("arbius", "contestation_suggested", ("task",), (_SOLVED,), after=_SUBMITTED),
    Rule("arbius", "contestation_submitted", ("task",), (_SOLVED,), after=_SUBMITTED),
    Rule("arbius", "contestation_submitted", ("task", "addr"), (("contestation_vote", "task", "addr"),), together=True),
    Rule("arbius", "contestation_vote", ("task",), (_CONTESTED,), after=_SOLVED),
    Rule("arbius", "contestation_vote_finish", ("id",), (_CONTESTED,), after=_SOLVED),
    Rule("arbius", "validator_withdraw_cancelled", ("addr", "count"), (_INITIATED,)),
    Rule("arbius", "validator_withdraw", ("addr", "count"), (_INITIATED,)),
    Rule("iexec", "orders_matched", ("dealid",), _NOTICED, together=True),
    Rule("iexec", "scheduler_notice", ("dealid",), (_MATCHED,), together=True),
    Rule("iexec", "scheduler_notice_boost", ("deal_id",), (_MATCHED,), together=True),
    Rule("iexec", "deal_sponsored", ("deal_id",), (_MATCHED,), together=True),
    Rule("iexec", "result_pushed_boost", ("deal_id",), (_MATCHED,)),
    Rule("iexec", "task_contribute", ("taskid",), (_STARTED,)),
    Rule("iexec", "task_consensus", ("taskid",), (("task_contribute", "taskid"),), after=_STARTED),
    Rule("iexec", "task_reveal", ("taskid", "worker"), (("task_contribute", "taskid", "worker"),), after=_STARTED),
    Rule("iexec", "task_reopen", ("taskid",), (("task_consensus", "taskid"),), after=_STARTED),
    Rule("iexec", "task_finalize", ("taskid",), (("task_consensus", "taskid"),), after=_STARTED),
)


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Events whose cause is not there. Earlier ones can only be asked for where reading began with the contract."""
    known = contracts(connection)
    tally.counts["rules"] = len(RULES)
    for rule in RULES:
        tally.tick(f"{rule.network}.{rule.table}")
        for row in connection.execute(_lonely(rule)):
            contract = known.get((row.chain_id, bytes(row.address)))
            if contract and row.block_number <= contract.folded_to and (rule.together or contract.born):
                yield _finding(rule, contract, row)


def _finding(rule: Rule, contract: Contract, row: sa.Row[Any]) -> Finding:
    needed = " or ".join(f"{rule.network}.{name}" for name, *_ in rule.needs)
    first = contract.from_block if row.since is None else row.since
    where = "in the same block" if rule.together else "before it"
    subject = " ".join(hex_of(value) if isinstance(value, bytes) else str(value) for value in row[: len(rule.keys)])
    words = f"{rule.network}.{rule.table} without any {needed} {where}"
    return Finding(contract.chain, NAME, subject, row.block_number if rule.together else first, row.block_number, words)


def _lonely(rule: Rule) -> sa.Select[Any]:
    """Keys of events without the event that they need, with the first such event's block."""
    tables = EVENTS[rule.network]
    event = tables[rule.table]
    place = event.c.chain_id, event.c.address
    keys = [event.c[name] for name in rule.keys]
    query = sa.select(*keys, *place, sa.func.min(event.c.block_number).label("block_number"), _since(rule))
    there = [_needed(rule, event, tables[name].alias("needed"), columns) for name, *columns in rule.needs]
    return query.where(~sa.or_(*there)).group_by(*keys, *place)


def _needed(rule: Rule, event: sa.Table, needed: sa.FromClause, columns: list[str]) -> sa.ColumnElement[bool]:
    same = [needed.c[column] == event.c[key] for column, key in zip(columns, rule.keys, strict=True)]
    same += [needed.c.chain_id == event.c.chain_id, needed.c.address == event.c.address]
    if rule.together:
        same.append(needed.c.block_number == event.c.block_number)
    else:
        earlier = sa.tuple_(needed.c.block_number, needed.c.log_index)
        same.append(earlier < sa.tuple_(event.c.block_number, event.c.log_index))
    return sa.select(sa.literal(1)).select_from(needed).where(*same).correlate(event).exists()


def _since(rule: Rule) -> sa.ColumnElement[Any]:
    if rule.after is None:
        return sa.null().label("since")
    table, column = EVENTS[rule.network][rule.after[0]], rule.after[1]
    event = EVENTS[rule.network][rule.table]
    query = sa.select(sa.func.min(table.c.block_number)).where(
        table.c[column] == event.c[rule.keys[0]],
        table.c.chain_id == event.c.chain_id,
        table.c.address == event.c.address,
    )
    return query.correlate(event).scalar_subquery().label("since")
