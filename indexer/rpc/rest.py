"""One HTTP server whose resources are asked for by path, with a client's id and secret: basic, or for a token.

Basic authentication is tried first; a server that does not take it is asked for a token (OAuth 2.0 client
credentials, `POST /auth/token`), which is renewed before it expires and whenever it is refused. aidbox.md B1.
"""

import base64
import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp

from indexer.errors import AccessDenied, LoginRefused, MalformedAnswer, RpcRefused
from indexer.rpc import limits
from indexer.rpc.endpoint import HIDDEN, Endpoint
from indexer.rpc.http import HEADERS, MAX_ANSWER_BYTES, new_session, read_bounded, translated

TOKEN_PATH = "/auth/token"
RENEW_AT = 0.8  # of a token's life
TOKEN_SECONDS = 3600.0  # life of a token that does not say how long it lasts
UNAUTHORIZED, FORBIDDEN = 401, 403


class Reply(NamedTuple):
    """An answer with status 2xx."""

    status: int
    body: bytes


class Rest:
    """`url`: up to where the paths begin. `calls`: requests sent so far. `skew`: seconds that the server's clock is
    ahead of ours, as of the newest answer that told its time; None before. `timeout`: seconds, as of `Endpoint`.
    """

    def __init__(self, url: str, client_id: str, client_secret: str, timeout: float = 30.0) -> None:
        login = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._basic = f"Basic {login}"
        self._endpoint = Endpoint(url, {"Authorization": self._basic}, timeout=timeout)
        self._client = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._session: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._renew_at = 0.0
        self.name, self.calls = self._endpoint.name, 0
        self.skew: float | None = None

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None, what: str = ""
    ) -> Reply:  # fmt: skip
        """The answer to one request; `body` goes as JSON, `what` names the request in errors.

        Raises Unreachable, TimedOut, RateLimited, ServerFault, MalformedAnswer, TooLarge, LoginRefused (401),
        AccessDenied (403) or RpcRefused, whose fact `code` is the HTTP status.
        """
        what = what or f"{method} {path}"
        if self._token and time.monotonic() >= self._renew_at:
            self._token = await self._new_token()
        status, headers, answer = await self._send(method, path, params, body, self._login())
        if status == UNAUTHORIZED:
            self._token = await self._new_token()
            status, headers, answer = await self._send(method, path, params, body, self._login())
        if 200 <= status < 300:
            return Reply(status, bytes(answer))
        raise self._refused(what, status, headers, answer)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def scrub(self, text: str) -> str:
        """`text` without anything that is secret."""
        return self._endpoint.scrub(text.replace(self._token, HIDDEN) if self._token else text)

    def _login(self) -> str:
        return f"Bearer {self._token}" if self._token else self._basic

    async def _send(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Any, login: str | None
    ) -> tuple[int, Mapping[str, str], bytearray]:  # fmt: skip
        if self._session is None or self._session.closed:
            self._session = new_session(self._endpoint, HEADERS)
        url = self._endpoint.url.strip().rstrip("/") + path
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": login} if login else {}
        self.calls += 1
        with translated(self._endpoint):
            # A redirect would send the secret to another host.
            async with self._session.request(
                method, url, params=params, data=data, headers=headers, allow_redirects=False
            ) as response:
                answer = await read_bounded(response, self._endpoint, MAX_ANSWER_BYTES)
                self._note_time(response.headers.get("Date", ""))
                return response.status, response.headers, answer

    async def _new_token(self) -> str:
        """A token for the client. Raises LoginRefused where there is none to be had."""
        self._token = None
        status, headers, answer = await self._send("POST", TOKEN_PATH, None, self._client, None)
        if status in (400, UNAUTHORIZED, FORBIDDEN, 404, 405):
            said = limits.said(answer)
            text = self.scrub(f"neither basic authentication nor a token (HTTP {status}{': ' if said else ''}{said})")
            raise LoginRefused(text, provider=self.name, method=TOKEN_PATH, code=UNAUTHORIZED)
        if not 200 <= status < 300:
            raise self._refused(TOKEN_PATH, status, headers, answer)
        try:
            given = json.loads(answer)
            token, seconds = given["access_token"], given.get("expires_in", TOKEN_SECONDS)
            if not isinstance(token, str) or not token or isinstance(seconds, bool):
                raise TypeError
            self._renew_at = time.monotonic() + RENEW_AT * float(seconds)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise MalformedAnswer("its token is none", provider=self.name) from None
        return token

    def _refused(self, what: str, status: int, headers: Mapping[str, str], answer: bytearray) -> Exception:
        said = self.scrub(limits.said(answer)) or f"HTTP {status}"
        if status == UNAUTHORIZED:
            return LoginRefused(said, provider=self.name, method=what, code=status)
        if status == FORBIDDEN:
            return AccessDenied(said, provider=self.name, method=what, code=status)
        error = limits.from_http(self.name, what, status, headers, answer, self.scrub)
        return error or RpcRefused(said, provider=self.name, method=what, code=status)

    def _note_time(self, date: str) -> None:
        """Learn the server's clock from a `Date` header (RFC 9110, 6.6.1)."""
        try:
            self.skew = parsedate_to_datetime(date).timestamp() - time.time()
        except (ValueError, TypeError):
            return
