"""The worker: takes `taskscan/scan-range` jobs from a queue, reads their ranges, and says how it went.

The queue decides who is asked to do what; whether a range is read is decided by the ledger, and who may write it by its
fence. So a queue that forgets, repeats or hands out the same job twice costs time, never rows.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import structlog

from indexer.config import Chain
from indexer.errors import (
    DatabaseRefused,
    FenceLost,
    MalformedAnswer,
    RateLimited,
    TaskRefused,
    TaskscanError,
    Transient,
)
from indexer.store.fences import Claim
from indexer.store.store import Store
from indexer.work.client import POLL_MS, QueueClient
from indexer.work.jobs import SCAN
from indexer.work.reader import ChainReader, chain_of, params_of

T = TypeVar("T")
log = structlog.get_logger(__name__)

BEAT_SECONDS = 8.0  # between two signs of life where the queue does not tell its patience
BEATS = 4  # signs of life within the queue's patience
PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds after a failed job, doubled by each further one in a row
POLL_PAUSE = 5.0  # seconds after a poll that failed, at most
TELL_SECONDS = 90.0  # for which it is tried to say how a job ended


class Task(msgspec.Struct, rename="camel"):
    """The part of an AidboxTask that is used here."""

    id: str
    exec_id: str = ""
    params: Any = None
    retry_count: float | None = None


class _Polled(msgspec.Struct):
    resources: list[Task]


class _Started(msgspec.Struct):
    resource: Task


class Worker:
    """Does jobs of `queue` one after the other, and writes to the database of `store`."""

    def __init__(
        self, queue: QueueClient, store: Store, chains: list[Chain], read: Callable[..., ChainReader] = ChainReader
    ) -> None:  # fmt: skip
        self._queue, self._store, self._chains, self._read = queue, store, chains, read
        self._readers: dict[int, ChainReader] = {}
        self._failures = 0
        self.done = 0

    async def work(self) -> None:
        """Poll and work until cancelled; a job that is under way then goes back to the queue.

        Raises ConfigError when the queue does not let this client in, DatabaseRefused when the database does not.
        """
        try:
            while True:
                try:
                    found = await self._queue.call("awf.task/long-poll", taskDefinitions=[SCAN], timeout=POLL_MS)
                    tasks = _tasks(found)
                except (Transient, TaskRefused) as error:
                    await self._rest(error, "poll_failed", POLL_PAUSE)
                    continue
                for task in tasks:
                    await self._do(task)
        finally:
            await asyncio.gather(*(reader.close() for reader in self._readers.values()), return_exceptions=True)

    async def _do(self, task: Task) -> None:
        """One job from start to success or failure. Whoever has it by then is told by the queue or by the fence."""
        try:
            begun, beat = await self._start(task)
            result = await self._alive(begun, beat)
            await self._tell("awf.task/success", begun, result=result)
        except asyncio.CancelledError:
            with contextlib.suppress(TaskscanError, TimeoutError):
                stopped = {"type": "Stopped", "message": "the worker was stopped"}
                await asyncio.wait_for(self._tell("awf.task/fail", task, error=stopped), 3)
            raise
        except (FenceLost, TaskRefused) as error:
            log.warning("job not mine any more", action="job_lost", job=task.id, exec=task.exec_id, error=str(error))
        except TaskscanError as error:
            with contextlib.suppress(TaskscanError):
                await self._tell("awf.task/fail", task, error={"type": type(error).__name__, "message": str(error)})
            if isinstance(error, DatabaseRefused):
                raise
            await self._rest(error, "job_failed", LONGEST_PAUSE, job=task.id)
        else:
            self._failures, self.done = 0, self.done + 1
            log.info("job done", action="job_done", job=task.id, **{name: result[name] for name in ("blocks", "logs")})

    async def _start(self, task: Task) -> tuple[Task, float]:
        """Start the job; as it is then, and the seconds between two signs of life."""
        mine = {"id": task.id, "execId": task.exec_id}
        settings = {"id": task.id, "include-settings?": True}
        started, status = await self._queue.batch([("awf.task/start", mine), ("awf.task/status", settings)])
        if isinstance(started, TaskscanError):
            raise started
        begun = _task(started)
        patience = (status.get("settings") or {}).get("inProgressTimeout") if isinstance(status, dict) else None
        seconds = patience / 1000 / BEATS if isinstance(patience, int | float) and patience > 0 else BEAT_SECONDS
        return begun, min(seconds, BEAT_SECONDS)

    async def _alive(self, task: Task, beat: float) -> dict[str, Any]:
        """Read the job's range with signs of life meanwhile. Raises TaskRefused once the queue has given it away."""
        reading = asyncio.create_task(self._scan(task))
        beating = asyncio.create_task(self._beat(task, beat))
        try:
            await asyncio.wait([reading, beating], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await beating
            return await reading
        finally:
            for each in (reading, beating):
                each.cancel()
            await asyncio.gather(reading, beating, return_exceptions=True)

    async def _beat(self, task: Task, seconds: float) -> None:
        """Say that the job is alive, and how far it is, until the queue says that it is somebody else's."""
        while True:
            await asyncio.sleep(seconds)
            mine = {"id": task.id, "execId": task.exec_id}
            beat = {**mine, "notification": "awf.task/heartbeat", "message": "reading"}
            calls = [("awf.task/notify", beat)]
            if progress := self._progress(task):
                calls.append(("awf.task/notify", {**mine, "notification": "awf.task/progress", **progress}))
            try:
                heard, *_ = await self._queue.batch(calls)
            except Transient as error:
                log.info("no sign of life", action="beat_failed", job=task.id, error=str(error))
                continue
            if isinstance(heard, TaskscanError):
                raise heard

    def _progress(self, task: Task) -> dict[str, Any]:
        """How far the job is, as parameters of the notification."""
        reader = self._readers.get(params_of(task.params).chain_id)
        done, total = reader.read_of_claim if reader else (0, 0)
        return {"progress-current": done, "progress-total": total, "progress-unit": "blocks"} if total else {}

    async def _scan(self, task: Task) -> dict[str, Any]:
        wanted = params_of(task.params)
        reader = await self._reader(wanted.chain_id)
        attempt = int(task.retry_count or 1)
        return await reader.read(
            Claim(wanted.chain_id, wanted.group, wanted.blocks, task.id, task.exec_id, attempt)
        )  # fmt: skip

    async def _reader(self, number: int) -> ChainReader:
        if number not in self._readers:
            reader = self._read(chain_of(self._chains, number), self._store)
            try:
                await reader.prepare()
            except BaseException:
                await reader.close()
                raise
            self._readers[number] = reader
        return self._readers[number]

    async def _tell(self, method: str, task: Task, **more: Any) -> None:
        await self._queue.patient(method, seconds=TELL_SECONDS, id=task.id, execId=task.exec_id, **more)

    async def _rest(self, error: Exception, action: str, longest: float, **facts: object) -> None:
        """Wait after a failure, longer each time, so that a worker that can do nothing does not use up all attempts."""
        asked = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 0.0
        wait = max(asked, min(longest, PAUSE * 2**self._failures))
        self._failures = min(self._failures + 1, 10)
        log.warning("worker rests", action=action, seconds=wait, error=str(error), **facts)
        await asyncio.sleep(wait)


def _tasks(tree: Any) -> list[Task]:
    return _shaped(tree, _Polled).resources


def _task(tree: Any) -> Task:
    return _shaped(tree, _Started).resource


def _shaped(tree: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise MalformedAnswer(str(error), provider="the queue") from None
