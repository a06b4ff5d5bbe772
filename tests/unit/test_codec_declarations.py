"""Declarations of events: what the parser makes of them, and what it refuses."""

import pytest

from indexer.networks.abi import Column, layouts, parse, snake_case
from indexer.networks.codec import compile_codecs


def test_a_declaration_becomes_topics_table_and_columns() -> None:
    text = "TaskSubmitted(bytes32 indexed id, bytes32 indexed model, uint256 fee, address indexed sender)"
    (event,) = parse(text)
    assert event.signature == "TaskSubmitted(bytes32,bytes32,uint256,address)"
    assert event.topic0 == "0xc3d3e0544c80e3bb83f62659259ae1574f72a91515ab3cae3dd75cf77e1b0aea"
    assert event.topics == 4
    assert event.table == "task_submitted"
    assert [column.name for column in event.columns] == ["id", "model", "fee", "sender"]
    assert [column.pg_type for column in event.columns] == ["bytea", "bytea", "numeric", "bytea"]


def test_tuples_arrays_and_a_table_of_its_own() -> None:
    text = "Cut((address facet, uint8 action, bytes4[] _selectors)[2][] _cuts, string note) -> the_cuts Next()"
    cut, following = parse(text)
    assert cut.signature == "Cut((address,uint8,bytes4[])[2][],string)"
    assert cut.table == "the_cuts"
    assert cut.columns == (Column("cuts", "jsonb"), Column("note", "text", True), Column("note_raw", "bytea", True))
    assert cut.args[0].element.type == "(address,uint8,bytes4[])[2]"
    assert (following.signature, following.topics, following.columns) == ("Next()", 1, ())


@pytest.mark.parametrize(
    ("kind", "pg_type"),
    [
        ("uint8", "int4"),
        ("uint16", "int4"),
        ("uint32", "int8"),
        ("uint64", "numeric"),
        ("uint256", "numeric"),
        ("int256", "numeric"),
        ("bool", "bool"),
        ("address", "bytea"),
        ("bytes4", "bytea"),
        ("bytes", "bytea"),
        ("uint8[]", "jsonb"),
        ("string indexed", "bytea"),
        ("uint8[] indexed", "bytea"),
    ],
)
def test_types_of_columns(kind: str, pg_type: str) -> None:
    (event,) = parse(f"A({kind} x)")
    assert event.columns == (Column("x", pg_type),)


def test_fixed_columns_win() -> None:
    (event,) = parse("A(address address, uint256 blockNumber, bytes32 txHash, string _tx_index)")
    names = [column.name for column in event.columns]
    assert names == ["address_arg", "block_number_arg", "tx_hash_arg", "tx_index_arg", "tx_index_arg_raw"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("workClockTimeRef", "work_clock_time_ref"),
        ("_diamondCut", "diamond_cut"),
        ("start_idx", "start_idx"),
        ("ERC20Transfer", "erc20_transfer"),
        ("dealid", "dealid"),
        ("dealId", "deal_id"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@pytest.mark.parametrize(
    "text",
    [
        "A(uint7 x)",
        "A(uint264 x)",
        "A(uint x)",
        "A(bytes33 x)",
        "A(word x)",
        "A(uint8)",
        "A(uint8 x",
        "A uint8 x)",
        "A(uint8 x uint8 y)",
        "A(uint8 x,)",
        "A((uint8 x)",
        "A(uint8[ x)",
        "A(uint8 x) ->",
    ],
)
def test_a_wrong_declaration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_a_table_is_the_union_of_its_events() -> None:
    layout = layouts(parse("A(uint8 indexed x, uint256 y) A(uint256 y, bool z) A(uint8 indexed x, uint256 y)"))["a"]
    assert layout.columns == (Column("x", "int4", True), Column("y", "numeric"), Column("z", "bool", True))
    assert len(layout.events) == 2


def test_clashes_are_refused() -> None:
    with pytest.raises(ValueError, match="two types"):
        layouts(parse("A(uint8 x) A(bool x)"))
    with pytest.raises(ValueError, match="two columns"):
        layouts(parse("A(uint8 aB, uint8 a_b)"))
    with pytest.raises(ValueError, match="told apart"):
        compile_codecs({"r": parse("A(uint8 indexed x, uint8 y) A(uint8 x, uint8 indexed y)")})
    with pytest.raises(ValueError, match="list of texts"):
        compile_codecs({"r": parse("A(string[] x)")})
