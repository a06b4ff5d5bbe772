"""Check 1: the coverage ledger has no gap, no event lies outside it, and each read left as many rows as it had logs.

What of `chain.reads` can be compared: an answer is known by its number of logs only, not by their contracts. Reads
that touch no other read must have left exactly as many rows. Reads of the same blocks by several groups must have so
together, if all groups but one are of contracts that were born on the chain: those were never read before. Where blocks
may have been read twice, or logs before a contract's first block were left out, only bounds can be compared.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from indexer.audit.findings import Contract, Finding, Tally, contracts, hex_of, some
from indexer.chain.ranges import Range, merge, subtract
from indexer.store import ledger
from schema import arbius, iexec
from schema.chain import coverage as coverage_table
from schema.chain import reads as reads_table
from schema.chain import sources, unknown_logs

NAME = "coverage"
LOGS = (unknown_logs, *arbius.EVENTS.values(), *iexec.EVENTS.values())
"""Every table that holds logs."""


class _Read(NamedTuple):
    from_block: int
    to_block: int
    group_id: int
    logs: int


class Stretch(NamedTuple):
    """Blocks of reads that overlap, with the bounds of how many rows they can have left."""

    range: Range
    least: int
    most: int


def check(connection: sa.Connection, tally: Tally) -> Iterator[Finding]:
    """Gaps in the coverage of active contracts, events outside any coverage, reads whose logs are not there."""
    known = contracts(connection)
    tally.counts["contracts"] = sum(each.active for each in known.values())
    tally.counts["blocks"] = 0
    tally.tick("events outside the coverage")
    yield from _strays(connection, known)
    for chain_id, chain in sorted({(each.chain_id, each.chain) for each in known.values()}):
        tally.tick(f"{chain}: rows of each read")
        mine = [each for each in known.values() if each.chain_id == chain_id]
        covered = ledger.covered_ranges(connection, {each.group_id for each in mine})
        whole = merge(piece for ranges in covered.values() for piece in ranges)
        tally.counts["blocks"] += sum(piece.blocks for piece in whole)
        if whole:
            yield from _gaps(connection, chain_id, chain, whole[-1].last)
        yield from _reads(connection, mine, whole, tally)


def _gaps(connection: sa.Connection, chain_id: int, chain: str, furthest: int) -> Iterator[Finding]:
    for group in ledger.load_groups(connection, chain_id):
        for gap in group.gaps(furthest):
            missed = [member.address for member in group.members if member.from_block <= gap.last]
            yield Finding(chain, NAME, some(missed), *gap, "these blocks are not read")


def _strays(connection: sa.Connection, known: dict[tuple[int, bytes], Contract]) -> Iterator[Finding]:
    for table in LOGS:
        inside = (
            sa.select(sa.literal(1))
            .select_from(sources.join(coverage_table, coverage_table.c.group_id == sources.c.group_id))
            .where(
                sources.c.chain_id == table.c.chain_id,
                sources.c.address == table.c.address,
                table.c.block_number.between(coverage_table.c.from_block, coverage_table.c.to_block),
            )
        )
        blocks = sa.func.min(table.c.block_number), sa.func.max(table.c.block_number), sa.func.count()
        place = table.c.chain_id, table.c.address
        query = sa.select(*place, *blocks).where(~inside.exists()).group_by(*place)
        for chain_id, address, first, last, count in connection.execute(query):
            contract = known.get((chain_id, bytes(address)))
            chain = contract.chain if contract else str(chain_id)
            words = f"{count:,} rows of {table.fullname} lie in blocks that do not count as read"
            yield Finding(chain, NAME, hex_of(address), first, last, words)


def _reads(
    connection: sa.Connection, mine: Sequence[Contract], covered: list[Range], tally: Tally
) -> Iterator[Finding]:
    chain_id, chain = mine[0].chain_id, mine[0].chain
    stretches = _stretches(connection, mine)
    for gap in subtract(covered, [stretch.range for stretch in stretches]):
        yield Finding(chain, NAME, "chain.reads", *gap, "these blocks count as read, but no read of them is recorded")
    rows = _rows_within(connection, chain_id, [stretch.range for stretch in stretches])
    for stretch, found in zip(stretches, rows, strict=True):
        tally.counts["logs"] += found
        if not stretch.least <= found <= stretch.most:
            wanted = f"{stretch.least:,}" + (f" to {stretch.most:,}" if stretch.most > stretch.least else "")
            words = f"the answers held {wanted} logs, the tables hold {found:,} rows"
            yield Finding(chain, NAME, "rows of the reads", *stretch.range, words)
        elif stretch.least < stretch.most:
            tally.counts["blocks compared within bounds only"] += stretch.range.blocks


def _stretches(connection: sa.Connection, mine: Sequence[Contract]) -> list[Stretch]:
    """The reads of a chain, those that overlap together."""
    r = reads_table.c
    query = sa.select(r.from_block, r.to_block, r.group_id, r.logs).where(r.chain_id == mine[0].chain_id)
    together: list[list[_Read]] = []
    begin: dict[int, int] = {}
    last = -1
    for row in map(_Read._make, connection.execute(query.order_by(r.from_block, r.to_block))):
        if not together or row.from_block > last:
            together.append([])
        together[-1].append(row)
        last = max(last, row.to_block)
        begin.setdefault(row.group_id, row.from_block)
    children = _children(begin, mine)
    late = max((each.from_block for each in mine if not each.born), default=0)
    return [_stretch(rows, children, late) for rows in together]


def _children(begin: dict[int, int], mine: Sequence[Contract]) -> set[int]:
    """The groups that began with a contract that was born on the chain.

    A group that reads something again, because its evidence was raised or its start lowered, begins with a
    contract that is configured.
    """
    configured = {each.from_block for each in mine if each.configured}
    born = {each.from_block for each in mine if not each.configured}
    return {group_id for group_id, block in begin.items() if block in born - configured}


def _stretch(rows: Sequence[_Read], children: set[int], late: int) -> Stretch:
    whole = Range(rows[0].from_block, max(row.to_block for row in rows))
    total = sum(row.logs for row in rows)
    once = len({row.group_id for row in rows} - children) <= 1 and not _overlap_within_group(rows)
    if whole.first < late:  # logs before the first block of a contract were left out
        return Stretch(whole, 0, total)
    return Stretch(whole, total if once else max(row.logs for row in rows), total)


def _overlap_within_group(rows: Sequence[_Read]) -> bool:
    ends: dict[int, int] = {}
    for row in rows:
        if row.from_block <= ends.get(row.group_id, -1):
            return True
        ends[row.group_id] = row.to_block
    return False


def _rows_within(connection: sa.Connection, chain_id: int, ranges: Sequence[Range]) -> list[int]:
    """How many logs are stored per range; `ranges` are sorted and disjoint. One pass over each table."""
    edges = [edge for piece in ranges for edge in (piece.first, piece.last + 1)]
    if not edges:
        return []
    places = sa.cast(sorted(set(edges)), ARRAY(sa.BigInteger))
    parts = []
    for table in LOGS:
        bucket = sa.func.width_bucket(table.c.block_number, places).label("bucket")
        part = sa.select(bucket, sa.func.count().label("rows")).where(table.c.chain_id == chain_id)
        parts.append(part.group_by(bucket))
    counted = sa.union_all(*parts).subquery()
    query = sa.select(counted.c.bucket, sa.func.sum(counted.c.rows)).group_by(counted.c.bucket)
    numbers = {edge: n + 1 for n, edge in enumerate(sorted(set(edges)))}
    found = {row[0]: int(row[1]) for row in connection.execute(query)}
    return [found.get(numbers[piece.first], 0) for piece in ranges]
