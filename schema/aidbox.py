"""Schema `aidbox`: tasks, workflows and task logs of Aidbox's Workflow Engine, read through its API.

Every version of a resource that was read is a row; `tasks` and `workflows` are the newest version of each, and
`executions` what follows from the versions of a task, all made from the version rows alone. Sources of names and
meanings: HealthSamurai/aidbox-docs, core-module-resources.md (aidbox.md B3).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from indexer.networks.aidbox.fields import LOG, TASK, WORKFLOW, Fields
from schema.base import metadata


def _key(name: str, comment: str | None = None, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """An id, a word or another short text."""
    return Column(name, Text(collation="C"), primary_key=primary_key, nullable=nullable, comment=comment)


def _time(name: str, comment: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def _number(name: str, comment: str) -> Column[int]:
    return Column(name, BigInteger, comment=comment)


def _columns(fields: Fields) -> list[Column[Any]]:
    found: list[Column[Any]] = []
    for name, (_, kind, meaning) in fields.items():
        if kind == "time":
            found.append(_time(name, meaning))
        elif kind == "number":
            found.append(Column(name, Numeric, comment=meaning))
        elif kind == "json":
            found.append(Column(name, JSONB(none_as_null=True), comment=meaning))
        else:
            raw = f"bytes of {name} where it is no text that PostgreSQL can hold, or too long for a key"
            text = _key(name, meaning, nullable=True) if kind == "key" else Column(name, Text, comment=meaning)
            found += [text, Column(f"{name}_raw", LargeBinary, comment=raw)]
    return found


def _extra() -> Column[Any]:
    return Column("extra", JSONB(none_as_null=True), comment="fields that no column knows, or of another form")


def _chain(*chain: ForeignKey) -> Column[int]:
    return Column("chain_id", BigInteger, *chain, primary_key=True, autoincrement=False)


def _version() -> list[Column[Any]]:
    return [
        _key("version", "meta.versionId; 'none:' and a digest where there is none", primary_key=True),
        _number("version_number", "version as a number: it grows with every transaction of the installation"),
        _time("updated_at", "meta.lastUpdated: when this version was made, by Aidbox's clock"),
        _time("created_at", "meta.createdAt of the resource"),
    ]


def _versions(name: str, key: str, fields: Fields, what: str, *indexes: Index) -> Table:
    return Table(
        name,
        metadata,
        _chain(),
        _key(key, "id of the resource", primary_key=True),
        *_version(),
        Column("deleted", Boolean, nullable=False, comment="whether this version is the removal of the resource"),
        *_columns(fields),
        _extra(),
        Column("digest", LargeBinary, nullable=False, comment="BLAKE2b-128 of the resource without meta"),
        _time("read_at", "when it was read", nullable=False),
        Index(None, "chain_id", "updated_at"),
        Index(None, "chain_id", "version_number"),
        *indexes,
        schema="aidbox",
        comment=what,
    )


def _entity(name: str, key: str, fields: Fields, what: str) -> Table:
    return Table(
        name,
        metadata,
        _chain(ForeignKey("chain.chains.chain_id")),
        _key(key, "id of the resource", primary_key=True),
        _key("version", "meta.versionId of the newest version read"),
        _number("version_number", "the same as a number"),
        _time("updated_at", "when the newest version was made"),
        _time("created_at", "when it was asked for"),
        _number("created_version", "version that made it; NULL: it was not read"),
        _time("started_at", "first version read with status in-progress"),
        _time("finished_at", "first version read with status done"),
        _time("cleaned_up_at", "when it was removed, or found to be; NULL: it is there"),
        *_columns(fields),
        _extra(),
        Index(None, "created_at"),
        Index(None, key),
        Index(None, "definition"),
        Index(None, "requester_id"),
        schema="aidbox",
        comment=what,
    )


task_versions = _versions(
    "task_versions", "task_id", TASK, "Versions of tasks: all of them where Aidbox keeps histories, else those seen."
)
workflow_versions = _versions("workflow_versions", "workflow_id", WORKFLOW, "Versions of workflows.")
task_log = _versions(
    "task_log", "log_id", LOG, "What happened to tasks, as Aidbox logs it. Clean-up removes it there, not here.",
    Index(None, "chain_id", "task_id"),
)  # fmt: skip
tasks = _entity("tasks", "task_id", TASK, "Tasks of Aidbox as their newest version shows them.")
workflows = _entity("workflows", "workflow_id", WORKFLOW, "Workflows of Aidbox as their newest version shows them.")

executions = Table(
    "executions",
    metadata,
    _chain(),
    _key("task_id", "the task", primary_key=True),
    _key("exec_id", "the execution", primary_key=True),
    _key("executor", "what Aidbox tells of who does it: its pool, else the definition", nullable=True),
    Column("attempt", Numeric, comment="retryCount"),
    Column("state", Text, nullable=False, comment="submitted, accepted, rejected, expired or lost"),
    _time("requested_at", "first version of it that was read"),
    _time("started_at", "first of these with status in-progress"),
    _time("settled_at", "first version after it, or the one that is done"),
    Index(None, "requested_at"),
    Index(None, "executor"),
    Index(None, "task_id"),
    schema="aidbox",
    comment="Executions of tasks: one row per execId that was read.",
)

absences = Table(
    "absences",
    metadata,
    _chain(),
    _key("resource", "AidboxTask or AidboxWorkflow", primary_key=True),
    _key("id", "of the resource", primary_key=True),
    _key("after_version", "newest version that was read", primary_key=True),
    _time("found_at", "when Aidbox no longer had it", nullable=False),
    schema="aidbox",
    comment="Resources that Aidbox no longer has although nobody told of their removal: a clean-up did it.",
)

unreadable = Table(
    "unreadable",
    metadata,
    _chain(),
    Column("digest", LargeBinary, primary_key=True, comment="BLAKE2b-128 of data"),
    _key("resource", "type of resource that was asked for"),
    Column("reason", Text, nullable=False, comment="in words"),
    Column("data", LargeBinary, nullable=False, comment="as answered, JSON text"),
    _time("first_at", "when it was read first", nullable=False),
    schema="aidbox",
    comment="Resources that could not become rows, raw.",
)

novelties = Table(
    "novelties",
    metadata,
    _chain(),
    _key("resource", "type of the resource", primary_key=True),
    _key("field", "path of the field", primary_key=True),
    _key("word", "new word of an enumeration; empty: the field itself is new, or of another form", primary_key=True),
    _key("first_id", "resource that had it first"),
    _time("first_at", "when that was read", nullable=False),
    schema="aidbox",
    comment="Fields and words that this version does not know. They are kept, and each was reported once.",
)

cursors = Table(
    "cursors",
    metadata,
    _chain(ForeignKey("chain.chains.chain_id")),
    _key("resource", "type of the resources", primary_key=True),
    Column("mode", Text, nullable=False, comment="history, updated or list: how they are read"),
    _number("version", "newest version of the last pass that ended"),
    _time("updated_at", "its meta.lastUpdated"),
    _number("floor_version", "versions up to this one need not be read again"),
    _time("floor_at", "the same as a time, by Aidbox's clock"),
    _number("swept_version", "floor_version when everything was last read again"),
    _time("swept_at", "when that was"),
    _time("read_at", "when the last pass that ended was begun", nullable=False),
    schema="aidbox",
    comment="How far each type of resource is read.",
)
