-- The executions of some tasks, made anew from all their versions: an execId is one, from the first version that shows
-- it to the one that is done, or to the next version of the task without it.
WITH mine AS (
    SELECT v.*,
           row_number() OVER w AS n,
           lag(v.exec_id) OVER w AS past_exec_id,
           lag(v.status) OVER w AS past_status,
           lead(v.exec_id) OVER w AS next_exec_id,
           lead(v.status) OVER w AS next_status,
           lead(v.updated_at) OVER w AS next_at,
           lead(v.outcome_type) OVER w AS next_reason
    FROM aidbox.task_versions v
    WHERE v.chain_id = :chain_id AND v.task_id = ANY (:ids) AND NOT v.deleted
    WINDOW w AS (
        PARTITION BY v.task_id
        ORDER BY v.version_number NULLS FIRST, v.updated_at NULLS FIRST, v.read_at, v.version)
), theirs AS ( -- a task that is cancelled while it waits for a retry keeps the execId of the last try
    SELECT * FROM mine
    WHERE exec_id IS NOT NULL
      AND (status IN ('requested', 'in-progress')
           OR status = 'done' AND (past_status IN ('requested', 'in-progress') OR past_exec_id IS DISTINCT FROM exec_id))
), last AS (
    SELECT DISTINCT ON (task_id, exec_id) * FROM theirs ORDER BY task_id, exec_id, n DESC
), ends AS (
    SELECT l.task_id, l.exec_id, coalesce(l.pool, l.definition) AS executor,
           CASE WHEN l.status = 'done' AND l.outcome = 'succeeded' THEN 'accepted'
                WHEN l.status = 'done' AND l.outcome = 'canceled' THEN 'lost'
                WHEN l.status = 'done' THEN
                    CASE WHEN l.outcome_type LIKE '%timeout%' THEN 'expired' ELSE 'rejected' END
                WHEN l.next_status IS NULL THEN 'submitted'
                WHEN l.next_status = 'done' AND l.next_exec_id IS NULL THEN 'lost'
                WHEN l.status = 'requested' AND l.next_status = 'ready' OR l.next_reason LIKE '%timeout%' THEN 'expired'
                ELSE 'rejected' END AS state,
           CASE WHEN l.status = 'done' THEN l.updated_at ELSE l.next_at END AS settled_at
    FROM last l
), spans AS (
    SELECT task_id, exec_id, max(retry_count) AS attempt, min(updated_at) AS requested_at,
           min(updated_at) FILTER (WHERE status = 'in-progress') AS started_at
    FROM theirs
    GROUP BY task_id, exec_id
)
INSERT INTO aidbox.executions (chain_id, task_id, exec_id, executor, attempt, state, requested_at, started_at, settled_at)
SELECT :chain_id, e.task_id, e.exec_id, e.executor, s.attempt, e.state, s.requested_at, s.started_at, e.settled_at
FROM ends e
JOIN spans s USING (task_id, exec_id)
ON CONFLICT (chain_id, task_id, exec_id) DO UPDATE
SET executor = excluded.executor, attempt = excluded.attempt, state = excluded.state,
    requested_at = excluded.requested_at, started_at = excluded.started_at, settled_at = excluded.settled_at;
