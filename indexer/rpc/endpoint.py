"""Where a provider is, and which parts of that must never be seen.

Keys of RPC providers sit in the path (`/v3/<key>`), the query, the userinfo or a header. Servers and proxies like to
echo them in error texts, so every foreign text passes `Endpoint.scrub` before it may reach an error or a log.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, unquote, urlsplit

from indexer.errors import ConfigError

HIDDEN = "***"
TEXT_LIMIT = 300  # characters of a server's text that may stand in an error


@dataclass(frozen=True)
class Endpoint:
    """One RPC URL with its limits.

    `url`: http or https. `headers`: sent with each request. `max_rps`: JSON-RPC calls per second (a batch of n counts
    n), None for no limit of our own. `timeout`: seconds without any progress after which an answer is given up.
    `hidden`: secrets that stand in bodies. Raises ConfigError, without showing the URL, when it cannot be used.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_rps: float | None = None
    timeout: float = 30.0
    hidden: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError("An RPC URL cannot be used: it must be http://HOST[:PORT]/… or https://HOST[:PORT]/….")
        if any("\n" in text or "\r" in text for item in self.headers.items() for text in item):
            raise ConfigError(f"A header for {self.name} holds a line break. Remove it.")
        if parts.username is not None and any(key.lower() == "authorization" for key in self.headers):
            raise ConfigError(f"{self.name} has a login in its URL and an Authorization header. Keep one of them.")

    @cached_property
    def name(self) -> str:
        """`host[:port]`, the only part of the URL that may be shown."""
        return name_of(self.url)

    def scrub(self, text: str) -> str:
        """`text` on one line without any secret part of the URL or the headers, cut to 300 characters."""
        if self._secrets:
            text = self._secrets.sub(HIDDEN, text)
        text = " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", text).split())
        return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"

    @cached_property
    def _secrets(self) -> re.Pattern[str] | None:
        parts = sorted({*filter(None, self.hidden), *_secret_parts(self.url.strip(), self.headers)}, key=len)[::-1]
        return re.compile("|".join(map(_as_pattern, parts)), re.IGNORECASE) if parts else None


def name_of(url: str) -> str:
    """`host[:port]` of a URL that is known to have a host."""
    parts = urlsplit(url.strip())
    host = parts.hostname or ""
    return (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")


def _as_pattern(secret: str) -> str:
    """Short parts (`eth`, `v3`) are only hidden as whole words, lest `eth_getLogs` becomes unreadable."""
    pattern = re.escape(secret)
    return pattern if len(secret) >= 8 else rf"(?<![\w-]){pattern}(?![\w-])"


def _secret_parts(url: str, headers: Mapping[str, str]) -> Iterator[str]:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    plain = [parts.path, parts.query, parts.fragment, login, *parts.path.split("/"), *login.split(":")]
    for pair in re.split("[&;]", parts.query):
        plain += [pair, *pair.split("=", 1)[1:]]
    for value in headers.values():
        plain += [value, *_header_parts(value)]
    if login:
        plain.append(base64.b64encode(unquote(login).encode()).decode())
    for text in plain:
        yield from (form for form in (text, unquote(text), quote(text, safe="")) if len(form.strip("/ ")) > 1)


def _header_parts(value: str) -> list[str]:
    """The words of a header value, and the login inside `Basic …`."""
    words = value.split()
    if len(words) == 2 and words[0].lower() == "basic":
        try:
            login = base64.b64decode(words[1], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return words[1:]
        return [words[1], login, *login.split(":", 1)]
    return words[1:]
