"""`status` says when data is older than its chain's pace allows, whatever a process thinks of itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from indexer.chain.ranges import Range
from indexer.store import database as db
from indexer.store import ledger, named, sources
from indexer.store.status import Status, read_status
from schema.chain import blocks, chains
from tests.acceptance.command import Inside, config, taskscan

__all__ = ["taskscan"]

ENGINE = "0x" + "e1" * 20


@pytest.fixture
def engine(migrated: str) -> Iterator[Engine]:
    made = db.engine(migrated)
    yield made
    made.dispose()


def chain(engine: Engine, chain_id: int, *, clock: str = "wall", pace: float, head: int, read_to: int | None,
          head_age: float = 0.0, window: int = 0, to_time: bool = True) -> None:  # fmt: skip
    """A chain whose newest known block `head` is `head_age` seconds old, a block every `pace` seconds."""

    def at(block: int) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=head_age + (head - block) * pace)

    with engine.begin() as connection:
        sources.settle_chain(connection, chain_id, f"c{chain_id}", clock, (0, "0x" + "ab" * 32))
        sources.add(connection, chain_id, [sources.Wanted(ENGINE, "arbius", "engine", 5)])
        mine = chains.c.chain_id == chain_id
        connection.execute(
            sa.update(chains).where(mine).values(head_block=head, head_time=at(head), final_block=head - 64)
        )
        (group,) = ledger.load_groups(connection, chain_id)
        if read_to is not None:
            digest, now = b"\0" * 16, datetime.now(UTC)
            pieces = [Range(5, read_to - 50), Range(read_to - 49, read_to)]
            times = [at(piece.last) if to_time else None for piece in pieces]
            both = zip(pieces, times, strict=True)
            done = [ledger.Read(piece, "p", now, 1, 1, digest, 0, "head-bound", to_time=time) for piece, time in both]
            ledger.record(connection, group, done)
        held = [{"chain_id": chain_id, "block_number": head - n, "block_hash": bytes([n]) * 32, "parent_hash": b"",
                 "block_time": at(head - n)} for n in range(window)]  # fmt: skip
        if held:
            connection.execute(sa.insert(blocks), held)


def status(engine: Engine) -> Status:
    with engine.connect() as connection:
        return read_status(connection)


CASES: list[tuple[dict[str, Any], str | None]] = [
    ({"pace": 12, "head": 9_000, "read_to": 9_000, "head_age": 5}, None),
    ({"pace": 12, "head": 9_000, "read_to": 8_990, "head_age": 5, "window": 40}, None),
    ({"pace": 12, "head": 9_000, "read_to": 8_970, "head_age": 5, "window": 40}, "a block every 12.00 s"),
    ({"pace": 12, "head": 9_000, "read_to": 9_000, "head_age": 400, "window": 40}, "newest block that any provider"),
    ({"pace": 0.25, "head": 9_000, "read_to": 8_900, "head_age": 1, "window": 40}, None),
    ({"pace": 0.25, "head": 9_000, "read_to": 8_700, "head_age": 1, "window": 40}, "a block every 0.25 s"),
    ({"pace": 600, "head": 9_000, "read_to": 8_990, "head_age": 1, "window": 40}, None),
    (
        {"pace": 12, "head": 9_000, "read_to": 8_900, "head_age": 5, "window": 3, "to_time": False},
        "read to block 8,900",
    ),
    ({"pace": 12, "head": 9_000, "read_to": 8_999, "head_age": 5, "window": 3, "to_time": False}, None),
    ({"pace": 12, "head": 9_000, "read_to": None}, "nothing is read yet without a gap"),
    ({"pace": 1, "clock": "head", "head": 900, "read_to": 885, "head_age": 9e7, "window": 9}, None),
    ({"pace": 1, "clock": "head", "head": 900, "read_to": 870, "head_age": 9e7}, "30 behind the newest block 900"),
    ({"pace": 300, "clock": "head", "head": 900, "read_to": 898, "head_age": 9e7}, None),
    ({"pace": 300, "clock": "head", "head": 900, "read_to": 897, "head_age": 9e7}, "3 behind the newest block 900"),
]


@pytest.mark.parametrize(("facts", "reason"), CASES)
def test_late_is_what_is_older_than_the_pace_allows(engine: Engine, facts: dict[str, Any], reason: str | None) -> None:
    chain(engine, 7, **facts)
    found = status(engine)
    assert (found.late == []) == (reason is None), found.late
    if reason:
        (said,) = found.late
        assert said.startswith("arbius @ c7: ")
        assert reason in said
        assert found.sources[0]["late"] in said


def test_an_aidbox_is_late_by_passes_not_by_blocks(engine: Engine) -> None:
    with engine.begin() as connection:
        number = named.chain_number(connection, "clinic", "aidbox", "wall")
        read = sa.text("INSERT INTO aidbox.cursors (chain_id, resource, mode, version, read_at)"
                       " VALUES (:chain, 'Task', 'history', 5, now() - make_interval(secs => 500))")  # fmt: skip
        connection.execute(read, {"chain": number})
    (said,) = status(engine).late
    assert said.startswith("aidbox @ clinic: it was to be read again 50")


def test_one_late_chain_of_several_is_named_and_ends_with_1(
    engine: Engine, migrated: str, tmp_path: Path, taskscan: Inside
) -> None:
    config(tmp_path, database=migrated, rpc="http://127.0.0.1:1")
    assert taskscan("status", "--config", "my.toml").code == 0, "nothing is read, so nothing is late"
    chain(engine, 7, pace=12, head=9_000, read_to=9_000)
    assert taskscan("status", "--config", "my.toml").code == 0
    chain(engine, 8, pace=2, head=90_000, read_to=9_000)
    said = taskscan("status", "--config", "my.toml")
    assert said.code == 1
    assert [line for line in said.out.splitlines() if line.startswith("late: ")] == [
        line for line in said.out.splitlines() if "arbius @ c8: read to block 9,000, of 90,000" in line
    ]
    assert '"late": [\n    "arbius @ c8: read to' in taskscan("status", "--config", "my.toml", "--json").out
