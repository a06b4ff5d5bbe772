"""Any log that the ABI allows is written and stays, whatever values, texts and times it holds; any other stays raw.

Logs are encoded by eth-abi and read by web3: what PostgreSQL then holds must be what web3 says.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
import sqlalchemy as sa
from eth_abi import encode
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from indexer.chain.ranges import Range
from indexer.ingest.decode import Decoder
from indexer.rpc.types import Header, Log
from indexer.store import database as db
from indexer.store import ledger, sources
from indexer.store.write import Batch, write
from tests.integration.conftest import fresh_database
from tests.integration.test_recordings import column, table_of
from tests.support import FIXED, event_tables
from tests.unit import abi_oracle
from tests.unit.protocol_events import Fact, facts
from tests.unit.test_codec_web3 import abi_type, damaged, logs

FACTS = facts()
ROLES = sorted({(fact.network, role) for fact in FACTS for role in fact.roles})
CHAIN, BLOCK = 31337, 7
ADDRESS = "0x" + "ab" * 20
LARGE = 100_000
END_OF_TIME = 9_224_318_016_000
"""Unix time of the year 294277, with which timestamptz ends: PostgreSQL's documentation, date/time types."""
TIMES = [0, 1, 253_402_300_800, END_OF_TIME - 1, END_OF_TIME, END_OF_TIME + 700_000, 2**63, 2**64 - 1, 2**256 - 1]

Raw = tuple[list[bytes], bytes]


@pytest.fixture(scope="module")
def connection(server_url: str, template: str) -> Iterator[sa.Connection]:
    """Of a database with a settled chain. What a test writes is rolled back."""
    with fresh_database(server_url, template) as url:
        engine = db.engine(url)
        with engine.begin() as ready:
            sources.settle_chain(ready, CHAIN, "test", "head", (0, "0x" + "00" * 32))
        with engine.connect() as ready:
            yield ready
        engine.dispose()


def sent(raw: Raw, index: int, seconds: int) -> Log:
    """A log as a provider sends it; one block, many times: a block has one, but each log is checked alone."""
    topics, data = raw
    block_hash = "0x" + f"{index:064x}"
    return Log(
        ADDRESS, ["0x" + topic.hex() for topic in topics], "0x" + data.hex(), block_hash, hex(BLOCK),
        "0x" + "cd" * 32, "0x0", hex(index), hex(seconds),
    )  # fmt: skip


def written(connection: sa.Connection, network: str, role: str, wanted: Sequence[Log]) -> dict[int, tuple[str, Any]]:
    """Write the logs as a scan does, by COPY, and as follow does, by INSERT; what the tables held, by log index."""
    copied, inserted = (_written(connection, network, role, wanted, few) for few in (-1, len(wanted)))
    assert copied == inserted
    return inserted


def _written(
    connection: sa.Connection, network: str, role: str, wanted: Sequence[Log], few: int
) -> dict[int, tuple[str, Any]]:  # fmt: skip
    """In a transaction that is rolled back. `few`: up to so many rows go by INSERT."""
    with connection.begin() as transaction, patch("indexer.store.write.FEW_ROWS", few):
        sources.add(connection, CHAIN, [sources.Wanted(ADDRESS, network, role, 0)])
        (group,) = ledger.load_groups(connection, CHAIN)
        decoder = Decoder(group)
        decoder.add(wanted, {}, "test")
        read = ledger.Read(Range(BLOCK, BLOCK), "test", datetime.now(UTC), 1, 1, b"", len(wanted), "head-bound")
        assert write(connection, Batch(group, [read], decoder.rows, decoder.born)) == len(wanted)
        found = stored(db.driver(connection))
        transaction.rollback()
    assert len(found) == len(wanted)
    return found


def stored(connection: psycopg.Connection) -> dict[int, tuple[str, Any]]:
    """log index -> (table, row as PostgreSQL's own JSON, with the block's time in seconds)."""
    found = {}
    for schema, table in event_tables(connection):
        place = sql.Identifier(schema, table)
        query = sql.SQL("SELECT to_jsonb(t) - 'block_time', extract(epoch FROM block_time) FROM {} t").format(place)
        for row, seconds in connection.execute(query):
            assert row["log_index"] not in found
            found[row["log_index"]] = f"{schema}.{table}", row | {"seconds": seconds}
    return found


def expected(network: str, role: str, log: Log) -> tuple[str, dict[str, Any]]:
    """Table and argument columns by the protocol's page and web3; columns of other signatures are left out."""
    for fact in FACTS:
        signed = bool(log.topics) and log.topics[0] == abi_oracle.topic0(fact)
        if fact.network == network and role in fact.roles and signed and len(log.topics) == fact.topics:
            values = abi_oracle.decode(fact, log.topics, log.data)
            if values is not None:
                return f"{network}.{table_of(fact, role)}", _columns(fact, values)
    raw = {"topics": [f"\\x{topic[2:]}" for topic in log.topics], "data": f"\\x{log.data[2:]}"}
    return "chain.unknown_logs", raw


def _columns(fact: Fact, values: list[Any]) -> dict[str, Any]:
    row = abi_oracle.expected(fact, values)
    return {
        column(name.removesuffix("_raw")) + ("_raw" if name.endswith("_raw") else ""):
            "\\x" + value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
    }  # fmt: skip


def assert_kept(found: tuple[str, Any], network: str, role: str, log: Log) -> None:
    table, row = found
    wanted_table, arguments = expected(network, role, log)
    assert table == wanted_table
    assert {name: row[name] for name in arguments} == arguments
    others = {name: value for name, value in row.items() if name not in {*arguments, *FIXED, "seconds", "reason"}}
    assert set(others.values()) <= {None}
    seconds = int(str(log.block_timestamp), 16)
    assert row["seconds"] == (seconds if seconds < END_OF_TIME else float("inf"))


def extreme(part: dict[str, Any], variant: int) -> Any:
    """A value of the argument's type: the largest, the smallest, or one that text and JSON stumble over."""
    kind = part["type"]
    if kind.endswith("[]"):
        return [extreme(part | {"type": kind[:-2]}, variant)] * (2 if variant == 0 else variant - 1)
    if "components" in part:
        return tuple(extreme(inner, variant) for inner in part["components"])
    if kind == "string":
        return (b"\xff" * LARGE, b"", b"a\0b")[variant]
    if kind == "bytes":
        return (bytes(range(256)) * (LARGE // 256), b"", b"\0")[variant]
    if kind == "address":
        return "0x" + ("ff", "00", "0a")[variant] * 20
    if kind == "bool":
        return variant == 0
    if kind.startswith("bytes"):
        return (b"\xff", b"\0", b"\\")[variant] * int(kind[5:])
    return (2 ** int(kind[4:]) - 1, 0, 1)[variant]


def encoded(fact: Fact, variant: int) -> Raw:
    values = [(part, extreme(part, variant)) for part in fact.inputs]
    topics = [encode([abi_type(part)], [value]) for part, value in values if part["indexed"]]
    plain = [(abi_type(part), value) for part, value in values if not part["indexed"]]
    data = encode([kind for kind, _ in plain], [value for _, value in plain])
    return [bytes.fromhex(abi_oracle.topic0(fact)[2:]), *topics], data


@pytest.mark.parametrize(("network", "role"), ROLES)
def test_extremes_of_every_event_are_kept(connection: sa.Connection, network: str, role: str) -> None:
    mine = [fact for fact in FACTS if fact.network == network and role in fact.roles]
    raw = [encoded(fact, variant) for fact in mine for variant in range(3)]
    wanted = [sent(log, n, TIMES[n % 3]) for n, log in enumerate(raw)]
    found = written(connection, network, role, wanted)
    assert {table for table, _ in found.values()} == {f"{network}.{table_of(fact, role)}" for fact in mine}
    for n, log in enumerate(wanted):
        assert_kept(found[n], network, role, log)


@pytest.mark.parametrize("seconds", TIMES)
def test_any_block_time_is_kept_or_infinite(connection: sa.Connection, seconds: int) -> None:
    log = sent(([], b"\0a"), 0, seconds)
    assert_kept(written(connection, "iexec", "hub", [log])[0], "iexec", "hub", log)
    with connection.begin() as transaction:
        sources.note_head(connection, CHAIN, Header("0x7", "0x", "0x", hex(seconds)))
        transaction.rollback()


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(st.data())
def test_any_log_is_kept(connection: sa.Connection, data: st.DataObject) -> None:
    """Logs of one contract: valid ones, and ones that were tampered with."""
    network, role = data.draw(st.sampled_from(ROLES))
    mine = [fact for fact in FACTS if fact.network == network and role in fact.roles]
    kinds = data.draw(st.lists(st.tuples(st.sampled_from(mine), st.booleans()), min_size=1, max_size=4))
    raw = [data.draw(logs(fact) if valid else damaged(fact)) for fact, valid in kinds]
    seconds = data.draw(st.sampled_from(TIMES[:4]) | st.integers(0, 2**65))
    wanted = [sent(log, n, seconds) for n, log in enumerate(raw)]
    found = written(connection, network, role, wanted)
    for n, log in enumerate(wanted):
        assert_kept(found[n], network, role, log)
