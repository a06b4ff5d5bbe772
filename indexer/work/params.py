"""Parameters of the methods of the Task Executor API, as aidbox.md B2 lists them, checked before anything happens."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from indexer.errors import TaskRefused

T = TypeVar("T", bound=Struct)
LONGEST_WAIT = 600_000  # milliseconds of a long poll
Milliseconds = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9\-._:]{1,128}$")]
Definition = Annotated[str, Meta(min_length=1, max_length=200)]
Definitions = Annotated[list[Definition], Meta(max_length=100)]
Text = Annotated[str, Meta(max_length=10_000)]


class Create(Struct, kw_only=True, rename="camel"):
    """`awf.task/create-and-execute`. The settings from `requested_to_start_timeout` on, which Aidbox keeps with the
    definition, are an addition of ours; None takes the definition's default."""

    definition: Definition
    params: Any = None
    id: Id | None = None
    label: Text | None = None
    execute_at: str | None = None
    requested_to_start_timeout: Milliseconds | None = None
    in_progress_timeout: Milliseconds | None = None
    allowed_retry_count: Count | None = None
    retry_delay: Milliseconds | None = None
    concurrency_limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    concurrency_path: list[str | int] | None = None


class Status(Struct, kw_only=True):
    """`awf.task/status`."""

    id: Id
    include_settings: bool = field(name="include-settings?", default=False)
    include_log: bool = field(name="include-log?", default=False)


class Cancel(Struct):
    """`awf.task/cancel`."""

    id: Id


class Filter(Struct, kw_only=True, rename="camel"):
    """`filter` of `awf.task/list`."""

    include_definitions: Definitions | None = None
    exclude_definitions: Definitions | None = None
    status: Literal["created", "ready", "requested", "in-progress", "done", "waiting"] | None = None
    outcome: Literal["succeeded", "failed", "canceled"] | None = None
    ilike: Text | None = None


class Sort(Struct, kw_only=True, rename="camel"):
    """`sort` of `awf.task/list`."""

    created_at: Literal["asc", "desc"] | None = None
    last_updated: Literal["asc", "desc"] | None = None


class List(Struct, kw_only=True):
    """`awf.task/list`."""

    filter: Filter = field(default_factory=Filter)
    sort: Sort = field(default_factory=Sort)


class Poll(Struct, kw_only=True, rename="camel"):
    """`awf.task/poll`, and with `timeout` in milliseconds `awf.task/long-poll`."""

    task_definitions: Definitions | None = None
    workflow_definitions: Definitions | None = None
    max_batch_size: Annotated[int, Meta(ge=1, le=1000)] = 1
    timeout: Annotated[int, Meta(ge=0, le=LONGEST_WAIT)] = 60_000


class Start(Struct, kw_only=True, rename="camel"):
    """`awf.task/start`."""

    id: Id
    exec_id: Text


class Notify(Struct, kw_only=True):
    """`awf.task/notify`. The documentation names the notifications without `awf.task/`, its example with it."""

    id: Id
    exec_id: Text = field(name="execId")
    notification: Literal["heartbeat", "progress", "awf.task/heartbeat", "awf.task/progress"]
    message: Text | None = None
    progress_current: int | None = field(name="progress-current", default=None)
    progress_total: int | None = field(name="progress-total", default=None)
    progress_unit: Text | None = field(name="progress-unit", default=None)

    def __post_init__(self) -> None:
        if self.notification.endswith("progress") and self.progress_current is None:
            raise ValueError("Object missing required field `progress-current`")

    def extra(self) -> dict[str, Any]:
        """What belongs into the log, by the names of the protocol."""
        tree: dict[str, Any] = msgspec.to_builtins(self)
        return {name: value for name, value in tree.items() if name not in ("id", "execId") and value is not None}


class Success(Struct, kw_only=True, rename="camel"):
    """`awf.task/success`."""

    id: Id
    exec_id: Text
    result: Any = None


class Fail(Struct, kw_only=True, rename="camel"):
    """`awf.task/fail`. Aidbox's own TypeScript SDK sends `result` for `error`."""

    id: Id
    exec_id: Text
    error: Any = None
    result: Any = None


def checked(tree: Any, kind: type[T]) -> T:
    """`tree` as parameters of a method. Raises TaskRefused (422) that names what is wrong."""
    try:
        return msgspec.convert({} if tree is None else tree, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`params.").replace("`$`", "`params`").replace("Object missing", "missing")
        raise TaskRefused(f"The parameters cannot be used: {text}.", kind="invalid-params") from None


def time_of(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC. Raises TaskRefused (422)."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TaskRefused(
            f"executeAt {text[:40]!r} is no time such as 2023-05-03T13:30:43.", kind="invalid-params"
        ) from None
