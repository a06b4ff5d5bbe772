"""Check 4, second part: the ids of an Arbius engine's tasks form a hash chain.

Source: semperai/arbius, contract/contracts/V2_EngineV*.sol, `hashTask`: `id = keccak256(abi.encode(address sender,
bytes32 prevhash, bytes32 model, uint256 fee, bytes cid))`, `prevhash` being the id of the engine's task before, 0 for
the first. No event tells the cid: a task whose cid is not known yet proves nothing.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from eth_hash.auto import keccak

from indexer.audit.findings import ROWS_AT_ONCE, Contract, Finding, Tally, contracts, hex_of
from schema import arbius
from schema.arbius_entities import tasks

NAME = "task ids"


def task_id(sender: bytes, before: bytes, model: bytes, fee: int, cid: bytes) -> bytes:
    """The id of a task; `before` is the id of the engine's task before it."""
    words = (sender.rjust(32, b"\0"), before, model, fee.to_bytes(32), (5 * 32).to_bytes(32), len(cid).to_bytes(32))
    return keccak(b"".join(words) + cid + bytes(-len(cid) % 32))


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Tasks whose id does not follow from the task before them."""
    known = contracts(connection)
    tally.counts["tasks"] = 0
    unknown = 0
    rows = connection.execute(_in_order().execution_options(yield_per=ROWS_AT_ONCE))
    for place, submitted in groupby(rows, lambda row: (row.chain_id, bytes(row.address))):
        for finding in _engine(known[place], submitted, tally):
            if finding is None:
                unknown += 1
            else:
                yield finding
        tally.tick(f"{known[place].chain}: {tally.counts['tasks']:,} tasks")
    if unknown:
        tally.notes.append(f"not checked: {unknown:,} tasks lack their cid")


def _in_order() -> sa.Select[Any]:
    event = arbius.EVENTS["task_submitted"]
    same = sa.and_(
        tasks.c.chain_id == event.c.chain_id, tasks.c.address == event.c.address, tasks.c.task_id == event.c.id
    )
    names = ("chain_id", "address", "block_number", "id", "sender", "model", "fee")
    query = sa.select(*(event.c[name] for name in names), tasks.c.cid).select_from(event.outerjoin(tasks, same))
    return query.order_by(event.c.chain_id, event.c.address, event.c.block_number, event.c.log_index)


def _engine(engine: Contract, submitted: Iterable[sa.Row[Any]], tally: Tally) -> Iterator[Finding | None]:
    """The findings of one engine, in order, and None for each task that cannot be checked."""
    before: bytes | None = bytes(32) if engine.born else None
    block = engine.from_block
    for task in submitted:
        if task.block_number > engine.folded_to:
            break
        if task.cid is None:
            yield None
        elif before is not None:
            tally.counts["tasks"] += 1
            if task_id(task.sender, before, task.model, int(task.fee), task.cid) != task.id:
                words = "its id does not follow from the task before it: a task between them is missing"
                yield Finding(engine.chain, NAME, hex_of(task.id), block, task.block_number, words)
        before, block = bytes(task.id), task.block_number
