"""Why is this not here? The ledger tells what was looked at; a provider tells where a transaction stands."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from indexer.audit.why import EVENT_TABLES, FEW, ROW, Answer, shown
from indexer.store.ledger import covered_ranges
from schema.chain import chains, sources, unknown_logs

if TYPE_CHECKING:
    from indexer.rpc.receipts import Receipt


def add_reasons(connection: sa.Connection, answer: Answer, receipts: Mapping[int, "Receipt | None"]) -> None:
    """Say in `answer.missing` why nothing is stored under its subject.

    `receipts`: chain id -> the transaction's receipt, None where the chain's providers know of none; chains that
    could not be asked are left out.
    """
    for orphan in answer.orphaned[:FEW]:
        answer.missing.append(
            f"{orphan.stored_in}:{orphan.block}:{orphan.log_index} on {orphan.chain} was removed by reorg "
            f"{orphan.reorg_id} at {orphan.removed_at:%Y-%m-%d %H:%M:%S} (back to block {orphan.ancestor})."
        )
    answer.missing += _unknown(connection, answer.subject)
    if match := ROW.fullmatch(answer.subject):
        table, block, log_index = match[1], int(match[2]), int(match[3])
        answer.missing += _of_place(connection, table, block, log_index)
    elif found := {chain_id: receipt for chain_id, receipt in receipts.items() if receipt}:
        for chain_id, receipt in found.items():
            answer.missing += _of_receipt(connection, chain_id, receipt)
    else:
        answer.missing += _of_nothing(connection, answer.subject, receipts)


def _unknown(connection: sa.Connection, subject: str) -> Iterator[str]:
    """Logs that no codec could read and that name the subject in a topic."""
    if ROW.fullmatch(subject) or len(subject) != 66:
        return
    raw = bytes.fromhex(subject[2:])
    u = unknown_logs.c
    joined = unknown_logs.join(chains, chains.c.chain_id == u.chain_id)
    query = sa.select(unknown_logs, chains.c.name).select_from(joined).where(sa.literal(raw) == sa.any_(u.topics))
    for row in connection.execute(query.limit(FEW)):
        yield (
            f"A log of {shown(row.address)} in block {row.block_number} of {row.name} (chain.unknown_logs, index "
            f"{row.log_index}) names it, but could not be decoded: {row.reason}."
        )


def _of_place(connection: sa.Connection, table: str, block: int, log_index: int) -> Iterator[str]:
    for other in EVENT_TABLES:
        place = sa.select(other.c.chain_id).where(other.c.block_number == block, other.c.log_index == log_index)
        if other.fullname != table and connection.scalar(place.limit(1)) is not None:
            yield f"At this place stands {other.fullname}:{block}:{log_index}."
    network = table.split(".")[0]
    for row in _watched(connection, network=network):
        yield _of_block(connection, row, block)


def _of_receipt(connection: sa.Connection, chain_id: int, receipt: "Receipt") -> Iterator[str]:
    known = {shown(row.address): row for row in _watched(connection, chain_id=chain_id)}
    name = connection.scalar(sa.select(chains.c.name).where(chains.c.chain_id == chain_id)) or f"chain {chain_id}"
    emitters = sorted({log.address for log in receipt.logs})
    where = f"{receipt.provider} says that the transaction is in block {int(receipt.block_number, 16)} of {name}"
    if not emitters:
        yield f"{where}, without any log: it failed, or it did nothing that is told."
        return
    yield f"{where}, with {len(receipt.logs)} logs of {len(emitters)} contracts."
    watched = [address for address in emitters if address in known]
    if not watched:
        listed = ", ".join(emitters[:FEW])
        yield f"None of these contracts is watched: {listed}. `addresses` of a [[sources]] entry names them."
    for address in watched:
        yield _of_block(connection, known[address], int(receipt.block_number, 16))


def _of_block(connection: sa.Connection, row: Any, block: int) -> str:
    """What is known of `block` for a watched contract: below its start, not there yet, a gap, or covered."""
    who = f"{row.network} {row.role} {shown(row.address)} @ {row.name}"
    if block < row.from_block:
        return f"{who}: block {block} lies below its first block {row.from_block}, so it is not read."
    if not row.active and not _covers(connection, row, block):
        return f"{who}: is not configured any more; block {block} was not read before."
    if row.head_block is None or block > row.head_block:
        return f"{who}: block {block} lies above the newest block that is known ({row.head_block})."
    if not _covers(connection, row, block):
        return f"{who}: block {block} is not covered yet. `taskscan status` tells how far it is read."
    return (
        f"{who}: block {block} is covered and no such log was in the answers. If a provider shows it, it was left out: "
        "`taskscan verify` looks for such gaps."
    )


def _covers(connection: sa.Connection, row: Any, block: int) -> bool:
    return any(block in piece for piece in covered_ranges(connection, [row.group_id]).get(row.group_id, []))


def _of_nothing(connection: sa.Connection, subject: str, receipts: Mapping[int, "Receipt | None"]) -> Iterator[str]:
    """Nobody knows the subject: how far are the contracts read that might tell of it?"""
    if receipts:
        yield f"No provider of {len(receipts)} chains knows a transaction {subject}."
    rows = _watched(connection)
    if not rows:
        yield "Nothing is read yet: run `taskscan run`."
        return
    yield f"No event that is stored names {subject}. What is read of the contracts that might:"
    for row in rows[: 2 * FEW]:
        pieces = covered_ranges(connection, [row.group_id]).get(row.group_id, [])
        read = ", ".join(f"{max(piece.first, row.from_block)}..{piece.last}" for piece in pieces[:5]) or "nothing yet"
        yield (
            f"{row.network} {row.role} {shown(row.address)} @ {row.name}: blocks {read} of {row.from_block}.."
            f"{row.head_block}"
        )


def _watched(connection: sa.Connection, network: str | None = None, chain_id: int | None = None) -> Sequence[Any]:
    joined = sources.join(chains, chains.c.chain_id == sources.c.chain_id)
    query = sa.select(sources, chains.c.name, chains.c.head_block).select_from(joined)
    if network is not None:
        query = query.where(sources.c.network == network)
    if chain_id is not None:
        query = query.where(sources.c.chain_id == chain_id)
    return connection.execute(query.order_by(chains.c.name, sources.c.network, sources.c.role, sources.c.address)).all()
