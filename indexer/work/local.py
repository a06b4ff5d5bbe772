"""Workers on this machine: processes of their own, started again when they die, gone when we are."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from indexer.errors import SetupFailed, ungrouped

log = structlog.get_logger(__name__)

QUICK_SECONDS = 10.0  # a worker that dies sooner has not worked
QUICK_DEATHS = 5  # in a row, of one worker, after which it is not started again
STOP_SECONDS = 10.0  # that workers have to end when asked to


@contextlib.asynccontextmanager
async def workers(count: int, words: Sequence[str], env: Mapping[str, str]) -> AsyncIterator["asyncio.Task[None]"]:
    """Run `count` processes `taskscan WORDS` with `env` added to the environment.

    Yields a task that ends, with SetupFailed, when one of them cannot be kept alive. Their standard input closes when
    this process ends, however it does, and they end with it.
    """

    async def all_of_them() -> None:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                for _ in range(count):
                    tasks.create_task(_keep_up(words, {**os.environ, **env}))

    running = asyncio.create_task(all_of_them())
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _keep_up(words: Sequence[str], env: Mapping[str, str]) -> None:
    deaths, loop = 0, asyncio.get_running_loop()
    while True:
        began = loop.time()
        code, said = await _one(words, env)
        deaths = deaths + 1 if loop.time() - began < QUICK_SECONDS else 1
        if deaths >= QUICK_DEATHS or code == 2:
            raise SetupFailed(f"A worker ended with exit code {code}: {said or 'it said nothing'}")
        log.warning("a worker died and is started again", action="worker_died", code=code, said=said)
        await asyncio.sleep(1.0)


async def _one(words: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """One life of a worker; its exit code and the last line that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "indexer", *words, env=env, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said = ""
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            said = line.decode(errors="replace").strip()
            log.debug(said, action="worker_said", process=process.pid)
        return await process.wait(), said
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.communicate(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
