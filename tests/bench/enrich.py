"""Bench "enrich": the facts that no event carries, on the devnet with Multicall3's code in its place.

Calldata costs one call per block that submits tasks, however many: JSON-RPC gives the transactions of one block at a
time. So the calls depend on how dense blocks are. 200 new tasks per second are 50 per block where four blocks come per
second, of any network; the devnet's blocks are made about as dense: `tasks_per_block` tells how dense they became.
`least_calls_per_100_tasks` is one call for each of these blocks and one for all that contracts are asked about. Calls
in a batch count singly, as everywhere.
"""

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg

from indexer.devnet import Devnet, drive
from indexer.devnet.arbius import plans, traffic
from indexer.devnet.arbius.compile import contracts
from indexer.devnet.tools import install
from indexer.rpc.multicall import MULTICALL3
from indexer.store import database as db
from indexer.store import migrate, server
from tests.bench.process import postgres_cpu_seconds
from tests.integration.test_enrich import enriched, forget
from tests.integration.test_scan import ingest

CHAIN, END = 42161, 1_750_000_000
SPAN, RECENT = 30, 0.02  # seconds in which all begin; share of tasks in flight, which come one by one
TASKS = 1_100  # on each network
# Transactions, of which most do other things to tasks than submit them; share of solvers who lose a dispute, for whose
# tasks one has to wait until one of the few losers is free: each has a block of its own.
PER_BLOCK, BAD_SHARE = 200, 0.02
CALLDATA = ("eth_getBlockByNumber", "eth_getTransactionByHash")
COUNTS = """
    SELECT (SELECT count(*) FROM arbius.tasks), (SELECT count(*) FROM iexec.tasks),
           (SELECT count(DISTINCT submitted_block) FROM arbius.tasks),
           (SELECT count(*) FROM (SELECT submitted_block FROM arbius.tasks UNION
                                  SELECT registered_block FROM arbius.models) AS to_read)
"""
Figures = dict[str, float]


def run(times: int) -> list[Figures]:
    """Figures of each run over the same tasks, all of which are forgotten and learned anew."""
    tools = install()
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    traffic.MOST_SPAN_SECONDS, traffic.RECENT = SPAN, RECENT
    traffic.MOST_PER_BLOCK = drive.MOST_PER_BLOCK = PER_BLOCK
    plans._BAD_SHARE = BAD_SHARE
    try:
        with Devnet(seed=5, end_time=END) as devnet, server.using(folder / "data") as running:
            devnet.bulk(TASKS)
            node = devnet._anvil.node
            code = contracts(tools.solc, tools.cache)["Multicall"].code
            node.call("anvil_setCode", MULTICALL3, node.call("eth_call", {"data": code}, "latest"))
            node.call("anvil_mine", hex(12))
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            engine.dispose()
            engines = [engine.address for engine in devnet.arbius.engines.values()]
            sources = [{"network": "iexec", "addresses": [devnet.hub]}, {"network": "arbius", "addresses": engines}]
            ingest(running.url, devnet.rpc_url, sources, CHAIN)
            return [_once(running.url, devnet.rpc_url) for _ in range(times)]
    finally:
        server.remove(folder / "data")
        shutil.rmtree(folder)


def _once(database: str, url: str) -> Figures:
    forget(database)
    began, own, theirs = time.perf_counter(), time.process_time(), postgres_cpu_seconds(database)
    asked = Counter(enriched(database, url, CHAIN, "arbius", "iexec").methods)
    seconds, own = time.perf_counter() - began, time.process_time() - own
    theirs = postgres_cpu_seconds(database) - theirs
    with psycopg.connect(database) as connection:
        row = connection.execute(COUNTS).fetchone()
    assert row is not None
    arbius, iexec, blocks, to_read = row
    tasks = arbius + iexec
    calldata = sum(asked.pop(method, 0) for method in CALLDATA)
    return {
        "tasks": tasks,
        "tasks_per_block": tasks / blocks,
        "tasks_per_s": tasks / seconds,
        "tasks_per_cpu_s": tasks / (own + theirs),
        "own_cpu_us_per_task": own / tasks * 1e6,
        "postgres_cpu_us_per_task": theirs / tasks * 1e6,
        "calls_per_100_tasks": 100 * (sum(asked.values()) + calldata) / tasks,
        "least_calls_per_100_tasks": 100 * (to_read + 1) / tasks,
        "calls_per_100_arbius_tasks_for_calldata": 100 * calldata / arbius,
        "calls_per_100_tasks_for_the_rest": 100 * sum(asked.values()) / tasks,
    }
