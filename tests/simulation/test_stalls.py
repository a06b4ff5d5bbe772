"""Two providers: whoever is asked first about a new block stalls, and the other one is asked meanwhile."""

import asyncio
import json
from typing import Any

import pytest

from tests.simulation.run import Bench
from tests.simulation.stage import Stage, act

STALL = 20.0  # seconds


class Staller:
    """Holds up the next post with a call of `method`, whoever gets it. `stalled`: how many were."""

    def __init__(self, stage: Stage, method: str) -> None:
        self.method, self.stalled, self.armed = method, 0, False
        assert stage.life is not None
        for provider, node in zip(stage.life.job._pool.providers, stage.nodes, strict=True):
            provider._post = self._through(node)

    def _through(self, node: Any) -> Any:
        async def post(body: bytes) -> bytes:
            calls = json.loads(body)
            methods = {call["method"] for call in (calls if isinstance(calls, list) else [calls])}
            if self.armed and self.method in methods:
                self.armed, self.stalled = False, self.stalled + 1
                await asyncio.sleep(STALL)
            return bytes(await node(body))

        return post


@pytest.mark.parametrize(
    ("seconds", "method"), [(12.0, "eth_getBlockByNumber"), (12.0, "eth_getLogs"), (0.25, "eth_getBlockByNumber")]
)
def test_a_provider_that_stalls_does_not_hold_up_new_blocks(bench: Bench, seconds: float, method: str) -> None:
    async def scene(stage: Stage) -> None:
        await stage.catch_up()
        await stage.poll(4)
        assert stage.life is not None
        staller, now = Staller(stage, method), asyncio.get_running_loop().time
        for _ in range(6):
            stage.world.put([stage.tx(2)])
            stage.sync()
            staller.armed, began = True, now()
            await stage.life.poll()
            assert now() - began < 2.0
        assert staller.stalled >= 5
        await stage.life.poll()
        assert stage.differences() == []

    act(bench, scene, seconds, providers=2)
