"""What keeping up costs in requests, exactly: nothing here depends on time. `python -m tests.bench head` prints it."""

import pytest

from tests.bench.head import EVERY, calls_per_poll


@pytest.mark.parametrize(("pace", "each", "quiet", "busy"), [(12.0, 1, 1, 2), (0.25, 3, 3, 3)], ids=["slow", "fast"])
def test_calls_per_poll(migrated: str, pace: float, each: int, quiet: int, busy: int) -> None:
    polls = calls_per_poll(migrated, pace, each)
    full = {block for block in polls if any(n % EVERY == 0 for n in range(block - 2 * each, block + 1))}
    assert 0 < len(full) < len(polls)
    settled = sorted(polls)[2:]  # the first polls of a fast chain ask twice
    assert {polls[block] for block in settled if block not in full} == {quiet}
    assert max(polls[block] for block in settled if block in full) <= busy
