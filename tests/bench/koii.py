"""A Koii task with 10,000 nodes: seconds and peak memory to decode and write it, and to read it again unchanged.

python -m tests.bench.koii [--nodes 10000]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from indexer.store import database as db
from indexer.store import migrate, server
from tests.integration.koii_support import ACTIVE, Koii, key, koii
from tests.unit.koii_oracle import as_json, borsh

KEPT = 6  # rounds that an account holds


def state(nodes: int) -> dict[str, object]:
    """A state with `nodes` nodes that all took part in the last rounds, and CIDs of 59 characters as values."""
    keys = [key(n) for n in range(1, nodes + 1)]
    held = {
        str(n): {who: {"submission_value": "b" * 59, "slot": 1100 + n * 100, "round": n} for who in keys}
        for n in range(KEPT)
    }
    money = {who: n for n, who in enumerate(keys)}
    return {**ACTIVE, "submissions": held, "available_balances": money, "stake_list": money}


def measure(book: Koii, name: str, data: bytes, slot: int, task: str, *, kpl: bool) -> None:
    """Print one line for `data`, read twice."""
    times = []
    for again in range(2):
        began = time.perf_counter()
        book.see_bytes(data, slot + again, kpl=kpl, task=task)
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {len(data) / 1e6:.1f} MB, written in {times[0]:.2f} s, unchanged {times[1]:.3f} s, {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    nodes = parser.parse_args().nodes
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        tree = state(nodes)
        data = {"KPL": borsh(tree), "KOII": as_json(tree)}
        del tree
        with server.using(folder, fast=True) as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            engine.dispose()
            with koii(running.url) as book:
                for n, (name, value) in enumerate(data.items()):
                    measure(book, name, value, 2000, key(10**6 + n), kpl=name == "KPL")
                again = state(nodes) | {"available_balances": {key(n): n * 2 + 1 for n in range(1, nodes + 1)}}
                measure(book, "KPL, all paid", borsh(again), 3000, key(10**6), kpl=True)
    finally:
        server.remove(folder)
        folder.rmdir()


if __name__ == "__main__":
    main()
