"""A stand-in for Aidbox on the loopback: its search, histories, Task API and logins over a made-up Workflow Engine.

Aidbox is licensed software that cannot be run here. This one answers as its documentation shows (tests hold it to every
example), to all methods, and writes down what it was asked. It can be poorer than a whole Aidbox: no histories, no
search, no access; and it can fail.
"""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from indexer.devnet import aidbox_life
from indexer.devnet.aidbox_engine import Engine, Refused
from indexer.devnet.aidbox_versions import Entry, Resource
from indexer.devnet.loopback import Answer, Request, serving

CLIENT, SECRET = "taskscan", "geheim-5e1d"
TOKEN_SECONDS = 3600


@dataclass
class Fault:
    """An answer instead of the right one. `seconds`: of waiting before."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Node:
    """The installation. `histories`: kept, current (of each resource only what it is now) or refused; `txid`: what that
    parameter does: after, none or only; `search`, `links`: whether it has them; `logins`: which it takes; `denied`:
    methods and types of resources that it denies; `cap`: resources of a page at most; `skew`: seconds that its clock is
    ahead.
    """

    engine: Engine = field(default_factory=Engine)
    histories: str = "kept"
    search: bool = True
    links: bool = True
    txid: str = "after"
    logins: frozenset[str] = frozenset({"basic", "token"})
    denied: set[str] = field(default_factory=set)
    cap: int = 1000
    skew: float = 0.0
    faults: deque[Fault] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for one HTTP request."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with self.lock:
            if self.faults and parts.path != "/auth/token":
                fault = self.faults.popleft()
                self.asked.append(f"{method} {parts.path}")
                time.sleep(fault.seconds)
                if fault.status:
                    return fault.status, fault.body, fault.headers
            try:
                return 200, _dump(self._answer(method, parts.path, query, headers, body)), {}
            except Refused as refused:
                return refused.args[0], _dump({"error": refused.error}), {}

    def _answer(self, method: str, path: str, query: dict[str, str], headers: Any, body: bytes) -> Any:
        if path == "/auth/token":
            self.asked.append(path)
            return self._token(json.loads(body))
        self._let_in(headers.get("Authorization", ""))
        if path == "/rpc":
            request = json.loads(body)
            return [self._rpc(each) for each in request] if isinstance(request, list) else self._rpc(request)
        self.asked.append(f"{method} {path}")
        kind, *more = path.strip("/").split("/")
        if kind not in self.engine.tables or method != "GET":
            raise Refused(404, "not-found", f"{method} {path} is not found")
        if kind in self.denied or (not self.search and more[-1:] != ["_history"]):
            raise Refused(403, "forbidden", "Forbidden")
        if more[-1:] == ["_history"]:
            return self._history(kind, query, more[0] if len(more) == 2 else None)
        return self._search(kind, query)

    def _rpc(self, request: dict[str, Any]) -> dict[str, Any]:
        name = str(request.get("method"))
        self.asked.append(name)
        if name in self.denied:
            raise Refused(403, "forbidden", "Forbidden")
        if name not in self.engine.methods:
            raise Refused(422, "rpc/method-not-found", f"Method {name} not found")
        params = {_keyword(key): value for key, value in request.get("params", {}).items()}
        return {"result": self.engine.methods[name](**params)}

    def _let_in(self, login: str) -> None:
        kind, _, value = login.partition(" ")
        if kind == "Basic" and "basic" in self.logins and value == _basic():
            return
        if kind == "Bearer" and "token" in self.logins and value in self.tokens[-1:]:
            return
        raise Refused(401, "unauthorized", f"Unauthorized: {login}")

    def _token(self, asked: dict[str, Any]) -> dict[str, Any]:
        right = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        if asked != right or "token" not in self.logins:
            raise Refused(401, "invalid-client", f"no client {asked.get('client_id')}:{asked.get('client_secret')}")
        self.tokens.append(f"token-{len(self.tokens)}-c0de")
        return {"token_type": "Bearer", "expires_in": TOKEN_SECONDS, "access_token": self.tokens[-1]}

    def _history(self, kind: str, query: dict[str, str], own: str | None) -> Resource:
        if self.histories == "refused":
            raise Refused(404, "not-found", "history is not kept")
        found = [e for e in self.engine.past[kind] if own in (None, e.resource["id"])]
        if self.histories == "current":
            now = self.engine.tables[kind]
            found = [e for e in found if now.get(e.resource["id"], {}).get("meta") == e.resource["meta"]]
        if "_txid" in query and self.txid != "none":
            wanted = int(query["_txid"])
            found = [e for e in found if e.txid > wanted or (self.txid == "only" and e.txid == wanted)]
            found = [e for e in found if self.txid == "after" or e.txid == wanted]
        found.sort(key=lambda entry: -entry.txid)
        return self._bundle("history", [_shown(each) for each in found], query)

    def _search(self, kind: str, query: dict[str, str]) -> Resource:
        found = list(self.engine.tables[kind].values())
        if "_id" in query:
            found = [each for each in found if each["id"] in query["_id"].split(",")]
        if since := query.get("_lastUpdated", "").removeprefix("ge"):
            found = [each for each in found if _at(each) >= datetime.fromisoformat(since)]
        if order := query.get("_sort"):
            found.sort(key=_at, reverse=order.startswith("-"))
        return self._bundle("searchset", [{"resource": each} for each in found], query)

    def _bundle(self, kind: str, entries: list[Resource], query: dict[str, str]) -> Resource:
        count = min(int(query.get("_count", 100)), self.cap)
        first = (int(query.get("_page", 1)) - 1) * count
        bundle: Resource = {"resourceType": "Bundle", "type": kind, "entry": entries[first : first + count]}
        if kind == "history":
            bundle["total"] = len(bundle["entry"])
        if self.links:
            more = first + count < len(entries)
            bundle["link"] = [{"relation": name, "url": "/"} for name in ("self", *(["next"] if more else []))]
        return bundle


def _shown(entry: Entry) -> Resource:
    kind = entry.resource["resourceType"]
    url = kind if entry.method == "POST" else f"{kind}/{entry.resource['id']}"
    return {"resource": entry.resource, "request": {"method": entry.method, "url": url}}


def _at(resource: Resource) -> datetime:
    return datetime.fromisoformat(resource["meta"]["lastUpdated"])


def _keyword(name: str) -> str:
    return name.replace("workflow-definition", "workflow_definition")


def _basic() -> str:
    return base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogateescape")


@contextmanager
def live(seed: int, history: int = 150, seconds: float = 0.5) -> Iterator[str]:
    """An Aidbox in which something happens every `seconds`, and `history` times on the day before; its URL."""
    engine = Engine(seed, datetime.now(UTC) - timedelta(days=1))
    node, stop = Node(engine), threading.Event()
    for _ in range(history):
        aidbox_life.step(engine)

    def pass_time() -> None:
        while not stop.wait(seconds):
            with node.lock:
                engine.advance(max(0.0, (datetime.now(UTC) - engine.now).total_seconds()))
                aidbox_life.step(engine, hurry=False)

    clock = threading.Thread(target=pass_time, daemon=True)
    with served(node) as url:
        clock.start()
        try:
            yield url
        finally:
            stop.set()
            clock.join()


@contextmanager
def served(node: Node) -> Iterator[str]:
    """`node` on a free port of the loopback; its URL."""

    def answer(request: Request) -> Answer:
        status, body, headers = node.answer(*request)
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=node.skew), usegmt=True)
        return Answer(body, status, {"Date": date, **headers})

    with serving(answer) as url:
        yield url
