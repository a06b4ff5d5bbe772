"""JSON-RPC 2.0 on bytes: requests out, answers in, matched by id, results left undecoded.

A result stays a `msgspec.Raw`, a view into the answer's buffer, until its caller decodes it with the type that it
wants: nothing is parsed twice into objects, and nothing is built that nobody reads.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from indexer.errors import Inconsistent, MalformedAnswer
from indexer.rpc.types import Call

T = TypeVar("T")
Body = bytes | bytearray
NOTHING = msgspec.Raw(b"")
# What msgspec raises on bytes that are not JSON, of another shape, not UTF-8, or nested without end.
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class Answer(msgspec.Struct):
    """One JSON-RPC answer. Servers send ids of any type, and `result: null` beside an error."""

    id: Any = None
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING

    @property
    def failed(self) -> bool:
        return bytes(self.error) not in (b"", b"null")

    @property
    def empty(self) -> bool:
        return memoryview(self.result).nbytes == 0


class Answers(NamedTuple):
    """`items`: one per id asked, in that order; None where the server left it out. `stray`: an error that names no
    id. `whole`: the error by which the server refused the batch as such, one object instead of a list."""

    items: list[Answer | Inconsistent | None]
    stray: Answer | None
    whole: Answer | None


_read_many: msgspec.json.Decoder[list[Answer] | Answer] = msgspec.json.Decoder(list[Answer] | Answer)
_read_raws = msgspec.json.Decoder(list[msgspec.Raw])
_read_one = msgspec.json.Decoder(Answer)


def encode(calls: Sequence[Call], ids: Sequence[int]) -> bytes:
    """The request body. One call goes alone: some servers refuse a list, even of one."""
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
        for number, call in zip(ids, calls, strict=True)
    ]
    return msgspec.json.encode(requests[0] if len(requests) == 1 else requests)


def match(body: Body, ids: Sequence[int], provider: str) -> Answers:
    """Sort the answers in `body` by `ids`. Raises MalformedAnswer when nothing in it can be read."""
    answers = _read(body, provider)
    if isinstance(answers, Answer):
        if answers.failed and len(ids) > 1:
            return Answers([], None, answers)
        answers = [answers]
    found: dict[int, list[Answer]] = {}
    stray = None
    for answer in answers:
        number = _number(answer.id)
        if number is not None:
            found.setdefault(number, []).append(answer)
        elif answer.failed:
            stray = answer
    return Answers([_only(found.get(number, []), provider) for number in ids], stray, None)


def _only(answers: list[Answer], provider: str) -> Answer | Inconsistent | None:
    if not answers:
        return None
    first = answers[0]
    if any(bytes(other.result) != bytes(first.result) or other.failed != first.failed for other in answers[1:]):
        return Inconsistent("two different answers to one call", provider=provider)
    return first


def _read(body: Body, provider: str) -> list[Answer] | Answer:
    try:
        return _read_many.decode(body)
    except msgspec.ValidationError:
        return _read_leniently(body, provider)
    except UNREADABLE as error:
        raise _malformed(error, body, provider) from None


def _read_leniently(body: Body, provider: str) -> list[Answer]:
    """Keep the good items of a list in which some are no answers at all."""
    try:
        raws = _read_raws.decode(body)
    except UNREADABLE as error:
        raise _malformed(error, body, provider) from None
    good = []
    for raw in raws:
        try:
            good.append(_read_one.decode(raw))
        except UNREADABLE:
            continue
    return good


def _malformed(error: Exception, body: Body, provider: str) -> MalformedAnswer:
    what = "empty" if not body.strip() else _why(error)
    return MalformedAnswer(f"{what} ({len(body)} bytes)", provider=provider)


def _why(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _number(value: object) -> int | None:
    """An id as an int: servers also send it back as text or as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


def decode(raw: msgspec.Raw | Body, wanted: type[T], provider: str) -> T:
    """`raw` as a `wanted` (any type that msgspec knows). Raises MalformedAnswer naming `provider`."""
    try:
        return cast(T, _decoder(cast(Hashable, wanted)).decode(raw))
    except UNREADABLE as error:
        raise MalformedAnswer(_why(error), provider=provider) from None


def quantity(text: str, provider: str) -> int:
    """A JSON-RPC quantity (`0x1a`) as an int. Raises MalformedAnswer."""
    try:
        if text[:2] == "0x":
            return int(text[2:], 16)
    except ValueError:
        pass
    raise MalformedAnswer("a quantity is not hex text", provider=provider)
