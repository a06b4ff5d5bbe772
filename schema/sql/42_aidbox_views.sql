-- Aidbox as the views in `analytics` show it. Version ids, the numbers of transactions, stand for blocks.

CREATE OR REPLACE FUNCTION aidbox.status_of(status text, outcome text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE $1
        WHEN 'created' THEN 'open' WHEN 'waiting' THEN 'open' WHEN 'ready' THEN 'open'
        WHEN 'requested' THEN 'running' WHEN 'in-progress' THEN 'running'
        WHEN 'done' THEN CASE $2 WHEN 'succeeded' THEN 'succeeded' WHEN 'failed' THEN 'failed'
                                 WHEN 'canceled' THEN 'cancelled' END
    END
$$;
COMMENT ON FUNCTION aidbox.status_of(text, text) IS
    'Status and outcome of a task in the words of analytics.tasks; NULL for words that are not documented.';

CREATE OR REPLACE VIEW aidbox.v_tasks AS
SELECT 'aidbox'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       'AidboxTask'::text COLLATE "C" AS contract,
       t.task_id,
       CASE WHEN t.cleaned_up_at IS NULL OR t.status = 'done' THEN aidbox.status_of(t.status, t.outcome) END AS status,
       CASE WHEN t.cleaned_up_at IS NULL OR t.status = 'done' THEN t.status ELSE 'cleaned-up' END COLLATE "C"
           AS network_status,
       t.requester_id AS requester,
       t.requester_id AS submitter,
       t.definition AS subject,
       NULL::numeric AS fee,
       NULL::text AS fee_token,
       NULL::numeric AS fee_amount,
       t.created_at AS submitted_at,
       t.finished_at,
       t.created_version AS submitted_block,
       t.version_number AS last_block,
       'final'::text AS finality,
       t.status AS stage,
       NULL::integer AS stage_number
FROM aidbox.tasks t;
COMMENT ON VIEW aidbox.v_tasks IS
    'Tasks of Aidbox, as in analytics.tasks. One that was cleaned up keeps the end it had; network_status is cleaned-up'
    ' and status NULL where that was not read.';

CREATE OR REPLACE VIEW aidbox.v_work AS
SELECT 'aidbox'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = e.chain_id) AS chain,
       e.chain_id,
       'AidboxTask'::text COLLATE "C" AS contract,
       e.task_id,
       e.executor AS worker,
       e.state,
       e.requested_at AS submitted_at,
       e.settled_at,
       NULL::numeric AS reward,
       NULL::text AS reward_token,
       CASE WHEN e.attempt BETWEEN 0 AND 1e18 THEN e.attempt::bigint END AS round
FROM aidbox.executions e;
COMMENT ON VIEW aidbox.v_work IS
    'Executions of Aidbox tasks, as in analytics.work. worker: Aidbox does not tell who an executor is, only what it'
    ' polls for, its pool or definition; round: the attempt.';

CREATE OR REPLACE VIEW aidbox.v_workers AS
SELECT 'aidbox'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = e.chain_id) AS chain,
       e.executor AS worker,
       count(*) AS submitted,
       count(*) FILTER (WHERE e.state = 'accepted') AS accepted,
       count(*) FILTER (WHERE e.state IN ('rejected', 'expired', 'lost')) AS lost,
       0::numeric AS earned,
       0::numeric AS slashed,
       min(e.requested_at) AS first_at,
       max(coalesce(e.settled_at, e.requested_at)) AS last_at
FROM aidbox.executions e
WHERE e.executor IS NOT NULL
GROUP BY e.chain_id, e.executor;
COMMENT ON VIEW aidbox.v_workers IS 'Executors of Aidbox by pool or definition, as in analytics.workers.';

CREATE OR REPLACE VIEW aidbox.v_status_counts AS
SELECT 'aidbox'::text AS network,
       t.chain_id,
       CASE WHEN t.live THEN aidbox.status_of(t.status, t.outcome) END AS status,
       count(*) AS tasks
FROM (
    SELECT chain_id, status, outcome, cleaned_up_at IS NULL OR status = 'done' AS live FROM aidbox.tasks
) AS t
GROUP BY t.chain_id, t.live, t.status, t.outcome;
COMMENT ON VIEW aidbox.v_status_counts IS 'Tasks of Aidbox by status, in parts to be added up.';

CREATE OR REPLACE VIEW aidbox.v_days AS
SELECT 'aidbox'::text AS network, d.chain_id, d.day, d.what, d.n, 0::numeric AS amount
FROM (
    SELECT chain_id, (created_at AT TIME ZONE 'UTC')::date AS day, 'task' AS what, count(*) AS n
    FROM aidbox.tasks GROUP BY 1, 2
    UNION ALL
    SELECT chain_id, (finished_at AT TIME ZONE 'UTC')::date, aidbox.status_of(status, outcome), count(*)
    FROM aidbox.tasks WHERE status = 'done' AND outcome IN ('succeeded', 'failed') GROUP BY 1, 2, 3
    UNION ALL
    SELECT chain_id, (requested_at AT TIME ZONE 'UTC')::date, 'worker', count(DISTINCT executor)
    FROM aidbox.executions GROUP BY 1, 2
) AS d
WHERE d.day IS NOT NULL;
COMMENT ON VIEW aidbox.v_days IS 'What analytics.daily adds up of Aidbox.';
