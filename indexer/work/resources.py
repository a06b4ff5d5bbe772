"""Rows of the queue as the resources of the Task Executor API: AidboxTask and AidboxTaskLog (aidbox.md B3)."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

Row = sa.Row[Any]


def task(job: Row) -> dict[str, Any]:
    """A job as AidboxTask. What is not there is left out, as Aidbox does."""
    found = {
        "id": job.id,
        "resourceType": "AidboxTask",
        "definition": job.definition,
        "label": job.label,
        "params": job.params,
        "status": job.status,
        "outcome": job.outcome,
        "outcomeReason": job.outcome_reason,
        "result": job.result,
        "error": job.error,
        "execId": job.exec_id,
        "executeAt": _local(job.execute_at),
        "retryCount": job.retry_count or None,
        "meta": {
            "lastUpdated": moment(job.updated_at),
            "createdAt": moment(job.created_at),
            "versionId": str(job.version),
        },
    }
    return {name: value for name, value in found.items() if value is not None}


def settings(job: Row) -> dict[str, Any]:
    """The settings that hold for a job; times in milliseconds."""
    found = {
        "requestedToStartTimeout": job.requested_to_start_timeout,
        "inProgressTimeout": job.in_progress_timeout,
        "allowedRetryCount": job.allowed_retry_count,
        "retryDelay": job.retry_delay,
        "concurrencyLimit": job.concurrency_limit,
    }
    return {name: value for name, value in found.items() if value is not None}


def entry(row: Row) -> dict[str, Any]:
    """A line of the log as AidboxTaskLog."""
    found = {
        "id": str(row.log_id),
        "resourceType": "AidboxTaskLog",
        "action": row.action,
        "action-params": row.action_params,
        "status-before": row.status_before,
        "status-after": row.status_after,
        "subject": {"id": row.job_id, "resourceType": "AidboxTask"},
        "meta": {"createdAt": moment(row.at), "lastUpdated": moment(row.at)},
    }
    return {name: value for name, value in found.items() if value is not None}


def moment(time: datetime | None) -> str | None:
    """A time as Aidbox writes it: 2023-05-03T15:21:19.357771Z."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


def _local(time: datetime | None) -> str | None:
    """Without a zone, as the documentation's `executeAt`; it is UTC."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() if time else None
