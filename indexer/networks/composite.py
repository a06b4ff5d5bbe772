"""Arrays and tuples of an event, read by eth-abi and kept as JSON documents.

A tuple is an object keyed by the names of its members, an array a list, an integer a JSON integer; bytes and
addresses are hex text with `0x`. A text that PostgreSQL's jsonb cannot hold (not UTF-8, or with NUL in it) is null
and its bytes are hex text under `<name>_raw`.
"""

import json
from collections.abc import Callable, Sequence
from typing import cast

from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry

from indexer.networks.abi import Arg

__all__ = ["DecodingError", "reader", "text"]


def text(raw: bytes) -> tuple[str | None, bytes | None]:
    """The text that `raw` is, or else `raw` itself: PostgreSQL holds neither NUL nor what is not UTF-8 in a text."""
    if b"\0" in raw:
        return None, raw
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return None, raw


def reader(args: Sequence[Arg]) -> Callable[[bytes], tuple[object, ...]]:
    """A function from the data of a log to the values of the columns of `args`, in their order.

    It raises DecodingError, ValueError or OverflowError when the data is malformed.
    """
    for arg in args:
        _refuse_lists_of_text(arg)
    # As bytes: eth-abi would raise on text that is not UTF-8.
    kind = f"({','.join(arg.type for arg in args)})".replace("string", "bytes")
    decode = cast(Callable[[ContextFramesBytesIO], tuple[object, ...]], registry.get_decoder(kind))

    def read(data: bytes) -> tuple[object, ...]:
        values = decode(_Bounded(data))
        return tuple(value for arg, found in zip(args, values, strict=True) for value in _columns(arg, found))

    return read


class _Bounded(ContextFramesBytesIO):
    """A log's data that may be read through only so often.

    Compilers write each part once, and eth-abi reads a part a few times, to check pointers and to decode. A forged
    answer whose pointers all lead to the same part would otherwise fill the memory.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # type: ignore[no-untyped-call]
        self._left = 16 * len(data) + 1024

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= len(found)
        if self._left < 0:
            raise DecodingError("the same bytes are used over and over")
        return found


def _columns(arg: Arg, value: object) -> tuple[object, ...]:
    if arg.composite:
        return (json.dumps(_plain(arg, value), separators=(",", ":")),)
    if arg.word == "string":
        return text(cast(bytes, value))
    if arg.word == "address":
        return (bytes.fromhex(cast(str, value)[2:]),)
    return (value,)


def _plain(arg: Arg, value: object) -> object:
    """What `json` can write. eth-abi gives addresses as hex text already."""
    if arg.suffix:
        return [_plain(arg.element, item) for item in cast(Sequence[object], value)]
    if arg.components:
        return _object(arg.components, cast(Sequence[object], value))
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _object(parts: Sequence[Arg], values: Sequence[object]) -> dict[str, object]:
    document: dict[str, object] = {}
    for part, value in zip(parts, values, strict=True):
        if part.word == "string" and not part.suffix:
            document[part.name], raw = text(cast(bytes, value))
            if raw is not None:
                document[f"{part.name}_raw"] = "0x" + raw.hex()
        else:
            document[part.name] = _plain(part, value)
    return document


def _refuse_lists_of_text(arg: Arg) -> None:
    """A list has no place for `_raw`. No event of any network has one."""
    if arg.word == "string" and arg.suffix:
        raise ValueError(f"{arg.name}: a list of texts cannot be kept")
    for part in arg.components:
        _refuse_lists_of_text(part)
