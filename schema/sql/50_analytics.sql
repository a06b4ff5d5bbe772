-- The contract with SQL users: all networks in one view each. Columns are only ever added, at the end.

CREATE OR REPLACE VIEW analytics.tasks AS
SELECT * FROM arbius.v_tasks
UNION ALL
SELECT * FROM iexec.v_tasks;
COMMENT ON VIEW analytics.tasks IS
    'One row per task of every network, with its state now in the same eight words for all (status) and in the network''s own (network_status).';

CREATE OR REPLACE VIEW analytics.work AS
SELECT * FROM arbius.v_work
UNION ALL
SELECT * FROM iexec.v_work;
COMMENT ON VIEW analytics.work IS
    'One row per unit of work that a worker handed in: an Arbius solution, an iExec contribution.';

CREATE OR REPLACE VIEW analytics.payments AS
SELECT * FROM arbius.v_payments
UNION ALL
SELECT * FROM iexec.v_payments;
COMMENT ON VIEW analytics.payments IS
    'One row per movement of money that an event tells of. Amounts are in the smallest unit of the token.';

CREATE OR REPLACE VIEW analytics.disputes AS
SELECT * FROM arbius.v_disputes;
COMMENT ON VIEW analytics.disputes IS
    'One row per contested piece of work, with the votes, who leads, and until when the vote runs.';

CREATE OR REPLACE VIEW analytics.workers AS
WITH done AS (
    SELECT network, chain, worker,
           count(*) AS submitted,
           count(*) FILTER (WHERE state = 'accepted') AS accepted,
           count(*) FILTER (WHERE state IN ('rejected', 'lost')) AS lost,
           min(submitted_at) AS first_at,
           max(coalesce(settled_at, submitted_at)) AS last_at
    FROM analytics.work
    GROUP BY network, chain, worker
), money AS (
    SELECT network, chain, worker,
           sum(amount) FILTER (WHERE kind = 'reward') AS earned,
           sum(amount) FILTER (WHERE kind = 'slash') AS slashed
    FROM (SELECT network, chain, kind, amount,
                 CASE kind WHEN 'reward' THEN to_address ELSE from_address END AS worker
          FROM analytics.payments WHERE kind IN ('reward', 'slash')) AS p
    GROUP BY network, chain, worker
)
SELECT d.network, d.chain, d.worker, d.submitted, d.accepted, d.lost,
       coalesce(m.earned, 0) AS earned,
       coalesce(m.slashed, 0) AS slashed,
       d.first_at, d.last_at
FROM done d
LEFT JOIN money m USING (network, chain, worker);
COMMENT ON VIEW analytics.workers IS
    'One row per worker that handed in work: how often, with what success, what it earned and lost (smallest unit).';

CREATE OR REPLACE VIEW analytics.daily AS
WITH facts AS (
    SELECT network, chain, submitted_at AS at, 'task' AS kind, NULL::text AS worker, NULL::numeric AS amount
    FROM analytics.tasks
    UNION ALL
    SELECT network, chain, finished_at, status, NULL, NULL
    FROM analytics.tasks WHERE status IN ('succeeded', 'failed') AND finished_at IS NOT NULL
    UNION ALL
    SELECT network, chain, opened_at, 'dispute', NULL, NULL FROM analytics.disputes
    UNION ALL
    SELECT network, chain, submitted_at, 'work', worker, NULL FROM analytics.work
    UNION ALL
    SELECT network, chain, block_time, kind, NULL, amount
    FROM analytics.payments WHERE kind IN ('fee', 'reward')
)
SELECT network, chain, (at AT TIME ZONE 'UTC')::date AS day,
       count(*) FILTER (WHERE kind = 'task') AS tasks,
       count(*) FILTER (WHERE kind = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE kind = 'failed') AS failed,
       count(*) FILTER (WHERE kind = 'dispute') AS disputed,
       count(DISTINCT worker) FILTER (WHERE kind = 'work') AS workers,
       coalesce(sum(amount) FILTER (WHERE kind = 'fee'), 0) AS fees,
       coalesce(sum(amount) FILTER (WHERE kind = 'reward'), 0) AS rewards
FROM facts
WHERE at IS NOT NULL
GROUP BY network, chain, (at AT TIME ZONE 'UTC')::date;
COMMENT ON VIEW analytics.daily IS
    'One row per network, chain and day (UTC): tasks by their submission, outcomes by when they came, money by when it moved.';
