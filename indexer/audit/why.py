"""Why is this row here? From a task id, a transaction hash or a row to the range that brought it, who answered, with
what evidence, what decoded it, where it was folded to, and what reorgs did to it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from indexer.errors import UsageError
from indexer.networks import NETWORKS
from indexer.query.lists import nearest_or_fail
from indexer.query.task import KEYS
from indexer.store.copy import FIXED_COLUMNS
from indexer.store.fold import touched_keys
from schema import FOLDS, metadata
from schema.analytics import tasks
from schema.chain import chains, coverage, groups, orphaned_logs, reads, reorgs, sources, unknown_logs
from schema.iexec_entities import tasks as iexec_tasks

FEW = 10
ROW = re.compile(r"(\w+\.\w+):(\d+):(\d+)")
HEX = re.compile(r"0x[0-9a-f]{1,64}")

EVENT_TABLES = [table for table in metadata.sorted_tables if "tx_index" in table.c and table is not orphaned_logs]


class Read(NamedTuple):
    """A row of `chain.reads`: one answer of a provider that covers the event's block."""

    provider: str
    requested_at: datetime
    elapsed_ms: int
    from_block: int
    to_block: int
    logs: int
    evidence: str
    bound_block: int | None
    bound_hash: str | None
    digest: str
    doubt: str | None
    confirmed_by: str | None


class Orphan(NamedTuple):
    """A log that a reorg removed: where it had stood, since when it was believed, and which reorg it was."""

    chain: str
    stored_in: str
    block: int
    log_index: int
    tx: str
    believed_at: datetime | None
    removed_at: datetime
    reorg_id: int
    ancestor: int


@dataclass
class Event:
    """A stored log and how it got there. `row` names it as `schema.table:block:log_index`; hex is text.

    `decoded_by`: the signature that fits, or why there is none. `folded_into`: `schema.table key` of the entities that
    it changed; `folded`: whether folds have come that far. `evidence`: what is known of its block's completeness now.
    """

    row: str
    chain: str
    block: int
    block_time: datetime
    tx: str
    contract: str
    final: bool
    decoded_by: str
    folded: bool
    folded_into: list[str]
    evidence: str | None
    reads: list[Read]
    reorgs: list[Orphan]


@dataclass
class Answer:
    """What `why` has to say. `subject`: the complete id; `missing`: reasons why something is not there."""

    subject: str
    events: list[Event] = field(default_factory=list)
    orphaned: list[Orphan] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


Blocks = Callable[[str], Mapping[int, int]]


def explain(connection: sa.Connection, text: str, blocks: Blocks = lambda tx_hash: {}) -> Answer:
    """Explain what `text` names: a task id, a transaction hash, the beginning of either, or `schema.table:block:index`.

    No event table has an index of its transactions. So what is no task's is looked for in the blocks in which it
    should stand first: `blocks` gives chain id -> block of a transaction, as providers tell it.
    `events` is empty where nothing is stored under that name; `indexer.audit.absent` then tells why. Raises UsageError
    for what is none of them and for a beginning that fits several.
    """
    if match := ROW.fullmatch(text.strip()):
        return _row(connection, *match.groups())
    wanted = text.strip().lower()
    if not HEX.fullmatch(wanted):
        raise UsageError(f"{text!r} is no task id or transaction hash (0x and up to 64 digits), nor table:block:log.")
    subject = _complete(connection, wanted)
    stored = list(_of_task(connection, subject)) or _of_deal(connection, subject)
    stored = stored or _of_transaction(connection, subject, blocks(subject))
    places = {(row["chain_id"], row["block_number"], row["log_index"]): (table, row) for table, row in stored}
    answer = _answer(connection, subject, list(places.values()))
    o, here = orphaned_logs.c, {orphan for event in answer.events for orphan in event.reorgs}
    names_it = sa.or_(o.tx_hash == _bytes(subject), sa.cast(o.arguments, sa.Text).contains(subject, autoescape=True))
    answer.orphaned = [orphan for orphan in orphans(connection, names_it) if orphan not in here]
    return answer


def orphans(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Orphan]:
    """The logs that reorgs removed, oldest first, at most 50."""
    o, r = orphaned_logs.c, reorgs.c
    joined = orphaned_logs.join(reorgs, o.reorg_id == r.reorg_id).join(chains, chains.c.chain_id == o.chain_id)
    query = sa.select(orphaned_logs, r.ancestor, chains.c.name).select_from(joined).where(*where)
    return [
        Orphan(row.name, row.stored_in, row.block_number, row.log_index, shown(row.tx_hash), row.believed_at,
               row.removed_at, row.reorg_id, row.ancestor)
        for row in connection.execute(query.order_by(o.removed_at, o.block_number, o.log_index).limit(50))
    ]  # fmt: skip


def shown(value: Any) -> Any:
    """Bytes as hex text, everything else as it is."""
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _row(connection: sa.Connection, name: str, block: str, log_index: str) -> Answer:
    known = {table.fullname: table for table in EVENT_TABLES}
    table = known[nearest_or_fail(name, known, "event table")]
    place = table.c.block_number == int(block), table.c.log_index == int(log_index)
    found = [(table, dict(row)) for row in connection.execute(sa.select(table).where(*place)).mappings()]
    answer = _answer(connection, f"{name}:{int(block)}:{int(log_index)}", found)
    if not found:
        o = orphaned_logs.c
        same = o.stored_in == name, o.block_number == int(block), o.log_index == int(log_index)
        answer.orphaned = orphans(connection, *same)
    return answer


def _complete(connection: sa.Connection, wanted: str) -> str:
    """The one task id, or else the one transaction hash, that begins with `wanted`; `wanted` where none does."""
    if len(wanted) == 66:
        return wanted
    begins = sa.select(tasks.c.task_id, tasks.c.network, tasks.c.chain).where(tasks.c.task_id.startswith(wanted))
    rows = connection.execute(begins.limit(FEW + 1))
    found = {(row.task_id, f"task of {row.network} @ {row.chain}") for row in rows}
    found = found or {(shown(value), "transaction") for value in _hashes(connection, wanted)}
    if len({text for text, _ in found}) > 1:
        listed = "".join(f"\n  {text}  {what}" for text, what in sorted(found)[:FEW])
        raise UsageError(f"Several begin with {wanted}:{listed}" + ("\n  …" if len(found) > FEW else ""))
    return next((text for text, _ in found), wanted)


def _hashes(connection: sa.Connection, wanted: str) -> Sequence[bytes]:
    """A few of the transactions that begin with `wanted`: every stored event is looked at."""
    low, high = (bytes.fromhex(wanted[2:].ljust(64, digit)) for digit in "0f")
    parts = [sa.select(t.c.tx_hash).where(t.c.tx_hash.between(low, high)) for t in (*EVENT_TABLES, orphaned_logs)]
    return connection.scalars(sa.union(*parts).limit(FEW + 1)).all()


Stored = tuple[sa.Table, dict[str, Any]]


def _of_task(connection: sa.Connection, task_id: str) -> Iterator[Stored]:
    key = _bytes(task_id)
    for table in EVENT_TABLES:
        column = next((table.c[name] for name in KEYS if name in table.c), None)
        if column is not None and isinstance(column.type, sa.LargeBinary):
            for row in connection.execute(sa.select(table).where(column == key)).mappings():
                yield table, dict(row)


def _of_deal(connection: sa.Connection, task_id: str) -> list[Stored]:
    """The events of its deal, for an iExec task that nobody has initialized: it has none of its own."""
    found = sa.select(iexec_tasks.c.dealid).where(iexec_tasks.c.taskid == _bytes(task_id))
    deals = [table for table in EVENT_TABLES if table.schema == iexec_tasks.schema and "dealid" in table.c]
    asked = [(table, sa.select(table).where(table.c.dealid.in_(found))) for table in deals]
    return [(table, dict(row)) for table, query in asked for row in connection.execute(query).mappings()]


def _of_transaction(connection: sa.Connection, tx_hash: str, blocks: Mapping[int, int]) -> list[Stored]:
    """Its events, in these blocks (chain id -> number) or else anywhere."""
    places = [sa.and_(sa.column("chain_id") == chain, sa.column("block_number") == n) for chain, n in blocks.items()]
    return (places and _with_hash(connection, tx_hash, sa.or_(*places))) or _with_hash(connection, tx_hash)


def _with_hash(connection: sa.Connection, tx_hash: str, *where: sa.ColumnElement[bool]) -> list[Stored]:
    asked = [(table, sa.select(table).where(table.c.tx_hash == _bytes(tx_hash), *where)) for table in EVENT_TABLES]
    return [(table, dict(row)) for table, query in asked for row in connection.execute(query).mappings()]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:].zfill(len(text[2:]) + len(text) % 2))


def _answer(connection: sa.Connection, subject: str, stored: Sequence[Stored]) -> Answer:
    stored = sorted(stored, key=lambda one: (one[1]["chain_id"], one[1]["block_number"], one[1]["log_index"]))
    return Answer(subject, [_event(connection, table, row) for table, row in stored])


def _event(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> Event:
    chain_id, block, address = row["chain_id"], row["block_number"], row["address"]
    chain = connection.execute(sa.select(chains).where(chains.c.chain_id == chain_id)).one()
    joined = sources.join(groups, groups.c.group_id == sources.c.group_id)
    mine = sa.select(sources, groups.c.folded_to).select_from(joined)
    source = connection.execute(mine.where(sources.c.chain_id == chain_id, sources.c.address == address)).one_or_none()
    return Event(
        row=f"{table.fullname}:{block}:{row['log_index']}",
        chain=chain.name,
        block=block,
        block_time=row["block_time"],
        tx=shown(row["tx_hash"]),
        contract=shown(address),
        final=chain.final_block is not None and block <= chain.final_block,
        decoded_by=_decoded_by(table, row, source.role if source else None),
        folded=source is not None and source.folded_to is not None and block <= source.folded_to,
        folded_into=_folded_into(connection, table, row),
        evidence=_evidence(connection, source.group_id, block) if source else None,
        reads=_reads(connection, chain_id, source.group_id if source else None, block),
        reorgs=orphans(connection, orphaned_logs.c.tx_hash == row["tx_hash"], orphaned_logs.c.chain_id == chain_id),
    )


def _decoded_by(table: sa.Table, row: dict[str, Any], role: str | None) -> str:
    if table is unknown_logs:
        return f"nothing: {row['reason']}"
    codecs = NETWORKS[str(table.schema)].codecs.items()
    given = {name for name, value in row.items() if value is not None and name not in FIXED_COLUMNS}
    fits = {
        codec.event.signature
        for (of_role, _, _), codec in codecs
        if codec.table == table.name and role in (of_role, None) and given <= set(codec.columns)
    }
    return " or ".join(sorted(fits)) or "a signature that this version does not know"


def _folded_into(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> list[str]:
    """Entities that events of this block touch and that this event names, by an argument or by its block."""
    block = row["block_number"]
    named = {value for name, value in row.items() if name not in FIXED_COLUMNS and isinstance(value, bytes)} | {block}
    return [
        f"{fold.table.fullname} {shown(key)}"
        for fold in FOLDS.get(str(table.schema), ())
        for _, key in touched_keys(connection, fold, row["chain_id"], [row["address"]], block, block)
        if key in named
    ]


def _evidence(connection: sa.Connection, group_id: int, block: int) -> str | None:
    c = coverage.c
    around = sa.select(c.evidence).where(c.group_id == group_id, c.from_block <= block, c.to_block >= block)
    found: str | None = connection.scalar(around.limit(1))
    return found


def _reads(connection: sa.Connection, chain_id: int, group_id: int | None, block: int) -> list[Read]:
    """The answers that cover the block, oldest first: of the contract's group, else of any (groups are joined)."""
    r = reads.c
    around = sa.select(reads).where(r.chain_id == chain_id, r.from_block <= block, r.to_block >= block)
    around = around.order_by(r.requested_at).limit(5)
    rows = connection.execute(around.where(r.group_id == group_id)).all() or connection.execute(around).all()
    return [Read(*(shown(getattr(row, name)) for name in Read._fields)) for row in rows]
