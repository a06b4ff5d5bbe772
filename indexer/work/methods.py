"""The methods of `POST /rpc`: which parameters each takes, what it does, and what it answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from indexer.errors import TaskRefused
from indexer.store.database import in_words
from indexer.work import jobs, params, resources
from indexer.work.bell import Bell

T = TypeVar("T")
BATCH = 100  # requests in one body
LOOK_AGAIN = 1.0  # seconds after which a long poll looks by itself: time alone makes jobs ready, and nobody rings

_CHANGES: dict[str, tuple[type[msgspec.Struct], Callable[..., sa.Row[Any]]]] = {
    "awf.task/create-and-execute": (params.Create, jobs.create),
    "awf.task/start": (params.Start, jobs.start),
    "awf.task/success": (params.Success, jobs.success),
    "awf.task/fail": (params.Fail, jobs.fail),
    "awf.task/cancel": (params.Cancel, jobs.cancel),
}
METHODS = (*_CHANGES, *(f"awf.task/{name}" for name in ("notify", "status", "list", "poll", "long-poll")))


class Methods:
    """Answers requests over `engine`; `bell` rings when a job may have become ready."""

    def __init__(self, engine: Engine, bell: Bell) -> None:
        self._engine, self._bell = engine, bell

    async def answer(self, request: Any, client: str, gone: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
        """The result of one request {method, params}. `gone`: whether the client waits no more.

        Raises TaskRefused, DatabaseDown, DatabaseRefused.
        """
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            raise TaskRefused("A request is an object with a text `method`.", kind="malformed-body", status=400)
        method, given = request["method"], request.get("params")
        if method == "awf.task/long-poll":
            return await self._long_poll(params.checked(given, params.Poll), client, gone)
        return await self.run(lambda connection: _answer(connection, method, given, client))

    async def run(self, do: Callable[[sa.Connection], T]) -> T:
        """`do` in a transaction on a thread."""
        return await asyncio.to_thread(self._run, do)

    def _run(self, do: Callable[[sa.Connection], T]) -> T:
        with in_words(self._engine), self._engine.begin() as connection:
            return do(connection)

    async def _long_poll(
        self, wanted: params.Poll, client: str, gone: Callable[[], Awaitable[bool]]
    ) -> dict[str, Any]:  # fmt: skip
        """Poll until there is something or the time is over."""
        until = time.monotonic() + wanted.timeout / 1000
        while True:
            rung = self._bell.next()
            taken = await self.run(lambda connection: _poll(connection, wanted, client))
            left = until - time.monotonic()
            if taken["resources"] or left <= 0 or self._bell.closed:
                return taken
            await asyncio.wait([rung], timeout=min(left, LOOK_AGAIN))
            if await gone():  # or a job would go to who does not hear of it
                return taken


def _answer(connection: sa.Connection, method: str, given: Any, client: str) -> dict[str, Any]:
    if method in _CHANGES:
        kind, change = _CHANGES[method]
        return {"resource": resources.task(change(connection, params.checked(given, kind), client))}
    match method:
        case "awf.task/poll":
            return _poll(connection, params.checked(given, params.Poll), client)
        case "awf.task/notify":
            job = jobs.notify(connection, params.checked(given, params.Notify), client)
            return {"inProgressTimeoutAt": resources.moment(job.due_at)}
        case "awf.task/list":
            found = jobs.listed(connection, params.checked(given, params.List))
            return {"resources": [resources.task(job) for job in found]}
        case "awf.task/status":
            return _status(connection, params.checked(given, params.Status))
    what = (
        "Workflows are not run here" if method.startswith("awf.workflow/") else f"There is no method '{method[:100]}'"
    )
    raise TaskRefused(f"{what}: known are {', '.join(METHODS)}.", kind="unknown-method", status=404)


def _poll(connection: sa.Connection, wanted: params.Poll, client: str) -> dict[str, Any]:
    return {"resources": [resources.task(job) for job in jobs.poll(connection, wanted, client)]}


def _status(connection: sa.Connection, wanted: params.Status) -> dict[str, Any]:
    job, log = jobs.status(connection, wanted)
    answer: dict[str, Any] = {"resource": resources.task(job)}
    if wanted.include_settings:
        answer["settings"] = resources.settings(job)
    if wanted.include_log:
        answer["log"] = [resources.entry(row) for row in log]
    return answer
