"""Calldata for the contracts of the `@iexec/poco` package, by eth-abi; web3's own layer above it costs much more."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from eth_abi.abi import encode
from eth_utils.abi import function_abi_to_4byte_selector, get_abi_input_types
from eth_utils.crypto import keccak

ZERO_ADDRESS = "0x" + 20 * "00"
ZERO_HASH = bytes(32)

Abi = Sequence[Mapping[str, Any]]


class Interface:
    """The functions of one contract by name. Addresses are hex text, `bytes…` are bytes, structs are tuples."""

    def __init__(self, abi: Abi) -> None:
        self.abi = abi
        self._functions: dict[tuple[str, int], tuple[bytes, list[str]]] = {}
        for entry in abi:
            if entry["type"] == "function":
                types = get_abi_input_types(entry)  # type: ignore[arg-type]
                selector = function_abi_to_4byte_selector(entry)  # type: ignore[arg-type]
                self._functions.setdefault((entry["name"], len(types)), (selector, types))

    def calldata(self, function: str, *arguments: object) -> str:
        """Hex text of a call. Raises KeyError if no function has that name and number of arguments."""
        selector, types = self._functions[function, len(arguments)]
        return "0x" + (selector + encode(types, arguments)).hex()

    def selectors(self) -> list[bytes]:
        """The 4-byte selectors of all functions, in the order of the ABI."""
        return [selector for selector, _ in self._functions.values()]


def signature(text: str) -> dict[str, Any]:
    """The ABI entry of a function without structs written as `transfer(address,uint256)`."""
    name, _, types = text.rstrip(")").partition("(")
    inputs = [{"name": "", "type": kind} for kind in types.split(",") if kind]
    return {"type": "function", "name": name, "inputs": inputs, "outputs": [], "stateMutability": "nonpayable"}


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return msgspec.json.decode(path.read_bytes())


def created_address(sender: str, nonce: int) -> str:
    """Address of the contract that `sender` creates with transaction number `nonce` (keccak of the RLP pair)."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    coded = number if len(number) == 1 and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + bytes.fromhex(sender[2:]) + coded
    return "0x" + keccak(bytes([0xC0 + len(body)]) + body)[12:].hex()


def create2_address(factory: str, salt: bytes, code_hash: bytes) -> str:
    """Address of a contract created with CREATE2 (EIP-1014). `salt`, `code_hash`: 32 bytes."""
    return "0x" + keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + code_hash)[12:].hex()
