"""What the codecs refuse or keep by decision, and what comes out for values that PostgreSQL cannot hold."""

import json
import time

import pytest
from eth_abi import encode

from indexer.networks.abi import layouts, parse
from indexer.networks.codec import Codec, Undecodable, compile_codec


def codec_of(declaration: str) -> Codec:
    (event,) = parse(declaration)
    return compile_codec(event, layouts([event])[event.table])


def word(value: int) -> str:
    return f"{value % 2**256:064x}"


FEE = codec_of("Fee(bytes32 indexed id, uint32 amount, address owner)")
TOPICS = [FEE.event.topic0, "0x" + "ab" * 32]
DATA = "0x" + word(7) + word(2**160 - 1)


def test_a_good_log() -> None:
    assert FEE.decode(TOPICS, DATA) == (b"\xab" * 32, 7, b"\xff" * 20)
    assert FEE.decode([TOPICS[0].upper().replace("X", "x"), TOPICS[1].upper().replace("X", "x")], DATA)
    assert FEE.decode(TOPICS, DATA + word(1)), "web3 ignores what follows the arguments, too"


@pytest.mark.parametrize(
    ("topics", "data"),
    [
        ([], DATA),
        (TOPICS[:1], DATA),
        ([*TOPICS, TOPICS[1]], DATA),
        ([TOPICS[1], TOPICS[1]], DATA),
        ([TOPICS[0], TOPICS[1][2:]], DATA),
        ([TOPICS[0], "00" + TOPICS[1][2:]], DATA),
        ([TOPICS[0], "1x" + TOPICS[1][2:]], DATA),
        ([TOPICS[0], TOPICS[1] + "00"], DATA),
        ([TOPICS[0], TOPICS[1][:-2]], DATA),
        ([TOPICS[0], TOPICS[1][:-2] + "  "], DATA),
        ([TOPICS[0], TOPICS[1][:-2] + "zz"], DATA),
        (TOPICS, ""),
        (TOPICS, "0x"),
        (TOPICS, DATA[2:]),
        (TOPICS, DATA[:-1]),
        (TOPICS, DATA[:-2]),
        (TOPICS, DATA + "0"),
        (TOPICS, DATA + " "),
        (TOPICS, DATA[:20] + "  " + DATA[22:] + "  "),
        (TOPICS, DATA[:-1] + "é"),
        (TOPICS, "0x" + word(2**32) + word(1)),
        (TOPICS, "0x" + word(7) + word(2**160)),
    ],
)
def test_malformed_logs_are_undecodable(topics: list[str], data: str) -> None:
    with pytest.raises(Undecodable):
        FEE.decode(topics, data)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("bool", {0: False, 1: True}, [2, 256, -1]),
        ("uint8", {0: 0, 255: 255}, [256, -1]),
        ("uint256", {0: 0, -1: 2**256 - 1}, []),
        ("int8", {127: 127, -128: -128, -1: -1}, [128, -129, 255]),
        ("int256", {2**255 - 1: 2**255 - 1, -(2**255): -(2**255)}, []),
        ("bytes4", {0xABCDEF01 << 224: b"\xab\xcd\xef\x01"}, [1, 1 << 223]),
        ("bytes32", {1: b"\0" * 31 + b"\1"}, []),
        ("address", {1: b"\0" * 19 + b"\1"}, [1 << 160, -1]),
    ],
)
def test_padding_and_bounds(kind: str, good: dict[int, object], bad: list[int]) -> None:
    plain, indexed = codec_of(f"A({kind} x)"), codec_of(f"A({kind} indexed x)")
    for number, value in good.items():
        assert plain.decode([plain.event.topic0], "0x" + word(number)) == (value,)
        assert indexed.decode([indexed.event.topic0, "0x" + word(number)], "0x") == (value,)
    for number in bad:
        with pytest.raises(Undecodable):
            plain.decode([plain.event.topic0], "0x" + word(number))
        with pytest.raises(Undecodable):
            indexed.decode([indexed.event.topic0, "0x" + word(number)], "0x")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("grüße".encode(), ("grüße", None)),
        (b"", ("", None)),
        (b"a\0b", (None, b"a\0b")),
        (b"\xff", (None, b"\xff")),
        (b"\xed\xa0\x80", (None, b"\xed\xa0\x80")),
    ],
)
def test_text_that_postgresql_cannot_hold_is_kept_as_bytes(
    raw: bytes, expected: tuple[str | None, bytes | None]
) -> None:
    codec = codec_of("A(string x)")
    assert codec.columns == ("x", "x_raw")
    assert codec.pg_types == ("text", "bytea")
    assert codec.decode([codec.event.topic0], "0x" + encode(["bytes"], [raw]).hex()) == expected


def test_an_indexed_text_is_its_hash() -> None:
    codec = codec_of("A(string indexed x, uint8[] indexed y)")
    assert codec.decode([codec.event.topic0, "0x" + "aa" * 32, "0x" + "bb" * 32], "0x") == (b"\xaa" * 32, b"\xbb" * 32)


def test_a_tuple_is_a_json_document() -> None:
    codec = codec_of("A((address to, uint256 n, (string s, string t)[] notes, bytes raw, bool[2] flags) order)")
    values = ("0x" + "aB" * 20, 2**256 - 1, [(b'a"\\', b"\0"), (b"", b"\xff")], b"", [True, False])
    data = encode(["(address,uint256,(bytes,bytes)[],bytes,bool[2])"], [values])
    (document,) = codec.decode([codec.event.topic0], "0x" + data.hex())
    assert isinstance(document, str)
    assert json.loads(document) == {
        "to": "0x" + "ab" * 20,
        "n": 2**256 - 1,
        "notes": [{"s": 'a"\\', "t": None, "t_raw": "0x00"}, {"s": "", "t": None, "t_raw": "0xff"}],
        "raw": "0x",
        "flags": [True, False],
    }


def test_indexed_arguments_beside_a_list() -> None:
    codec = codec_of("A(address indexed who, uint8[] list, address indexed to)")
    topics = [codec.event.topic0, "0x" + word(1), "0x" + word(2)]
    data = "0x" + encode(["uint8[]"], [[3, 4]]).hex()
    assert codec.decode(topics, data) == (b"\0" * 19 + b"\1", "[3,4]", b"\0" * 19 + b"\2")
    with pytest.raises(Undecodable):
        codec.decode([*topics[:2], "0x" + word(-1)], data)


def test_pointers_that_multiply_are_refused_at_once() -> None:
    """2,000 pointers to one list of 2,000 items: 128 kB that would become 4 million items."""
    codec = codec_of("A(bytes4[][] x)")
    size = 2000
    inner = word(size) + word(0xAABBCCDD << 224) * size
    data = "0x" + word(32) + word(size) + word(32 * size) * size + inner
    start = time.process_time()
    with pytest.raises(Undecodable):
        codec.decode([codec.event.topic0], data)
    assert time.process_time() - start < 2


def test_a_large_honest_list_is_read() -> None:
    codec = codec_of("A(bytes4[][] x)")
    lists = [[bytes([n % 256] * 4)] * 5 for n in range(300)]
    (document,) = codec.decode([codec.event.topic0], "0x" + encode(["bytes4[][]"], [lists]).hex())
    assert isinstance(document, str)
    assert json.loads(document) == [["0x" + item.hex() for item in inner] for inner in lists]
