"""The indexer under test: its job on simulated providers, with a process that can die and a database that can go."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from sqlalchemy.engine import Engine

from indexer.config import Rpc, build
from indexer.errors import TaskscanError
from indexer.ingest.budget import Budget
from indexer.ingest.job import ChainJob
from indexer.ingest.scan import IN_FLIGHT_BYTES
from indexer.ingest.wake import Wake
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.rate import Throttle
from indexer.rpc.score import Score
from indexer.rpc.transport import Post, Provider
from indexer.rpc.types import Header
from indexer.rpc.wire import decode
from indexer.store.store import Store
from tests.simulation.abi import ARBIUS, IEXEC, REGISTRY, WORKERPOOL
from tests.simulation.lives import ENGINE, HUB
from tests.simulation.scenario import Scenario

ROOTS = {"arbius": ENGINE, "iexec": HUB}
EVENT_TABLES = sorted({event.table for events in (ARBIUS, IEXEC, REGISTRY, WORKERPOOL) for event in events.values()})
ENDLESS = 20_000  # posts after which a job counts as caught in a loop


class Crash(BaseException):
    """The process is dead."""


class Endless(Exception):
    """A job that asks without end."""


class Doom:
    """When the process dies next. `posts` and `commits` count what passes; a countdown at None never ends.

    `before`: the commit at which it dies is not done. `at_rows`: only commits that hold events count towards it.
    `cut` takes the database away at a commit: before it, or (not `cut_before`) after it, so that nobody is told that
    it was done.
    """

    def __init__(self) -> None:
        self.dead = False
        self.posts = self.commits = 0
        self.at_post: int | None = None
        self.at_commit: int | None = None
        self.at_rows = False
        self.before = True
        self.cut_at: int | None = None
        self.cut_before = True
        self.cut: Callable[[], object] = lambda: None

    def clear(self) -> None:
        """No more of it."""
        self.dead = False
        self.at_post = self.at_commit = self.cut_at = None

    def post(self) -> None:
        """A request goes out. Raises Crash or Endless."""
        self.posts += 1
        if self.posts > ENDLESS:
            raise Endless(f"more than {ENDLESS} requests")
        if self.at_post is not None and self.posts >= self.at_post:
            self.dead = True
        self.check()

    def check(self) -> None:
        """Raises Crash in a dead process."""
        if self.dead:
            raise Crash

    def commit(self, do: Callable[[], None], rows: Callable[[], bool]) -> None:
        """Commit, and die before or after it if it is time. `rows` tells whether it holds events."""
        self.check()
        if self.at_commit is None or not self.at_rows or rows():
            self.commits += 1
        else:
            return do()
        if self.cut_at is not None and self.commits >= self.cut_at:
            self._cut_around(do)
        dying = self.at_commit is not None and self.commits >= self.at_commit
        if dying and self.before:
            self.dead = True
            raise Crash
        do()
        if dying:
            self.dead = True
            raise Crash
        return None

    def _cut_around(self, do: Callable[[], None]) -> None:
        self.cut_at = None
        if not self.cut_before:
            do()
        self.cut()
        if not self.cut_before:
            raise psycopg.OperationalError("server closed the connection unexpectedly")


def doom_commits(engine: Engine, doom: Doom) -> None:
    """Let every commit of `engine` pass through `doom`."""
    dialect = engine.dialect
    commit = dialect.do_commit

    def do_commit(connection: Any) -> None:
        doom.commit(lambda: commit(connection), lambda: _holds_events(connection.driver_connection))

    def do_begin(connection: Any) -> None:
        # PostgreSQL clears what it has counted once a second; here each transaction begins at none.
        connection.driver_connection.execute("SELECT pg_stat_force_next_flush()")

    dialect.do_commit = do_commit  # type: ignore[method-assign]
    dialect.do_begin = do_begin  # type: ignore[method-assign]


def _holds_events(connection: psycopg.Connection) -> bool:
    """Whether the open transaction has written events."""
    query = """
        SELECT coalesce(sum(n_tup_ins), 0) > 0 FROM pg_stat_xact_user_tables
        WHERE schemaname || '.' || relname = ANY (%s)
    """
    row = connection.execute(query, [EVENT_TABLES]).fetchone()
    return bool(row and row[0])


class Life:
    """A process: it begins, polls, and ends. `chain_id` and the nodes are those of the simulated chain; `wall` is the
    clock of its machine, which may go back.

    Unless the scenario enriches, enrichment is under way from the start and never comes to its end, as behind a node
    that is slow with old state: it has tests of its own, and costs a third of the time.
    """

    def __init__(
        self, scenario: Scenario, chain_id: int, nodes: Mapping[str, Post], engine: Engine, doom: Doom,
        wall: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        self._nodes, self._doom = nodes, doom
        tree = {
            "chains": [{"name": f"sim-{chain_id}", "chain_id": chain_id, "clock": "head",
                        "rpc": [f"http://{host}/" for host in nodes]}],
            "sources": [_source(scenario, chain_id, network) for network in scenario.networks],
        }  # fmt: skip
        settings = build(tree, "simulation")
        clock = asyncio.get_running_loop().time
        self.job = ChainJob(
            settings.chains[0], settings.sources, Store(engine), Budget(IN_FLIGHT_BYTES), connect=self._connect,
            clock=clock,
        )  # fmt: skip
        self.job._wake = Wake(clock=wall or clock)
        if not scenario.enriches:
            self.job._enrichment = asyncio.create_task(asyncio.Event().wait())  # type: ignore[assignment]

    async def prepare(self) -> None:
        """As `run` does. Raises TaskscanError, Crash."""
        await self.job.prepare()

    def hear(self, header: bytes) -> None:
        """A subscription tells of a new head."""
        self.job._wake.hear(decode(header, Header, "a subscription"))

    async def poll(self) -> None:
        """One poll, with its errors written down as in production. Raises Crash."""
        await asyncio.wait_for(self.job.poll(), 100_000)
        self._doom.check()

    async def keep_up(self) -> None:
        """What the scheduler does several times a second: poll if it is time. Raises Crash."""
        await asyncio.wait_for(self.job.keep_up(), 100_000)
        self._doom.check()

    @property
    def stopped(self) -> TaskscanError | None:
        """The Terminal error that stopped the job."""
        return self.job.stopped

    async def end(self) -> None:
        """Let go of everything."""
        with contextlib.suppress(Crash, BaseExceptionGroup, TaskscanError):
            await self.job.close()

    def _connect(self, rpc: Rpc) -> Provider:
        endpoint = Endpoint(rpc.url.get_secret_value())
        provider = Provider(endpoint, self._post(self._nodes[endpoint.name]))
        clock = asyncio.get_running_loop().time
        provider.throttle = Throttle(endpoint.name, None, endpoint.timeout, clock=clock)
        provider.score = Score(endpoint.name, clock)
        return provider

    def _post(self, node: Post) -> Post:
        async def post(body: bytes) -> bytes:
            self._doom.post()
            answer = await node(body)
            self._doom.check()
            return answer

        return post


def _source(scenario: Scenario, chain_id: int, network: str) -> dict[str, object]:
    source: dict[str, object] = {"network": network, "chain": f"sim-{chain_id}", "evidence": scenario.evidence}
    source["addresses"] = ["0x" + ROOTS[network].hex()]
    if scenario.start_block is not None:
        source["start_block"] = scenario.start_block
    return source
