"""Text of others as PostgreSQL can hold it.

Bytes that are not UTF-8 are surrogates in such a text (`surrogateescape`), and `raw_bytes` gives them back.
"""

from typing import Any


def raw_bytes(text: str) -> bytes:
    """The bytes that `text` came from."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")  # an escape in JSON names half a character


def split(text: str | None) -> tuple[str | None, bytes | None]:
    """`text` as PostgreSQL can hold it, or else None and its bytes."""
    if text is None or (text.isascii() and "\0" not in text):
        return text, None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None, raw_bytes(text)
    return (None, raw_bytes(text)) if "\0" in text else (text, None)


def holdable(value: Any) -> Any:
    """`value` as JSONB can hold it: text that is no UTF-8 or holds NUL becomes {"raw": its bytes in hex}."""
    if isinstance(value, str):
        text, raw = split(value)
        return text if raw is None else {"raw": raw.hex()}
    if isinstance(value, dict):
        good = {name: item for name, item in value.items() if split(name)[1] is None}
        odd = {raw_bytes(name).hex(): item for name, item in value.items() if name not in good}
        return {name: holdable(item) for name, item in good.items()} | (
            {"raw_names": {name: holdable(item) for name, item in odd.items()}} if odd else {}
        )
    if isinstance(value, list | tuple):
        return [holdable(item) for item in value]
    return value
