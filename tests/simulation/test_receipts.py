"""What blooms cannot see, receipts do; and receipts from providers that give them one by one, or in parts."""

import json
from typing import Any

import pytest

from tests.simulation.abi import ARBIUS
from tests.simulation.lives import ENGINE, PEOPLE, Tx
from tests.simulation.node import View
from tests.simulation.run import Bench
from tests.simulation.stage import Stage, act
from tests.simulation.world import Log

pytestmark = pytest.mark.parametrize("seconds", [12.0, 0.25], ids=["slow", "fast"])


def twins(stage: Stage, count: int) -> Tx:
    """A transaction whose logs all have the same address and topics: one of them sets all bits of the bloom."""
    same = PEOPLE[0], PEOPLE[1]
    logs = [(ENGINE, *ARBIUS["ValidatorDeposit"].encode(*same, 10**n)) for n in range(count)]
    return Tx(stage.rng.randbytes(32), tuple(logs))


def leave_out_last(stage: Stage) -> None:
    """The only provider always leaves out the last two logs of the newest block, whatever names it."""
    node, lost = stage.node, {id(log) for log in stage.world.head.logs[-2:]}

    def matching(filter_: dict[str, object], view: View) -> list[Log]:
        return [log for log in type(node).matching(node, filter_, view) if id(log) not in lost]

    node.matching = matching  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("at_once", [True, False], ids=["receipts by block", "one by one"])
@pytest.mark.parametrize("evidence", ["bloom", "receipts"])
def test_last_logs_that_repeat_others_are_left_out(
    bench: Bench, seconds: float, evidence: str, at_once: bool
) -> None:  # fmt: skip
    async def scene(stage: Stage) -> None:
        stage.node.quirks.receipts = at_once
        stage.world.put([twins(stage, 6)])
        leave_out_last(stage)
        await stage.catch_up()
        await stage.grow_final()
        unseen = evidence == "bloom" and not at_once  # the one thing that blooms cannot tell
        assert bool(stage.differences()) == unseen
        found = stage.ask("SELECT DISTINCT evidence FROM analytics.coverage WHERE chain_id = %s")
        assert found == [(evidence,)]

    act(bench, scene, seconds, evidence=evidence)


def cut_receipts(stage: Stage) -> list[int]:
    """Every other answer with receipts lacks the last log of its last receipt that has any; how often, in a list."""
    node, cut = stage.node, [0, 0]

    def result(method: str, params: Any, view: View) -> bytes:
        found = type(node).result(node, method, params, view)
        if method != "eth_getBlockReceipts" or found == b"null":
            return found
        receipts = json.loads(found)
        full = [receipt for receipt in receipts if receipt["logs"]]
        cut[1] += bool(full)
        if full and cut[1] % 2:
            full[-1]["logs"].pop()
            cut[0] += 1
        return json.dumps(receipts).encode()

    node.result = result  # type: ignore[method-assign]
    return cut


def test_receipts_that_lack_a_log_prove_nothing_and_their_provider_is_caught(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        cut = cut_receipts(stage)
        stage.world.put([stage.tx(3)], [], [twins(stage, 3)])
        await stage.catch_up()
        await stage.grow_final()
        assert cut[0] >= 2
        assert stage.differences() == []
        assert "Distrusted" in stage.incidents()

    act(bench, scene, seconds, evidence="receipts")


def test_receipts_one_by_one_where_they_are_not_given_by_block(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.node.quirks.receipts = False
        asked: list[str] = []

        def result(method: str, params: Any, view: View) -> bytes:
            asked.append(method)
            return type(stage.node).result(stage.node, method, params, view)

        stage.node.result = result  # type: ignore[method-assign]
        stage.world.put([stage.tx(3), stage.tx(1)], [])
        await stage.catch_up()
        await stage.grow_final()
        assert stage.differences() == []
        assert asked.count("eth_getBlockReceipts") == 1, "asked once, and never again"
        assert asked.count("eth_getTransactionReceipt") > 2
        assert stage.incidents() == set()

    act(bench, scene, seconds, evidence="receipts")


def test_receipts_where_blooms_tell_nothing(bench: Bench, seconds: float) -> None:
    async def scene(stage: Stage) -> None:
        stage.world.bloomless = True
        stage.world.put([stage.tx(3)], [])
        leave_out_last(stage)
        await stage.catch_up()
        await stage.grow_final()
        assert stage.differences() == []

    act(bench, scene, seconds, evidence="receipts")
