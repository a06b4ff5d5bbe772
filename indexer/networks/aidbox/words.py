"""The words of Aidbox's Task API: what it calls its resources, states, outcomes and methods (aidbox.md B2, B3)."""

TASK, WORKFLOW, LOG = "AidboxTask", "AidboxWorkflow", "AidboxTaskLog"

CREATED, WAITING, READY = "created", "waiting", "ready"
REQUESTED, IN_PROGRESS, DONE = "requested", "in-progress", "done"
STATUSES = (CREATED, WAITING, READY, REQUESTED, IN_PROGRESS, DONE)
WORKFLOW_STATUSES = (CREATED, IN_PROGRESS, DONE)

SUCCEEDED, FAILED, CANCELED = "succeeded", "failed", "canceled"
OUTCOMES = (SUCCEEDED, FAILED, CANCELED)

BY_EXECUTOR = "awf.task/failed-by-executor"
IN_PROGRESS_TIMEOUT = "awf.task/failed-due-to-in-progress-timeout"
WORKFLOW_BY_EXECUTOR = "awf.workflow/failed-by-executor"
UNKNOWN_ERROR = "awf.executor/unknown-error"

DECISION_TASK = "awf.workflow/decision-task"
CLEAN_UP = "awf.task/clean-up-activities"

KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    TASK: {
        "status": STATUSES,
        "outcome": OUTCOMES,
        "outcome_type": (BY_EXECUTOR, IN_PROGRESS_TIMEOUT, UNKNOWN_ERROR),
    },
    WORKFLOW: {
        "status": WORKFLOW_STATUSES,
        "outcome": OUTCOMES,
        "outcome_type": (WORKFLOW_BY_EXECUTOR, UNKNOWN_ERROR, IN_PROGRESS_TIMEOUT),
    },
    LOG: {"status_before": STATUSES, "status_after": STATUSES},
}
"""Resource -> column -> the words that are documented for it."""

LIST = {TASK: "awf.task/list", WORKFLOW: "awf.workflow/list"}
STATUS = {TASK: "awf.task/status", WORKFLOW: "awf.workflow/status"}
READING = frozenset({*LIST.values(), *STATUS.values()})
"""The methods that change nothing. Polling is none of them: it takes the task away from its executor."""
