"""`python -m tests.simulation.mutations`: break the code on purpose, in a copy, and see that the seeds notice.

Each mutation is a mistake that an indexer could make. The suite must fail for each within 50 seeds.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SEEDS = 50
PARTS = ("indexer", "schema", "migrations", "tests", "pyproject.toml")


class Mutation(NamedTuple):
    """Replace `old`, which stands in `file` once, by `new`."""

    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "accept a sibling",
        "indexer/chain/window.py",
        "        if block.hash == ours:\n",
        "        if block.number == tip.number:\n            return Known(block)\n        if block.hash == ours:\n",
    ),
    Mutation(
        "skip the refold in a rollback",
        "indexer/store/rollback.py",
        "            refold_and_prune(connection, fold, chain_id, keys, at_block)\n",
        "            pass\n",
    ),
    Mutation(
        "ignore an omission",
        "indexer/ingest/settle.py",
        "        if wrong.blocks:\n",
        "        if wrong.blocks and not wrong.missing:\n",
    ),
    Mutation(
        "commit coverage apart from its rows",
        "indexer/store/write.py",
        "    _insert(driver(connection), {target: lines for target, lines in rows.items() if lines})\n"
        "    if batch.born:\n"
        "        sources.add(connection, batch.group.chain_id, batch.born)\n"
        "    ledger.record(connection, batch.group, reads)\n",
        "    ledger.record(connection, batch.group, reads)\n"
        "    driver(connection).commit()\n"
        "    driver(connection).execute('SELECT 1')\n"
        "    _insert(driver(connection), {target: lines for target, lines in rows.items() if lines})\n"
        "    if batch.born:\n"
        "        sources.add(connection, batch.group.chain_id, batch.born)\n",
    ),
    Mutation(
        "trust a lower head",
        "indexer/chain/window.py",
        "            return Known(block) if block.point == tip else Lagging(block, tip.number - block.number, True)\n",
        "            return Known(block) if block.point == tip else self._unconfirmed(block.point, (block,))\n",
    ),
)


def main(words: Sequence[str] = ()) -> int:
    """0 when every mutation, or every one whose name has one of `words` in it, is noticed."""
    missed = 0
    for mutation in MUTATIONS:
        if words and not any(word in mutation.name for word in words):
            continue
        with tempfile.TemporaryDirectory(prefix="taskscan-mutation-") as folder:
            _copy(Path(folder))
            _apply(mutation, Path(folder))
            noticed, told = _run(Path(folder))
        missed += not noticed
        print(f"{'noticed' if noticed else 'NOT NOTICED'}: {mutation.name}: {told}", flush=True)
    return 1 if missed else 0


def _copy(folder: Path) -> None:
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def _apply(mutation: Mutation, folder: Path) -> None:
    path = folder / mutation.file
    text = path.read_text("utf-8")
    if text.count(mutation.old) != 1:
        sys.exit(f"{mutation.name}: its place in {mutation.file} has changed. Bring the mutation up to date.")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")


def _run(folder: Path) -> tuple[bool, str]:
    """Whether a seed failed, and what it said."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", str(SEEDS), "--stop", "1", "--jobs", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    failed = re.search(r"^seed (\d+): FAILED.*$", done.stdout, re.MULTILINE)
    ran = re.search(r"^seeds: (\d+)", done.stdout, re.MULTILINE)
    if failed is None:
        return False, (done.stdout + done.stderr)[-500:]
    alone = [sys.executable, "-m", "tests.simulation", "--seed", failed[1]]
    if subprocess.run(alone, cwd=ROOT, capture_output=True, check=False).returncode:
        return False, f"seed {failed[1]} fails without it, too"
    reasons = [line.strip() for line in done.stdout[failed.end() :].splitlines() if line.startswith("  ")]
    reason = next((line for line in reasons if not re.match(r"(reorgs by depth|injected|noticed):", line)), "")
    return True, f"seed {failed[1]}, {ran[1] if ran else '?'} seeds run: {reason[:140]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
