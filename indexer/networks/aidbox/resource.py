"""A resource of an Aidbox as typed columns. Pure: plain JSON values in, a row out, and nothing of it is lost.

What fits no column, or has another form than documented, goes to `extra` under its own name, and is named in `odd` so
that it can be reported once. Words that are not documented are kept as they are, and named there, too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from indexer.networks.aidbox.fields import LOG as LOG_FIELDS
from indexer.networks.aidbox.fields import TASK as TASK_FIELDS
from indexer.networks.aidbox.fields import WORKFLOW as WORKFLOW_FIELDS
from indexer.networks.aidbox.fields import Fields
from indexer.networks.aidbox.values import LONGEST_KEY, as_number, as_time, as_version, nested_too_deeply
from indexer.networks.aidbox.words import KNOWN, LOG, TASK, WORKFLOW
from indexer.networks.text import holdable, raw_bytes, split

FIELDS: dict[str, Fields] = {TASK: TASK_FIELDS, WORKFLOW: WORKFLOW_FIELDS, LOG: LOG_FIELDS}
LONGEST_ID = 255  # characters; FHIR allows 64
OTHER = "…"  # stands in reports for a name that is no plain text
QUIET = frozenset({"meta.tag", "meta.extension"})  # what the history adds to each version


class Unreadable(ValueError):
    """A value that is no resource with an id; the text says why."""


@dataclass(frozen=True)
class Version:
    """One version of a resource. `number`: its version id as a number, which grows with every transaction.

    `deleted`: this version is its removal. `columns`: column -> value. `odd`: (field, word) of what is not documented;
    the word is empty where the field itself is not. `digest`: of all but `meta`.
    """

    resource: str
    id: str
    version: str
    number: int | None
    updated_at: datetime | None
    created_at: datetime | None
    deleted: bool
    columns: dict[str, Any]
    extra: dict[str, Any]
    odd: tuple[tuple[str, str], ...]
    digest: bytes


def read(value: Any, expected: str, *, deleted: bool = False) -> Version:
    """The resource `value`, of type `expected` unless it says otherwise. Raises Unreadable."""
    if not isinstance(value, dict):
        raise Unreadable("it is no object")
    resource = value.get("resourceType", expected)
    if not isinstance(resource, str) or resource not in FIELDS:
        raise Unreadable(f"it is no resource of type {expected}")
    own = value.get("id")
    if not isinstance(own, str) or not 0 < len(own) <= LONGEST_ID or split(own)[1] is not None:
        raise Unreadable(f"it has no id of 1 to {LONGEST_ID} characters")
    if nested_too_deeply(value):
        raise Unreadable("it is nested too deeply")
    columns, extra, odd = _columns(resource, value)
    digest = blake2b(_canonical(value), digest_size=16).digest()
    meta = value.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    named = meta.get("versionId")
    good = isinstance(named, str) and 0 < len(named) <= LONGEST_ID and split(named)[1] is None
    return Version(
        resource, own, str(named) if good else f"none:{digest.hex()}", as_version(named),
        as_time(meta.get("lastUpdated")), as_time(meta.get("createdAt")), deleted, columns, extra, tuple(odd), digest,
    )  # fmt: skip


def _columns(resource: str, value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]:
    left = dict(_leaves(resource, value))
    columns: dict[str, Any] = {}
    for column, (path, kind, _) in FIELDS[resource].items():
        found = _as_kind(column, kind, left.get(path))
        if path in left and (found is not None or left[path] is None):
            del left[path]
        columns |= found if found is not None else _as_kind(column, kind, None) or {}
    odd = [(_name(path), "") for path in left if path not in QUIET]
    for column, known in KNOWN[resource].items():
        if (word := columns[column]) is not None and word not in known:
            odd.append((FIELDS[resource][column][0], word))
    return columns, holdable(left), odd


def _leaves(resource: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Path -> value of all but the fixed fields; objects whose parts have columns are taken apart."""
    parts = {path.partition(".")[0] for path, _, _ in FIELDS[resource].values() if "." in path}
    for name, item in value.items():
        if name == "meta" and isinstance(item, dict):
            yield from _meta(item)
        elif name in parts and isinstance(item, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in item.items())
        elif name not in ("id", "resourceType"):
            yield name, item


def _meta(meta: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What of `meta` is not in the fixed columns."""
    for name, item in meta.items():
        if name in ("lastUpdated", "createdAt") and as_time(item) is not None:
            continue
        if name != "versionId" or not isinstance(item, str) or len(item) > LONGEST_ID or split(item)[1] is not None:
            yield f"meta.{name}", item


def _as_kind(column: str, kind: str, value: Any) -> dict[str, Any] | None:
    """`value` as the columns of `column`; None where it is of another form."""
    if kind == "json":
        return {column: holdable(value)}
    if kind == "number":
        number = as_number(value)
        return {column: number} if number is not None or value is None else None
    if kind == "time":
        moment = as_time(value)
        return {column: moment} if moment is not None or value is None else None
    if value is not None and not isinstance(value, str):
        return None
    if kind == "key" and value is not None and len(value) > LONGEST_KEY:
        return {column: None, f"{column}_raw": raw_bytes(value)}
    return dict(zip((column, f"{column}_raw"), split(value), strict=True))


def _name(path: str) -> str:
    return path if len(path) <= 100 and path.isprintable() and split(path)[1] is None else OTHER


def _canonical(value: dict[str, Any]) -> bytes:
    content = {name: item for name, item in value.items() if name != "meta"}
    return json.dumps(holdable(content), sort_keys=True, separators=(",", ":")).encode()
