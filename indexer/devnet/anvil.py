"""Anvil as a child process that cannot outlive us, and a small JSON-RPC client to drive it.

Source: `anvil --help` of 1.7.1 and its custom methods (`anvil_*`, `evm_*`).
"""

import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from indexer.errors import MalformedAnswer, RpcRefused, SetupFailed, Unreachable

# ArbSys answers `arbBlockNumber()` on Arbitrum chains; this code answers every call with the block number.
ARB_SYS = "0x0000000000000000000000000000000000000064"
ARB_SYS_CODE = "0x435f5260205ff3"
START_SECONDS = 20.0
# Anvil runs under a shell that waits for the end of its standard input. The kernel closes that pipe however our
# process dies, `kill -9` included; unlike PDEATHSIG it does not depend on the thread that started Anvil.
_GUARD = """
exec 3<&0; folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 & anvil=$!
(cat <&3 >/dev/null; kill -9 $anvil) & wait $anvil
rm -rf "$folder"; kill -9 0
"""


class Node:
    """A blocking JSON-RPC client with one kept-alive connection to a node on this machine. Not thread-safe."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, *params: object) -> Any:
        """The result of one call. Raises RpcRefused, Unreachable, MalformedAnswer."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """The results of many calls in one request, in their order. The first refused one raises RpcRefused."""
        if not calls:
            return []
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
        answers = {answer["id"]: answer for answer in self._post(msgspec.json.encode(body))}
        if len(answers) != len(calls):
            raise MalformedAnswer(f"{len(answers)} answers to {len(calls)} calls", provider=self.url)
        for i, (method, _) in enumerate(calls):
            if error := answers[i].get("error"):
                raise RpcRefused(error["message"], provider="Anvil", method=method, code=error["code"])
        return [answers[i]["result"] for i in range(len(calls))]

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.close()

    def _post(self, body: bytes) -> list[dict[str, Any]]:
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unreachable(str(error) or type(error).__name__, provider=f"Anvil at {self.url}") from error
        try:
            return msgspec.json.decode(answer, type=list[dict[str, Any]])
        except msgspec.MsgspecError as error:
            raise MalformedAnswer(str(error), provider="Anvil") from error


class Anvil:
    """A running Anvil, started by the constructor, stopped by `close()`, by `with`, or by the end of this process.

    `chain_id`; `timestamp`: the genesis block's, Unix seconds. Blocks are made by `evm_mine` only, every address may
    send without a signature, `finalized` is four blocks behind the head. Raises SetupFailed if it does not come up.
    """

    def __init__(self, binary: Path, *, chain_id: int, timestamp: int) -> None:
        self.chain_id = chain_id
        self._folder = Path(tempfile.mkdtemp(prefix="taskscan-anvil-"))
        command = _command(binary, chain_id, timestamp, self._folder)
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "anvil-guard", str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.port = self._wait_for_port(binary)
            self.node = Node(self.port)
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def rpc_url(self) -> str:
        """HTTP JSON-RPC."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """WebSocket JSON-RPC, with subscriptions."""
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> "Anvil":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop Anvil and remove its folder. Doing it twice is fine."""
        if hasattr(self, "node"):
            self.node.close()
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for_port(self, binary: Path) -> int:
        log, end = self._folder / "log", time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            text = log.read_text(errors="replace") if log.exists() else ""
            if found := re.search(r"Listening on 127\.0\.0\.1:(\d+)", text):
                return int(found[1])
            time.sleep(0.01)
        raise SetupFailed(f"Anvil did not start within {START_SECONDS:g} s. Try `{binary} --version`.")

    def _prepare(self) -> None:
        # Anvil writes a line per request otherwise, without end.
        calls: list[tuple[str, tuple[object, ...]]] = [
            ("anvil_setLoggingEnabled", (False,)),
            ("anvil_autoImpersonateAccount", (True,)),
            ("anvil_setCode", (ARB_SYS, ARB_SYS_CODE)),
        ]
        self.node.batch(calls)


def _command(binary: Path, chain_id: int, timestamp: int, folder: Path) -> list[str]:
    options = {
        "--host": "127.0.0.1",
        "--port": 0,
        "--chain-id": chain_id,
        "--timestamp": timestamp,
        "--accounts": 1,
        "--slots-in-an-epoch": 2,
        # By price, so that a sender can fix the order in a block (`chain.mine`): it is not that of arrival, since of a
        # batch Anvil handles only the first hundred calls in order.
        "--order": "fees",
        "--gas-limit": 4_000_000_000,
        "--block-base-fee-per-gas": 0,
        # States that no longer fit in memory (from some 500 blocks on) go to disk, megabytes each.
        "--max-persisted-states": 50,
        "--cache-path": folder / "states",
    }
    return [str(binary), "--no-mining", *(str(part) for option in options.items() for part in option)]
