"""JSON-RPC bytes over HTTP: one pooled aiohttp session per provider, everything bounded in time and in bytes."""

import contextlib
import os
from collections.abc import Iterator, Mapping

import aiohttp

from indexer.errors import MalformedAnswer, TaskscanError, TimedOut, TooLarge, Unreachable
from indexer.rpc import limits
from indexer.rpc.endpoint import Endpoint

CONNECT_SECONDS = 10.0
TOTAL_FACTOR = 10  # a slow but moving answer may take this many times `Endpoint.timeout`
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # after decompression; eight times what the scanner aims at
CONNECTIONS = 64
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


class HttpPost:
    """Call it with a request body, get the body of the answer.

    Raises Unreachable, TimedOut, RateLimited, ServerFault, MalformedAnswer (cut off), TooLarge (more than `max_bytes`)
    or RpcRefused. An HTTP error whose body is a JSON-RPC answer is handed on, for that says more.
    """

    def __init__(self, endpoint: Endpoint, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._endpoint, self._max_bytes = endpoint, max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, body: bytes) -> bytes | bytearray:
        with translated(self._endpoint):
            # A redirect would send the key to another host.
            async with self._opened().post(self._endpoint.url.strip(), data=body, allow_redirects=False) as response:
                answer = await read_bounded(response, self._endpoint, self._max_bytes)
                if response.status == 200:
                    return answer
                error = limits.from_http(
                    self._endpoint.name, "the request", response.status, response.headers, answer, self._endpoint.scrub
                )
                if error is None:
                    return answer
                raise error

    async def aclose(self) -> None:
        """Close the connections. The next call opens new ones."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """The session is made on first use, inside the running loop."""
        if self._session is None or self._session.closed:
            self._session = new_session(self._endpoint, {**HEADERS, **self._endpoint.headers})
        return self._session


def new_session(endpoint: Endpoint, headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """Pooled connections with the limits of `endpoint`. `trust_env` makes HTTPS_PROXY count."""
    seconds = endpoint.timeout
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        timeout=aiohttp.ClientTimeout(
            total=TOTAL_FACTOR * seconds, sock_connect=min(CONNECT_SECONDS, seconds), sock_read=seconds
        ),
        headers={"User-Agent": "taskscan", **headers},
        trust_env=True,
    )


async def read_bounded(response: aiohttp.ClientResponse, endpoint: Endpoint, max_bytes: int) -> bytearray:
    """The body of an answer. Raises TooLarge when it is longer than `max_bytes`."""
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > max_bytes:
            response.close()
            size = f"{max_bytes / 1048576:g} MiB"
            raise TooLarge(f"its answer exceeds {size}", max_bytes=max_bytes, provider=endpoint.name)
    return answer


@contextlib.contextmanager
def translated(endpoint: Endpoint) -> Iterator[None]:
    """aiohttp's errors as ours. Their texts may hold the URL, so none of them is passed on."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise _ours(error, endpoint) from None


def _ours(error: Exception, endpoint: Endpoint) -> TaskscanError:
    name = endpoint.name
    match error:
        case aiohttp.ConnectionTimeoutError():
            return TimedOut(provider=name, seconds=min(CONNECT_SECONDS, endpoint.timeout))
        case aiohttp.SocketTimeoutError():
            return TimedOut(provider=name, seconds=endpoint.timeout)
        case TimeoutError():
            return TimedOut(provider=name, seconds=TOTAL_FACTOR * endpoint.timeout)
        case aiohttp.ClientPayloadError():
            return MalformedAnswer("it was cut off", provider=name)
        case aiohttp.ClientHttpProxyError():
            return Unreachable(f"the proxy refused (HTTP {error.status})", provider=name)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return Unreachable("its TLS certificate or protocol is not accepted", provider=name)
        case aiohttp.ClientConnectorError():
            return Unreachable(_reason(error.os_error), provider=name)
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return Unreachable("the connection broke", provider=name)
    return Unreachable(type(error).__name__, provider=name)


def _reason(error: OSError) -> str:
    """The system's words ("Connection refused"); name resolution has its own, with negative numbers."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "no connection"
