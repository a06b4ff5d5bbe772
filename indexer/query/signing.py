"""Whose signature is under an EIP-712 challenge. Nothing is signed here, and no private key is known.

eth_account is imported when it is needed: it takes a second.
"""

from collections.abc import Mapping
from typing import Any

from eth_utils.crypto import keccak

from indexer.errors import MalformedAnswer, UsageError


def challenge_hash(challenge: Mapping[str, Any]) -> str:
    """The EIP-712 hash of typed data as hex text. Raises MalformedAnswer where it is no typed data."""
    _, header, body = _encoded(challenge)
    return "0x" + keccak(b"\x19\x01" + header + body).hex()


def signer_of(challenge: Mapping[str, Any], signature: str) -> str:
    """The address, lower-case hex text, that signed. Raises UsageError for what is no signature."""
    from eth_account import Account

    try:
        return str(
            Account.recover_message(_encoded(challenge), signature=bytes.fromhex(signature.removeprefix("0x")))
        ).lower()
    except MalformedAnswer:
        raise
    except Exception:
        raise UsageError("The signature cannot be read: 0x and 130 hexadecimal digits are needed.") from None


def _encoded(challenge: Mapping[str, Any]) -> Any:
    from eth_account.messages import encode_typed_data

    try:
        return encode_typed_data(full_message=dict(challenge))
    except Exception:  # it names whatever it stumbles over
        raise MalformedAnswer("the challenge is no EIP-712 data", provider="The scheduler") from None
