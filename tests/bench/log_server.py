"""A static JSON-RPC server for one `Chain`: `python -m tests.bench.log_server --logs 500000`.

It prints its URL once it is ready. Answers are slices of bytes made in advance, so that it costs little beside what is
measured. `GET /stats` tells what was asked, `GET /bodies` gives the request bodies that were answered with logs, and
`POST /reset` forgets both.
"""

import argparse
import asyncio
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from tests.bench import chain as synthetic
from tests.bench.chain import CHAIN_ID, ENGINE, Chain

QUICKNODE = "eth_getLogs is limited to a {} range"  # its own words, code -32614
MUTE = "query timeout exceeded"  # geth's words: no limit is named
EMPTY = b"null"


class Limits(NamedTuple):
    """`max_range` in blocks, 0 for none; `mute`: refuse without naming it."""

    max_range: int
    mute: bool


class LogServer(asyncio.Protocol):
    """One keep-alive connection. `shared` holds what all connections count."""

    def __init__(self, chain: Chain, limits: Limits, shared: "Shared") -> None:
        self._chain, self._limits, self._shared = chain, limits, shared
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            size = _content_length(head)
            if len(self._received) < end + 4 + size:
                return
            body = bytes(self._received[end + 4 : end + 4 + size])
            del self._received[: end + 4 + size]
            self._answer(head.split(b" ", 2), body)

    def _answer(self, request: list[bytes], body: bytes) -> None:
        method, path = request[0], request[1]
        if path == b"/stats":
            self._send([msgspec.json.encode(self._shared.facts())])
        elif path == b"/bodies":
            self._send([msgspec.json.encode([body.decode() for body in self._shared.bodies])])
        elif path == b"/reset":
            self._shared.reset()
            self._send([b"{}"])
        elif method == b"POST":
            self._rpc(body)
        else:
            self._send([EMPTY])

    def _rpc(self, body: bytes) -> None:
        calls = msgspec.json.decode(body)
        many = isinstance(calls, list)
        parts: list[bytes | memoryview] = [b"["] if many else []
        useful = False
        for n, call in enumerate(calls if many else [calls]):
            self._shared.methods[call["method"]] += 1
            parts.append(b',{"jsonrpc":"2.0","id":%d,' % call["id"] if n else b'{"jsonrpc":"2.0","id":%d,' % call["id"])
            useful |= self._one(call["method"], call["params"], parts)
            parts.append(b"}")
        if many:
            parts.append(b"]")
        size = self._send(parts)
        self._shared.requests += 1
        self._shared.bytes_out += size
        if useful:
            self._shared.bodies.append(body)

    def _one(self, method: str, params: list[Any], parts: list[bytes | memoryview]) -> bool:
        """Append the answer to one call; whether it holds logs of a range that was not refused."""
        match method:
            case "eth_getLogs":
                return self._logs(params[0], parts)
            case "eth_getBlockByNumber":
                number = self._number(params[0])
                parts.append(b'"result":' + (synthetic.header(number) if number < self._chain.blocks else EMPTY))
            case "eth_chainId":
                parts.append(b'"result":"%s"' % hex(CHAIN_ID).encode())
            case "eth_blockNumber":
                parts.append(b'"result":"%s"' % hex(self._chain.blocks - 1).encode())
            case "eth_getCode":
                parts.append(b'"result":"0x60"')
            case _:
                parts.append(b'"error":{"code":-32601,"message":"the method %s does not exist"}' % method.encode())
        return False

    def _logs(self, query: dict[str, Any], parts: list[bytes | memoryview]) -> bool:
        first, last = self._number(query["fromBlock"]), self._number(query["toBlock"])
        if 0 < self._limits.max_range < last - first + 1:
            self._shared.refused += 1
            words = MUTE if self._limits.mute else QUICKNODE.format(f"{self._limits.max_range:,}")
            code = -32000 if self._limits.mute else -32614
            parts.append(b'"error":' + msgspec.json.encode({"code": code, "message": words}))
            return False
        wanted = query["address"] if isinstance(query["address"], list) else [query["address"]]
        parts += [b'"result":[', self._chain.between(first, last) if ENGINE in wanted else b"", b"]"]
        return True

    def _number(self, block: str) -> int:
        if block.startswith("0x"):
            return int(block, 16)
        return 0 if block == "earliest" else self._chain.blocks - 1

    def _send(self, parts: list[bytes | memoryview]) -> int:
        size = sum(map(len, parts))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
        small = head
        for part in parts:
            if isinstance(part, memoryview) and len(part) > 65_536:
                self._transport.write(small)
                self._transport.write(part)
                small = b""
            else:
                small += part
        self._transport.write(small)
        return size


class Shared:
    """What the server has been asked so far."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self.methods: Counter[str] = Counter()
        self.requests = self.bytes_out = self.refused = 0
        self.bodies: list[bytes] = []

    def facts(self) -> dict[str, Any]:
        """`calls` counts each call of a batch, `requests` posts, `bytes` the bodies of the answers."""
        return {
            "calls": self.methods.total(),
            "methods": self.methods,
            "requests": self.requests,
            "refused": self.refused,
            "bytes": self.bytes_out,
        }


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(chain: Chain, limits: Limits) -> None:
    """Serve on a free port of 127.0.0.1 until cancelled; print the URL."""
    shared, loop = Shared(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: LogServer(chain, limits, shared), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Parse the options, make the chain, serve it."""
    options = argparse.ArgumentParser(description="Serve synthetic Arbius logs over JSON-RPC.")
    options.add_argument("--logs", type=int, default=500_000)
    options.add_argument("--blocks", type=int, default=50_000)
    options.add_argument("--per-block", type=int, default=10, help="logs in a block that has any")
    options.add_argument("--max-range", type=int, default=0, help="refuse ranges of more blocks (0: never)")
    options.add_argument("--mute", action="store_true", help="refuse without naming the limit")
    given = options.parse_args()
    chain = synthetic.make(given.logs, given.blocks, given.per_block)
    asyncio.run(serve(chain, Limits(given.max_range, given.mute)))


if __name__ == "__main__":
    main()
