"""Each codec against web3's own decoder: over valid logs, hostile values included, and over damaged ones."""

import json
from typing import Any

import pytest
from eth_abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.networks.codec import Codec, Undecodable
from tests.unit import abi_oracle
from tests.unit.protocol_events import Fact, facts
from tests.unit.test_codec_topics import codecs_of

FACTS = facts()
FEW = settings(
    max_examples=8,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

HOSTILE = [
    b"",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    b"\xc3",
    "\ud800".encode("utf-8", "surrogatepass"),
    "\U0001f600 \\u0000 \u2028".encode(),
    b"x" * 31,
    b"x" * 32,
    b"\0" * 33,
    bytes(range(256)) * 5,
]
# Few letters: building a strategy over all of Unicode takes seconds.
TEXTS = st.lists(st.sampled_from('aé€\U0001f600\0"\\\u2028'), max_size=40).map(
    lambda letters: "".join(letters).encode()
)


def values(kind: str) -> st.SearchStrategy[Any]:
    """Values of an elementary ABI type as eth-abi encodes them, extremes often among them."""
    if kind in ("bytes", "string"):
        return st.sampled_from(HOSTILE) | st.binary(max_size=100) | TEXTS
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    if kind == "bool":
        return st.booleans()
    if kind.startswith("bytes"):
        size = int(kind[5:])
        return st.binary(min_size=size, max_size=size)
    top = 2 ** int(kind[4:]) - 1
    return st.sampled_from([0, 1, top]) | st.integers(0, top)


def argument(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    if part["type"].endswith("[]"):
        return st.lists(argument(part | {"type": part["type"][:-2]}), max_size=4)
    if "components" in part:
        return st.tuples(*(argument(inner) for inner in part["components"]))
    return values(part["type"])


def abi_type(part: dict[str, Any]) -> str:
    """As eth-abi writes it, with text as the bytes that it is."""
    if "components" not in part:
        return str(part["type"]).replace("string", "bytes")
    return f"({','.join(map(abi_type, part['components']))})" + part["type"][len("tuple") :]


@st.composite
def logs(draw: st.DrawFn, fact: Fact) -> tuple[list[bytes], bytes]:
    """The topics and the data of a valid log, encoded by eth-abi."""
    drawn = [(part, draw(argument(part))) for part in fact.inputs]
    topics = [encode([abi_type(part)], [value]) for part, value in drawn if part["indexed"]]
    plain = [(abi_type(part), value) for part, value in drawn if not part["indexed"]]
    data = encode([kind for kind, _ in plain], [value for _, value in plain])
    return [bytes.fromhex(abi_oracle.topic0(fact)[2:]), *topics], data


@st.composite
def damaged(draw: st.DrawFn, fact: Fact) -> tuple[list[bytes], bytes]:
    """A log with a byte changed, a word overwritten, something cut off, or something too much."""
    topics, data = draw(logs(fact))
    parts = [*topics, data]
    for _ in range(draw(st.integers(1, 2))):
        n = draw(st.integers(0, len(parts) - 1))
        parts[n] = draw(_damage(parts[n], fixed=n < len(topics)))
    if draw(st.integers(0, 9)) == 0:
        parts = draw(st.sampled_from([parts[1:], [*parts[:1], *parts], [parts[0], parts[-1]]]))
    return parts[:-1], parts[-1]


@st.composite
def _damage(draw: st.DrawFn, raw: bytes, *, fixed: bool) -> bytes:
    at = draw(st.integers(0, max(len(raw) - 1, 0)))
    word = at // 32 * 32
    choices = [
        raw[:at] + bytes([draw(st.integers(0, 255))]) + raw[at + 1 :],
        raw[:word]
        + draw(st.sampled_from([2**256 - 1, 2**255, 0, 1, 2, 31, 32, 64, 96, len(raw)])).to_bytes(32, "big")
        + raw[word + 32 :],
        raw[: len(raw) - draw(st.integers(0, 40))] if len(raw) > 40 else raw[:at],
    ]
    if not fixed:
        choices.append(raw + draw(st.binary(max_size=40)))
    return choices[draw(st.integers(0, len(choices) - 1))]


def hex_of(raw: bytes) -> str:
    return "0x" + raw.hex()


def row(codec: Codec, fact: Fact, topics: list[str], data: str) -> dict[str, Any] | None:
    """What the codec gives, by name of the argument in the ABI; None when it refuses the log."""
    try:
        found = codec.decode(topics, data)
    except Undecodable:
        return None
    assert len(found) == len(codec.columns) == len(codec.pg_types)
    by_column = dict(zip(codec.columns, found, strict=True))
    result: dict[str, Any] = {}
    for arg, part in zip(codec.event.args, fact.inputs, strict=True):
        value, *raw = (by_column.pop(column.name) for column in arg.columns)
        result[part["name"]] = json.loads(value) if "components" in part else value
        if raw:
            result[part["name"] + "_raw"] = raw[0]
    assert set(by_column.values()) <= {None}, "a column of another event of the table has a value"
    return result


def agree(fact: Fact, topics: list[str], data: str) -> bool:
    """Hold all codecs of the event against web3; whether the log was accepted."""
    said = abi_oracle.decode(fact, topics, data)
    wanted = None if said is None else abi_oracle.expected(fact, said)
    for codec in codecs_of(fact):
        got = row(codec, fact, topics, data)
        assert got == wanted
        assert got is None or [type(v) for v in got.values()] == [type(v) for v in (wanted or {}).values()]
    return wanted is not None


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_valid_logs_are_decoded_as_web3_does(fact: Fact) -> None:
    @FEW
    @given(logs(fact))
    def check(log: tuple[list[bytes], bytes]) -> None:
        topics, data = log
        assert agree(fact, [hex_of(topic) for topic in topics], hex_of(data))

    check()


@pytest.mark.parametrize("fact", FACTS, ids=str)
def test_damaged_logs_are_accepted_or_rejected_as_by_web3(fact: Fact) -> None:
    @FEW
    @given(damaged(fact))
    def check(log: tuple[list[bytes], bytes]) -> None:
        topics, data = log
        agree(fact, [hex_of(topic) for topic in topics], hex_of(data))

    check()
