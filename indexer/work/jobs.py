"""The task state machine in `work.jobs`: what each method of the Task Executor API does to a job.

ready → requested (poll) → in-progress (start) → done; waiting → ready when its time has come; a failure with attempts
left → waiting; any → done by cancel (aidbox.md B3). What time alone does: `work.pass_time` in `schema/sql/90_work.sql`.
Every function works inside the caller's transaction, locks the job, writes the log, and takes the time from the
database. Raises TaskRefused for what the state or the execution does not allow.
"""

import json
import uuid
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from indexer.errors import TaskRefused
from indexer.work import params as p
from schema.work import job_log, jobs

Job = sa.Row[Any]
MS = sa.text("interval '1 millisecond'")
NOW = sa.func.clock_timestamp()
AT_ONCE = 500  # jobs whose time is over that one call moves on
MOST_LISTED = 20_000  # tasks in one answer of `awf.task/list`, which has no pages
WAIT = "awf.task/wait"
SUBSCRIBE = "awf.task/subscribe"
BY_EXECUTOR = {"type": "awf.task/failed-by-executor", "message": "Failed by executor"}


class Defaults(NamedTuple):
    """Settings of a definition: milliseconds, and how often a job may be started."""

    requested_to_start_timeout: int = 10_000
    in_progress_timeout: int = 120_000
    allowed_retry_count: int = 2
    retry_delay: int = 10_000


SCAN = "taskscan/scan-range"
# A worker that is killed costs half a minute, and one that fails does not use the last attempt of a range soon.
DEFAULTS = {SCAN: Defaults(in_progress_timeout=30_000, allowed_retry_count=20, retry_delay=2_000)}


def create(connection: sa.Connection, wanted: p.Create, client: str) -> Job:
    """`awf.task/create-and-execute`: a job that is ready, or waits for its `executeAt`."""
    if wanted.definition == SUBSCRIBE:
        raise TaskRefused("There are no FHIR resources here to subscribe to.", kind="definition-not-supported")
    settings = _settings(wanted)
    row = {
        "id": wanted.id or str(uuid.uuid4()),
        "definition": wanted.definition,
        "label": wanted.label,
        "params": wanted.params,
        "created_by": client,
        "concurrency_limit": wanted.concurrency_limit,
        "concurrency_key": _concurrency_key(wanted) if wanted.concurrency_limit else None,
        **settings,
        **_beginning(wanted),
    }
    job = connection.execute(insert(jobs).values(**row).on_conflict_do_nothing().returning(jobs)).one_or_none()
    if job is None:
        raise TaskRefused(f"There is a task '{row['id']}' already.", kind="task-already-exists", status=409)
    _note(connection, job, "awf.task/create-and-execute", None, client)
    return job


def poll(connection: sa.Connection, wanted: p.Poll, client: str) -> list[Job]:
    """`awf.task/poll`: up to `max_batch_size` ready jobs, which become requested, each with a new execId."""
    if wanted.task_definitions is None and wanted.workflow_definitions is None:
        raise TaskRefused("taskDefinitions must name the definitions to poll for.", kind="invalid-params")
    if not wanted.task_definitions:
        return []
    connection.execute(sa.select(sa.func.work.pass_time(AT_ONCE)))
    taken = sa.func.work.take(sa.cast(wanted.task_definitions, sa.ARRAY(sa.Text)), wanted.max_batch_size, client)
    columns = taken.table_valued(*(sa.column(c.name, c.type) for c in jobs.c))
    return list(connection.execute(sa.select(columns)))


def start(connection: sa.Connection, wanted: p.Start, client: str) -> Job:
    """`awf.task/start`; the same execution may say it again, for the first answer may have been lost."""
    job = _of_execution(connection, wanted.id, wanted.exec_id)
    if job.status == "in-progress":
        return job
    _must_be(job, "requested", "started")
    values: dict[str, Any] = {"status": "in-progress", "retry_count": jobs.c.retry_count + 1, "due_at": _alive_until()}
    return _move(connection, job, "awf.task/start", client, **values)


def notify(connection: sa.Connection, wanted: p.Notify, client: str) -> Job:
    """`awf.task/notify`: a sign of life, which puts off the end of the patience."""
    job = _of_execution(connection, wanted.id, wanted.exec_id)
    _must_be(job, "in-progress", "reported on")
    return _move(connection, job, "awf.task/notify", client, wanted.extra(), due_at=_alive_until())


def success(connection: sa.Connection, wanted: p.Success, client: str) -> Job:
    """`awf.task/success`; the same execution may say it again."""
    job = _of_execution(connection, wanted.id, wanted.exec_id)
    if job.outcome == "succeeded":
        return job
    _must_be(job, "in-progress", "completed")
    return _end(connection, job, "awf.task/success", client, outcome="succeeded", result=wanted.result)


def fail(connection: sa.Connection, wanted: p.Fail, client: str) -> Job:
    """`awf.task/fail`: to be tried again after `retryDelay`, or failed when all attempts are used up."""
    job = _of_execution(connection, wanted.id, wanted.exec_id)
    if job.outcome == "failed":
        return job
    _must_be(job, "in-progress", "failed")
    error = wanted.result if wanted.error is None else wanted.error
    if job.retry_count >= job.allowed_retry_count:
        over = {"outcome_reason": BY_EXECUTOR, "error": error}
        return _end(connection, job, "awf.task/fail", client, outcome="failed", **over)
    later = NOW + jobs.c.retry_delay * MS
    values: dict[str, Any] = {"status": "waiting", "exec_id": None, "execute_at": later, "due_at": later}
    return _move(connection, job, "awf.task/fail", client, {"error": error}, **values)


def cancel(connection: sa.Connection, wanted: p.Cancel, client: str) -> Job:
    """`awf.task/cancel`: from any state but done."""
    job = _locked(connection, wanted.id)
    if job.status == "done":
        raise TaskRefused(
            f"Task id:'{job.id}' has already been done. Couldn't cancel it.", kind="task-has-been-done"
        )  # fmt: skip
    return _end(connection, job, "awf.task/cancel", client, outcome="canceled")


def status(connection: sa.Connection, wanted: p.Status) -> tuple[Job, list[Job]]:
    """`awf.task/status`: the job, and its log if that is asked for."""
    job = connection.execute(sa.select(jobs).where(jobs.c.id == wanted.id)).one_or_none()
    if job is None:
        raise _unknown(wanted.id)
    mine = sa.select(job_log).where(job_log.c.job_id == job.id).order_by(job_log.c.log_id)
    return job, list(connection.execute(mine)) if wanted.include_log else []


def listed(connection: sa.Connection, wanted: p.List) -> list[Job]:
    """`awf.task/list`: all jobs that pass the filter. Raises TaskRefused for more than an answer can hold."""
    c, asked = jobs.c, wanted.filter
    query = sa.select(jobs).limit(MOST_LISTED + 1)
    if asked.include_definitions is not None:
        query = query.where(c.definition.in_(asked.include_definitions))
    if asked.exclude_definitions is not None:
        query = query.where(c.definition.not_in(asked.exclude_definitions))
    if asked.status is not None:
        query = query.where(c.status == asked.status)
    if asked.outcome is not None:
        query = query.where(c.outcome == asked.outcome)
    if asked.ilike is not None:
        query = query.where(sa.or_(*(x.icontains(asked.ilike, autoescape=True) for x in (c.definition, c.label, c.id))))
    found = list(connection.execute(query.order_by(*_order(wanted.sort), c.turn)))
    if len(found) > MOST_LISTED:
        raise TaskRefused(f"More than {MOST_LISTED:,} tasks pass this filter: narrow it.", kind="too-many-tasks")
    return found


def _order(sort: p.Sort) -> list[sa.ColumnElement[Any]]:
    wanted = [(sort.created_at, jobs.c.created_at), (sort.last_updated, jobs.c.updated_at)]
    return [column.desc() if way == "desc" else column.asc() for way, column in wanted if way]


def _settings(wanted: p.Create) -> dict[str, int]:
    own = {name: getattr(wanted, name) for name in Defaults._fields}
    defaults = DEFAULTS.get(wanted.definition, Defaults())._asdict()
    return {name: defaults[name] if value is None else value for name, value in own.items()}


def _beginning(wanted: p.Create) -> dict[str, object]:
    """The first status of a job. The two built-in definitions of Aidbox that no executor does begin in progress."""
    if wanted.definition == WAIT:
        return {"status": "in-progress", "retry_count": 1, "due_at": _wait_until(wanted.params)}
    if wanted.execute_at is None:
        return {"status": "ready"}
    at = p.time_of(wanted.execute_at)
    later = sa.literal(at) > NOW
    return {
        "execute_at": at,
        "status": sa.case((later, "waiting"), else_="ready"),
        "due_at": sa.case((later, sa.literal(at))),
    }


def _wait_until(params: Any) -> Any:
    """When an `awf.task/wait` is over: {duration: {hours, minutes, seconds}} or {until: time}."""
    tree = params if isinstance(params, dict) else {}
    if isinstance(tree.get("until"), str):
        return p.time_of(tree["until"])
    parts = tree.get("duration")
    units = {"hours": 3600, "minutes": 60, "seconds": 1}
    if not isinstance(parts, dict) or not parts or not all(
        name in units and isinstance(n, int | float) and 0 <= n < 1e8 for name, n in parts.items()
    ):  # fmt: skip
        raise TaskRefused("awf.task/wait needs params.duration or params.until.", kind="invalid-params")
    return NOW + sa.func.make_interval(0, 0, 0, 0, 0, 0, sum(units[name] * n for name, n in parts.items()))


def _concurrency_key(wanted: p.Create) -> str:
    """The definition and what `concurrencyPath` leads to in the params: jobs that are alike in it share the limit."""
    value = wanted.params
    for step in wanted.concurrency_path or ():
        try:
            value = value[step]
        except (LookupError, TypeError):
            value = None
    part = value if wanted.concurrency_path else None
    return f"{wanted.definition} {json.dumps(part, sort_keys=True)}"[:2000]


def _alive_until() -> sa.ColumnElement[Any]:
    return NOW + jobs.c.in_progress_timeout * MS


def _unknown(job_id: str) -> TaskRefused:
    return TaskRefused(f"There is no task '{job_id}'.", kind="task-not-found", status=404)


def _locked(connection: sa.Connection, job_id: str) -> Job:
    job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()
    if job is None:
        raise _unknown(job_id)
    return job


def _of_execution(connection: sa.Connection, job_id: str, exec_id: str) -> Job:
    """The job, locked, if `exec_id` is the execution that has it: the fence."""
    job = _locked(connection, job_id)
    if job.exec_id != exec_id:
        raise TaskRefused(f"Execution '{exec_id[:100]}' does not have task '{job.id}' any more.", kind="wrong-exec-id")
    return job


def _must_be(job: Job, status: str, verb: str) -> None:
    if job.status != status:
        now = job.status if job.outcome is None else f"{job.status} ({job.outcome})"
        raise TaskRefused(f"Task '{job.id}' is {now}: it cannot be {verb}.", kind="wrong-status")


def _end(connection: sa.Connection, job: Job, action: str, client: str, **values: Any) -> Job:
    return _move(connection, job, action, client, status="done", due_at=None, **values)


def _move(
    connection: sa.Connection, job: Job, action: str, client: str, extra: dict[str, Any] | None = None, **values: Any
) -> Job:
    changed = sa.update(jobs).where(jobs.c.id == job.id).values(**values).returning(jobs)
    moved = connection.execute(changed).one()
    _note(connection, moved, action, job, client, extra)
    return moved


def _note(
    connection: sa.Connection, job: Job, action: str, before: Job | None, client: str,
    extra: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    entry = {
        "job_id": job.id,
        "action": action,
        "action_params": extra,
        "status_before": before.status if before else None,
        "status_after": job.status,
        "exec_id": job.exec_id or (before.exec_id if before else None),
        "client_id": client,
        "at": NOW,
    }
    connection.execute(sa.insert(job_log).values(**entry))
