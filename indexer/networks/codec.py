"""Codecs: one decoder per event, compiled from its declaration at import.

A log's topics and data come as the provider's hex text and leave as the tuple that follows the fixed columns in a
COPY row. Static types, `bytes` and `string` are cut out of the bytes directly, some 200 times faster than web3's own
decoder; arrays and tuples go through eth-abi. What web3 accepts is accepted and what it rejects is rejected, with
these differences, all on purpose:

- text that is not UTF-8 is kept as bytes (web3 raises): hostile text must not hide a log;
- `0x` is required and hex has an even number of digits (web3 pads, and does without): JSON-RPC says so;
- a topic has exactly 32 bytes (web3 ignores what follows), as in the EVM;
- arrays whose pointers blow a small answer up are refused (web3 fills the memory).

ABI encoding: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import NamedTuple, cast

from indexer.networks import composite
from indexer.networks.abi import Arg, Event, Layout, layouts

Decode = Callable[[list[str], str], tuple[object, ...]]


class Undecodable(Exception):
    """A log that no contract with this event can have produced. It is kept raw; no user sees this."""


@dataclass(frozen=True)
class Codec:
    """How the logs of one event become rows of one table.

    `columns` and `pg_types` describe the argument columns of the table, in order. `decode(topics, data)` takes hex
    text and gives one value for each: bytes for addresses and byte types, int, bool, str, and for jsonb the text of
    the document. It raises `Undecodable` and nothing else.
    """

    event: Event
    table: str
    columns: tuple[str, ...]
    pg_types: tuple[str, ...]
    decode: Decode


def compile_codecs(roles: Mapping[str, Sequence[Event]]) -> dict[tuple[str, str, int], Codec]:
    """Codecs by role of the contract, topic0 as lower-case hex text, and number of topics.

    The number counts because ERC-20 and ERC-721 `Transfer` share their topic0. Two events of one role that are
    equal in both raise ValueError.
    """
    tables = layouts(event for events in roles.values() for event in events)
    made = {event: compile_codec(event, layout) for layout in tables.values() for event in layout.events}
    codecs = {(role, event.topic0, event.topics): made[event] for role, events in roles.items() for event in events}
    if len(codecs) != sum(map(len, roles.values())):
        raise ValueError("two events of one role cannot be told apart")
    return codecs


def compile_codec(event: Event, layout: Layout) -> Codec:
    """The codec of `event` for the table that `layout` describes."""
    names = tuple(column.name for column in layout.columns)
    types = tuple(column.pg_type for column in layout.columns)
    source, scope = _source(event, names)
    exec(compile(source, f"<codec of {event.signature}>", "exec"), scope)
    return Codec(event, layout.table, names, types, cast(Decode, scope["decode"]))


def tail(raw: bytes, pointer: bytes, base: int, head: int) -> bytes:
    """The content of a dynamic `bytes` or `string`, which begins `pointer` bytes after `base` in `raw`.

    `head` is the length in bytes of the part that holds the pointers: none may lead back into it.
    """
    at = int.from_bytes(pointer, "big")
    if not head <= at < len(raw) - base:
        raise Undecodable("a pointer leads out of the data")
    start = base + at + 32
    length = int.from_bytes(raw[start - 32 : start], "big")
    end = start + (length + 31 & ~31)
    if start > len(raw) or end > len(raw) or raw[start + length : end].strip(b"\0"):
        raise Undecodable("a text or byte string is cut off or wrongly padded")
    return raw[start : start + length]


class _Word(NamedTuple):
    """How 32 bytes become the values of an argument's columns, as pieces of source text."""

    format: str
    variables: str
    values: tuple[str, ...]
    check: str = ""
    statement: str = ""


def _word(arg: Arg, n: int, base: int, head: int) -> _Word:
    """`check` is true of padding that is not what the ABI demands."""
    w, p, v = f"w{n}", f"p{n}", f"v{n}"
    number = f"{v} = from_bytes({w}, 'big')"
    if arg.indexed and arg.dynamic:
        return _Word("32s", w, (w,))
    if arg.word == "address":
        return _Word("12s20s", f"{p}, {w}", (w,), f"{p} != zeros[12]")
    if arg.word == "bool":
        return _Word("32s", w, (f"{v} == 1",), f"{v} > 1", number)
    if arg.word == "bytes":
        return _Word("32s", w, (v,), "", f"{v} = tail(raw, {w}, {base}, {head})")
    if arg.word == "string":
        return _Word("32s", w, (v, p), "", f"{v}, {p} = text(tail(raw, {w}, {base}, {head}))")
    size = int("".join(filter(str.isdigit, arg.word)))
    if arg.word.startswith("uint"):
        return _Word("32s", w, (v,), f"{v} >> {size}" if size < 256 else "", number)
    if arg.word.startswith("int"):
        return _Word("32s", w, (v,), f"{v} + {1 << size - 1} >> {size}", f"{v} = from_bytes({w}, 'big', signed=True)")
    if size == 32:
        return _Word("32s", w, (w,))
    return _Word(f"{size}s{32 - size}s", f"{w}, {p}", (w,), f"{p} != zeros[{32 - size}]")


def _source(event: Event, columns: Sequence[str]) -> tuple[str, dict[str, object]]:
    """The source text of `decode` and the names that it uses."""
    indexed = [arg for arg in event.args if arg.indexed]
    data = [arg for arg in event.args if not arg.indexed]
    cut = indexed if any(arg.composite for arg in data) else indexed + data
    words = [_word(arg, n, 32 * len(indexed), 32 * len(data)) for n, arg in enumerate(cut)]
    values = {
        c.name: v for arg, word in zip(cut, words, strict=True) for c, v in zip(arg.columns, word.values, strict=True)
    }
    body = [*_frame(len(indexed)), f"{''.join(f'{word.variables}, ' for word in words) or '()'} = unpack(raw)"]
    body += [word.statement for word in words if word.statement]
    if checks := [word.check for word in words if word.check]:
        body += [f"if {' or '.join(checks)}:", "    raise Undecodable('padding is not empty')"]
    if cut is indexed:
        body += [f"rest = read(raw[{32 * len(indexed)}:])"]
        values |= {c.name: f"rest[{n}]" for n, c in enumerate(c for arg in data for c in arg.columns)}
    body += [f"return ({''.join(values.get(name, 'None') + ', ' for name in columns)})"]
    scope: dict[str, object] = {
        "topic0": event.topic0,
        "unpack": Struct(">" + "".join(word.format for word in words)).unpack_from,
        "read": composite.reader(data) if cut is indexed else None,
        **_SCOPE,
    }
    return _function(body), scope


_SCOPE: dict[str, object] = {
    "Undecodable": Undecodable,
    "malformed": (ValueError, IndexError, OverflowError, StructError, composite.DecodingError),
    "fromhex": bytes.fromhex,
    "from_bytes": int.from_bytes,
    "zeros": [bytes(size) for size in range(32)],
    "text": composite.text,
    "tail": tail,
}


def _frame(indexed: int) -> list[str]:
    """Topics and data joined into the bytes `raw`. fromhex skips blanks, so the length is checked after it."""
    topics = [f"t{n + 1}" for n in range(indexed)]
    parts = [*topics, "data"]
    lengths = f" and {' == '.join(f'len({topic})' for topic in topics)} == 66" if topics else ""
    zeros, crosses = (" == ".join(f"{part}[{place}]" for part in parts) for place in (0, 1))
    return [
        f"{', '.join(['t0', *topics])}, = topics",
        f"if not ((t0 == topic0 or t0.lower() == topic0){lengths} and {zeros} == '0' and {crosses} == 'x'):",
        "    raise Undecodable('topics or data are not the hex text of this event')",
        "raw = fromhex(f'" + "".join(f"{{{part}[2:]}}" for part in parts) + "')",
        f"if len(raw) * 2 != len(data) + {64 * indexed - 2}:",
        "    raise Undecodable('the hex text holds blanks')",
    ]


def _function(body: Sequence[str]) -> str:
    lines = "\n".join(f"        {line}" for line in body)
    return (
        f"def decode(topics, data):\n    try:\n{lines}\n"
        "    except malformed as broken:\n        raise Undecodable(str(broken)) from None\n"
    )
