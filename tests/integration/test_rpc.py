"""The provider over real HTTP: a server of our own that misbehaves, and the recorded chains with every dialect."""

import asyncio
import atexit
import gzip
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from aiohttp import web

from indexer.errors import (
    MalformedAnswer,
    NotThereYet,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TimedOut,
    TooLarge,
    Unreachable,
)
from indexer.rpc import identify, retry
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.http import HttpPost
from indexer.rpc.pool import Pool
from indexer.rpc.retry import with_retries
from indexer.rpc.transport import Provider
from indexer.rpc.types import Call, Log

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
recorded = pytest.mark.skipif(not RECORDINGS.exists(), reason="no recordings beside this checkout")
CHAIN_ID = Call("eth_chainId")
SECRET = "s3cr3tkey"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """`host:port` of a server that answers everything with `handler`."""
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def provider_at(place: str, *, max_bytes: int | None = None, **more: Any) -> Provider:
    more.setdefault("headers", {"X-Token": SECRET})
    endpoint = Endpoint(f"http://user:{SECRET}@{place}/v3/{SECRET}?key={SECRET}", **more)
    return Provider(endpoint, HttpPost(endpoint, max_bytes) if max_bytes else None)


async def error_from(handler: Handler, **more: Any) -> TaskscanError:
    """The error that `handler` leads to. Whatever it is, no secret is in it."""
    async with serving(handler) as place, provider_at(place, **more) as provider:
        with pytest.raises(TaskscanError) as caught:
            await provider.call(CHAIN_ID, str)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r} {getattr(chain, 'facts', '')}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert place in str(caught.value)
    return caught.value


def answers(request: Any) -> bytes:
    one = lambda asked: {"jsonrpc": "2.0", "id": asked["id"], "result": "0x1"}  # noqa: E731
    return json.dumps([one(asked) for asked in request] if isinstance(request, list) else one(request)).encode()


def replies(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


async def echo_everything(request: web.Request) -> web.Response:
    """A server that puts all it was sent into its error text."""
    text = f"no: {request.rel_url} {dict(request.headers)} user:{SECRET}"
    return web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": text}}, status=400)


async def test_key_login_and_header_are_sent_but_never_shown() -> None:
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((str(request.rel_url), request.headers["X-Token"], request.headers["Authorization"]))
        return await echo_everything(request)

    error = await error_from(handler)
    assert type(error) is RpcRefused
    assert seen[0][:2] == (f"/v3/{SECRET}?key={SECRET}", SECRET)
    assert seen[0][2].startswith("Basic ")
    assert seen[0][2].split()[1] not in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_no_secret_in_an_error_for_any_status(status: int) -> None:
    await error_from(replies(status, f"bad key {SECRET} at /v3/{SECRET}?key={SECRET}".encode()))


@pytest.mark.parametrize(
    ("handler", "expected", "words"),
    [
        (replies(502, b"<html><h1>502</h1></html>", Content_Type="text/html"), ServerFault, "HTTP 502 Bad Gateway"),
        (replies(429, b"Too Many Requests", Retry_After="7"), RateLimited, "HTTP 429"),
        (replies(401, b"bad key"), RpcRefused, "HTTP 401 Unauthorized: bad key"),
        (replies(307, b"", Location="http://127.0.0.1:9/s3cr3tkey"), RpcRefused, "redirects"),
        (replies(413, b"too big"), TooLarge, "HTTP 413"),
        (replies(200, b""), MalformedAnswer, r"empty \(0 bytes\)"),
        (replies(200, b"<html>welcome</html>"), MalformedAnswer, "cannot be read"),
        (replies(200, b'{"jsonrpc":"2.0","id":1,"resu'), MalformedAnswer, "truncated"),
        (replies(200, b'{"id":0,"result":"\xff\xfe"}'), MalformedAnswer, "utf-8"),
        (replies(200, b"not gzip at all", Content_Encoding="gzip"), MalformedAnswer, "cut off"),
        (replies(200, gzip.compress(b'{"id":0}')[:-9], Content_Encoding="gzip"), MalformedAnswer, "cannot be read"),
        (replies(500, b'{"id":null,"error":{"code":-32000,"message":"boom"}}'), ServerFault, "boom"),
    ],
)
async def test_bad_answers(handler: Handler, expected: type[TaskscanError], words: str) -> None:
    error = await error_from(handler)
    assert type(error) is expected
    assert re.search(words, str(error))


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(answers(await request.json()))
    assert request.transport is not None
    request.transport.close()
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


async def hang_in_the_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"[")
    await asyncio.sleep(5)
    return response


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(100):
        await response.write(b" ")
        await asyncio.sleep(0.05)
    return response


@pytest.mark.parametrize(
    ("handler", "expected", "words"),
    [
        (cut_off, MalformedAnswer, "cut off"),
        (hang_up, Unreachable, "connection broke"),
        (hang, TimedOut, "within 0.2 s"),
        (hang_in_the_body, TimedOut, "within 0.2 s"),
        (trickle, TimedOut, "within 2 s"),
    ],
)
async def test_bad_connections(handler: Handler, expected: type[TaskscanError], words: str) -> None:
    started = time.monotonic()
    error = await error_from(handler, timeout=0.2)
    assert type(error) is expected
    assert words in str(error)
    assert time.monotonic() - started < 4


async def test_a_huge_answer_is_given_up_early() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1 << 28:
            await response.write(b" " * 65536)
            sent += 65536
        return response

    error = await error_from(endless, max_bytes=1 << 20)
    assert type(error) is TooLarge
    assert "exceeds 1 MiB" in str(error)
    assert sent < 32 << 20


async def test_a_small_gzip_of_a_huge_answer_is_given_up_too() -> None:
    error = await error_from(replies(200, gzip.compress(bytes(64 << 20)), Content_Encoding="gzip"), max_bytes=1 << 20)
    assert type(error) is TooLarge


async def test_gzip_is_asked_for_and_understood() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert "gzip" in request.headers["Accept-Encoding"]
        return web.Response(body=gzip.compress(answers(await request.json())), headers={"Content-Encoding": "gzip"})

    async with serving(handler) as place, provider_at(place) as provider:
        assert await provider.call(CHAIN_ID, str) == "0x1"


async def test_connections_are_kept() -> None:
    ports: set[int] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(body=answers(await request.json()))

    async with serving(handler) as place, provider_at(place) as provider:
        for _ in range(5):
            await provider.call(CHAIN_ID, str)
    assert len(ports) == 1


async def test_nobody_listens_and_no_tls() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        async with provider_at(place) as provider:
            with pytest.raises(Unreachable, match=r"cannot be reached: .*refused.*HTTPS_PROXY"):
                await provider.call(CHAIN_ID, str)
    async with serving(echo_everything) as place, Provider(Endpoint(f"https://{place}/{SECRET}")) as provider:
        with pytest.raises(Unreachable, match="TLS"):
            await provider.call(CHAIN_ID, str)


async def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        hosts.append(request.headers["Host"])
        return web.Response(body=answers(await request.json()))

    async with serving(proxy) as place:
        monkeypatch.setenv("HTTP_PROXY", f"http://{place}")
        async with provider_at("node.invalid") as provider:
            assert await provider.call(CHAIN_ID, str) == "0x1"
    assert hosts == ["node.invalid"]


async def test_a_429_pauses_the_provider_for_everybody_and_is_tried_again() -> None:
    times: list[float] = []

    async def handler(request: web.Request) -> web.Response:
        times.append(time.monotonic())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "0.5"})
        return web.Response(body=answers(await request.json()))

    async with serving(handler) as place, provider_at(place) as provider:
        with pytest.raises(RateLimited):
            await provider.call(CHAIN_ID, str)
        others = [with_retries(lambda: provider.call(CHAIN_ID, str)) for _ in range(3)]
        assert await asyncio.gather(*others) == ["0x1"] * 3
    assert min(times[1:]) - times[0] >= 0.49


async def test_a_pool_goes_on_with_the_provider_that_works() -> None:
    async def works(request: web.Request) -> web.Response:
        return web.Response(body=answers(await request.json()))

    async with serving(replies(502)) as bad, serving(works) as good:
        pool = Pool([provider_at(bad), provider_at(good)])
        assert [await pool.run(lambda one: one.call(CHAIN_ID, str)) for _ in range(4)] == ["0x1"] * 4
        assert [provider.calls for provider in pool.providers] == [1, 4]
        await pool.close()


@pytest.mark.parametrize(
    ("mangle", "kinds"),
    [
        (lambda given: given[::-1], [str, str, str]),
        (lambda given: given[:1] + given[2:], [str, MalformedAnswer, str]),
        (lambda given: given + given, [str, str, str]),
        (
            lambda given: [given[0], {**given[1], "error": {"code": 3, "message": "x"}}, given[2]],
            [str, RpcRefused, str],
        ),
    ],
)
async def test_batches_over_http(mangle: Callable[[list[Any]], list[Any]], kinds: list[type]) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(mangle(json.loads(answers(await request.json()))))

    async with serving(handler) as place, provider_at(place) as provider:
        items = await provider.batch([CHAIN_ID] * 3)
        assert [type(item) if isinstance(item, TaskscanError) else str for item in items] == kinds


# The recorded chain, in every dialect.


@cache
def slim_recording() -> Path:
    """The recording arbius-dev without what only eth_call needs: it loads five times faster."""
    recording = json.loads(gzip.decompress((RECORDINGS / "arbius-dev.json.gz").read_bytes()))
    recording |= {"calls": {}, "calls_at": {}, "calls_unset": {}, "truth": {}}
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    slim = Path(folder.name) / "slim.json.gz"
    slim.write_bytes(gzip.compress(json.dumps(recording).encode(), compresslevel=1))
    return slim


@asynccontextmanager
async def replaying(*options: str) -> AsyncIterator[Provider]:
    """A provider of the recording arbius-dev, chain 42161, blocks 0..291, served with `options`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(RECORDINGS / "replay.py"), str(slim_recording()), "--port", str(port), *options]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline(), "replay.py did not start"
        async with Provider(Endpoint(f"http://127.0.0.1:{port}/v2/{SECRET}", timeout=5)) as provider:
            yield provider
    finally:
        process.kill()
        await process.communicate()


def logs(low: int, high: int) -> Call:
    return Call("eth_getLogs", ({"fromBlock": hex(low), "toBlock": hex(high)},))


async def refusal(provider: Provider, low: int, high: int) -> TooLarge:
    with pytest.raises(TooLarge) as caught:
        await provider.call(logs(low, high), list[Log])
    return caught.value


HINTS = {  # style: hints when the range is too wide, hints when there are too many logs
    "geth": ({"max_blocks": 50}, {"max_results": 100}),
    "alchemy": ({"max_blocks": 50, "upto": 49}, {"max_results": 100, "upto": ...}),
    "infura": ({"max_blocks": 50}, {"max_results": 100, "upto": ...}),
    "quicknode": ({"max_blocks": 50}, {"max_results": 100}),
    "reth": ({"max_blocks": 50}, {"max_results": 100, "upto": ...}),
    "ankr": ({}, {"max_results": 100}),
    "arbitrum": ({"max_blocks": 50}, {"max_results": 100}),
    "publicnode": ({"max_blocks": 50}, {"max_results": 100}),
    "drpc": ({"max_blocks": 50}, {"max_results": 100}),
}


@recorded
@pytest.mark.parametrize("style", sorted(HINTS))
async def test_every_dialect_of_the_recordings(style: str) -> None:
    async with replaying(
        "--style", style, "--max-range", "50", "--max-results", "100", "--max-batch", "20"
    ) as provider:
        wide = await refusal(provider, 0, 291)
        many = await refusal(provider, 100, 149)
        for error, expected in zip((wide, many), HINTS[style], strict=True):
            hints = {name: value for name in ("max_blocks", "max_results", "upto") if (value := getattr(error, name))}
            assert hints.keys() == expected.keys()
            assert all(value in (..., hints[name]) for name, value in expected.items())
        if many.upto is not None:
            found = await provider.call(logs(100, many.upto), list[Log])
            assert 0 < len(found) <= 100
        assert len(await identify.headers(provider, range(100))) == 100
        assert provider.max_batch == 20


@recorded
async def test_the_recorded_chain_by_the_hot_path_and_by_web3() -> None:
    async with replaying("--finality-lag", "12", "--beyond", "error") as provider:
        await identify.check_chain(provider, 42161)
        top, final, first = await asyncio.gather(
            identify.head(provider), identify.finalized(provider), identify.first_block(provider)
        )
        assert final is not None
        assert (int(top.number, 16), int(final.number, 16), first[0]) == (291, 279, 0)
        assert await provider.w3.eth.chain_id == 42161
        block = await provider.w3.eth.get_block(291)
        assert (block["number"], "0x" + block["hash"].hex().removeprefix("0x")) == (291, top.hash)
        found = await provider.call(logs(0, 291), list[Log])
        assert len(found) == 3271
        by_web3 = await provider.w3.eth.get_logs({"fromBlock": 200, "toBlock": 205})
        assert [log["logIndex"] for log in by_web3] == [
            int(log.log_index, 16) for log in found if 200 <= int(log.block_number, 16) <= 205
        ]
        with pytest.raises(NotThereYet, match="has no block 292"):
            await identify.header_at(provider, 292)
        with pytest.raises(NotThereYet):
            await provider.call(logs(290, 292), list[Log])
        assert provider.calls == sum(provider.methods.values())


@recorded
async def test_a_hostile_provider_is_outlasted() -> None:
    faults = ("429=0.01", "502=0.1", "timeout=0.02", "truncate=0.1", "nullblock=0.1", "rpcerror=0.05", "lag=0")
    options = [word for fault in faults for word in ("--fault", fault)]
    async with replaying() as plain, replaying("--hostile", "7", "--hang", "0.2", *options) as hostile:
        wanted = await identify.headers(plain, range(40))
        gate = asyncio.Semaphore(10)

        async def one(number: int) -> Any:
            async with gate:
                return await with_retries(lambda: identify.header_at(hostile, number), attempts=12, random=lambda: 0.1)

        assert await asyncio.gather(*map(one, range(40))) == wanted
        assert hostile.calls > 45


@recorded
async def test_max_rps_keeps_a_limited_provider_content() -> None:
    async with replaying("--rps", "20") as provider:
        async with Provider(Endpoint(f"http://{provider.name}/", max_rps=18)) as polite:
            assert set(await asyncio.gather(*(polite.call(CHAIN_ID, str) for _ in range(25)))) == {"0xa4b1"}
        with pytest.raises(RateLimited):
            await asyncio.gather(*(provider.call(CHAIN_ID, str) for _ in range(25)))


@pytest.mark.parametrize(("nulls", "first"), [(0, 0), (2, 0), (3, 1)])
async def test_the_ends_of_a_chain_are_found_behind_errors(
    monkeypatch: pytest.MonkeyPatch, nulls: int, first: int
) -> None:
    """Three times null is an answer; three other errors are none."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    left = {"errors": 3, "nulls": nulls}

    async def answer(request: web.Request) -> web.StreamResponse:
        call = await request.json()
        if left["errors"]:
            left["errors"] -= 1
            return web.Response(status=502)
        if call["params"][0] == "0x0" and left["nulls"]:
            left["nulls"] -= 1
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": None})
        number = "0x1" if call["params"][0] == "0x1" else "0x0"
        block = {"number": number, "hash": "0x" + "ab" * 32, "parentHash": "0x" + "00" * 32, "timestamp": "0x1"}
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": block})

    async with serving(answer) as place:
        provider = provider_at(place)
        assert (await identify.first_block(provider))[0] == first
        left["errors"] = 3
        assert await identify.finalized(provider) is not None
        await provider.disconnect()
