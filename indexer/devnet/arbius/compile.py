"""Compiles the contracts with npm's solc. The output is kept in the tools' cache folder under the sources' hash."""

import hashlib
import json
import os
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from indexer.devnet.abi import Interface
from indexer.devnet.tools import SOLC_VERSION
from indexer.errors import SetupFailed

COMPILE_SECONDS = 300
# Standard JSON in and out: https://docs.soliditylang.org, "Using the Compiler".
_SETTINGS = {
    "evmVersion": "paris",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}
_SCRIPT = """
const solc = require(process.argv[1]);
process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
"""


class Contract(NamedTuple):
    """Creation code as hex text, and the functions."""

    code: str
    interface: Interface


def contracts(solc: Path, cache: Path) -> dict[str, Contract]:
    """All contracts by name. `solc`: the unpacked npm package; `cache`: a folder that can be written.

    Takes several seconds the first time. Raises SetupFailed: node is missing, the compiler refused, the folder is full.
    """
    question = json.dumps({"language": "Solidity", "sources": _sources(), "settings": _SETTINGS})
    key = hashlib.sha256(f"{SOLC_VERSION} {question}".encode()).hexdigest()[:16]
    kept = cache / f"arbius-{key}.json"
    try:
        if not kept.is_file():
            _keep(kept, _compile(solc, question))
        found = msgspec.json.decode(kept.read_bytes())
    except OSError as error:
        raise SetupFailed(f"The devnet's contracts cannot be kept in {cache}: {error.strerror or error}.") from error
    return {name: Contract(code, Interface(abi)) for name, (code, abi) in found.items()}


def _sources() -> dict[str, dict[str, str]]:
    folder = resources.files(__package__) / "contracts"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sol")), key=lambda file: file.name)
    return {file.name: {"content": file.read_text("utf-8")} for file in files}


def _compile(solc: Path, question: str) -> bytes:
    try:
        done = subprocess.run(
            ["node", "-e", _SCRIPT, str(solc)],
            input=question.encode(),
            capture_output=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise SetupFailed("node is missing: install Node.js 20 or newer for the devnet.") from None
    except subprocess.TimeoutExpired:
        raise SetupFailed(f"solc took longer than {COMPILE_SECONDS} s to compile the devnet's contracts.") from None
    if done.returncode:
        raise SetupFailed(f"solc could not be run: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return _slim(msgspec.json.decode(done.stdout))


def _slim(answer: dict[str, Any]) -> bytes:
    """Name -> (code, ABI). Raises SetupFailed with the compiler's first complaint."""
    for complaint in answer.get("errors", []):
        raise SetupFailed(f"The devnet's contracts do not compile: {complaint['formattedMessage'].strip()}")
    found = {
        name: ("0x" + contract["evm"]["bytecode"]["object"], contract["abi"])
        for file in answer["contracts"].values()
        for name, contract in file.items()
    }
    return msgspec.json.encode(found)


def _keep(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, also when several processes do it at once."""
    handle, side = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(side).chmod(0o644)
        Path(side).replace(path)
    finally:
        Path(side).unlink(missing_ok=True)
