"""How an Aidbox is read: which way works there, and the pages of each way. Nothing here changes anything there.

Three ways, best first (aidbox.md B4). `history` gives every version. `updated` is a search by `_lastUpdated`, which
gives the last version only. `list` is the Task API's list of everything, for a client that may not do more.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from indexer.errors import Inconsistent, MalformedAnswer, RpcRefused, TooLarge
from indexer.networks.aidbox import LOG, Unreadable, Version, read
from indexer.rpc import aidbox
from indexer.rpc.rest import Rest
from indexer.rpc.retry import with_retries
from indexer.store.aidbox import HISTORY, LIST, UPDATED

COUNT = 256  # resources of a page; halved where an answer gets too large
CANDIDATES = 10  # newest resources that are looked through for one that tells whether histories are kept
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Bad(NamedTuple):
    """What is no resource: why, and its bytes or all of the answer."""

    reason: str
    data: bytes


class Page(NamedTuple):
    """Versions, and what could not be read. `more`: whether another page follows; None: it does not say."""

    versions: list[Version]
    bad: list[Bad]
    more: bool | None = None

    def __len__(self) -> int:
        return len(self.versions) + len(self.bad)


Ask = Callable[[int, int], Awaitable[aidbox.Answer]]
"""(count, page number) -> answer."""


async def find_way(rest: Rest, resource: str) -> tuple[str, list[str]]:
    """The best way to read a type of resource, and why not a better one, in words.

    Raises LoginRefused, and the last refusal where no way is open.
    """
    reasons: list[str] = []
    for way, probe in ((HISTORY, _no_history), (UPDATED, _no_search), (LIST, _no_list)):
        try:
            why = await with_retries(lambda probe=probe: probe(rest, resource))  # type: ignore[misc]
        except RpcRefused as error:
            if error.facts.get("code") == 401 or (way == LIST and resource != LOG):
                raise
            why = str(error)
        except MalformedAnswer:
            why = None  # it answers; a page is read around what is no JSON
        if why is None:
            return way, reasons
        reasons.append(f"{way}: {why}")
    return LIST, reasons


async def _no_history(rest: Rest, resource: str) -> str | None:
    """Why the history is of no use: it must hold earlier versions, and `_txid` must be where it begins."""
    newest = await _newest(rest, resource)
    changed = [version for version in newest if _has_changed(version)]
    if not changed and newest and newest[0].number:
        return await _no_txid(rest, resource, newest[0])
    if not changed:
        await aidbox.history(rest, resource, {"_count": "1"})
        return None
    for version in changed:
        own = _page(await aidbox.history(rest, resource, {"_count": "2"}, version.id), resource)
        if len(own.versions) > 1:
            return await _no_txid(rest, resource, version)
    return "it keeps no earlier versions"


def _has_changed(version: Version) -> bool:
    times = (version.created_at, version.updated_at)
    return bool(version.number and times[0] and times[1] and times[0] < times[1])


async def _no_txid(rest: Rest, resource: str, known: Version) -> str | None:
    assert known.number is not None
    params = {"_txid": str(known.number - 1), "_count": str(COUNT)}
    later = _page(await aidbox.history(rest, resource, params), resource)
    numbers = [each.number or 0 for each in later.versions]
    good = numbers and max(numbers) >= known.number and numbers == sorted(numbers, reverse=True)
    return None if good else "_txid does not tell where it begins"


async def _newest(rest: Rest, resource: str) -> list[Version]:
    """Some of the newest resources; nothing where the search is not allowed, but the history may be."""
    found: list[Version] = []
    for number in range(1, CANDIDATES + 1):
        params = {"_sort": "-_lastUpdated", "_count": "1", "_page": str(number), "_total": "none"}
        try:
            page = _page(await aidbox.search(rest, resource, params), resource)
        except MalformedAnswer:
            continue
        except RpcRefused as error:
            if error.facts.get("code") == 401:
                raise
            return []
        found += page.versions
        if not len(page) or any(_has_changed(version) for version in page.versions):
            break
    return found


async def _no_search(rest: Rest, resource: str) -> str | None:
    params = {"_lastUpdated": f"ge{_iso(LONG_AGO)}", "_sort": "_lastUpdated", "_count": "2", "_total": "none"}
    page = _page(await aidbox.search(rest, resource, params), resource)
    times = [each.updated_at for each in page.versions]
    if any(time is None for time in times):
        return "resources do not tell when they were changed"
    return None if times == sorted(t for t in times if t) else "it is not sorted by _lastUpdated"


async def _no_list(rest: Rest, resource: str) -> str | None:
    """The log has no list of its own: it comes with the status of each task."""
    if resource != LOG:
        await aidbox.list_all(rest, resource)
    return None


async def history(rest: Rest, resource: str, floor: int | None) -> AsyncIterator[Page]:
    """All versions from the number `floor` on, newest first. What is written meanwhile can only repeat some."""
    # Whether _txid itself is within is not documented: one less is in either case.
    since = {"_txid": str(max(0, floor - 1))} if floor else {}

    async def ask(count: int, number: int) -> aidbox.Answer:
        params = since | {"_count": str(count), "_page": str(number)}
        return await aidbox.history(rest, resource, params)

    walk = _Walk(resource, ask)
    while True:
        async for page in walk.next():
            yield page
            numbers = [each.number for each in page.versions if each.number is not None]
            if not len(page) or page.more is False or (floor and numbers and min(numbers) < floor):
                return


async def updated(rest: Rest, resource: str, since: datetime | None) -> AsyncIterator[Page]:
    """The resources that were changed at `since` or later, oldest first.

    Each page begins at the time at which the last one ended: what is changed meanwhile moves to the end of the list,
    and pages that are counted off would skip as many others. Raises Inconsistent where the answer is not in order.
    """
    at = since or LONG_AGO

    async def ask(count: int, number: int) -> aidbox.Answer:
        params = {"_lastUpdated": f"ge{_iso(at)}", "_sort": "_lastUpdated", "_total": "none"}
        return await aidbox.search(rest, resource, params | {"_count": str(count), "_page": str(number)})

    walk = _Walk(resource, ask)
    while True:
        async for page in walk.next():
            yield page
            times = [each.updated_at for each in page.versions if each.updated_at]
            if times != sorted(times):
                raise Inconsistent("a search is not sorted by _lastUpdated", provider=rest.name)
            if not len(page) or page.more is False:
                return
            if times and times[-1] > at:
                at = times[-1]
                walk.restart()


class _Walk:
    """Pages one after the other. One that is too large or cannot be read is asked for again in smaller parts."""

    def __init__(self, resource: str, ask: Ask) -> None:
        self._resource, self._ask = resource, ask
        self._count, self._start = COUNT, 0

    def restart(self) -> None:
        """Go on with the first page: what is asked for has changed."""
        self._start, self._count = 0, min(COUNT, self._count * 2)

    async def next(self) -> AsyncIterator[Page]:
        """The next page."""
        try:
            page = await self._page(self._count)
        except TooLarge:
            if self._count == 1:
                raise
            self._count //= 2
            return
        except MalformedAnswer as error:
            if self._count > 1:
                self._count //= 2
                return
            body = error.facts.get("body")
            reason = f"An answer with one resource cannot be read: {error.facts['message']}."
            page = Page([], [Bad(reason, body if isinstance(body, bytes) else b"")])
        self._start += self._count
        self._count = min(COUNT, self._count * 2) if self._start % (self._count * 2) == 0 else self._count
        yield page

    async def _page(self, count: int) -> Page:
        number = self._start // count + 1
        return _page(await with_retries(lambda: self._ask(count, number), attempts=4), self._resource)


async def listed(rest: Rest, resource: str) -> Page:
    """Everything that `awf.…/list` gives."""
    return _page(await with_retries(lambda: aidbox.list_all(rest, resource)), resource)


async def log_of(rest: Rest, resource: str, own: str) -> tuple[bool, Page]:
    """Whether a task or workflow is there, and its log."""
    answer = await with_retries(lambda: aidbox.status(rest, resource, own, log=True))
    if answer is None:
        return False, Page([], [])
    entries = answer.get("log")
    found = [(each, False) for each in entries] if isinstance(entries, list) else []
    return True, _page(aidbox.Answer(found, False, repr(entries).encode(errors="replace")), LOG)


def _page(answer: aidbox.Answer, resource: str) -> Page:
    versions: list[Version] = []
    bad: list[Bad] = []
    for value, deleted in answer.found:
        try:
            versions.append(read(value, resource, deleted=deleted))
        except Unreadable as error:
            bad.append(Bad(f"A resource cannot be read: {error}.", _bytes(value, answer.body)))
    return Page(versions, bad, answer.more)


def _bytes(value: Any, whole: bytes) -> bytes:
    """`value` as JSON; the whole answer where it is nested too deeply for that."""
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except RecursionError:
        return whole


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
