"""One RPC provider: typed answers from raw bytes on the hot path, web3's own machinery for everything else.

Both go through the same `Post`, so connections, counters, rate limit and errors are shared. A `Post` takes the bytes
of a JSON-RPC request and returns the bytes of the answer: HTTP is one, a simulator in the same process another.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from indexer.errors import Inconsistent, MalformedAnswer, RateLimited, RpcRefused, TaskscanError, TooLarge
from indexer.rpc import limits, wire
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.http import HttpPost
from indexer.rpc.rate import Throttle
from indexer.rpc.score import Score
from indexer.rpc.types import Call

if TYPE_CHECKING:
    from web3 import AsyncWeb3

T = TypeVar("T")
Post = Callable[[bytes], Awaitable[bytes | bytearray]]
Item = msgspec.Raw | TaskscanError

FIRST_BATCH = 100  # calls; shrinks as soon as a provider says that its limit is lower
UNKNOWN_AS_BATCH = (-32700, -32600)  # parse error, invalid request: how servers without batches answer one


class Provider:
    """An endpoint that answers JSON-RPC. `name` is its host and port; the URL is in no text that leaves here.

    Counters: `calls` (JSON-RPC calls, each one in a batch counts), `requests` (posts), `bytes_in` (decompressed),
    `methods` (calls by method). `score`: how it has done.
    `max_batch`: calls that one batch may hold, as far as is known. `block_receipts`: whether it gives all receipts of
    a block at once, as far as is known. `ids`: numbers of further requests.
    """

    def __init__(self, endpoint: Endpoint, post: Post | None = None) -> None:
        self.name = endpoint.name
        self.ids = itertools.count()
        self.throttle = Throttle(endpoint.name, endpoint.max_rps, patience=endpoint.timeout)
        self.score = Score(endpoint.name)
        self.calls = self.requests = self.bytes_in = 0
        self.methods: Counter[str] = Counter()
        self.max_batch = FIRST_BATCH
        self.block_receipts = True
        self._endpoint = endpoint
        self._post: Post = post or HttpPost(endpoint)

    async def call(self, call: Call, wanted: type[T]) -> T:
        """The result of one call as a `wanted`, any type that msgspec knows. Raises a TaskscanError."""
        (item,) = await self.batch([call])
        return self.unwrap(item, wanted)

    async def batch(self, calls: Sequence[Call]) -> list[Item]:
        """Send `calls` in one post; one result or error for each, in their order, whatever the server's order.

        A result is a view of the whole answer's bytes: decode it soon with `unwrap`, and let it go. Raises what spoils
        the whole post, among it TooLarge with `batch` set when the server wants fewer calls in one batch.
        """
        if not calls:
            return []
        ids = [next(self.ids) for _ in calls]
        return await self.send(wire.encode(calls, ids), ids, [call.method for call in calls])

    def unwrap(self, item: Item, wanted: type[T]) -> T:
        """A result of `batch` as a `wanted`. Raises the item's own error, or MalformedAnswer."""
        if isinstance(item, TaskscanError):
            raise item
        return wire.decode(item, wanted, self.name)

    async def send(self, body: bytes, ids: list[int], methods: list[str]) -> list[Item]:
        """Post the calls that `body` holds, with these ids and methods; the same as `batch` otherwise."""
        await self.throttle.take(len(ids))
        self.requests += 1
        self.calls += len(ids)
        self.methods.update(methods)
        try:
            with self.score.post(methods):
                raw = await self._post(body)
                self.bytes_in += len(raw)
                self.score.note_bytes(len(raw))
                answers = wire.match(raw, ids, self.name)
        except RateLimited as error:
            self.throttle.limited(error.retry_after)
            raise
        if answers.whole is not None:
            raise self._batch_refused(answers.whole, len(ids))
        items = [
            self._item(answer if answer is not None else answers.stray, method)
            for answer, method in zip(answers.items, methods, strict=True)
        ]
        self._look_through(items)
        return items

    def _item(self, answer: wire.Answer | Inconsistent | None, method: str) -> Item:
        if isinstance(answer, Inconsistent):
            return answer
        if answer is None:
            return MalformedAnswer(f"the answer to {method} is missing", provider=self.name)
        if answer.failed:
            return limits.from_rpc(self.name, method, answer.error, self._endpoint.scrub)
        if answer.empty:
            return MalformedAnswer(f"neither result nor error for {method}", provider=self.name)
        return answer.result

    def _look_through(self, items: list[Item]) -> None:
        """Count errors. Some servers refuse a whole batch inside its items: raise for a batch too long."""
        for item in items:
            if isinstance(item, TaskscanError) and item.facts.get("code") != limits.REVERTED:  # that says a contract
                self.score.note_error(item)
            if isinstance(item, RateLimited):
                self.throttle.limited(item.retry_after)
            elif isinstance(item, TooLarge) and item.batch:
                raise self._batch_shrunk(item, len(items))

    def _batch_refused(self, answer: wire.Answer, size: int) -> TaskscanError:
        error = limits.from_rpc(self.name, f"a batch of {size} calls", answer.error, self._endpoint.scrub)
        self.score.note_error(error)
        if isinstance(error, RateLimited):
            self.throttle.limited(error.retry_after)
        if isinstance(error, RpcRefused) and error.facts["code"] in UNKNOWN_AS_BATCH:
            error = TooLarge(str(error.facts["message"]), batch=True, provider=self.name)
        return self._batch_shrunk(error, size) if isinstance(error, TooLarge) and error.batch else error

    def _batch_shrunk(self, error: TooLarge, size: int) -> TooLarge:
        named = error.facts.get("max_batch")
        limit = named if isinstance(named, int) and 0 < named < size else size // 2
        self.max_batch = max(1, min(self.max_batch, limit))
        return error

    @cached_property
    def w3(self) -> "AsyncWeb3[Any]":
        """web3 over this provider: `await provider.w3.eth.chain_id`, contracts, ABI codec. Never asks ENS.

        Errors are Taskscan's own: a reverted call is RpcRefused with code 3. A block that is not there is web3's
        BlockNotFound.
        """
        from indexer.rpc import by_web3

        return by_web3.over(self)

    async def disconnect(self) -> None:
        """Close the connections; the provider may be used again."""
        if isinstance(self._post, HttpPost):
            await self._post.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.disconnect()

    def __str__(self) -> str:
        return f"RPC provider {self.name}"
