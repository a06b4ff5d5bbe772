"""Packed rows, read back by psycopg, against what the codecs say, whichever way a log takes."""

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.postgres import types as pg_types
from psycopg.pq import Format

from indexer.errors import MalformedAnswer
from indexer.ingest.decode import Decoder
from indexer.ingest.packed import compile_pack, leave_it
from indexer.networks.codec import Codec, Undecodable
from indexer.rpc.types import Log
from indexer.store.copy import place
from indexer.store.ledger import Group, Member
from indexer.store.write import UNKNOWN_LOGS
from tests.unit.protocol_events import Fact, facts
from tests.unit.test_codec_topics import codecs_of
from tests.unit.test_codec_web3 import FEW, damaged, hex_of, logs

FACTS = facts()
ADDRESS = "0x" + "ab" * 20
TX = "0x" + "cd" * 32
TIMES = st.sampled_from([0, 1, 946_684_799, 946_684_800, 1_700_000_000, 253_402_300_799]) | st.integers(0, 2**36)


def as_psycopg_reads(types: tuple[str, ...], row: bytes) -> list[Any]:
    """The values of a row in binary COPY format."""
    (count,), at, fields = struct.unpack_from(">h", row), 2, []
    for _ in range(count):
        (size,) = struct.unpack_from(">i", row, at)
        fields.append(None if size < 0 else row[at + 4 : at + 4 + size])
        at += 4 + max(size, 0)
    assert at == len(row)
    transformer = Transformer()
    transformer.set_loader_types([pg_types.get_oid(kind) for kind in types], Format.BINARY)
    return list(transformer.load_sequence(fields))


def log_of(topics: list[str], data: str, block: int = 7, index: int = 3, seconds: int = 1_700_000_000) -> Log:
    return Log(address=ADDRESS, topics=topics, data=data, block_hash="0x" + "ef" * 32, block_number=hex(block),
               transaction_hash=TX, transaction_index="0x2", log_index=hex(index),
               block_timestamp=hex(seconds))  # fmt: skip


def decoder(network: str, role: str) -> Decoder:
    return Decoder(Group(1, 42161, "single", (Member(ADDRESS, network, role, 0),), ()))


def expected(codec: Codec, log: Log) -> list[Any] | None:
    """The values of the row of a log, None when its codec refuses it."""
    try:
        values = codec.decode(log.topics, log.data)
    except Undecodable:
        return None
    when = datetime.fromtimestamp(int(log.block_timestamp or "", 16), UTC)
    fixed = [42161, int(log.block_number, 16), int(log.log_index, 16), b"\xef" * 32, when, b"\xcd" * 32, 2,
             b"\xab" * 20]  # fmt: skip
    documents = [kind == "jsonb" for kind in codec.pg_types]
    arguments = [json.loads(str(value)) if is_json else value for is_json, value in zip(documents, values, strict=True)]
    return [*fixed, *arguments]


def check(fact: Fact, log: Log) -> None:
    """One row, in the table of the event or among the unknown logs."""
    for role, codec in zip(fact.roles, codecs_of(fact), strict=True):
        wanted = expected(codec, log)
        under_test = decoder(fact.network, role)
        try:
            under_test.add([log], {}, "provider")
        except MalformedAnswer:
            assert wanted is None
            continue
        ((target, (row,)),) = under_test.rows.items()
        if len(log.topics) != fact.topics or log.topics[0] != codec.event.topic0:
            continue
        assert (target is UNKNOWN_LOGS) == (wanted is None)
        if wanted is not None:
            assert (target.schema, target.table) == (fact.network, codec.table)
            assert as_psycopg_reads(target.types, row) == wanted
            assert place(row) == (int(log.block_number, 16), b"\xcd" * 32)


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_rows_read_back_as_what_the_codec_says(fact: Fact) -> None:
    @FEW
    @given(logs(fact), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1), TIMES)
    def every(log: tuple[list[bytes], bytes], block: int, index: int, seconds: int) -> None:
        topics, data = log
        check(fact, log_of([hex_of(topic) for topic in topics], hex_of(data), block, index, seconds))

    every()


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_damaged_logs_are_left_to_the_codec(fact: Fact) -> None:
    @FEW
    @given(damaged(fact))
    def every(log: tuple[list[bytes], bytes]) -> None:
        topics, data = log
        check(fact, log_of([hex_of(topic) for topic in topics], hex_of(data)))

    every()


@pytest.mark.parametrize("letters", ["  ", "_0", "0_", "\t0", "g0", "A0", "٣٣", "", "0x", "000"])
def test_text_that_is_no_hex_never_becomes_a_row(letters: str) -> None:
    fact = next(fact for fact in FACTS if fact.name == "FeesPaid" and fact.topics == 4)
    (codec,) = codecs_of(fact)
    good = [codec.event.topic0, *["0x" + "00" * 12 + "11" * 20] * 3, "0x" + "22" * 128]
    for part in range(1, 5):
        for at in (0, 2, 26, 64, len(good[part]) - 2):
            texts = list(good)
            texts[part] = good[part][:at] + letters + good[part][at + 2 :]
            check(fact, log_of(texts[:-1], texts[-1]))


def test_most_events_take_the_short_way() -> None:
    compiled = [compile_pack(codec, "") for fact in FACTS for codec in codecs_of(fact)]
    assert sum(pack is not leave_it for pack in compiled) > 0.7 * len(compiled)


@pytest.mark.parametrize("change", [
    {"log_index": "0x80000000"}, {"log_index": "-0x1"}, {"log_index": "0x"}, {"transaction_index": "0x1ffffffff"},
    {"transaction_hash": "0x12"}, {"transaction_hash": "0x" + "zz" * 32}, {"block_hash": ""},
    {"block_number": "0x" + "f" * 17}, {"block_timestamp": "soon"},
])  # fmt: skip
def test_a_log_without_a_proper_place_is_a_malformed_answer(change: dict[str, str]) -> None:
    topic0 = next(codecs_of(fact)[0].event.topic0 for fact in FACTS if fact.name == "PausedChanged")
    log = log_of([topic0, "0x" + "00" * 31 + "01"], "0x")
    fields = {name: getattr(log, name) for name in log.__struct_fields__}
    with pytest.raises(MalformedAnswer, match=r"^some\.node sent an answer that cannot be read"):
        decoder("arbius", "engine").add([Log(**(fields | change))], {}, "some.node")


def test_a_time_beyond_postgresql_is_infinity() -> None:
    topic0 = next(codecs_of(fact)[0].event.topic0 for fact in FACTS if fact.name == "PausedChanged")
    under_test = decoder("arbius", "engine")
    under_test.add([log_of([topic0, "0x" + "00" * 32], "0x", seconds=2**63)], {}, "provider")
    ((_, (row,)),) = under_test.rows.items()
    assert struct.pack(">iq", 8, 2**63 - 1) in row
