"""Addresses of K2 as text: base58 with Bitcoin's alphabet, no checksum, 32 bytes each."""

import re

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
KEY_BYTES = 32

is_key = re.compile(f"[{ALPHABET}]{{32,44}}").fullmatch
"""Whether a text looks like an address; what is one by its shape need not decode to 32 bytes."""


def encode(value: bytes) -> str:
    """`value` in base58; each leading zero byte is a 1."""
    number, digits = int.from_bytes(value), ""
    while number:
        number, digit = divmod(number, 58)
        digits = ALPHABET[digit] + digits
    return "1" * (len(value) - len(value.lstrip(b"\0"))) + digits


def decode(text: str) -> bytes:
    """The bytes of base58 `text`. Raises ValueError."""
    number = 0
    for digit in text:
        number = number * 58 + ALPHABET.index(digit)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def is_address(text: str) -> bool:
    """Whether `text` is 32 bytes in base58."""
    return bool(is_key(text)) and len(decode(text)) == KEY_BYTES
