"""Which contracts are read: keeping `chain.sources` and its groups in step with the configuration and the chain."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.errors import ConfigError, WrongChain
from indexer.rpc.types import Header
from indexer.store import ledger
from schema.chain import chains, groups, sources

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """A contract that should be read; `address` is lower-case hex text, `found_in` a transaction hash or None."""

    address: str
    network: str
    role: str
    from_block: int
    evidence: str = "head-bound"
    found_in: bytes | None = None


def settle_chain(
    connection: sa.Connection, chain_id: int, name: str, clock: str, first: tuple[int, str]
) -> None:  # fmt: skip
    """Write the chain's row, or check that it is the same chain. Raises WrongChain.

    `first` is number and hash of the first block that the chain's providers can serve.
    """
    number, block_hash = first[0], bytes.fromhex(first[1][2:])
    row = connection.execute(sa.select(chains).where(chains.c.chain_id == chain_id)).one_or_none()
    if row is None:
        connection.execute(
            sa.insert(chains).values(
                chain_id=chain_id, name=name, kind="evm", first_block=number, first_hash=block_hash, clock=clock
            )
        )
        return
    _refuse_other(row, name, first)
    connection.execute(sa.update(chains).where(chains.c.chain_id == chain_id).values(name=name, clock=clock))


def require_chain(connection: sa.Connection, chain_id: int, first: tuple[int, str]) -> bool | None:
    """Check, without writing, that the database reads this very chain; whether its blooms are truthful, if known.

    Raises WrongChain, or ConfigError where the chain is not read at all.
    """
    row = connection.execute(sa.select(chains).where(chains.c.chain_id == chain_id)).one_or_none()
    if row is None:
        raise ConfigError(f"The database does not read chain {chain_id}: begin with `taskscan backfill` or `run`.")
    _refuse_other(row, row.name, first)
    return None if row.blooms is None else row.blooms == "truthful"


def _refuse_other(row: sa.Row[Any], name: str, first: tuple[int, str]) -> None:
    number, block_hash = first[0], bytes.fromhex(first[1][2:])
    if row.first_block == number and row.first_hash != block_hash:
        raise WrongChain(
            f"Block {number} of {name} (chain {row.chain_id}) is {first[1]}, but the database was filled from a chain "
            f"whose block {number} is 0x{row.first_hash.hex()}. Use another database for this chain."
        )


def note_head(connection: sa.Connection, chain_id: int, head: Header) -> None:
    """Remember the newest block that a provider told of; an older answer than the known head changes nothing."""
    number = int(head.number, 16)
    connection.execute(
        sa.update(chains)
        .where(chains.c.chain_id == chain_id)
        .where(sa.or_(chains.c.head_block.is_(None), chains.c.head_block <= number))
        .values(
            head_block=number,
            head_time=time_of(int(head.timestamp, 16)),
            seen_at=sa.func.now(),
        )
    )


def time_of(seconds: int) -> datetime:
    """A block's time; what no calendar holds becomes the end of it."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return END_OF_TIME


def configure(connection: sa.Connection, chain_id: int, wanted: Iterable[Wanted]) -> None:
    """Make the active sources those of `wanted`, plus the children that were found on the chain.

    A new contract and a lower first block get a group of their own until they have caught up; a contract that
    is not wanted any more stops being read and keeps its rows and its coverage. Children follow their network.
    """
    ledger.lock_groups(connection, chain_id)  # what a contract takes along of its group must be of one moment
    listed = {source.address: source for source in wanted}
    networks = {source.network for source in listed.values()}
    known = {"0x" + row.address.hex(): row for row in connection.execute(_of_chain(chain_id))}
    for address, row in known.items():
        keep = address in listed or (row.found_in is not None and row.network in networks)
        if row.active and not keep:
            _part(connection, row, active=False, from_block=row.from_block)
        elif keep and not row.active and address not in listed:
            _set(connection, row, active=True)
    for address, source in listed.items():
        if address not in known:
            continue
        row = known[address]
        if source.from_block < row.from_block or source.evidence != row.evidence:
            _part(connection, row, active=True, from_block=source.from_block, evidence=source.evidence)
        elif not row.active:
            _set(connection, row, active=True)
    add(connection, chain_id, [source for address, source in listed.items() if address not in known])


def add(connection: sa.Connection, chain_id: int, new: Iterable[Wanted]) -> int:
    """Add contracts that are not known yet, in one new group per level of evidence; how many were added."""
    added = 0
    by_evidence: dict[str, list[Wanted]] = {}
    for source in new:
        by_evidence.setdefault(source.evidence, []).append(source)
    known = {row.address for row in connection.execute(_of_chain(chain_id))}
    for evidence, members in by_evidence.items():
        # One contract can be announced twice in a batch: a v3 workerpool by Transfer and by CreateWorkerpool.
        named = {source.address: source for source in reversed(members)}
        fresh = [source for address, source in named.items() if bytes.fromhex(address[2:]) not in known]
        if not fresh:
            continue
        group_id = ledger.new_group(connection, chain_id, evidence)
        # Two groups that are written at once can tell of one contract: who comes second waits here, and adds nothing.
        rows = [_row(chain_id, group_id, source) for source in sorted(fresh, key=lambda source: source.address)]
        statement = insert(sources).values(rows)
        new_ones = connection.execute(statement.on_conflict_do_nothing().returning(sources.c.address)).all()
        if not new_ones:
            connection.execute(sa.delete(groups).where(groups.c.group_id == group_id))
        added += len(new_ones)
    return added


def _of_chain(chain_id: int) -> sa.Select[tuple[object, ...]]:
    joined = sources.join(groups, sources.c.group_id == groups.c.group_id)
    return sa.select(sources, groups.c.evidence).select_from(joined).where(sources.c.chain_id == chain_id)


def _row(chain_id: int, group_id: int, source: Wanted) -> dict[str, object]:
    return {
        "chain_id": chain_id,
        "address": bytes.fromhex(source.address[2:]),
        "network": source.network,
        "role": source.role,
        "from_block": source.from_block,
        "found_in": source.found_in,
        "group_id": group_id,
        "active": True,
    }


def _set(connection: sa.Connection, row: sa.Row[tuple[object, ...]], **values: object) -> None:
    mine = sa.and_(sources.c.chain_id == row.chain_id, sources.c.address == row.address)
    connection.execute(sa.update(sources).where(mine).values(**values))


def _part(
    connection: sa.Connection, row: sa.Row[tuple[object, ...]], *, active: bool, from_block: int,
    evidence: str | None = None,
) -> None:  # fmt: skip
    """Give a contract a group of its own that keeps what the old group has read of it."""
    same = evidence is None or evidence == row.evidence
    group_id = ledger.new_group(connection, row.chain_id, evidence or row.evidence)
    if same:
        ledger.copy_coverage(connection, row.group_id, group_id, row.from_block)
    if same and from_block >= row.from_block:
        ledger.copy_folded(connection, row.group_id, group_id)
    _set(connection, row, group_id=group_id, active=active, from_block=min(from_block, row.from_block))
