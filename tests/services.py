"""A loopback server that answers as iExec's services and a Koii task node do (iexec.md section 4, koii.md A1)."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

Json = dict[str, Any]


class Services:
    """What the services know: fill it before asking. `faults`: beginning of a path -> how it fails.

    `seen`: every request, as method, path, headers, body.
    """

    def __init__(self) -> None:
        self.url = ""
        self.workerpools: dict[str, str] = {}  # checksum address -> URL
        self.tasks: dict[str, Json] = {}
        self.logs: dict[str, list[Json]] = {}
        self.requesters: dict[str, str] = {}  # task id -> checksum address
        self.files: dict[str, bytes] = {}  # path below the gateway
        self.secrets: dict[str, str] = {}  # Koii task -> its secret
        self.challenges: dict[str, Json] = {}
        self.faults: dict[str, str] = {}
        self.seen: list[tuple[str, str, dict[str, str], str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs, dict(request.headers), await request.text()))
        for start, fault in self.faults.items():
            if request.path.startswith(start):
                return await _fail(request, fault)
        parts = request.path.strip("/").split("/")
        match request.method, parts:
            case "GET", [_, "workerpools", pool] if pool in self.workerpools:
                return web.json_response({"apiUrl": self.workerpools[pool]})
            case "GET", ["tasks", "logs", "challenge"]:
                return web.json_response(self._challenge(request.query["address"], int(request.query["chainId"])))
            case "GET", ["tasks", task, "logs"] if task in self.logs:
                return self._logs(task, request.headers.get("Authorization", ""))
            case "GET", ["tasks", task] if task in self.tasks:
                return web.json_response(self.tasks[task])
            case "GET", ["ipfs", *_] if request.path in self.files:
                return web.Response(body=self.files[request.path], content_type="application/zip")
            case "POST", ["namespace-wrapper"]:
                return self._wrapper(await request.json())
        return web.json_response({"error": "Not Found", "status": 404}, status=404)

    def _challenge(self, address: str, chain_id: int) -> Json:
        """The same one for an address for as long as it is good."""
        fields = {"name": "string", "version": "string", "chainId": "uint256"}
        domain = [{"name": name, "type": kind} for name, kind in fields.items()]
        types = {"EIP712Domain": domain, "Challenge": [{"name": "challenge", "type": "string"}]}
        made = {"types": types, "domain": {"name": "iExec Core", "version": "1", "chainId": chain_id}}
        made |= {"primaryType": "Challenge", "message": {"challenge": secrets.token_urlsafe(24)}}
        return self.challenges.setdefault(address, made)

    def _logs(self, task: str, authorization: str) -> web.Response:
        """`Authorization: <hash>_<signature>_<address>`, for the requester's own challenge only."""
        digest, _, rest = authorization.partition("_")
        signature, _, address = rest.partition("_")
        challenge = self.challenges.get(address)
        if challenge is None or address != self.requesters[task]:
            return web.Response(status=401)
        message = encode_typed_data(full_message=challenge)
        expected = "0x" + keccak(b"\x19\x01" + message.header + message.body).hex()
        if digest != expected or Account.recover_message(message, signature=signature) != address:
            return web.Response(status=401)
        return web.json_response({"computeLogsList": self.logs[task]})

    def _wrapper(self, body: Json) -> web.Response:
        if any(key not in body for key in ("args", "taskId", "secret")):
            return web.json_response({"message": "a field is missing"}, status=422)
        if self.secrets.get(body["taskId"]) != body["secret"]:
            return web.json_response({"message": "Invalid secret provided"}, status=401)
        if body["args"] != ["getTaskNodeVersion"]:
            return web.json_response({"message": "no such method"}, status=422)
        return web.json_response({"response": "1.11.19"})


async def _fail(request: web.Request, fault: str) -> web.StreamResponse:
    match fault:
        case "cut off":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"{")
            assert request.transport is not None
            request.transport.close()
            return response
        case "cut off chunks":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(b"{" * 100)
            assert request.transport is not None
            request.transport.close()
            return response
        case "endless":
            response = web.StreamResponse()
            response.enable_chunked_encoding()
            await response.prepare(request)
            for _ in range(10_000):
                await response.write(bytes(65536))
            return response
        case "hang":
            await asyncio.sleep(30)
        case "html":
            return web.Response(text="<html>maintenance</html>")
        case "echo":  # a server that repeats what it was told, secrets included
            said = f"no: {request.headers.get('Authorization', '')} {await request.text()}"
            return web.json_response({"message": said}, status=401)
    return web.Response(status=int(fault)) if fault.isdigit() else web.Response(text=fault)


@contextmanager
def serving(services: Services) -> Iterator[Services]:
    """Serve on a free loopback port, in a thread, until the block ends."""
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", services.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield services
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
