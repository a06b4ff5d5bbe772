"""Headers in batches: one that is missing, or whose call alone fails, does not spoil the others."""

import json
from collections import Counter

import pytest

from indexer.errors import NotThereYet, ServerFault
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.identify import headers
from indexer.rpc.transport import Provider


class Flaky:
    """Answers null for blocks in `null` and an error for those in `broken`, so many times."""

    def __init__(self, null: dict[int, int], broken: dict[int, int]) -> None:
        self.null, self.broken, self.asked = null, broken, Counter[int]()
        self.provider = Provider(Endpoint("http://flaky.example"), self._post)

    async def _post(self, body: bytes) -> bytes:
        calls = json.loads(body)
        answers = [self._answer(call) for call in (calls if isinstance(calls, list) else [calls])]
        return json.dumps(answers if isinstance(calls, list) else answers[0]).encode()

    def _answer(self, call: dict[str, object]) -> dict[str, object]:
        number = int(call["params"][0], 16)  # type: ignore[index]
        self.asked[number] += 1
        if self.asked[number] <= self.broken.get(number, 0):
            return {"id": call["id"], "error": {"code": -32603, "message": "Internal error"}}
        if self.asked[number] <= self.null.get(number, 0):
            return {"id": call["id"], "result": None}
        header = {"number": hex(number), "hash": "0x1", "parentHash": "0x0", "timestamp": "0x1"}
        return {"id": call["id"], "result": header}


async def test_what_is_missing_or_fails_is_asked_for_again_alone() -> None:
    node = Flaky(null={3: 1, 5: 2}, broken={7: 1})
    found = await headers(node.provider, range(10))
    assert [int(header.number, 16) for header in found] == list(range(10))
    assert node.asked == {number: {3: 2, 5: 3, 7: 2}.get(number, 1) for number in range(10)}


async def test_what_stays_missing_is_told() -> None:
    with pytest.raises(NotThereYet, match="has no block 9"):
        await headers(Flaky(null={9: 99}, broken={}).provider, range(10))
    with pytest.raises(ServerFault):
        await headers(Flaky(null={}, broken={4: 99}).provider, range(10))


async def test_a_backend_that_has_none_of_them_is_asked_once() -> None:
    node = Flaky(null=dict.fromkeys(range(10), 99), broken={})
    with pytest.raises(NotThereYet):
        await headers(node.provider, range(10))
    assert node.asked.total() == 10
