"""From what a provider says to the right error of the tree."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from indexer.errors import (
    NotThereYet,
    RateLimited,
    RpcRefused,
    ServerFault,
    TaskscanError,
    TooLarge,
)
from indexer.rpc.dialects import FINGERPRINTS, ROWS, Row

METHOD_NOT_FOUND, INTERNAL_ERROR, REVERTED = -32601, -32603, 3  # JSON-RPC 2.0; geth for reverted calls
READ_LIMIT = 8192  # characters of an error that are looked at
LONGEST_PAUSE = 3600.0  # seconds that a provider can make us wait

Scrub = Callable[[str], str]

_WAIT = re.compile(
    r"(?:(?:try|retry)[ _](?:again[ _])?in|backoff_seconds|retry[-_ ]after)\W{0,5}((?:\d+(?:\.\d+)?\s?[a-zµ]*)+)", re.I
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s?([a-zµ]*)", re.I)
_UNITS = (("ms", 1e-3), ("mil", 1e-3), ("µ", 1e-6), ("us", 1e-6), ("ns", 1e-9), ("m", 60.0), ("h", 3600.0), ("", 1.0))


class Fault(msgspec.Struct):
    """A JSON-RPC error as a provider sends it: `code` may be missing or text, `data` anything."""

    code: object = None
    message: object = ""
    data: msgspec.Raw = msgspec.Raw(b"")


def from_rpc(provider: str, method: str, raw: bytes | msgspec.Raw, scrub: Scrub) -> TaskscanError:
    """The error object `raw` of a JSON-RPC answer to `method` as an error to raise. `scrub` hides secrets in texts."""
    code, message, data = read_fault(bytes(raw))
    named = "none given" if code is None else code
    facts: dict[str, Any] = {"provider": provider, "method": method, "code": named, "data": scrub(data)}
    # The text of a reverted call was written by a contract: it must not pass for a provider's.
    if code == REVERTED or message.lower().startswith("execution reverted"):
        return RpcRefused(scrub(message) or "execution reverted", **{**facts, "code": REVERTED})
    if code == METHOD_NOT_FOUND:
        return RpcRefused(scrub(message), **facts)
    return _judge(code, message, data, scrub, method, facts)


def _judge(
    code: int | None, message: str, data: str, scrub: Scrub, method: str, facts: dict[str, Any]
) -> TaskscanError:
    text = f"{message} {data}".strip()
    shown = scrub(text)
    if found := _first(ROWS, text):
        return _build(*found, text, shown, facts)
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(shown, retry_after=wait_named(text), **facts)
    if method == "eth_getLogs" and (found := _first(FINGERPRINTS, text)):
        return _build(*found, text, shown, facts)
    return ServerFault(shown, **facts) if code == INTERNAL_ERROR else RpcRefused(shown, **facts)


def _first(rows: Iterable[Row], text: str) -> tuple[Row, re.Match[str]] | None:
    return next(((row, match) for row in rows if (match := row.pattern.search(text))), None)


def _build(row: Row, match: re.Match[str], text: str, shown: str, facts: dict[str, Any]) -> TaskscanError:
    hints = {name: _number(value) for name, value in match.groupdict().items() if value is not None}
    match row.kind:
        case "rate":
            return RateLimited(shown, retry_after=wait_named(text), **facts)
        case "refused":
            return RpcRefused(shown, **facts)
        case "batch":
            return TooLarge(shown, batch=True, max_batch=hints.get("batch"), **facts)
        case "toolarge":
            wide, many, upto = hints.get("blocks"), hints.get("results"), hints.get("upto")
            return TooLarge(shown, max_blocks=wide or None, max_results=many or None, upto=upto, **facts)
        case "later":
            return NotThereYet(shown, block=hints.get("block", "that was asked for"), **facts)
        case "fault":
            return ServerFault(shown, **facts)


def from_http(
    provider: str, method: str, status: int, headers: Mapping[str, str], body: bytes | bytearray, scrub: Scrub
) -> TaskscanError | None:
    """What an HTTP answer other than 200 means; None when its body is a JSON-RPC answer that says it better."""
    text = bytes(body[:READ_LIMIT]).decode(errors="replace")
    fault = _fault_in(body)
    _, message, data = read_fault(fault) if fault else (None, "", "")
    said = scrub(f"{message} {data}" if message else "" if "<" in text else text)
    reason = f"HTTP {status} {_phrase(status)}".strip() + (f": {said}" if said else "")
    wait = retry_after(headers.get("Retry-After", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None):
        return RateLimited(reason, retry_after=wait_named(text) if wait is None else wait, provider=provider)
    if _is_list(body) or (fault and (status < 500 or _first(ROWS, f"{message} {data}"))):
        return None
    if status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerFault(reason, provider=provider)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(reason, provider=provider)
    if 300 <= status < 400:
        reason += ": it redirects, so put the final URL into the configuration"
    return RpcRefused(reason, provider=provider, method=method, code=status)


def said(body: bytes | bytearray) -> str:
    """What an error's body says in words: message of its `error`, else its text unless that is a page; not scrubbed."""
    fault = _fault_in(body)
    if fault:
        _, message, data = read_fault(fault)
        return message or data
    text = bytes(body[:READ_LIMIT]).decode(errors="replace").strip()
    return "" if text.startswith("<") else text


def read_fault(raw: bytes) -> tuple[int | None, str, str]:
    """Code, message and data (as JSON text) of an error object; a bare text or anything else becomes the message."""
    try:
        fault = msgspec.json.decode(raw, type=Fault)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, raw[:READ_LIMIT].decode(errors="replace").strip('"'), ""
    data = bytes(fault.data)[:READ_LIMIT].decode(errors="replace")
    message = fault.message if isinstance(fault.message, str) else str(fault.message)
    return _code(fault.code), message[:READ_LIMIT], "" if data == "null" else data.strip('"')


def retry_after(value: str) -> float | None:
    """Seconds from a `Retry-After` header, a number or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # not a date, or one without a zone
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE) if not math.isnan(seconds) else None


def wait_named(text: str) -> float | None:
    """Seconds that a text asks to wait: `retry in 10m0s`, `"try_again_in":"90ms"`, `"backoff_seconds":30`."""
    found = _WAIT.search(text)
    if not found:
        return None
    parts = _DURATION.findall(found[1])
    return min(sum(float(number) * _seconds_in(unit.lower()) for number, unit in parts), LONGEST_PAUSE)


def _seconds_in(unit: str) -> float:
    return next(seconds for start, seconds in _UNITS if unit.startswith(start))


def _number(text: str) -> int:
    """`10,000`, `2K`, `0x133e71` as an int."""
    if text[:2].lower() == "0x":
        return int(text, 16)
    factor = {"k": 1000, "m": 1_000_000}.get(text[-1].lower(), 1)
    return int(re.sub(r"\D", "", text)) * factor


def _code(code: object) -> int | None:
    try:
        return int(code) if isinstance(code, int | str) else None
    except ValueError:
        return None


def _fault_in(body: bytes | bytearray) -> bytes:
    """The error object of a JSON-RPC answer that is one object; empty when there is none."""
    try:
        error = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get("error", b""))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b""
    return error if error.startswith(b"{") else b""


def _is_list(body: bytes | bytearray) -> bool:
    """True for a JSON-RPC batch answer."""
    try:
        return bool(msgspec.json.decode(body, type=list[dict[str, msgspec.Raw]]))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
