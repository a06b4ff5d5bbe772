"""The coverage ledger against a model of plain sets: whatever is written in whatever order, once and nothing else."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from indexer.chain.ranges import Range
from indexer.ingest.decode import Decoder
from indexer.rpc.types import Log
from indexer.store import database as db
from indexer.store import ledger, sources
from indexer.store.store import Store
from indexer.store.write import Batch, write
from schema import chain as tables
from schema import iexec
from tests.integration.conftest import fresh_database

CHAIN, TOP = 31337, 40
TASK_CLAIMED = "0xcbc308b5f91040d2659a5201858344b0b583cd2f9e18e8470c2fa052c5b21ff8"  # iexec.md
FEW = hypothesis_settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

RANGES = st.tuples(st.integers(0, TOP), st.integers(0, 12)).map(lambda at: Range(at[0], min(TOP, at[0] + at[1])))
CONTRACTS = st.integers(0, 3)


@pytest.fixture(scope="module")
def engine(server_url: str, template: str) -> Iterator[Engine]:
    """Of a database with a settled chain and nothing else."""
    with fresh_database(server_url, template) as url:
        made = db.engine(url)
        with made.begin() as connection:
            sources.settle_chain(connection, CHAIN, "test", "head", (0, "0x" + "00" * 32))
        yield made
        made.dispose()


@contextmanager
def undone(engine: Engine) -> Iterator[sa.Connection]:
    """A transaction that is rolled back."""
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def address(contract: int) -> str:
    return "0x" + f"{contract:040x}"


def wanted(contract: int, from_block: int = 0) -> sources.Wanted:
    return sources.Wanted(address(contract), "iexec", "hub", from_block)


def events(block: int) -> list[int]:
    """Log indexes of a block: some blocks have none, some have several."""
    return list(range((block * 7) % 4))


def log(contract: int, block: int, index: int) -> Log:
    place = hex(block), "0x" + "77" * 32, "0x0", hex(index + 10 * contract), hex(block)
    return Log(address(contract), [TASK_CLAIMED, "0x" + "6b" * 32], "0x", "0x" + f"{block:064x}", *place)


def read(piece: Range) -> ledger.Read:
    return ledger.Read(piece, "test", datetime.now(UTC), 1, 1, b"d" * 16, 0, "head-bound")


def batch(group: ledger.Group, *pieces: Range, upto: int = 0) -> Batch:
    """What a scan up to block `upto` makes of the pieces: only members whose first block has come have events."""
    decoder = Decoder(group)
    for piece in pieces:
        blocks = range(piece.first, piece.last + 1)
        members = [(int(member.address, 16), member.from_block) for member in group.members]
        logs = [log(n, block, i) for block in blocks for n, first in members if block >= first for i in events(block)]
        decoder.add(logs, {}, "test")
    return Batch(group, [read(piece) for piece in pieces], decoder.rows, upto=upto)


def groups(connection: sa.Connection) -> list[ledger.Group]:
    return ledger.load_groups(connection, CHAIN)


def covered(connection: sa.Connection) -> dict[int, set[int]]:
    """Blocks per contract, as the view tells analysts. A block that it tells twice fails."""
    view = sa.text("SELECT contract, from_block, to_block, blocks FROM analytics.coverage")
    found: dict[int, set[int]] = {}
    for contract, first, last, count in connection.execute(view):
        blocks = set(range(first, last + 1))
        assert len(blocks) == count
        mine = found.setdefault(int(contract, 16), set())
        assert not mine & blocks
        mine |= blocks
    return {contract: blocks for contract, blocks in found.items() if blocks}


def places(connection: sa.Connection) -> list[tuple[int, int]]:
    table = iexec.EVENTS["task_claimed"]
    return sorted((r.block_number, r.log_index) for r in connection.execute(sa.select(table)))


def model_places(read_blocks: dict[int, set[int]]) -> list[tuple[int, int]]:
    return sorted(
        (block, index + 10 * contract)
        for contract, blocks in read_blocks.items()
        for block in blocks
        for index in events(block)
    )


def intervals(connection: sa.Connection) -> list[tuple[int, int, int]]:
    c = tables.coverage.c
    found = connection.execute(sa.select(c.group_id, c.from_block, c.to_block).order_by(c.group_id, c.from_block))
    return [(r.group_id, r.from_block, r.to_block) for r in found]


@FEW
@given(st.lists(st.lists(RANGES, min_size=1, max_size=3), min_size=1, max_size=8))
def test_ranges_in_any_order_and_overlap(engine: Engine, portions: list[list[Range]]) -> None:
    with undone(engine) as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        (group,) = groups(connection)  # every portion was planned with what was covered at the start
        known: set[int] = set()
        for portion in portions:
            blocks = {block for piece in portion for block in range(piece.first, piece.last + 1)}
            new = blocks - known
            written = write(connection, batch(group, *portion))
            known |= blocks
            assert places(connection) == model_places({0: known})
            assert written == sum(len(events(block)) for block in new) or overlapping(portion)
        assert covered(connection) == {0: known}
        found = intervals(connection)
        assert all(a[2] + 1 < b[1] for a, b in itertools.pairwise(found)), "neighbours are joined"
        (now,) = groups(connection)
        missing = {block for gap in now.gaps(TOP) for block in range(gap.first, gap.last + 1)}
        assert missing == set(range(TOP + 1)) - known
        first_missing = min(missing, default=TOP + 1)
        assert now.read_to == (first_missing - 1 if first_missing else None)


def overlapping(portion: list[Range]) -> bool:
    """A scan never plans such a portion; what is written must be right all the same."""
    return sum(piece.blocks for piece in portion) > len({b for p in portion for b in range(p.first, p.last + 1)})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("configure"), st.dictionaries(CONTRACTS, st.integers(0, TOP), max_size=4)),
        st.tuples(st.just("read"), st.tuples(st.integers(0, 7), RANGES)),
        st.tuples(st.just("all"), st.integers(0, TOP)),
        st.tuples(st.just("born"), st.tuples(CONTRACTS, st.integers(0, TOP))),
        st.tuples(st.just("join"), st.integers(0, TOP)),
    ),
    min_size=1,
    max_size=14,
)


class Model:
    """What must be known of each contract: its first block, whether it is read, and which blocks were."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.active: set[int] = set()
        self.children: set[int] = set()
        self.blocks: dict[int, set[int]] = {}

    def configure(self, listed: dict[int, int]) -> None:
        self.active = set(listed) | (self.children if listed else set())
        for contract, first in listed.items():
            self.first[contract] = min(first, self.first.get(contract, first))

    def born(self, contract: int, block: int) -> None:
        if contract not in self.first:
            self.first[contract] = block
            self.children.add(contract)
            self.active.add(contract)

    def read(self, members: list[int], piece: Range) -> None:
        for contract in members:
            if blocks := set(range(max(piece.first, self.first[contract]), piece.last + 1)):
                self.blocks.setdefault(contract, set()).update(blocks)


def take(connection: sa.Connection, model: Model, step: tuple[str, Any]) -> None:
    """One step on the database, and the same on the model."""
    kind, what = step
    if kind == "configure":
        sources.configure(connection, CHAIN, [wanted(contract, first) for contract, first in what.items()])
        model.configure(what)
    elif kind == "born":
        contract, block = what
        child = sources.Wanted(address(contract), "iexec", "hub", block, found_in=b"x" * 32)
        sources.add(connection, CHAIN, [child])
        model.born(contract, block)
    elif kind == "join":
        ledger.join_unread(connection, CHAIN)
        ledger.merge_groups(connection, CHAIN, what)
    elif kind == "read" and (found := groups(connection)):
        which, piece = what
        _read(connection, model, found[which % len(found)], piece)
    elif kind == "all":
        for group in groups(connection):
            for gap in group.gaps(what):
                _read(connection, model, group, gap)


def _read(connection: sa.Connection, model: Model, group: ledger.Group, piece: Range) -> None:
    write(connection, batch(group, piece))
    model.read([int(member.address, 16) for member in group.members], piece)


@FEW
@given(STEPS)
def test_contracts_that_come_go_and_join(engine: Engine, steps: list[tuple[str, Any]]) -> None:
    """Whatever is configured, born, read and merged: coverage is what was read, per contract, and rows are once."""
    with undone(engine) as connection:
        model = Model()
        for step in steps:
            take(connection, model, step)
            assert covered(connection) == model.blocks, step
            assert places(connection) == model_places(model.blocks)
            found = groups(connection)
            assert sorted(int(m.address, 16) for g in found for m in g.members) == sorted(model.active)
            assert {int(m.address, 16): m.from_block for g in found for m in g.members} == {
                contract: model.first[contract] for contract in model.active
            }
        for group in groups(connection):
            for gap in group.gaps(TOP):
                _read(connection, model, group, gap)
        before = covered(connection)
        ledger.merge_groups(connection, CHAIN, TOP)
        assert covered(connection) == before == model.blocks
        for contract in model.active:
            assert before[contract] >= set(range(model.first[contract], TOP + 1))


def together(*jobs: Callable[[], object]) -> list[object]:
    """Run the jobs in threads that begin at the same time; what each returned or raised."""
    begin = threading.Barrier(len(jobs))
    results: list[object] = [None] * len(jobs)

    def run(n: int) -> None:
        begin.wait()
        try:
            results[n] = jobs[n]()
        except Exception as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def alone(migrated: str) -> Iterator[Engine]:
    """Like `engine`, for tests that commit."""
    made = db.engine(migrated)
    with made.begin() as connection:
        sources.settle_chain(connection, CHAIN, "test", "head", (0, "0x" + "00" * 32))
    yield made
    made.dispose()


def written(engine: Engine, group: ledger.Group, *pieces: Range, upto: int = 0) -> int:
    with engine.begin() as connection:
        return write(connection, batch(group, *pieces, upto=upto))


@pytest.mark.parametrize("other", [Range(0, TOP), Range(10, TOP), Range(5, 20)])
def test_two_writers_of_one_range_write_it_once(alone: Engine, other: Range) -> None:
    with alone.begin() as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        (group,) = groups(connection)
    results = together(
        lambda: written(alone, group, Range(0, 30)),
        lambda: written(alone, group, other),
    )
    with alone.connect() as connection:
        known = set(range(max(30, other.last) + 1))
        assert places(connection) == model_places({0: known})
        assert sum(result for result in results if isinstance(result, int)) == len(places(connection))
        assert covered(connection) == {0: known}
        assert len(intervals(connection)) == 1


async def test_who_is_given_up_for_another_begins_again(alone: Engine) -> None:
    """PostgreSQL ends one of two transactions that wait for each other."""
    both, tries = threading.Barrier(2), Counter[int]()

    def take(connection: sa.Connection, first: int, second: int) -> int:
        tries[first] += 1
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(first)))
        if tries[first] == 1:
            both.wait()
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(second)))
        return first

    store = Store(alone)
    assert await asyncio.gather(store.run(take, 1, 2), store.beside(take, 2, 1)) == [1, 2]
    assert sum(tries.values()) == 3
    store.close()


def test_writers_of_two_groups_do_not_stand_in_each_others_way(alone: Engine) -> None:
    with alone.begin() as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        sources.add(connection, CHAIN, [wanted(1)])
        one, two = groups(connection)
    for last in range(2, 20, 3):  # both reach the end of a scan at the same time, where events are folded
        first, end = Range(last - 2, last - 1), Range(last, last)
        assert written(alone, one, first, upto=last) == written(alone, two, first, upto=last)
        results = together(
            lambda end=end: written(alone, one, end, upto=end.last),
            lambda end=end: written(alone, two, end, upto=end.last),
        )
        assert results == [len(events(last))] * 2
    with alone.connect() as connection:
        assert covered(connection) == {0: set(range(18)), 1: set(range(18))}


def merge_read(connection: sa.Connection, chain_id: int) -> object:
    return ledger.merge_groups(connection, chain_id, TOP)


@pytest.mark.parametrize("join", [ledger.join_unread, merge_read])
def test_groups_are_not_joined_while_one_is_written(
    alone: Engine, join: Callable[[sa.Connection, int], object]
) -> None:
    """The other's contract would count as read in blocks of which only this one's are."""
    known = set(range(TOP + 1)) if join is merge_read else set()
    with alone.begin() as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        sources.add(connection, CHAIN, [wanted(1)])
    for group in read_groups(alone) if known else []:
        written(alone, group, Range(0, TOP), upto=TOP)
    with alone.begin() as connection, ThreadPoolExecutor(1) as beside:
        write(connection, batch(read_groups(alone)[0], Range(TOP + 1, TOP + 10)))
        going = beside.submit(joined, alone, join)
        while not going.done() and not waiting(alone):
            wait([going], timeout=0.02)
        connection.commit()
        going.result()
    with alone.connect() as connection:
        told = covered(connection)
        assert places(connection) == model_places(told)
    assert told.pop(0) == known | set(range(TOP + 1, TOP + 11))
    assert told == ({1: known} if known else {})


def read_groups(engine: Engine) -> list[ledger.Group]:
    with engine.begin() as connection:
        return groups(connection)


def joined(engine: Engine, join: Callable[[sa.Connection, int], object]) -> None:
    with engine.begin() as connection:
        join(connection, CHAIN)


def waiting(engine: Engine) -> bool:
    """Whether somebody waits for another's lock."""
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.begin() as connection:
        return bool(connection.execute(sa.text(waits)).all())


def test_contracts_that_two_groups_tell_of_are_added_once(alone: Engine) -> None:
    with alone.begin() as connection, ThreadPoolExecutor(1) as beside:
        sources.add(connection, CHAIN, [wanted(1), wanted(2)])
        going = beside.submit(joined, alone, lambda other, chain: sources.add(other, chain, [wanted(2), wanted(1)]))
        while not going.done() and not waiting(alone):
            wait([going], timeout=0.02)
        connection.commit()
        going.result()
    assert [len(group.members) for group in read_groups(alone)] == [2]


def test_a_group_that_was_joined_meanwhile_is_left_alone(alone: Engine) -> None:
    """A writer that planned before the groups became one writes nothing; what it had read is read anew."""
    with alone.begin() as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        sources.add(connection, CHAIN, [wanted(1)])
        _, gone = groups(connection)
        ledger.join_unread(connection, CHAIN)
    assert written(alone, gone, Range(0, 5)) == 0
    with alone.connect() as connection:
        assert places(connection) == []
        assert covered(connection) == {}
        (both,) = groups(connection)
        assert both.gaps(5) == [Range(0, 5)]


def test_rows_without_ledger_or_ledger_without_rows_cannot_be(alone: Engine) -> None:
    """A write that fails at its last step, the ledger's row, leaves nothing."""
    with alone.begin() as connection:
        sources.configure(connection, CHAIN, [wanted(0)])
        (group,) = groups(connection)
    broken = batch(group, Range(0, 9))
    broken.reads[0] = ledger.Read(**{**vars(broken.reads[0]), "provider": None})
    with pytest.raises(sa.exc.IntegrityError, match="provider"), alone.begin() as connection:
        write(connection, broken)
    with alone.connect() as connection:
        assert places(connection) == []
        assert covered(connection) == {}
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.reads)) == 0
