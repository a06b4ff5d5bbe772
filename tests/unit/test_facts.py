"""Reading calldata and answers: what is proved is taken, what is forged, cut off or about something else is not."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from indexer.networks.arbius.facts import ASKERS, commitment, ipfs_cid, model_id, submissions, task_id
from indexer.networks.arbius.silent_facts import ASKERS as SILENT
from indexer.networks.facts import Unreadable, Words
from indexer.networks.iexec.facts import ASKERS as IEXEC
from indexer.rpc.transactions import Transaction

ENGINE, OWNER, SENDER = b"\xe1" * 20, b"\x0a" * 20, b"\x5e" * 20
MODEL, BEFORE, TX = b"\x3d" * 32, b"\xbe" * 32, b"\x77" * 32
NOTICE = {"app": "aa" * 20, "dataset": "bb" * 20, "tag": "03".rjust(64, "0"), "beneficiary": "cc" * 20, "params": "{}",
          "params_raw": None, "category": "2"}  # fmt: skip
FEE, INPUT = 10**18, b'{"prompt": "a cat"}'
SUBMIT = "submitTask(uint8,address,bytes32,uint256,bytes)"
BULK = "bulkSubmitTask(uint8,address,bytes32,uint256,bytes,uint256)"
ROUTER = "submitTask(uint8,address,bytes32,uint256,bytes,uint256,uint256)"


def call(signature: str, *values: Any) -> bytes:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return keccak(text=signature)[:4] + encode(types, values)


def key(content: bytes = INPUT, **changes: Any) -> dict[str, Any]:
    given = encode(
        ["address", "bytes32", "bytes32", "uint256", "bytes"], [SENDER, BEFORE, MODEL, FEE, ipfs_cid(content)]
    )
    row = {"address": ENGINE, "task_id": keccak(given), "tx": TX, "model": MODEL, "fee": FEE, "sender": SENDER}
    return row | {"before": BEFORE, "block": 7} | changes


def sent(data: bytes, to: bytes = ENGINE) -> dict[bytes, Transaction]:
    return {TX: Transaction("0x" + TX.hex(), "0x" + to.hex(), "0x" + data.hex(), "0x" + SENDER.hex())}


def learned(row: dict[str, Any], txs: dict[bytes, Transaction]) -> dict[int, dict[str, Any]]:
    prove = ASKERS["tasks"].from_calldata
    assert prove
    return prove([row], txs)


def test_hashes_are_those_of_the_engine() -> None:
    cid = ipfs_cid(INPUT)
    words = encode(["address", "bytes32", "bytes"], [SENDER, TX, cid])
    assert commitment(SENDER, TX, cid) == keccak(words)
    assert model_id(SENDER, OWNER, FEE, cid) == keccak(
        encode(["address", "address", "uint256", "bytes"], [SENDER, OWNER, FEE, cid])
    )
    assert task_id(SENDER, BEFORE, MODEL, FEE, cid) == key()["task_id"]


@given(content=st.binary(max_size=400), version=st.integers(0, 255), wrapped=st.binary(max_size=40))
@pytest.mark.parametrize("more", [(SUBMIT, ()), (BULK, (9,)), (ROUTER, (5, 600_000))])
def test_what_was_sent_is_found_however_deep_it_is_wrapped(
    more: tuple[str, tuple[int, ...]], content: bytes, version: int, wrapped: bytes
) -> None:
    signature, rest = more
    data = wrapped + call(signature, version, OWNER, MODEL, FEE, content, *rest)
    found = list(submissions(data, MODEL, FEE))
    facts = {"version": version, "owner": OWNER, "input": content, "input_size": len(content), "cid": ipfs_cid(content)}
    assert facts in found


@given(data=st.binary(max_size=600), cut=st.integers(0, 700))
def test_no_calldata_stops_the_reader(data: bytes, cut: int) -> None:
    whole = data + call(SUBMIT, 1, OWNER, MODEL, FEE, INPUT)
    for found in submissions(whole[:cut], MODEL, FEE):
        assert found["cid"] == ipfs_cid(found["input"])


def test_calldata_of_a_call_to_the_engine_proves_itself_by_the_task_id() -> None:
    data = call(SUBMIT, 3, OWNER, MODEL, FEE, INPUT)
    facts = {"version": 3, "owner": OWNER, "input": INPUT, "input_size": len(INPUT), "cid": ipfs_cid(INPUT)}
    assert learned(key(), sent(data)) == {0: facts}
    assert learned(key(), sent(call(SUBMIT, 3, OWNER, MODEL, FEE, INPUT + b"!"))) == {}, "another input, another id"
    assert learned(key(sender=OWNER), sent(data)) == {}
    assert learned(key(before=None), sent(data)) == {0: facts}, "reading began here: there is nothing to prove it by"
    assert learned(key(), sent(data, to=OWNER)) == {}, "another contract may put another owner in"
    assert learned(key(), {}) == {}


def answer(cid: bytes, owner: bytes = OWNER, model: bytes = MODEL) -> bytes:
    return encode(["bytes32", "uint256", "address", "uint64", "uint8", "bytes"], [model, FEE, owner, 1, 3, cid])


def test_a_getter_gives_the_owner_and_calldata_the_input() -> None:
    read, cid = ASKERS["tasks"].read, ipfs_cid(INPUT)
    whole = {"owner": OWNER, "version": 3, "cid": cid, "input": INPUT, "input_size": len(INPUT)}
    whole |= {"enriched_from": "calldata, eth_call"}
    hidden = b"\x01\x02\x03\x04" + encode(["uint256", "bytes"], [1, INPUT])
    assert read(key(), [answer(cid)], sent(hidden)[TX]) == whole
    told = read(key(), [answer(cid)], None)
    assert told == {"owner": OWNER, "version": 3, "cid": cid, "input": None}
    assert read(key(), [answer(ipfs_cid(b"forged"))], None) is None
    assert read(key(), [None], None) is None


def test_a_retracted_task_keeps_what_calldata_tells() -> None:
    nothing = encode(
        ["bytes32", "uint256", "address", "uint64", "uint8", "bytes"], [bytes(32), 0, bytes(20), 0, 0, b""]
    )
    found = ASKERS["tasks"].read(key(), [nothing], sent(call(ROUTER, 3, OWNER, MODEL, FEE, INPUT, 0, 0), OWNER)[TX])
    assert found is not None
    assert (found["owner"], found["input"], found["enriched_from"]) == (OWNER, INPUT, "calldata")
    assert ASKERS["tasks"].read(key(), [nothing], None) is None


@given(boost=st.booleans(), data=st.binary(max_size=300))
@pytest.mark.parametrize("network", ["arbius", "iexec"])
def test_answers_of_any_shape_are_refused_in_one_way(network: str, data: bytes, boost: bool) -> None:
    row = key(
        validator=OWNER, model_id=MODEL, dealid=MODEL, emitter=None, start_time=None, bot_size=None, taskid=MODEL,
        worker=OWNER, result_hash=None, app=OWNER, dataset=OWNER, workerpool=OWNER,
        payer=OWNER, sponsor=None, notice=NOTICE if boost else None,
    )  # fmt: skip
    for asker in {"arbius": ASKERS | SILENT, "iexec": IEXEC}[network].values():
        answers = [data] * len(asker.views(row))
        try:
            found = asker.read(row, answers, None)
        except Unreadable:
            continue
        assert found is None or isinstance(found, dict)


@given(data=st.binary(max_size=200), n=st.integers(0, 12))
def test_words_never_reach_beyond_the_data(data: bytes, n: int) -> None:
    for read in (Words(data).word, Words(data).content, Words(data).addresses):
        try:
            assert len(read(n)) <= len(data)
        except Unreadable:
            continue


def test_a_boost_deal_is_known_by_its_notice_and_better_by_the_hub() -> None:
    """github.com/iExecBlockchainComputing/PoCo, IexecLibCore_v5.sol: struct DealBoost."""
    row = {"address": ENGINE, "dealid": TX, "emitter": None, "payer": SENDER, "sponsor": None, "notice": NOTICE}
    told = {
        "app": b"\xaa" * 20, "dataset": b"\xbb" * 20, "tag": bytes(31) + b"\x03", "beneficiary": b"\xcc" * 20,
        "params": "{}", "params_raw": None, "category": 2, "requester": SENDER, "enriched_from": "event",
    }  # fmt: skip
    (view,) = IEXEC["deals"].views(row)
    assert view.data[:4] == keccak(text="viewDealBoost(bytes32)")[:4]
    assert IEXEC["deals"].read(row, [None], None) == told
    assert IEXEC["deals"].read(row | {"sponsor": SENDER}, [bytes(14 * 32)], None) == told | {"requester": None}
    kinds = ["address", "uint96"] * 4 + ["address", "uint40", "uint16", "uint16", "bytes3", "address"]
    owners = "0x" + "11" * 20, 1, "0x" + "22" * 20, 2, "0x" + "33" * 20, 3
    struct = encode(kinds, [*owners, "0x" + "44" * 20, 4, "0x" + "55" * 20, 99, 0, 1, b"\0\0\1", "0x" + "66" * 20])
    better = {"app_owner": b"\x11" * 20, "app_price": 1, "dataset_owner": b"\x22" * 20, "dataset_price": 2}
    better |= {"workerpool_price": 3, "requester": b"\x44" * 20, "callback": b"\x55" * 20}
    assert IEXEC["deals"].read(row, [struct], None) == told | better | {"enriched_from": "event, eth_call"}
