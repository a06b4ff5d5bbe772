"""Ids of tasks from logs alone, and what else must be made in Python before iExec is folded.

Source: PoCo, contracts/facets/IexecPoco1Facet.sol and IexecPoco2Facet.sol; verified against real contracts:
`dealid = keccak256(requestHash, botFirst)`, `taskid = keccak256(dealid, idx)`, each of two words of 32 bytes.
`botFirst` is what earlier deals took of the request order; that it gives the deal id proves it.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from eth_hash.auto import keccak
from sqlalchemy.dialects.postgresql import ARRAY, insert

from indexer.networks.iexec.hubs import map_contracts
from indexer.networks.iexec.orders import hash_broadcasts

LISTED = 10_000  # tasks of one deal that get a row: a free deal's volume has no bound
SEARCHED = 100_000  # values of botFirst that are tried where earlier deals were not read
AHEAD, BEHIND = 10_000, 1_000  # indices hashed beyond and before the last known one of a deal with unlisted tasks
MARK_EVERY = 1_000  # changes of balances between two marks
DEALS_AT_ONCE = 5_000
ROWS_AT_ONCE = 20_000
UINT256 = 1 << 256


class Start(NamedTuple):
    """A row of `iexec.deal_starts`, without its chain."""

    address: bytes
    dealid: bytes
    request_hash: bytes
    bot_first: int | None
    volume: int
    block_number: int
    event_index: int


class TaskId(NamedTuple):
    """A row of `iexec.task_ids`, without its chain."""

    address: bytes
    taskid: bytes
    dealid: bytes
    idx: int
    listed_from: int


_KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(("address", "dealid", "taskid", "request_hash"), sa.LargeBinary()),
    **dict.fromkeys(("bot_first", "volume", "idx"), sa.Numeric()),
    **dict.fromkeys(("chain_id", "block_number", "listed_from"), sa.BigInteger()),
    "event_index": sa.Integer(),
}
_DEAL = (
    "address", "dealid", "request_hash", "volume", "boost", "block_number", "log_index", "earlier", "taken"
)  # fmt: skip
_CANDIDATE = ("address", "dealid", "bot_first", "last_idx", "volume", "taskids", "blocks")


def deal_id(request_hash: bytes, bot_first: int) -> bytes:
    """The id of the deal whose first task is number `bot_first` of the request order."""
    return keccak(request_hash + bot_first.to_bytes(32, "big"))


def task_id(dealid: bytes, idx: int) -> bytes:
    """The id of a task. `idx` counts from the deal's botFirst, in boost deals from 0."""
    return keccak(dealid + idx.to_bytes(32, "big"))


def bot_first(dealid: bytes, request_hash: bytes, taken: int, search: int = 0) -> int | None:
    """The index of a deal's first task, proved by its id: `taken`, or up to `search` more; None if none fits."""
    for first in range(taken, min(taken + search + 1, UINT256)):
        if deal_id(request_hash, first) == dealid:
            return first
    return None


def prepare(
    connection: sa.Connection, chain_id: int, addresses: Sequence[bytes], from_block: int, to_block: int
) -> None:
    """What the folds of iExec need beside events: hubs of contracts, task ids, hashes of orders, marks.

    Called before the blocks `from_block` to `to_block` are folded, in the same transaction, in ascending order of
    ranges. Everything made from these or later blocks before is made anew, so it also serves after a rollback, for
    a gap that was filled, and for a rebuild. `addresses` are the contracts that were read.
    """
    from indexer.networks.iexec import NETWORK  # that module needs this one

    map_contracts(connection, chain_id, NETWORK.deployments)
    hubs = _hubs(connection, chain_id, addresses)
    if not hubs:
        return
    make_task_ids(connection, chain_id, addresses, from_block, to_block)
    hash_broadcasts(connection, chain_id, addresses, from_block, to_block)
    for hub in hubs:
        connection.execute(sa.select(sa.func.iexec.mark(chain_id, hub, from_block, to_block, MARK_EVERY)))


def remake(connection: sa.Connection, chain_id: int, addresses: Sequence[bytes], to_block: int) -> None:
    """Make everything that `prepare` makes anew from the events up to `to_block`.

    Ids beyond the list of a deal that were found from initializations stay where their hash proves them: they were
    found near the last known index of their time.
    """
    late = [row for row in _late(connection, chain_id) if task_id(row.dealid, row.idx) == row.taskid]
    connection.execute(sa.select(sa.func.iexec.forget_all_ids(chain_id)))
    prepare(connection, chain_id, addresses, 0, to_block)
    _write(connection, "task_ids", "taskid", chain_id, late)


def _late(connection: sa.Connection, chain_id: int) -> list[TaskId]:
    found = sa.func.iexec.late_ids(chain_id).table_valued(*TaskId._fields)
    rows = connection.execute(sa.select(found))
    return [TaskId(bytes(r.address), bytes(r.taskid), bytes(r.dealid), int(r.idx), r.listed_from) for r in rows]


def make_task_ids(
    connection: sa.Connection, chain_id: int, addresses: Sequence[bytes], from_block: int, to_block: int
) -> int:
    """List the tasks of the deals in these blocks, and initialized tasks that were beyond the list; how many.

    `addresses` are hubs. Idempotent. A deal whose botFirst cannot be proved gets no ids.
    """
    connection.execute(sa.select(sa.func.iexec.forget_task_ids(chain_id, _array(addresses), from_block)))
    blocks = from_block, to_block
    taken: dict[tuple[bytes, bytes], int | None] = {}
    made = 0
    deals = sa.func.iexec.new_deals(chain_id, _array(addresses), *blocks).table_valued(*_DEAL)
    in_order = sa.select(deals).order_by(deals.c.block_number, deals.c.log_index)
    with connection.execute(in_order, execution_options={"yield_per": DEALS_AT_ONCE}) as rows:
        for part in rows.partitions():
            starts = [_start(deal, taken) for deal in part]
            _write(connection, "deal_starts", "dealid", chain_id, starts)
            ids = (row for deal, start in zip(part, starts, strict=True) for row in _listed(deal, start.bot_first))
            made += _write(connection, "task_ids", "taskid", chain_id, ids)
    unlisted = sa.func.iexec.unlisted_tasks(chain_id, _array(addresses), *blocks).table_valued(*_CANDIDATE)
    late = connection.execute(sa.select(unlisted)).all()
    return made + _write(connection, "task_ids", "taskid", chain_id, _of_initialized(late))


def _start(deal: sa.Row[Any], taken: dict[tuple[bytes, bytes], int | None]) -> Start:
    """Where the tasks of `deal` begin. `taken` holds what the deals before it in these blocks took of their orders."""
    order = deal.address, deal.request_hash
    first_seen = deal.earlier is None and order not in taken
    before = taken.get(order, None if deal.taken is None else int(deal.taken))
    first = None
    if first_seen:  # only where reading began later is there anything to search for, and then here
        first = bot_first(deal.dealid, deal.request_hash, 0, SEARCHED)
    elif before is not None:
        first = bot_first(deal.dealid, deal.request_hash, before)
    taken[order] = None if first is None else first + int(deal.volume)
    place = deal.block_number, deal.log_index
    return Start(deal.address, deal.dealid, deal.request_hash, first, int(deal.volume), *place)


def _listed(deal: sa.Row[Any], first: int | None) -> Iterator[TaskId]:
    if first is None:
        return
    start = 0 if deal.boost else first
    for idx in range(start, min(start + min(int(deal.volume), LISTED), UINT256)):
        yield TaskId(deal.address, task_id(deal.dealid, idx), deal.dealid, idx, deal.block_number)


def _of_initialized(candidates: Iterable[sa.Row[Any]]) -> Iterator[TaskId]:
    """Initialized tasks beyond the listed ones: TaskInitialize names no deal, so ids of likely indices are compared.

    Schedulers initialize in the order of indices: those after the last known one are likely. What is not found
    stays a task without a deal, until enrichment asks for it.
    """
    found: set[bytes] = set()
    for deal in candidates:
        wanted = dict(zip(deal.taskids, deal.blocks, strict=True))
        last, end = int(deal.last_idx), min(int(deal.bot_first) + int(deal.volume), UINT256)
        ahead = range(last + 1, min(last + 1 + AHEAD, end))
        behind = range(max(int(deal.bot_first), last - BEHIND), last)
        for idx in (*ahead, *behind):
            if not wanted.keys() - found:
                break
            taskid = task_id(deal.dealid, idx)
            if taskid in wanted and taskid not in found:
                found.add(taskid)
                yield TaskId(deal.address, taskid, deal.dealid, idx, wanted[taskid])


def _write(
    connection: sa.Connection, table: str, key: str, chain_id: int, rows: Iterable[Start | TaskId]
) -> int:  # fmt: skip
    """Write rows, in parts; how many. One that is there already takes the new values."""
    written, left = 0, iter(rows)
    while part := list(islice(left, ROWS_AT_ONCE)):
        names = part[0]._fields
        target = sa.table(table, *(sa.column(name, _KINDS[name]) for name in ("chain_id", *names)), schema="iexec")
        arrays = [sa.cast([row[n] for row in part], ARRAY(_KINDS[name])) for n, name in enumerate(names)]
        given = sa.func.unnest(*arrays).table_valued(*names).render_derived()
        query = sa.select(sa.literal(chain_id, sa.BigInteger()), *given.c)
        statement = insert(target).from_select([column.name for column in target.c], query)
        update = {name: statement.excluded[name] for name in names if name not in ("address", key)}
        where = ["chain_id", "address", key]
        connection.execute(statement.on_conflict_do_update(index_elements=where, set_=update))
        written += len(part)
    return written


def _hubs(connection: sa.Connection, chain_id: int, addresses: Sequence[bytes]) -> list[bytes]:
    """The hubs whose entities events of `addresses` tell of."""
    contracts = sa.table("contracts", *map(sa.column, ("chain_id", "address", "role", "hub")), schema="iexec")
    query = (
        sa.select(contracts.c.hub)
        .distinct()
        .where(
            contracts.c.chain_id == chain_id,
            contracts.c.role == "hub",
            contracts.c.address == sa.any_(_array(addresses)),
        )
    )
    return [bytes(row.hub) for row in connection.execute(query)]


def _array(values: Sequence[bytes]) -> sa.Cast[Any]:
    return sa.cast(list(values), ARRAY(sa.LargeBinary))
