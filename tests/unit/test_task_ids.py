"""Ids of tasks and hashes of orders, against the ledger of recorded real contracts and against eth-account."""

import json
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from indexer.networks.iexec import orders, task_ids
from tests.support import needs_recordings, recording

WORD = st.binary(min_size=32, max_size=32)
UINT = st.integers(0, 2**256 - 1)


def raw(value: str) -> bytes:
    return bytes.fromhex(value[2:])


@needs_recordings
def test_ids_of_the_recording_follow_from_request_hash_and_bot_first() -> None:
    truth = recording("iexec-dev")["truth"]
    deals = {deal["dealid"]: deal for deal in truth["deals"]}
    assert any(deal["botFirst"] > 0 for deal in deals.values())
    for deal in deals.values():
        request = raw(deal["hashes"][3])
        assert task_ids.deal_id(request, deal["botFirst"]) == raw(deal["dealid"])
        assert task_ids.bot_first(raw(deal["dealid"]), request, deal["botFirst"]) == deal["botFirst"]
    for task in truth["tasks"]:
        assert task_ids.task_id(raw(task["dealid"]), task["idx"]) == raw(task["taskid"])


@given(request=WORD, first=st.integers(0, 300), taken=st.integers(0, 300), search=st.integers(0, 300))
def test_bot_first_is_found_where_it_is_searched_for_and_nowhere_else(
    request: bytes, first: int, taken: int, search: int
) -> None:  # fmt: skip
    found = task_ids.bot_first(task_ids.deal_id(request, first), request, taken, search)
    assert found == (first if taken <= first <= taken + search else None)


def test_bot_first_ends_where_uint256_ends() -> None:
    assert task_ids.bot_first(b"\1" * 32, b"\2" * 32, 2**256 - 2, 100) is None
    assert task_ids.bot_first(b"\1" * 32, b"\2" * 32, 2**256 + 5, 100) is None


def typed(kind: str, order: dict[str, Any], chain_id: int, hub: str) -> bytes:
    """The hash as eth-account makes it."""
    name, fields = orders.TYPES[kind].rstrip(")").split("(")
    pairs = [field.split(" ") for field in fields.split(",")]
    document = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": type_} for type_, field in pairs],
        },
        "primaryType": name,
        "domain": {"name": "iExecODB", "version": "5.0.0", "chainId": chain_id, "verifyingContract": hub},
        "message": {field: order[field] for _, field in pairs},
    }
    message = encode_typed_data(full_message=document)
    return keccak(b"\x19" + message.version + message.header + message.body)


@pytest.mark.parametrize("kind", orders.TYPES)
@given(data=st.data())
def test_order_hashes_are_those_of_eip_712(kind: str, data: st.DataObject) -> None:
    kinds = {
        "address": st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex()),
        "bytes32": WORD.map(lambda b: "0x" + b.hex()),
        "uint256": UINT,
        "string": st.text(),
    }
    fields = [field.split(" ") for field in orders.TYPES[kind].rstrip(")").split("(")[1].split(",")]
    order = {name: data.draw(kinds[type_]) for type_, name in fields} | {"sign": "0x"}
    hub, chain_id = data.draw(kinds["address"]), data.draw(st.integers(1, 2**64))
    stored = json.loads(json.dumps(order))
    assert orders.order_hash(kind, stored, chain_id, raw(hub)) == typed(kind, order, chain_id, hub)


def test_params_that_are_no_text_are_hashed_as_bytes() -> None:
    address, word = "0x" + "11" * 20, "0x" + "22" * 32
    fields = [field.split(" ") for field in orders.TYPES["request"].rstrip(")").split("(")[1].split(",")]
    values = {"address": address, "bytes32": word, "uint256": 7, "string": "{}"}
    order = {name: values[kind] for kind, name in fields}
    broken = order | {"params": None, "params_raw": "0x" + b"{}".hex()}
    hub = raw(address)
    assert orders.order_hash("request", broken, 1, hub) == orders.order_hash("request", order, 1, hub)
