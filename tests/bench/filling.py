"""Millions of tasks for the bench "volume": their logs made in the server, folded by the real folds.

`volume.sql` says what the logs are. Second indexes are dropped for the bulk and made again after it: nothing that is
measured comes between.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from psycopg import sql

from indexer.chain.ranges import Range
from indexer.store import database as db
from indexer.store import fold, ledger, migrate, server, sources
from indexer.store.database import driver
from tests.bench.chain import CHAIN_ID, ENGINE

STEPS = 4  # tasks that are submitted in one block: about 20 logs
LOGS_PER_STEP = 5.13
_PIECE = 2_000  # steps of one row of the ledger: about as many logs as one answer of a provider holds
_AT_ONCE = 100_000  # steps of one transaction

_SECOND = """
SELECT i.tablename, i.indexname, i.indexdef
FROM pg_indexes i JOIN pg_class c ON c.oid = format('%I.%I', i.schemaname, i.indexname)::regclass
JOIN pg_index x ON x.indexrelid = c.oid
WHERE i.schemaname = 'arbius' AND NOT x.indisprimary ORDER BY i.indexname
"""


@contextlib.contextmanager
def fresh(keep: Path | None = None) -> Iterator[tuple[sa.Engine, str]]:
    """A cluster with production settings that knows the engine as a source, and its URL: a fresh one that is removed
    afterwards, or the one in `keep`, which stays."""
    folder = keep or Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        with server.using(folder / "data") as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            watch(engine)
            yield engine, running.url
            engine.dispose()
    finally:
        if keep is None:
            server.remove(folder / "data")
            shutil.rmtree(folder)


def watch(engine: sa.Engine) -> None:
    """Make the chain and its engine known, with nothing read yet."""
    with engine.begin() as connection:
        sources.settle_chain(connection, CHAIN_ID, "bench", "head", (0, "0x" + "00" * 32))
        sources.configure(connection, CHAIN_ID, [sources.Wanted(ENGINE, "arbius", "engine", 0)])


def fill(engine: sa.Engine, tasks: int) -> None:
    """Load so many tasks, tell the ledger of them, and fold them."""
    load(engine, 0, tasks - 1)
    tell(engine, 0, tasks - 1)
    fold_all(engine)


def settle(engine: sa.Engine) -> None:
    """Statistics, and no vacuum or checkpoint left to come between."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE"))
        connection.execute(sa.text("CHECKPOINT"))
        newest = sa.text("UPDATE chain.chains SET head_time = (SELECT max(block_time) FROM arbius.task_submitted)")
        connection.execute(newest)


def load(engine: sa.Engine, first: int, last: int) -> None:
    """Logs of the steps `first` to `last`, both included; the ledger does not know of them yet."""
    for start in range(first, last + 1, _AT_ONCE):
        with engine.begin() as connection:
            make(connection, start, min(last, start + _AT_ONCE - 1))


def make(connection: sa.Connection, first: int, last: int) -> None:
    """The same in the caller's transaction."""
    values = {"first": first, "last": last, "chain": CHAIN_ID, "engine": bytes.fromhex(ENGINE[2:]), "steps": STEPS}
    _run(connection, "volume.sql", values)


def learn(engine: sa.Engine) -> None:
    """Let facts of all solutions be known, where none are."""
    with engine.begin() as connection:
        if not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM arbius.solution_facts)")):
            _run(connection, "facts.sql", {})


def _run(connection: sa.Connection, script: str, values: dict[str, object]) -> None:
    for statement in filter(str.strip, (Path(__file__).parent / script).read_text().split("\n;\n")):
        connection.execute(sa.text(statement), values)


def fill_iexec(engine: sa.Engine, steps: int) -> None:
    """Logs of an iExec hub in so many blocks; neither ledger nor folds know of them."""
    with engine.begin() as connection:
        _run(connection, "iexec.sql", {"steps": steps, "chain": CHAIN_ID})


def tell(engine: sa.Engine, first: int, last: int) -> None:
    """Let the ledger know that the blocks of these steps are read."""
    pieces = [(n, min(last, n + _PIECE - 1)) for n in range(first, last + 1, _PIECE)]
    with engine.begin() as connection:
        group = ledger.load_groups(connection, CHAIN_ID)[0]
        reads = [
            ledger.Read(Range(low // STEPS, high // STEPS), "bench", datetime.now(UTC), 1, 1, b"",
                        round((high - low + 1) * LOGS_PER_STEP), "head-bound")
            for low, high in pieces
        ]  # fmt: skip
        ledger.record(connection, group, reads)


def fold_all(engine: sa.Engine) -> None:
    """Fold what waits, portion by portion, as a deep backfill does."""
    waits = True
    while waits:
        with engine.begin() as connection:
            waits = fold.fold_portion(connection, CHAIN_ID)
    with engine.begin() as connection:
        fold.fold_chain(connection, CHAIN_ID)


class Bulk:
    """The second indexes of the schema, dropped until they are made again."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        with engine.begin() as connection:
            self._dropped = [tuple(row) for row in connection.execute(sa.text(_SECOND))]
            for _, name, _ in self._dropped:
                driver(connection).execute(sql.SQL("DROP INDEX arbius.{}").format(sql.Identifier(name)))

    def index(self, *, events: bool) -> None:
        """Make the indexes of the event tables, or of all other tables."""
        with self._engine.begin() as connection:
            names = set(connection.scalars(sa.text(_EVENTS)))
            driver(connection).execute("SET LOCAL maintenance_work_mem = '512MB'")
            for table, _, made in self._dropped:
                if (table in names) is events:
                    connection.execute(sa.text(made.replace(":", "\\:")))


_EVENTS = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'arbius' AND column_name = 'tx_index'"
