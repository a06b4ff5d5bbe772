"""Questions to an Aidbox that change nothing: search, histories, and the reading methods of its Task API.

Sources: aidbox.md B1 (transport), B2 (methods), B4 (search and history). Resources come as Aidbox's own format has them
(no `/fhir` in the path).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from indexer.errors import MalformedAnswer, RpcRefused
from indexer.networks.aidbox import parse
from indexer.networks.aidbox.values import TooDeep
from indexer.networks.aidbox.words import LIST, READING, STATUS
from indexer.rpc.rest import Reply, Rest

GONE = (400, 404, 410, 422)
"""HTTP statuses of a status that is asked of an id that is none: no page documents which it is (aidbox.md B1)."""


class Answer(NamedTuple):
    """Resources, each with whether it is told as deleted. `more`: whether another page follows, None: it does not say.

    `body`: all of it, as it came.
    """

    found: list[tuple[Any, bool]]
    more: bool | None
    body: bytes


async def search(rest: Rest, resource: str, params: dict[str, str]) -> Answer:
    """One page of a search. Raises TaskscanError."""
    return _bundle(rest, await rest.ask("GET", f"/{resource}", params=params))


async def history(rest: Rest, resource: str, params: dict[str, str], own: str | None = None) -> Answer:
    """One page of the history of all resources of a type, or of the one with the id `own`: newest version first."""
    path = f"/{resource}/{own}/_history" if own else f"/{resource}/_history"
    return _bundle(rest, await rest.ask("GET", path, params=params))


async def list_all(rest: Rest, resource: str) -> Answer:
    """All tasks or workflows; the method knows no pages."""
    reply = await rpc(rest, LIST[resource], {"sort": {"lastUpdated": "desc"}})
    return Answer([(each, False) for each in _list(rest, reply[0].get("resources"))], False, reply[1])


async def status(rest: Rest, resource: str, own: str, *, log: bool = False) -> dict[str, Any] | None:
    """A task or workflow as `{resource, log, …}`; None where there is none of that id."""
    params: dict[str, Any] = {"id": own} | ({"include-log?": True} if log else {})
    try:
        return (await rpc(rest, STATUS[resource], params))[0]
    except RpcRefused as error:
        if error.facts.get("code") in GONE:
            return None
        raise


async def rpc(rest: Rest, method: str, params: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """The result of a method that only reads, and the whole answer. Raises RpcRefused for an `error`, ValueError for a
    method that could change something.
    """
    if method not in READING:
        raise ValueError(f"{method} is no method that only reads")
    reply = await rest.ask("POST", "/rpc", body={"method": method, "params": params}, what=method)
    answer = _parsed(rest, reply)
    error = answer.get("error")
    if error is not None:
        kind, said = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, error)
        raise RpcRefused(rest.scrub(str(said)), provider=rest.name, method=method, code=rest.scrub(str(kind)))
    if not isinstance(answer.get("result"), dict):
        raise MalformedAnswer(f"neither result nor error for {method}", provider=rest.name)
    return answer["result"], reply.body


async def present(rest: Rest, resource: str, ids: Sequence[str]) -> set[str]:
    """Which of these ids there are."""
    answer = await search(rest, resource, {"_id": ",".join(ids), "_count": str(len(ids)), "_total": "none"})
    return {each["id"] for each, _ in answer.found if isinstance(each, dict) and isinstance(each.get("id"), str)}


def _parsed(rest: Rest, reply: Reply) -> dict[str, Any]:
    said = "it is no JSON object"
    try:
        answer = parse(reply.body)
    except ValueError as error:
        answer, said = None, str(error) if isinstance(error, TooDeep) else said
    if not isinstance(answer, dict):
        raise MalformedAnswer(said, provider=rest.name, body=reply.body)
    return answer


def _bundle(rest: Rest, reply: Reply) -> Answer:
    answer = _parsed(rest, reply)
    entries = _list(rest, answer.get("entry", []))
    found = [(each.get("resource"), _deleted(each)) if isinstance(each, dict) else (each, False) for each in entries]
    links = answer.get("link")
    more = None
    if isinstance(links, list) and links:
        more = any(isinstance(each, dict) and each.get("relation") == "next" for each in links)
    return Answer(found, more, reply.body)


def _list(rest: Rest, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedAnswer("it holds no list of resources", provider=rest.name)
    return value


def _deleted(entry: dict[str, Any]) -> bool:
    request = entry.get("request")
    return isinstance(request, dict) and request.get("method") == "DELETE"
