"""`taskscan doctor` against the recorded chain in every dialect, a node of our own, a dead port, a wrong chain."""

import json
import socket
from pathlib import Path
from typing import Any

import psycopg
import pytest

from indexer.rpc.doctor import examine_all
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.profile import Profile
from indexer.rpc.transport import Provider
from tests.acceptance.command import Inside, taskscan
from tests.acceptance.node import Node, running
from tests.support import addresses, needs_recordings, replay, toml_for

__all__ = ["taskscan"]


async def examined(*urls: str, chain_id: int = 42161) -> list[Profile]:
    """Profiles of the providers at `urls`; none of them costs more than 40 calls."""
    providers = [Provider(Endpoint(url, timeout=5)) for url in urls]
    try:
        profiles = await examine_all(providers, chain_id)
    finally:
        for provider in providers:
            await provider.disconnect()
    assert all(profile.calls <= 40 for profile in profiles)
    return profiles


STYLES = {  # style: whether its refusal of many logs names the limit
    "alchemy": True, "ankr": True, "drpc": True, "geth": True, "infura": True, "publicnode": True, "quicknode": True,
    "reth": True, "arbitrum": True,
}  # fmt: skip


@needs_recordings
@pytest.mark.parametrize("style", STYLES)
async def test_limits_are_found_in_every_dialect(style: str) -> None:
    options = ("--style", style, "--max-range", "50", "--max-results", "100", "--max-batch", "5")
    with replay("arbius-dev", *options, "--finality-lag", "20") as chain:
        (found,) = await examined(chain.url)
        asked = chain.stats()["calls"]
    assert (found.range_cap, found.result_cap) == (50, 100)
    assert found.batch_cap in (3, 5), "by name, or by halving"
    assert (found.head, found.finalized_lag, found.behind) == (291, 20, 0)
    assert (found.blooms_truthful, found.block_timestamp, found.all_state, found.old_logs) == (True, True, True, True)
    assert found.verdict == "usable"
    assert found.advice[0].startswith("It answers at most 50 blocks at a time: 20,000 requests for a million blocks.")
    assert 0 < asked <= found.calls


@needs_recordings
async def test_a_provider_without_limits_is_good() -> None:
    with replay("arbius-dev", "--finality-lag", "20") as chain:
        (found,) = await examined(chain.url)
    assert (found.verdict, found.advice, found.problem) == ("good", [], "")
    assert (found.range_cap, found.result_cap, found.batch_cap) == (0, 0, 0)
    assert (found.range_tried, found.results_tried) == (292, 3271), "the whole recording"


@needs_recordings
async def test_one_that_lags_is_told_from_the_others() -> None:
    with replay("arbius-dev") as ahead, replay("arbius-dev", "--head", "200") as late:
        first, second = await examined(ahead.url, late.url)
    assert (first.behind, second.behind) == (0, 91)
    assert second.behind_seconds > 3600
    assert any("Its newest block lies 91 blocks" in text for text in second.advice)


class Poor(Node):
    """No archive, no `finalized`, no batches, no times in logs, and blooms that fit nothing."""

    def eth_getBlockByNumber(self, block: str, full: bool) -> dict[str, Any] | None:
        return None if block == "finalized" else super().eth_getBlockByNumber(block, full)

    def eth_getCode(self, address: str, block: str) -> str:
        if int(block, 16) < self.head - 128:
            raise LookupError("missing trie node 0x12 (path ) state 0x34 is not available")
        return "0x"

    def eth_getLogs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            numbers = {self.hash(number): number for number in range(self.head + 1)}
            return [self._untimed(numbers[wanted["blockHash"]])]
        if int(wanted["fromBlock"], 16) < 5_000:
            raise LookupError("pruned history unavailable")
        if "address" not in wanted:
            raise LookupError("please specify an address in your request")
        return []

    def _untimed(self, number: int) -> dict[str, Any]:
        return {key: value for key, value in self.log(number).items() if key != "blockTimestamp"}

    def answer(self, call: Any) -> dict[str, Any]:
        try:
            return super().answer(call)
        except LookupError as error:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": str(error)}}


async def test_a_poor_node_is_usable_and_every_fault_is_told() -> None:
    with running(Poor(head=60_000)) as node:
        (found,) = await examined(node.url)
    assert (found.state_depth, found.all_state, found.old_logs) == (128, False, False)
    assert (found.blooms_truthful, found.block_timestamp, found.finalized_lag) == (False, False, None)
    assert found.result_cap is None
    assert found.verdict == "usable"
    said = " ".join(found.advice)
    for words in ("beginning", "last 128 blocks", "`finalized` tag", "blooms", "`blockTimestamp`"):
        assert words in said


def dead_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def test_a_dead_port_and_a_wrong_chain_are_unusable_and_cost_little() -> None:
    with running(Node(head=100, chain_id=1)) as other, running(Node(head=100)) as right:
        dead, wrong, good = await examined(dead_port(), other.url, right.url)
    assert (dead.verdict, wrong.verdict, good.verdict) == ("unusable", "unusable", "usable")
    assert "cannot be reached" in dead.problem
    assert "serves chain 1, but chain 42161 was asked for" in wrong.problem
    assert wrong.calls <= 3
    assert good.behind == 0


async def test_one_that_refuses_logs_is_unusable() -> None:
    class Silent(Node):
        def answer(self, call: dict[str, Any]) -> dict[str, Any]:
            if call["method"] == "eth_getLogs":
                error = {"code": -32601, "message": "the method eth_getLogs is not available on your plan"}
                return {"jsonrpc": "2.0", "id": call["id"], "error": error}
            return super().answer(call)

    with running(Silent(head=100)) as node:
        (found,) = await examined(node.url)
    assert found.verdict == "unusable"
    assert "eth_getLogs is not available on your plan" in found.problem


@needs_recordings
def test_the_command_prints_keeps_and_tells_the_scanner(migrated: str, tmp_path: Path, taskscan: Inside) -> None:
    engines = addresses("arbius-dev", "arbius-engine")
    options = ("--style", "ankr", "--max-range", "20", "--max-batch", "5")
    with replay("arbius-dev", *options) as chain:
        config = toml_for(tmp_path, migrated, chain.url, 42161, [{"network": "arbius", "addresses": engines}])
        said = taskscan("doctor", "--config", str(config))
        assert said.code == 0, said.err
        assert "usable" in said.out
        assert "It answers at most 20 blocks at a time" in said.out
        (profile,) = json.loads(taskscan("doctor", "--config", str(config), "--json").out)["test"]
        assert (profile["range_cap"], profile["verdict"]) == (20, "usable")
        before = chain.stats()["refused"]["range"]
        assert "call" not in chain.stats()["refused"]
        assert taskscan("run", "--config", str(config), "--until-synced").code == 0
        assert chain.stats()["refused"]["call"] == 4, "getters that the older engine lacks: its answer, no error"
        assert chain.stats()["refused"]["range"] == before, "the scan knows the limit and never runs into it"
    with psycopg.connect(migrated) as connection:
        query = "SELECT profile ->> 'range_cap', calls > 0, errors FROM analytics.providers"
        assert connection.execute(query).fetchall() == [("20", True, {})]


def test_the_command_fails_for_an_unusable_provider_and_without_a_configuration(
    migrated: str, tmp_path: Path, taskscan: Inside
) -> None:
    config = toml_for(tmp_path, migrated, dead_port(), 42161, [{"network": "arbius"}])
    said = taskscan("doctor", "--config", str(config))
    assert said.code == 1
    assert "unusable" in said.out
    with psycopg.connect(migrated) as connection:
        assert connection.execute("SELECT count(*) FROM chain.providers").fetchone() == (0,)
    config.unlink()
    demo = taskscan("doctor")
    assert (demo.code, "name a configuration" in demo.err) == (2, True)
