"""The short way from a log to a row: hex text cut and joined, turned into bytes at once.

An event whose arguments all have a fixed size needs no values in between: its words go from the log's hex text to the
hex text of packed fields (`indexer.store.binary`). What such a function does not like for any reason it leaves to the
codec, which alone decides whether a log is good; so this is only ever faster, never different.
"""

from binascii import unhexlify
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

from indexer.networks.abi import Arg
from indexer.networks.codec import Codec
from indexer.store.binary import NULL, of_integer

Pack = Callable[[str, Sequence[str], str], bytes | None]

_WORD = 64  # hex digits of 32 bytes
_UNSIGNED = {"int4": 4, "int8": 8}  # bytes of the field


def leave_it(fixed: str, topics: Sequence[str], data: str) -> bytes | None:
    """The `Pack` of an event that only its codec can read."""
    return None


def compile_pack(codec: Codec, begins: str) -> Pack:
    """A function from the fixed columns, topics and data of a log to its packed row; None: ask the codec.

    `begins`, with which every row begins, and what the function is given for the fixed columns are hex text. The
    function may raise ValueError, which also means: ask the codec.
    """
    arguments = codec.event.args
    if not all(_fixed(arg) for arg in arguments):
        return leave_it
    checks: list[str] = []
    fields: dict[str, str] = {}
    indexed = [arg for arg in arguments if arg.indexed]
    data = [arg for arg in arguments if not arg.indexed]
    places = [(arg, f"t{n}", 2) for n, arg in enumerate(indexed)]
    places += [(arg, "data", 2 + _WORD * n) for n, arg in enumerate(data)]
    types = dict(zip(codec.columns, codec.pg_types, strict=True))
    for arg, text, start in places:
        fields[arg.column] = _field(arg, types[arg.column], text, start, checks)
    row = [begins, "{fixed}", *(fields.get(name, NULL.hex()) for name in codec.columns)]
    return _compiled(len(indexed), len(data), checks, "".join(row))


def _fixed(arg: Arg) -> bool:
    return arg.indexed if arg.dynamic else not arg.word.startswith("int")


def _field(arg: Arg, kind: str, text: str, start: int, checks: list[str]) -> str:
    """The piece of an f-string that makes the field; what must hold for it goes to `checks`."""
    end = start + _WORD
    if arg.dynamic or arg.word == "bytes32":
        return f"{32:08x}{{{text}[{start}:{end}]}}"
    if arg.word == "address":
        checks.append(
            f"{text}[{start - 2}:{start + 24}] == '0x{'0' * 24}'"
            if start == 2
            else f"{text}[{start}:{start + 24}] == '{'0' * 24}'"
        )
        return f"{20:08x}{{{text}[{start + 24}:{end}]}}"
    if arg.word == "bool":
        checks.append(f"{text}[{start}:{end}] in bools")
        return f"{1:08x}0{{{text}[{end - 1}]}}"
    if arg.word.startswith("bytes"):
        size = int(arg.word[5:])
        checks.append(f"{text}[{start + 2 * size}:{end}] == '{'0' * (_WORD - 2 * size)}'")
        return f"{size:08x}{{{text}[{start}:{start + 2 * size}]}}"
    return _unsigned(int(arg.word[4:]), kind, text, start, checks)


def _unsigned(bits: int, kind: str, text: str, start: int, checks: list[str]) -> str:
    end = start + _WORD
    if bits < 256:
        checks.append(f"{text}[{start}:{end - bits // 4}] == '{'0' * (_WORD - bits // 4)}'")
    if kind == "numeric":
        return f"{{numeric({text}[{start}:{end}])}}"
    size = _UNSIGNED[kind]
    return f"{size:08x}{{{text}[{end - 2 * size}:{end}]}}"


def _compiled(indexed: int, words: int, checks: Sequence[str], row: str) -> Pack:
    topics = [f"t{n}" for n in range(indexed)]
    texts = [*topics, "data"]
    lengths = [f"{' == '.join(f'len({topic})' for topic in topics)} == {2 + _WORD}"] if topics else []
    begun = {check.partition("[")[0] for check in checks if "[0:" in check}
    prefixes = [f"{text}[:2] == '0x'" for text in texts if text not in begun]
    wanted = [f"len(data) == {2 + _WORD * words}", *lengths, *prefixes, *checks]
    source = (
        f"def pack(fixed, topics, data):\n    {', '.join(['_', *topics])}, = topics\n"
        f'    if {" and ".join(wanted)}:\n        return unhexlify(f"{row}")\n    return None\n'
    )
    scope: dict[str, Any] = {"numeric": _numeric, "unhexlify": unhexlify, "bools": (f"{0:064x}", f"{1:064x}")}
    exec(source, scope)
    return cast(Pack, scope["pack"])


@lru_cache(maxsize=4096)
def _numeric(word: str) -> str:
    """The numeric field of an unsigned word; amounts repeat. Raises ValueError for what is no hex text."""
    return of_integer(int.from_bytes(unhexlify(word), "big")).hex()  # int() would take blanks, underscores, another 0x
