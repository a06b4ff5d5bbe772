"""Asking the database: what the commands, the HTTP API and notebooks share.

    from indexer.query import ask, claimable, connect

    with connect(url) as database:                      # `taskscan db url` prints it
        for row in ask(database, claimable(worker="0x…")).rows:
            print(row.task_id, row.gain, row.call)      # Call(chain_id, to, data, sender): yours to sign and send

`connect_async` and `ask_async` are the same for asynchronous programs; `watch` follows one task. Rows are typed
(`indexer.query.rows`); `as_arrow` and `as_pandas` turn them into tables. Errors: NotFound, Ambiguous, NotCovered and
other UsageError, each with the `http_status` of `indexer.errors`.
"""

from indexer.query.asking import Query, ask, ask_async, connect, connect_async
from indexer.query.calls import claim_all, finalize
from indexer.query.frames import as_arrow, as_pandas
from indexer.query.questions import (
    Rows,
    claimable,
    daily,
    expiring,
    latencies,
    open_disputes,
    parameter_history,
    pool_depth,
    stuck,
    subjects,
    task_by_id,
    tasks,
    work,
    worker_records,
)
from indexer.query.rows import Call
from indexer.query.watching import Change, watch

__all__ = [
    "Call", "Change", "Query", "Rows", "as_arrow", "as_pandas", "ask", "ask_async", "claim_all", "claimable", "connect",
    "connect_async", "daily", "expiring", "finalize", "latencies", "open_disputes", "parameter_history", "pool_depth",
    "stuck", "subjects", "task_by_id", "tasks", "watch", "work", "worker_records",
]  # fmt: skip
