"""What can go wrong between a provider and us, by seed and by chance; each fault is counted where it changes something.

Faults of the HTTP layer are raised as `indexer.rpc.http` raises them, for the seam lies above it.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from indexer.errors import TimedOut, TooLarge, Unreachable
from indexer.rpc import limits
from tests.simulation.node import NULL, Node, View
from tests.simulation.world import Block, Log

TRANSPORT = ("rate", "server", "timeout", "unreachable", "cut", "huge")
ITEMS = ("null", "rpc_error", "missing")
LISTS = ("duplicate", "disorder", "removed", "wrong_hash", "omit")
LIES = ("stale_final", "stale_block", "chain_id")
KINDS = (*TRANSPORT, *ITEMS, *LISTS, *LIES, "lag")


class Faults:
    """`rates`: kind -> probability at each place where it could be. `omits`: times that one log may be left out."""

    def __init__(self, rng: Random, rates: dict[str, float], omits: int = 1) -> None:
        self.rng, self.rates, self.omits = rng, rates, omits
        self.on = True
        self.injected: Counter[str] = Counter()
        self.omitted: Counter[tuple[bytes, int]] = Counter()

    def chance(self, kind: str) -> bool:
        """Whether this kind strikes now."""
        rate = self.rates.get(kind, 0.0)
        return self.on and rate > 0.0 and self.rng.random() < rate

    def count(self, kind: str) -> None:
        """It has struck."""
        self.injected[kind] += 1


class FaultyNode(Node):
    """A node with faults. `name`: its host, for errors. `omits_final`: also leaves logs out of ranges by number."""

    faults: Faults
    name = "node"
    omits_final = False

    async def __call__(self, body: bytes) -> bytes:
        await asyncio.sleep(self.rng.uniform(0.001, self.latency))
        await self._transport(body)
        request, before = json.loads(body), self.faults.injected.copy()
        answer = self.answer(request, self.view(request))
        if self.faults.chance("cut"):
            self.faults.injected = before  # nobody can notice what else is wrong with it
            self.faults.count("cut")
            return answer[: self.rng.randrange(len(answer))]
        return answer

    async def _transport(self, body: bytes) -> None:
        faults, rng = self.faults, self.rng
        if faults.chance("timeout"):
            await asyncio.sleep(30)
            faults.count("timeout")  # not where a hedged read took the other answer, and this request back
            raise TimedOut(provider=self.name, seconds=30)
        if faults.chance("unreachable"):
            faults.count("unreachable")
            raise Unreachable("the connection broke", provider=self.name)
        if faults.chance("huge") and b"eth_getLogs" in body:
            faults.count("huge")
            raise TooLarge("its answer exceeds 32 MiB", max_bytes=32 << 20, provider=self.name)
        for kind, statuses in (("rate", (429,)), ("server", (500, 502, 503, 504))):
            if faults.chance(kind):
                faults.count(kind)
                headers = {"Retry-After": rng.choice(("0", "1", "7"))} if kind == "rate" else {}
                error = limits.from_http(
                    self.name, "the request", rng.choice(statuses), headers, b"<html>no</html>", str
                )
                assert error is not None
                raise error

    def answer(self, request: Any, view: View) -> bytes:
        """Leave items out of a batch, at times."""
        if isinstance(request, list) and len(request) > 1 and self.faults.chance("missing"):
            self.faults.count("missing")
            request = [call for call in request if call is not self.rng.choice(request)]
        return super().answer(request, view)

    def _one(self, call: dict[str, Any], view: View) -> bytes:
        if self.faults.chance("rpc_error"):
            self.faults.count("rpc_error")
            fault = {"code": -32000, "message": "backend unavailable"}
            return json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": fault}).encode()
        return super()._one(call, view)

    def result(self, method: str, params: Sequence[Any], view: View) -> bytes:
        """The true result, or what this provider makes of it."""
        faults = self.faults
        if method == "eth_chainId" and faults.chance("chain_id"):
            faults.count("chain_id")
            return b'"0x539"'
        found = super().result(method, params, view)
        if method.startswith("eth_getBlockBy") and found != NULL and faults.chance("null"):
            faults.count("null")
            return NULL
        return found

    def named(self, tag: str, view: View) -> Block | None:
        """The block of a number or a tag, or an old one in its place."""
        found = super().named(tag, view)
        if found is None:
            return None
        if view.height < self.world.head.number and tag in ("latest", "pending"):
            self.faults.count("lag")
        if tag == "finalized" and found.number and self.faults.chance("stale_final"):
            self.faults.count("stale_final")
            return view.block(self.rng.randrange(max(0, found.number - 40), found.number))
        if tag.startswith("0x") and self.faults.chance("stale_block"):
            others = self.world.siblings(found)
            if others:
                self.faults.count("stale_block")
                return self.rng.choice(others)
        return found

    def matching(self, wanted: dict[str, Any], view: View) -> list[Log]:
        """The logs that match, less those that are left out."""
        found = super().matching(wanted, view)
        if not found or not ("blockHash" in wanted or self.omits_final) or not self.faults.chance("omit"):
            return found
        count = self.rng.choice((1, 1, 2, len(found)))
        lost = {id(log) for log in self.rng.sample(found, min(count, len(found))) if self._may_omit(log)}
        if lost:
            self.faults.count("omit")
        return [log for log in found if id(log) not in lost]

    def _may_omit(self, log: Log) -> bool:
        key = log.owner.hash, log.index
        self.faults.omitted[key] += 1
        return self.faults.omitted[key] <= self.faults.omits

    def logs(self, logs: Sequence[Log]) -> bytes:
        """The JSON of the logs, repeated, in disorder, or with a lie in one of them."""
        faults, rng = self.faults, self.rng
        parts = [self.log(log) for log in logs]
        if parts and faults.chance("removed"):
            faults.count("removed")
            at = rng.randrange(len(parts))
            parts[at] = self.log(logs[at], removed=True)
        twins = [n for n in range(1, len(logs)) if logs[n].owner is logs[n - 1].owner]
        if twins and faults.chance("wrong_hash"):
            faults.count("wrong_hash")
            at = rng.choice(twins)
            parts[at] = self.log(logs[at], block_hash=rng.randbytes(32))
        if parts and faults.chance("duplicate"):
            faults.count("duplicate")
            parts += rng.sample(parts, rng.randrange(1, len(parts) + 1))
        if len(parts) > 1 and faults.chance("disorder"):
            before = list(parts)
            rng.shuffle(parts)
            if parts != before:
                faults.count("disorder")
        return b"[" + b",".join(parts) + b"]"
