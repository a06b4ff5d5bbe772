"""The Task Executor API as a client speaks it: to our own server or to an Aidbox, by the protocol alone."""

import base64
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from indexer.errors import ConfigError, MalformedAnswer, TaskRefused
from indexer.rpc.endpoint import Endpoint
from indexer.rpc.http import HttpPost
from indexer.rpc.retry import with_retries

POLL_MS = 20_000  # of a long poll: shorter than the silence after which an answer is given up
UNAUTHORIZED = ("unauthorized", "forbidden", "access-denied")
T = TypeVar("T")
Call = tuple[str, dict[str, Any]]


class _Fault(msgspec.Struct):
    type: str = "unknown"
    message: str = ""


class _Answer(msgspec.Struct):
    result: Any = None
    error: _Fault | None = None


class QueueClient:
    """A queue at `url`, with `/rpc` left out or not, asked as client `client_id`.

    Every call raises Transient errors when the queue cannot be asked, and TaskRefused when it says no.
    """

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        login = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        place = url.strip().rstrip("/").removesuffix("/rpc") + "/rpc"
        self._endpoint = Endpoint(place, {"Authorization": f"Basic {login}"})
        self._post = HttpPost(self._endpoint)

    @property
    def name(self) -> str:
        """`host[:port]` of the queue."""
        return self._endpoint.name

    async def call(self, method: str, **params: Any) -> Any:
        """One request; its result."""
        answer = await self._ask({"method": method, "params": params})
        return self._result(self._shaped(answer, _Answer))

    async def patient(self, method: str, *, seconds: float = 60.0, **params: Any) -> Any:
        """The same, tried again for up to `seconds` while the queue cannot be asked."""
        return await with_retries(lambda: self.call(method, **params), attempts=30, budget_seconds=seconds)

    async def patiently(self, calls: Sequence[Call], *, seconds: float = 60.0) -> list[Any]:
        """A `batch`, likewise."""
        return await with_retries(lambda: self.batch(calls), attempts=100, budget_seconds=seconds)

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Several requests in one; for each its result or the TaskRefused."""
        answer = await self._ask([{"method": method, "params": params} for method, params in calls])
        if not bytes(answer).lstrip().startswith(b"["):  # the batch as a whole was refused
            self._result(self._shaped(answer, _Answer))
        answers = self._shaped(answer, list[_Answer])
        if len(answers) != len(calls):
            raise MalformedAnswer(f"{len(answers)} answers to {len(calls)} requests", provider=self.name)
        return [self._refusal(each.error) if each.error else each.result for each in answers]

    async def close(self) -> None:
        """Close the connections."""
        await self._post.aclose()

    async def _ask(self, tree: Any) -> bytes | bytearray:
        return await self._post(msgspec.json.encode(tree))

    def _shaped(self, answer: bytes | bytearray, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise MalformedAnswer(str(error), provider=self.name) from None

    def _result(self, answer: _Answer) -> Any:
        if answer.error:
            raise self._refusal(answer.error)
        return answer.result

    def _refusal(self, fault: _Fault) -> TaskRefused | ConfigError:
        said = self._endpoint.scrub(fault.message or fault.type)
        if fault.type in UNAUTHORIZED:
            return ConfigError(
                f"The queue at {self.name} does not let this client in: {said} Correct TASKSCAN_QUEUE_CLIENT_ID and "
                "TASKSCAN_QUEUE_CLIENT_SECRET."
            )
        return TaskRefused(f"The queue at {self.name} refuses: {said}", kind=fault.type, status=HTTPStatus.BAD_REQUEST)
