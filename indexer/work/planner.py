"""What is to be read, as jobs: pure, no I/O."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from indexer.chain.ranges import Range
from indexer.chain.sizing import cut
from indexer.store.ledger import Group
from indexer.work.jobs import SCAN

JOBS = 500  # into which the work is cut: enough for every worker to be busy to the end, few enough to look at
LEAST_BLOCKS = 1000  # of a job: below that its requests cost more than the reading


class Piece(NamedTuple):
    """Blocks of one group that a job is to read."""

    group_id: int
    blocks: Range


def pieces(groups: Sequence[Group], upto: int, size: int | None = None) -> list[Piece]:
    """The gaps of `groups` up to block `upto`, cut into pieces of `size` blocks; by default as many as make sense."""
    gaps = [(group.group_id, gap) for group in groups for gap in group.gaps(upto)]
    blocks = sum(gap.blocks for _, gap in gaps)
    size = size or max(LEAST_BLOCKS, -(-blocks // JOBS))
    found = [Piece(group_id, part) for group_id, gap in gaps for part in cut(gap, size)]
    return sorted(found, key=lambda piece: piece.blocks)


def left(groups: Iterable[Group], wanted: Iterable[Piece]) -> int:
    """How many blocks of `wanted` are still missing. What belonged to a group that is gone is planned anew."""
    by_id = {group.group_id: group for group in groups}
    return sum(
        gap.blocks
        for piece in wanted
        if piece.group_id in by_id
        for gap in by_id[piece.group_id].gaps_within(piece.blocks)
    )


def request(job_id: str, chain_id: int, chain: str, piece: Piece) -> dict[str, Any]:
    """Parameters of `awf.task/create-and-execute` for a piece."""
    first, last = piece.blocks
    return {
        "id": job_id,
        "definition": SCAN,
        "label": f"{chain} {piece.blocks}",
        "params": {"chainId": chain_id, "chain": chain, "group": piece.group_id, "from": first, "to": last},
    }
