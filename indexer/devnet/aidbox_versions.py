"""What a made-up Aidbox holds: every version of its resources, which of them can be seen, and a ledger of all."""

import copy
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from indexer.networks.aidbox.words import LOG, TASK, WORKFLOW

FIRST_TXID = 17_000
Resource = dict[str, Any]


class Entry(NamedTuple):
    """A version as the installation keeps it. `method`: POST, PUT or DELETE; `txid`: its number."""

    txid: int
    resource: Resource
    method: str


class Fact(NamedTuple):
    """The ledger's line of a version."""

    resource: str
    id: str
    version: str
    status: str | None
    outcome: str | None
    exec_id: str | None
    deleted: bool


class Versions:
    """`now`: its clock. `ledger`: every version in order. `told`: whether clean-up leaves DELETE in the history."""

    def __init__(self, seed: int = 1, now: datetime | None = None) -> None:
        self.rng = random.Random(seed)
        self.now = now or datetime.now(UTC)
        self.tables: dict[str, dict[str, Resource]] = {TASK: {}, WORKFLOW: {}, LOG: {}}
        self.past: dict[str, list[Entry]] = {TASK: [], WORKFLOW: [], LOG: []}
        self.ledger: list[Fact] = []
        self.told, self.holding = True, False
        self._held: list[Entry] = []
        self._txid = FIRST_TXID

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def put(self, resource: Resource) -> Resource:
        """Take a resource as it is, its meta too: for states that a document shows."""
        number = int(resource.get("meta", {}).get("versionId", 0))
        self._txid = max(self._txid, number)
        self._keep(Entry(number, copy.deepcopy(resource), "POST"))
        return resource

    def release(self) -> None:
        """Commit what was written while `holding`: its numbers are older than those committed meanwhile."""
        self.holding = False
        for entry in self._held:
            self._show(entry)
        self._held.clear()

    def _save(self, resource: Resource, **changes: Any) -> Resource:
        """A new version with `changes`; None removes a field."""
        self._txid += self.rng.randint(1, 3)
        own = {**resource, **{name.replace("__", "-"): value for name, value in changes.items()}}
        own = {name: value for name, value in own.items() if value is not None}
        at = self.now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        own["meta"] = {"createdAt": resource.get("meta", {}).get("createdAt", at), "lastUpdated": at}
        own["meta"]["versionId"] = str(self._txid)
        self._keep(Entry(self._txid, copy.deepcopy(own), "PUT" if "meta" in resource else "POST"))
        self.now += timedelta(milliseconds=1)
        return own

    def _keep(self, entry: Entry) -> None:
        own = entry.resource
        deleted = entry.method == "DELETE"
        facts = (own.get("status"), own.get("outcome"), own.get("execId"))
        version = str(own.get("meta", {}).get("versionId"))
        self.ledger.append(Fact(own["resourceType"], own["id"], version, *facts, deleted))
        if self.holding:
            self._held.append(entry)
        else:
            self._show(entry)

    def _show(self, entry: Entry) -> None:
        kind, own = entry.resource["resourceType"], entry.resource
        self.past[kind].append(entry)
        if entry.method == "DELETE":
            self.tables[kind].pop(own["id"], None)
        else:
            self.tables[kind][own["id"]] = own

    def _delete(self, resource: Resource) -> None:
        if self.told:
            self._txid += 1
            at = self.now.isoformat(timespec="microseconds").replace("+00:00", "Z")
            meta = {**resource["meta"], "lastUpdated": at, "versionId": str(self._txid)}
            self._keep(Entry(self._txid, {**copy.deepcopy(resource), "meta": meta}, "DELETE"))
        else:
            self.tables[resource["resourceType"]].pop(resource["id"], None)
            kept = [e for e in self.past[resource["resourceType"]] if e.resource["id"] != resource["id"]]
            self.past[resource["resourceType"]] = kept
