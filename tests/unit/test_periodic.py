"""The jobs of a scheduler at the end: cut off they are no failures, and what really fails is logged."""

import asyncio
import logging

import pytest

from indexer.ingest.periodic import Periodic


@pytest.mark.parametrize("fails", [False, True])
async def test_jobs_end_before_the_scheduler_does(caplog: pytest.LogCaptureFixture, fails: bool) -> None:
    said, begun = list[str](), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # as a transaction that is rolled back
            said.append("ended")
            if fails:
                raise ValueError("a disk is full")

    periodic = Periodic()
    periodic.start()
    periodic.every(60, work, at_once=True)
    await begun.wait()
    with caplog.at_level(logging.ERROR):
        await periodic.stop()
    assert said == ["ended"]
    assert bool(caplog.records) == ("a disk is full" in caplog.text) == fails
