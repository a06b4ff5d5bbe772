"""The queue over HTTP: `POST /rpc` and `POST /auth/token`, as Aidbox has them (aidbox.md B1). Any number of servers may
stand on one database; none keeps anything that another one needs."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request, Response
from sqlalchemy.engine import Engine
from starlette.requests import ClientDisconnect

from indexer.errors import DatabaseDown, TaskRefused, TaskscanError, Transient
from indexer.work import body, clients
from indexer.work.bell import Bell
from indexer.work.jobs import AT_ONCE
from indexer.work.methods import BATCH, Methods
from indexer.work.quota import Quota

log = structlog.get_logger(__name__)

BODY_BYTES = 1024 * 1024
CLIENT_RATE, CLIENT_BURST = 200.0, 1000.0  # requests of one client per second, and at once; each of a batch counts
GUESS_RATE, GUESS_BURST = 1.0, 20.0  # wrong secrets from one address, likewise
TICK = 0.5  # seconds between two looks at whose time is over
FORGET = 3600.0  # seconds between two looks at what ended too long ago to be kept
RETRY_SECONDS = 2.0  # what is said to who asks while the database is down


class Queue:
    """What one server holds: the way to the database, the bell, and quotas. `keep`: how long an ended job is kept."""

    def __init__(self, engine: Engine, keep: timedelta) -> None:
        self._keep, self._forget_at = keep, 0.0
        self.bell = Bell(engine)
        self.methods = Methods(engine, self.bell)
        self._asked = Quota(CLIENT_RATE, CLIENT_BURST)
        self._guessed = Quota(GUESS_RATE, GUESS_BURST)

    async def rpc(self, request: Request) -> Response:
        """`POST /rpc`: one request, or a list of them, which are answered in their order."""
        as_yaml = body.is_yaml(request.headers.get("content-type", ""))
        answer_yaml = body.is_yaml(_accepted(request))
        client = await self._client(request)
        tree = body.read(await _limited(request), as_yaml=as_yaml)
        asked = tree if isinstance(tree, list) else [tree]
        if len(asked) > BATCH:
            raise TaskRefused(f"A batch holds at most {BATCH} requests.", kind="batch-too-large", status=413)
        self._asked.take(client, max(1, len(asked)))
        if isinstance(tree, list):
            return _response([await self._in_batch(each, client, request) for each in tree], as_yaml=answer_yaml)
        result = await self.methods.answer(tree, client, request.is_disconnected)
        return _response({"result": result}, as_yaml=answer_yaml)

    async def token(self, request: Request) -> Response:
        """`POST /auth/token`: a client's id and secret for an access token."""
        address = _address(request)
        self._guessed.check(address)
        tree = body.read(await _limited(request), as_yaml=body.is_yaml(request.headers.get("content-type", "")))
        tree = tree if isinstance(tree, dict) else {}
        if tree.get("grant_type") != "client_credentials":
            raise TaskRefused("grant_type must be client_credentials.", kind="unsupported-grant-type", status=400)

        def make(connection: sa.Connection) -> str:
            login = str(tree.get("client_id")), str(tree.get("client_secret"))
            return clients.token(connection, clients.of_secret(connection, *login, held=True))

        made = await self._guess(address, self.methods.run(make))
        seconds = clients.TOKEN_SECONDS
        return _response({"token_type": "Bearer", "expires_in": seconds, "access_token": made}, as_yaml=False)

    async def keep_time(self) -> None:
        """Move on jobs whose time is over, and forget old ones, for as long as the server runs."""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.methods.run(lambda connection: connection.scalar(sa.select(sa.func.work.pass_time(AT_ONCE))))
                if time.monotonic() >= self._forget_at:
                    await self._forget()
            except TaskscanError as error:
                log.warning("no look at timeouts", action="tick_failed", error=str(error))

    async def _forget(self) -> None:
        """Forget some of what ended long ago; the rest with the next ticks, so that no transaction is long."""
        some = sa.select(sa.func.work.forget(self._keep, AT_ONCE))
        if (await self.methods.run(lambda connection: connection.scalar(some)) or 0) < AT_ONCE:
            self._forget_at = time.monotonic() + FORGET

    async def _client(self, request: Request) -> str:
        address, header = _address(request), request.headers.get("authorization", "")
        self._guessed.check(address)
        return await self._guess(address, self.methods.run(lambda connection: clients.of_header(connection, header)))

    async def _guess(self, address: str, proving: Any) -> str:
        try:
            return str(await proving)
        except TaskRefused:
            self._guessed.take(address)
            raise

    async def _in_batch(self, asked: Any, client: str, request: Request) -> dict[str, Any]:
        try:
            return {"result": await self.methods.answer(asked, client, request.is_disconnected)}
        except TaskscanError as error:
            return _fault(error)[1]


def application(queue: Queue) -> FastAPI:
    """The web application around `queue`."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        queue.bell.open()
        ticking = asyncio.create_task(queue.keep_time())
        yield
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        await queue.bell.close()

    app = FastAPI(title="Taskscan job queue", openapi_url=None, lifespan=life)
    app.add_api_route("/rpc", _answering(queue.rpc), methods=["POST"])
    app.add_api_route("/auth/token", _answering(queue.token), methods=["POST"])
    return app


def _answering(handle: Any) -> Any:
    """`handle` with its errors as answers, in the shape of the protocol."""

    async def answer(request: Request) -> Response:
        try:
            return await handle(request)  # type: ignore[no-any-return]
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except TaskscanError as error:
            status, tree = _fault(error)
            with contextlib.suppress(TaskRefused):
                return _response(tree, as_yaml=body.is_yaml(_accepted(request)), status=status, error=error)
            return _response(tree, as_yaml=False, status=status, error=error)

    return answer


def _fault(error: TaskscanError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error. What the database says is for the log, not for clients."""
    if isinstance(error, TaskRefused):
        return error.status, {"error": {"type": error.kind, "message": str(error)}}
    log.error("request failed", action="request_failed", error=str(error))
    if isinstance(error, Transient):
        kind = "database-down" if isinstance(error, DatabaseDown) else "try-again"
        return 503, {"error": {"type": kind, "message": "The queue's database does not answer. Try again later."}}
    return 500, {"error": {"type": "internal-error", "message": "The queue's database refuses it; see the log."}}


def _response(tree: Any, *, as_yaml: bool, status: int = 200, error: TaskscanError | None = None) -> Response:
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="taskscan"'
    wait = error.retry_after if isinstance(error, TaskRefused) else RETRY_SECONDS if status == 503 else None
    if wait:
        headers["Retry-After"] = f"{wait:g}"
    kind = "text/yaml" if as_yaml else "application/json"
    return Response(body.write(tree, as_yaml=as_yaml), status, headers, f"{kind}; charset=utf-8")


async def _limited(request: Request) -> bytes:
    """The body. Raises TaskRefused (413) as soon as it is too large, without reading the rest."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_BYTES:
            raise TaskRefused(f"A body holds at most {BODY_BYTES} bytes.", kind="body-too-large", status=413)
    return bytes(found)


def _accepted(request: Request) -> str:
    """What the answer shall be; who takes anything gets the format that it sent."""
    accept = request.headers.get("accept", "*/*")
    return request.headers.get("content-type", "") if accept.strip() in ("", "*/*") else accept


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
