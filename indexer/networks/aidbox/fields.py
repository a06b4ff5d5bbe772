"""The fields of Aidbox's resources and the columns they go to.

Sources: HealthSamurai/aidbox-docs, core-module-resources.md and the examples of its pages (aidbox.md B3). Kinds: `key`
(an id or a word, bounded, for indexes), `text`, `number`, `time` and `json` (anything).
"""

Fields = dict[str, tuple[str, str, str]]

_BOTH: Fields = {
    "definition": ("definition", "key", "what is to be done"),
    "status": ("status", "key", "created, waiting, ready, requested, in-progress, done, or a later version's word"),
    "outcome": ("outcome", "key", "succeeded, failed, canceled, or a later version's word; only when done"),
    "outcome_type": ("outcomeReason.type", "key", "kind of failure"),
    "outcome_message": ("outcomeReason.message", "text", "failure in words"),
    "outcome_data": ("outcomeReason.data", "json", "more about the failure"),
    "label": ("label", "text", "name that its requester gave"),
    "requester_type": ("requester.resourceType", "key", "type of who asked for it; AidboxWorkflow: a step of it"),
    "requester_id": ("requester.id", "key", "id of who asked for it"),
    "requester_display": ("requester.display", "text", "name of who asked for it"),
    "requester_service": ("requester.service", "key", "service that asked for it"),
    "requester_rule": ("requester.rule", "key", "rule of the scheduler that asked for it"),
    "exec_id": ("execId", "key", "the execution, another one after each retry"),
    "execute_at": ("executeAt", "time", "not to be executed before"),
    "retry_count": ("retryCount", "number", "attempts that were begun"),
    "params": ("params", "json", "input"),
    "result": ("result", "json", "output; only when succeeded"),
    "error": ("error", "json", "what its executor said; only when failed"),
}  # fmt: skip

TASK: Fields = _BOTH | {
    "allowed_retry_count": ("allowedRetryCount", "number", "attempts at most"),
    "retry_delay": ("retryDelay", "number", "between attempts; the documentation says milliseconds and seconds"),
    "in_progress_timeout": ("inProgressTimeout", "number", "of an execution without a sign of life; see retry_delay"),
    "requested_to_start_timeout": ("requestedToStartTimeout", "number", "from poll to start; see retry_delay"),
    "concurrency_limit": ("concurrencyLimit", "number", "executions at the same time, at most"),
    "concurrency_path": ("concurrencyPath", "json", "which tasks the limit counts together"),
    "workflow_definition": ("workflow-definition", "key", "of a decision task: the workflow that it decides for"),
    "pool": ("pool", "key", "executors that may take it; only in early versions of Aidbox"),
}  # fmt: skip
"""Column -> path in an AidboxTask, kind of value, meaning."""

WORKFLOW: Fields = _BOTH
"""The same for an AidboxWorkflow."""

LOG: Fields = {
    "task_id": ("subject.id", "key", "the task, or workflow, that it tells of"),
    "subject_type": ("subject.resourceType", "key", "AidboxTask or AidboxWorkflow"),
    "subject_display": ("subject.display", "text", "name of the subject"),
    "action": ("action", "key", "what was done, in Aidbox's own word"),
    "action_params": ("action-params", "json", "with what"),
    "status_before": ("status-before", "key", "status of the task before it"),
    "status_after": ("status-after", "key", "status of the task after it"),
    "scheduled": ("scheduled", "json", "action that it planned"),
    "re_scheduled": ("re-scheduled", "json", "action that it planned anew"),
}
"""The same for an AidboxTaskLog."""
