"""Receipts roots against the headers that a real client made, and against what any change of a receipt must do."""

from collections import defaultdict
from functools import cache
from typing import Any

import msgspec
import pytest
import rlp
from eth_hash.auto import keccak

from indexer.chain.receipts import EMPTY_ROOT, Receipt, logs_of, receipts_root
from indexer.errors import MalformedAnswer
from tests.simulation import trie
from tests.support import needs_recordings, recording

RECORDED = ["arbius-dev", "iexec-dev"]


@cache
def recorded(name: str) -> list[tuple[dict[str, Any], list[Receipt]]]:
    """Every recorded block with its receipts."""
    logs = defaultdict(list)
    for log in recording(name)["logs"]:
        logs[log["transactionHash"]].append(log)
    receipts = {tx["hash"]: r for tx, r in zip(recording(name)["txs"], recording(name)["receipts"], strict=True)}
    found = [
        [{**receipts[tx], "logs": logs[tx]} for tx in block["transactions"]] for block in recording(name)["blocks"]
    ]
    return list(zip(recording(name)["blocks"], (msgspec.convert(each, list[Receipt]) for each in found), strict=True))


@needs_recordings
@pytest.mark.parametrize("name", RECORDED)
def test_the_root_of_every_recorded_block_is_its_headers(name: str) -> None:
    for block, receipts in recorded(name):
        assert "0x" + receipts_root(receipts).hex() == block["receiptsRoot"], block["number"]
        logs = logs_of(receipts, block["hash"])
        assert logs is not None
        assert [int(log.log_index, 16) for log in logs] == list(range(len(logs)))


@needs_recordings
def test_whatever_is_left_out_or_changed_gives_another_root() -> None:
    block, receipts = max(recorded("arbius-dev"), key=lambda found: len(found[1]))
    wrong = [receipts[:-1], receipts[1:], [*receipts[:-2], receipts[-1], receipts[-2]]]
    for place, receipt in enumerate(receipts):
        for n, log in enumerate(receipt.logs):
            fewer = [*receipt.logs[:n], *receipt.logs[n + 1 :]]
            other = msgspec.structs.replace(log, data=log.data + "00")
            for logs in (fewer, [*receipt.logs[:n], other, *receipt.logs[n + 1 :]]):
                changed = msgspec.structs.replace(receipt, logs=logs)
                wrong.append([*receipts[:place], changed, *receipts[place + 1 :]])
    assert len(wrong) > 100
    assert not [each for each in wrong if "0x" + receipts_root(each).hex() == block["receiptsRoot"]]


@needs_recordings
def test_logs_that_say_another_place_are_not_taken() -> None:
    block, receipts = max(recorded("arbius-dev"), key=lambda found: len(found[1]))
    place = next(n for n, receipt in enumerate(receipts) if receipt.logs)
    log = receipts[place].logs[0]
    for field in ("log_index", "transaction_index", "block_hash"):
        moved = msgspec.structs.replace(log, **{field: "0x77"})
        receipt = msgspec.structs.replace(receipts[place], logs=[moved, *receipts[place].logs[1:]])
        assert logs_of([*receipts[:place], receipt, *receipts[place + 1 :]], block["hash"]) is None


def receipt(gas: int, **more: Any) -> Receipt:
    return Receipt(hex(gas), "0x" + "00" * 256, [], **{"status": "0x1", **more})


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 127, 128, 129, 200, 256, 257, 700])
def test_any_number_of_receipts_gives_the_root_of_another_trie(count: int) -> None:
    ours = receipts_root([receipt(21_000 * (n + 1)) for n in range(count)])
    assert ours == trie.receipts_root([(True, 21_000 * (n + 1), 0, ()) for n in range(count)])


def test_no_receipts_have_the_root_of_an_empty_trie() -> None:
    assert receipts_root([]) == EMPTY_ROOT == keccak(rlp.encode(b""))


def test_typed_failed_and_old_receipts_are_encoded_as_their_standards_say() -> None:
    bloom = bytes(256)
    for one, encoded in (
        (receipt(21_000, type="0x2"), b"\2" + rlp.encode([b"\1", 21_000, bloom, []])),
        (receipt(21_000, type="0x6a", status="0x0"), b"\x6a" + rlp.encode([b"", 21_000, bloom, []])),
        (receipt(21_000, status=None, root="0x" + "ab" * 32), rlp.encode([b"\xab" * 32, 21_000, bloom, []])),
    ):
        # A trie of one value under the key rlp(0) is one leaf (yellow paper, appendix D).
        assert receipts_root([one]) == keccak(rlp.encode([b"\x20\x80", encoded]))


def test_what_is_no_hex_text_is_refused() -> None:
    with pytest.raises(MalformedAnswer):
        receipts_root([receipt(1, status="yes")])
