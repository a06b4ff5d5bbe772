"""Snapshots of Koii tasks for tests: states as trees, encoded by the tests' own encoder, written by the store."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from sqlalchemy.engine import Engine

from indexer.networks.koii import KOII_PROGRAM, KPL_PROGRAM, read_state
from indexer.networks.koii.rules import SlotClock
from indexer.networks.koii.state import SECTIONS
from indexer.store import database as db
from indexer.store import koii as store
from indexer.store import named
from tests.unit.koii_oracle import as_json, borsh
from tests.unit.test_koii_states import EMPTY

CLOCK = SlotClock(45_000_000, datetime(2025, 8, 6, tzinfo=UTC), 0.395)
ALL = frozenset(SECTIONS)
TASK = "8Pps7WLrtiUjhhjNai8baWo33NNL7S3kSJLTqxjsH7UT"
ACTIVE: dict[str, Any] = {
    **EMPTY, "is_active": True, "task_name": "a task", "round_time": 100, "submission_window": 40, "audit_window": 40,
    "starting_slot": 1000, "bounty_amount_per_round": 10, "total_bounty_amount": 1000,
    "allowed_failed_distributions": 3,
}  # fmt: skip


def key(number: int) -> str:
    """An address that differs from those of other numbers."""
    from solders.pubkey import Pubkey

    return str(Pubkey(number.to_bytes(32, "big")))


def by_round(rounds: dict[int, Iterable[str]], value: str = "cid", after: int = 5) -> dict[str, Any]:
    """A map of submissions: round -> submitters, handed in `after` slots into the next period of ACTIVE."""
    return {
        str(n): {
            who: {"submission_value": value, "slot": 1000 + (n + 1) * 100 + after, "round": n} for who in submitters
        }
        for n, submitters in rounds.items()
    }


@dataclass
class Koii:
    """A database with one chain of Koii in it."""

    engine: Engine
    chain_id: int
    outcomes: list[str] = field(default_factory=list)

    def see(
        self, tree: dict[str, Any] | None, slot: int, *, kpl: bool = True, sections: Iterable[str] = ALL,
        task: str = TASK, gap: str | None = None,
    ) -> str:  # fmt: skip
        """Write the state `tree` as read in `slot`; None: there was no account. The outcome."""
        data = None if tree is None else borsh(tree) if kpl else as_json(tree)
        return self.see_bytes(data, slot, kpl=kpl, sections=sections, task=task, gap=gap)

    def see_bytes(
        self, data: bytes | None, slot: int, *, kpl: bool = True, sections: Iterable[str] = ALL, task: str = TASK,
        gap: str | None = None,
    ) -> str:  # fmt: skip
        """The same with the bytes of the account."""
        program = KPL_PROGRAM if kpl else KOII_PROGRAM
        snapshot = store.Snapshot(
            task, program, slot, frozenset(sections), data, "provider", datetime.now(UTC), 1
        )  # fmt: skip
        with self.engine.begin() as connection:
            if data is None:
                outcome = store.write_deleted(connection, self.chain_id, snapshot, CLOCK)
            elif store.unchanged(connection, self.chain_id, snapshot):
                outcome = store.UNCHANGED
            else:
                state = read_state(program, data)
                outcome = store.write(connection, self.chain_id, snapshot, state, CLOCK, gap)
        self.outcomes.append(outcome)
        return outcome

    def ask(self, query: str | sql.Composed, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows of a query."""
        with self.engine.connect() as connection:
            own = db.driver(connection)
            return own.execute(query if isinstance(query, sql.Composed) else query.encode(), parameters).fetchall()

    def counts(self) -> dict[str, int]:
        """Rows of each table of the schema, `snapshots` left out."""
        tables = [name for (name,) in self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'koii'")]
        count = sql.SQL("SELECT count(*) FROM {}")
        found = {name: self.ask(count.format(sql.Identifier("koii", name)))[0][0] for name in tables}
        return {name: count for name, count in found.items() if name != "snapshots"}

    def content(self, *tables: str) -> dict[str, set[Any]]:
        """All rows of some tables."""
        every = sql.SQL("SELECT t::text FROM {} t")
        return {name: set(self.ask(every.format(sql.Identifier("koii", name)))) for name in tables}


@contextmanager
def koii(database: str) -> Iterator[Koii]:
    """A chain named koii in `database`."""
    engine = db.engine(database)
    try:
        with engine.begin() as connection:
            chain_id = named.chain_number(connection, "koii", "k2", "wall")
            named.settle_identity(connection, chain_id, "provider", b"\x01" * 32)
        yield Koii(engine, chain_id)
    finally:
        engine.dispose()
