"""Bench "koii": a task with many nodes. What does it cost to decode and write it, and to read it again unchanged?"""

import resource
import tempfile
import time
from pathlib import Path

from indexer.store import database as db
from indexer.store import migrate, server
from tests.integration.koii_support import ACTIVE, Koii, key, koii
from tests.unit.koii_oracle import as_json, borsh

KEPT = 6  # rounds that an account holds
Figures = dict[str, float]


def state(nodes: int) -> dict[str, object]:
    """A state with `nodes` nodes that all took part in the last rounds, and CIDs of 59 characters as values."""
    keys = [key(n) for n in range(1, nodes + 1)]
    held = {
        str(n): {who: {"submission_value": "b" * 59, "slot": 1100 + n * 100, "round": n} for who in keys}
        for n in range(KEPT)
    }
    money = {who: n for n, who in enumerate(keys)}
    return {**ACTIVE, "submissions": held, "available_balances": money, "stake_list": money}


def run(nodes: int) -> list[Figures]:
    """Seconds and megabytes of a KPL task in Borsh, of a KOII task in JSON, and of a round that pays all nodes."""
    folder = Path(tempfile.mkdtemp(prefix="taskscan-bench-"))
    try:
        with server.using(folder, fast=True) as running:
            engine = db.engine(running.url)
            migrate.upgrade(engine)
            engine.dispose()
            with koii(running.url) as book:
                return [_figures(book, nodes)]
    finally:
        server.remove(folder)
        folder.rmdir()


def _figures(book: Koii, nodes: int) -> Figures:
    tree = state(nodes)
    data = {"kpl": borsh(tree), "koii": as_json(tree)}
    del tree
    figures: Figures = {"nodes": nodes}
    for n, (name, value) in enumerate(data.items()):
        figures |= _read(book, name, value, 2000, key(10**6 + n))
    paid = state(nodes) | {"available_balances": {key(n): n * 2 + 1 for n in range(1, nodes + 1)}}
    return figures | _read(book, "kpl_all_paid", borsh(paid), 3000, key(10**6))


def _read(book: Koii, name: str, data: bytes, slot: int, task: str) -> Figures:
    """What it costs to read `data` twice: as it is new, and unchanged."""
    seconds = []
    for again in range(2):
        began = time.perf_counter()
        book.see_bytes(data, slot + again, kpl=name != "koii", task=task)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"mb": len(data) / 1e6, "written_s": seconds[0], "unchanged_s": seconds[1], "peak_memory_mb": peak}
    return {f"{name}_{what}": figure for what, figure in told.items()}
