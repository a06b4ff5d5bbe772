"""Bodies of requests and answers: JSON or YAML, and nothing in them that PostgreSQL's jsonb could not hold."""

import json
import math
from itertools import accumulate
from typing import Any

import yaml

from indexer.errors import TaskRefused

LONGEST_INT = 4000  # bits; Python refuses to print far longer ones
DEEPEST = 100  # lists and objects inside one another: parsers and jsonb recurse
YAML_TYPES = ("text/yaml", "application/yaml", "application/x-yaml", "text/x-yaml", "text/vnd.yaml")
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
CANNOT_REPEAT = "aliases are not taken: a few lines of them can stand for gigabytes"


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """The safe loader, but a time stays the text that was written: JSON has no times either."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def is_yaml(content_type: str) -> bool:
    """Whether a Content-Type or Accept header asks for YAML; JSON is the default. Raises TaskRefused (415) for a
    type that is neither."""
    kinds = [part.partition(";")[0].strip().lower() for part in content_type.split(",")]
    for kind in kinds:
        if kind in YAML_TYPES:
            return True
        if kind in ("", "*/*", "application/json", "text/json", "application/*", "text/*"):
            return False
    raise TaskRefused("Send application/json or text/yaml.", kind="unsupported-content-type", status=415)


def read(body: bytes, *, as_yaml: bool) -> Any:
    """The tree in `body`: dicts with text keys, lists, texts, numbers, booleans and None.

    Raises TaskRefused (400) for anything else: broken, nested too deeply, NaN, NUL, half a surrogate pair.
    """
    try:
        tree = _read_yaml(body) if as_yaml else _read_json(body)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _malformed(f"it cannot be read: {_first_line(error)}") from None
    _check(tree)
    return tree


def write(tree: Any, *, as_yaml: bool) -> bytes:
    """`tree` as a body."""
    if as_yaml:
        text: str = yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=1000)
        return text.encode()
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


def _read_json(body: bytes) -> Any:
    steps = (1 if byte in b"[{" else -1 for byte in body.translate(None, NO_BRACKETS))
    if max(accumulate(steps), default=0) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return json.loads(body.decode())


def _read_yaml(body: bytes) -> Any:
    depth = 0
    for event in yaml.parse(body.decode(), Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(CANNOT_REPEAT)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
    return yaml.load(body.decode(), Loader=_Loader)


def _check(value: Any) -> None:
    match value:
        case dict():
            for odd in (key for key in value if not isinstance(key, str)):
                raise _malformed(f"the key {odd!r} is no text")
            _check([*value, *value.values()])
        case list():
            for item in value:
                _check(item)
        case str() if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _malformed("a text holds NUL or half a surrogate pair")
        case float() if not math.isfinite(value):
            raise _malformed("a number is infinite or none")
        case int() if value.bit_length() > LONGEST_INT:
            raise _malformed("a number has more than a thousand digits")
        case None | str() | bool() | int() | float():
            pass
        case _:
            raise _malformed(f"a value of type {type(value).__name__} has no place in JSON")


def _malformed(text: str) -> TaskRefused:
    return TaskRefused(f"The body is malformed: {text}.", kind="malformed-body", status=400)


def _first_line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    lines = " ".join(str(error).split())
    return lines[:200].rstrip(".")
