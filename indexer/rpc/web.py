"""HTTP services that speak no JSON-RPC: one request, answered in JSON or streamed into a file, bounded in both."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from indexer.errors import (
    MalformedAnswer,
    NotKnownThere,
    NotSaved,
    ServerFault,
    SignatureRefused,
    TaskscanError,
    TooLargeToKeep,
)
from indexer.rpc import limits
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.http import CONNECT_SECONDS, TOTAL_FACTOR, translated

MOST_JSON = 32 * 1024 * 1024  # bytes
MOST_SAID = 4096  # bytes read of an error's text
MOST_REDIRECTS = 5
CHUNK = 64 * 1024
HEADERS = {"User-Agent": "taskscan", "Accept": "application/json, application/zip, */*;q=0.1"}

T = TypeVar("T")


class Question(NamedTuple):
    """`path` below the service's URL, and `what` it is about in words. A `body` makes it a POST.

    `redirects`: whether they are followed; never with a secret. `proof`: what the service may refuse with 401.
    """

    path: str
    what: str
    query: Mapping[str, str] = {}
    body: bytes | None = None
    redirects: bool = False
    proof: str = "an unsigned request"


class Saved(NamedTuple):
    """A file that was downloaded: its size in bytes, its SHA-256 in hex."""

    path: Path
    size: int
    sha256: str


async def ask(endpoint: Endpoint, question: Question, kind: type[T]) -> T:
    """The JSON answer of a service as `kind`.

    Raises NotKnownThere (404), SignatureRefused (401, 403), RateLimited, ServerFault, RpcRefused (any other refusal),
    TimedOut, Unreachable, MalformedAnswer, TooLargeToKeep.
    """
    body = bytearray()
    async with _answer(endpoint, question, TOTAL_FACTOR * endpoint.timeout) as response:
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            _refuse_above(endpoint, question, len(body), MOST_JSON)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise MalformedAnswer(f"no JSON of the expected shape about {question.what}", provider=endpoint.name) from None


async def save(endpoint: Endpoint, question: Question, path: Path, most: int) -> Saved:
    """Stream an answer of at most `most` bytes into a file at `path`, whole or not at all.

    Raises what `ask` raises, and NotSaved.
    """
    part = path.with_name(f"{path.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with _saving(path), part.open("wb") as file:
            async with _answer(endpoint, question, None) as response:
                _refuse_above(endpoint, question, response.content_length or 0, most)
                async for chunk in response.content.iter_chunked(CHUNK):
                    size += len(chunk)
                    _refuse_above(endpoint, question, size, most)
                    digest.update(chunk)
                    with _saving(path):  # or it would count as a fault of the service
                        file.write(chunk)
        with _saving(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Saved(path, size, digest.hexdigest())


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotSaved(error.strerror or str(error), path=path) from None


@asynccontextmanager
async def _answer(endpoint: Endpoint, question: Question, total: float | None) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer with status 200, its body yet to be read; `total` seconds for all of it, None for no bound."""
    connect = min(CONNECT_SECONDS, endpoint.timeout)
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=endpoint.timeout)
    url = endpoint.url.strip().rstrip("/") + quote(question.path, safe="/")
    given = {**HEADERS, **endpoint.headers}
    if question.body is not None:
        given["Content-Type"] = "application/json"
    with translated(endpoint):
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=given, trust_env=True) as session,
            session.request(
                "GET" if question.body is None else "POST", url, params=question.query, data=question.body,
                allow_redirects=question.redirects, max_redirects=MOST_REDIRECTS,
            ) as response,
        ):  # fmt: skip
            if response.status != HTTPStatus.OK:
                raise await _refusal(endpoint, question, response)
            yield response


async def _refusal(endpoint: Endpoint, question: Question, response: aiohttp.ClientResponse) -> TaskscanError:
    said = await response.content.read(MOST_SAID)
    if response.status == HTTPStatus.NOT_FOUND:
        return NotKnownThere(provider=endpoint.name, what=question.what)
    error = limits.from_http(
        endpoint.name, question.what, response.status, response.headers, said, endpoint.scrub
    ) or ServerFault(f"HTTP {response.status}", provider=endpoint.name)
    if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return SignatureRefused(str(error.facts["message"]), provider=endpoint.name, what=question.proof)
    return error


def _refuse_above(endpoint: Endpoint, question: Question, size: int, most: int) -> None:
    if size > most:
        raise TooLargeToKeep(provider=endpoint.name, what=question.what, size=in_bytes(size), most=in_bytes(most))


def in_bytes(size: int) -> str:
    """A size for people: `1,234 bytes`, `5.1 MiB`."""
    return f"{size / 1048576:,.1f} MiB" if size >= 1048576 else f"{size:,} bytes"
