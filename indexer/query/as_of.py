"""Tasks as they were at a block or a time, or as they were shown then; what is not covered is refused, not guessed."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import NotFound, UsageError
from indexer.query.asking import Query, Row, Steps, ask, may_refuse
from schema.analytics import tasks
from schema.chain import chains


def one_of(as_of: str | None, known_at: str | None) -> None:
    """Raises UsageError where both are given."""
    if as_of is not None and known_at is not None:
        raise UsageError("--as-of asks what was true, --known-at what was shown: give one of them.")


class Past(NamedTuple):
    """One chain at a moment of the past: what had happened up to `block`, as it stood at `at_time`."""

    chain_id: int
    block: int
    at_time: datetime
    kind: str = "evm"


def resolve(connection: sa.Connection, text: str, chain: str | None = None) -> list[Past]:
    """What `resolve_steps` finds."""
    return ask(connection, Query(lambda: resolve_steps(text, chain)))


def resolve_steps(text: str, chain: str | None = None) -> Steps[list[Past]]:
    """What `text`, a block number or a time such as 2026-01-31 or 2026-01-31T12:00Z, means on `chain`, else on all.

    Raises UsageError for what is neither and for a block where several chains are meant, NotFound for a chain that is
    not there, NotCovered for what is not read.
    """
    known = yield from chains_named(chain)
    by_block = text.isdecimal()
    if by_block and len(known) != 1:
        names = ", ".join(row["name"] for row in known)
        raise UsageError(f"Block {text} can be of any of {names}: add the filter chain=NAME.")
    given = None if by_block else _time(text)
    past = []
    for row in known:
        number = row["chain_id"]
        block = int(text) if by_block else (yield from _told(sa.func.analytics.block_at(number, given)))
        moment = yield from _told(sa.func.analytics.moment(number, block, given))
        past.append(Past(number, block, moment, row["kind"]))
    return past


def tasks_at(past: Sequence[Past]) -> list[sa.TableValuedAlias]:
    """`analytics.tasks` as of then, in parts, each to select from: only one of them alone can be read in an index's
    order. The moments are those of `resolve`, which has refused what is not read."""
    columns = [sa.column(column.name, column.type) for column in tasks.c]
    made = [function for there in past for function in _FUNCTIONS[there.kind](there)]
    return [function.table_valued(*columns).alias("tasks") for function in made]


_FUNCTIONS: dict[str, Callable[[Past], Sequence[sa.Function[Any]]]] = {
    "evm": lambda then: (sa.func.arbius.tasks_at(*then[:3]), sa.func.iexec.tasks_at(*then[:3])),
    "k2": lambda then: (sa.func.koii.tasks_at(*then[:2]),),
    "aidbox": lambda then: (sa.func.aidbox.tasks_at(*then[:3]),),
}


def newest(past: Sequence[Past]) -> datetime | None:
    """A time after which none of these tasks was submitted; None: that is not known of snapshots."""
    return max((then.at_time for then in past), default=None) if all(then.kind == "evm" for then in past) else None


def known_at_steps(text: str, chain: str | None = None, task: str | None = None) -> Steps[sa.Subquery]:
    """`analytics.tasks` as shown at the wall time `text`, to select from with `may_refuse`. `task`: a whole id.

    Koii's snapshots and Aidbox's versions are not taken back by reorgs, so only EVM chains are asked. Raises UsageError
    for what is no time and for another kind of chain, NotFound for a chain that is not there, NotCovered where none of
    the chains was read then.
    """
    known = [row["chain_id"] for row in (yield from chains_named(chain)) if row["kind"] == "evm"]
    if not known:
        raise UsageError("What was known at a time is kept of EVM chains only; --as-of works for the others.")
    if len(known) > 1:  # chains that came later showed nothing, but all of them cannot have
        there = []
        for number in known:
            if (yield from _told(sa.func.analytics.was_read(number, _time(text)))):
                there.append(number)
        known = there or known[:1]
    columns = [sa.column(column.name, column.type) for column in tasks.c]
    asked = [sa.func.analytics.tasks_known_at(number, _time(text), None, task) for number in known]
    parts = [sa.select(then.table_valued(*columns).alias(f"known_{n}")) for n, then in enumerate(asked)]
    return sa.union_all(*parts).subquery("tasks")


def chains_named(name: str | None) -> Steps[list[Row]]:
    """Name, chain_id and kind by name: of the chain `name` alone where one is given. Raises NotFound."""
    rows = yield sa.select(chains.c.name, chains.c.chain_id, chains.c.kind).order_by(chains.c.name)
    if name is not None and name not in (row["name"] for row in rows):
        there = ", ".join(row["name"] for row in rows) or "none"
        raise NotFound(f"There is no chain {name!r} in the database; there are {there}.")
    return [row for row in rows if name in (None, row["name"])]


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is neither a block number nor a time such as 2026-01-31T12:00Z.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _told(question: sa.Function[Any]) -> Steps[Any]:
    """The answer of a function that raises what is not covered."""
    rows = yield may_refuse(sa.select(question.label("told")))
    return rows[0]["told"]
