"""Finality by age, for chains that pause: by their own blocks, never by a clock that went on without them."""

import json
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.chain.age import PAUSE, USUAL, aged
from indexer.ingest.head import FINAL_SECONDS, older_than
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.identify import head
from indexer.rpc.transport import Provider

BUSY = st.lists(st.integers(1, 20), min_size=2, max_size=200)


@given(gaps=BUSY, seconds=st.integers(1, 1500))
def test_without_a_pause_it_is_the_time_between(gaps: list[int], seconds: int) -> None:
    times = [*accumulate(gaps, initial=1000)]
    old = [n for n, time in enumerate(times) if times[-1] - time >= seconds]
    assert aged(times, seconds) == (old[-1] if old else None)


@given(before=BUSY, after=st.lists(st.integers(1, 20), max_size=100), pause=st.integers(201, 10**6))
def test_a_pause_makes_nothing_final_by_itself(before: list[int], after: list[int], pause: int) -> None:
    times = [*accumulate([*before, pause, *after], initial=1000)]
    place = aged(times, FINAL_SECONDS)
    longest = max(PAUSE, USUAL * 20)
    if place is not None and place <= len(before):
        assert sum(before[place:]) + sum(after) + longest >= FINAL_SECONDS
    if sum(after) >= FINAL_SECONDS:
        assert place is not None
        assert place > len(before), "what came after the pause ages as ever"


@given(gap=st.integers(300, 10**6), blocks=st.integers(5, 50))
def test_a_chain_that_is_always_slow_does_not_pause(gap: int, blocks: int) -> None:
    times = [1000 + gap * n for n in range(blocks)]
    assert aged(times, FINAL_SECONDS) == blocks - 1 - -(-FINAL_SECONDS // gap)


def chain(times: Sequence[int]) -> Provider:
    """A provider of a chain whose blocks have these times."""

    async def post(body: bytes) -> bytes:
        asked = json.loads(body)
        answers = []
        for call in asked if isinstance(asked, list) else [asked]:
            number = len(times) - 1 if call["params"][0] == "latest" else int(call["params"][0], 16)
            header = {"number": hex(number), "hash": "0x1", "parentHash": "0x0", "timestamp": hex(times[number])}
            answers.append({"jsonrpc": "2.0", "id": call["id"], "result": header})
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    return Provider(Endpoint("http://node.example"), post)


@pytest.mark.parametrize("pace", [1, 12])
@pytest.mark.parametrize(("pauses", "above"), [((), 0), ((3600,), 1), ((3600,), 40), ((86400, 3600), 5)])
async def test_a_start_right_after_a_pause_goes_as_deep(pace: int, pauses: tuple[int, ...], above: int) -> None:
    gaps = [pace] * 3000
    for pause in pauses:
        gaps += [pause, *[pace] * above]
    provider = chain([*accumulate(gaps, initial=1000)])
    found = int((await older_than(provider, await head(provider))).number, 16)
    on_top, most = len(gaps) - found, -(-FINAL_SECONDS // pace)
    assert on_top <= most + 1, "nothing waits longer than on a chain that never paused"
    assert on_top >= most // 3
