-- Records of workers and subjects, latencies, the pool over time, parameters over time.

CREATE OR REPLACE FUNCTION analytics.percentile(seconds bigint[], times bigint[], share float8) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT min(x.s)
    FROM (SELECT u.s, sum(u.n) OVER (ORDER BY u.s) AS upto FROM unnest($1, $2) AS u (s, n)) AS x
    WHERE x.upto >= $3 * (SELECT sum(n) FROM unnest($2) AS n)
$$;
COMMENT ON FUNCTION analytics.percentile(bigint[], bigint[], float8) IS
    'The smallest value that at least this share (0 to 1) does not exceed, of values that came so many times.';

CREATE OR REPLACE FUNCTION analytics.latencies_between(since timestamptz, until timestamptz)
RETURNS TABLE (network text, chain text, chain_id bigint, measure text, n bigint, p50_seconds bigint,
               p90_seconds bigint, p99_seconds bigint, max_seconds bigint)
LANGUAGE sql STABLE
AS $$
    -- Block times are whole seconds: what happened equally fast is counted together, which needs no sorting.
    SELECT l.network, (SELECT c.name FROM chain.chains c WHERE c.chain_id = l.chain_id), l.chain_id, l.measure,
           sum(l.n)::bigint,
           analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.5),
           analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.9),
           analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.99),
           max(l.seconds)
    FROM (
        SELECT 'arbius'::text AS network, s.chain_id,
               CASE s.what WHEN 'work' THEN 'submit_to_work' WHEN 'finish' THEN 'submit_to_finish'
                           ELSE 'commitment_to_solution' END AS measure,
               s.seconds, sum(s.n)::bigint AS n
        FROM chain.task_sums s
        WHERE $1 = '-infinity' AND $2 = 'infinity' -- of all times there are sums
          AND s.network = 'arbius' AND s.what IN ('work', 'finish', 'commitment') AND s.n > 0
        GROUP BY 2, 3, 4
        UNION ALL
        SELECT 'arbius', t.chain_id, 'submit_to_work',
               extract(epoch FROM t.solution_blocktime - t.blocktime)::bigint, count(*)
        FROM arbius.tasks t
        WHERE t.blocktime >= $1 AND t.blocktime < $2 AND t.solution_blocktime IS NOT NULL
          AND NOT ($1 = '-infinity' AND $2 = 'infinity')
        GROUP BY 2, 4
        UNION ALL
        SELECT 'arbius', t.chain_id, 'submit_to_finish',
               extract(epoch FROM coalesce(t.finished_at, t.claimed_at, t.retracted_at) - t.blocktime)::bigint, count(*)
        FROM arbius.tasks t
        WHERE t.blocktime >= $1 AND t.blocktime < $2 AND coalesce(t.finished_at, t.claimed_at, t.retracted_at) IS NOT NULL
          AND NOT ($1 = '-infinity' AND $2 = 'infinity')
        GROUP BY 2, 4
        UNION ALL
        SELECT 'arbius', s.chain_id, 'commitment_to_solution', f.commitment_age, count(*)
        FROM arbius.solutions s
        JOIN arbius.solution_facts f ON f.chain_id = s.chain_id AND f.address = s.address AND f.task_id = s.task_id
        WHERE s.blocktime >= $1 AND s.blocktime < $2 AND f.commitment_age IS NOT NULL
          AND NOT ($1 = '-infinity' AND $2 = 'infinity')
        GROUP BY 2, 4
        UNION ALL
        SELECT 'iexec', t.chain_id, 'submit_to_work', extract(epoch FROM w.first_at - t.start_time)::bigint, count(*)
        FROM iexec.tasks t
        CROSS JOIN LATERAL (
            SELECT min(c.contributed_at) AS first_at FROM iexec.contributions c
            WHERE c.chain_id = t.chain_id AND c.address = t.address AND c.taskid = t.taskid
        ) AS w
        WHERE t.start_time >= $1 AND t.start_time < $2 AND w.first_at IS NOT NULL
        GROUP BY 2, 4
        UNION ALL
        SELECT 'iexec', t.chain_id, 'submit_to_finish',
               extract(epoch FROM coalesce(t.finalized_at, t.claimed_at) - t.start_time)::bigint, count(*)
        FROM iexec.tasks t
        WHERE t.start_time >= $1 AND t.start_time < $2 AND coalesce(t.finalized_at, t.claimed_at) IS NOT NULL
        GROUP BY 2, 4
    ) AS l
    GROUP BY l.network, l.chain_id, l.measure
$$;
COMMENT ON FUNCTION analytics.latencies_between(timestamptz, timestamptz) IS
    'analytics.latencies of the tasks (commitment_to_solution: solutions) that were submitted from `since` on and before'
    ' `until`.';

CREATE OR REPLACE VIEW analytics.latencies AS
SELECT * FROM analytics.latencies_between('-infinity', 'infinity');
COMMENT ON VIEW analytics.latencies IS 'One row per network, chain and measure: how long things take, in seconds.';
COMMENT ON COLUMN analytics.latencies.measure IS
    'submit_to_work: until the first solution or contribution; submit_to_finish: until claimed, decided, retracted or'
    ' finalized; commitment_to_solution: Arbius, where the solution''s commitment is known';
COMMENT ON COLUMN analytics.latencies.n IS 'tasks or solutions that were measured';
COMMENT ON COLUMN analytics.latencies.p50_seconds IS 'half of them took no longer';

CREATE OR REPLACE FUNCTION analytics.work_latency(network text, chain_id bigint, worker bytea)
RETURNS TABLE (p50_seconds bigint, p90_seconds bigint, p99_seconds bigint)
LANGUAGE sql STABLE
AS $$
    SELECT analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.5),
           analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.9),
           analytics.percentile(array_agg(l.seconds), array_agg(l.n), 0.99)
    FROM (
        SELECT s.seconds, s.n
        FROM chain.task_sums s
        WHERE $1 = 'arbius' AND s.network = 'arbius' AND s.chain_id = $2 AND s.what = 'work' AND s.who = $3 AND s.n > 0
        UNION ALL
        SELECT extract(epoch FROM w.contributed_at - t.start_time)::bigint, count(*)
        FROM iexec.contributions w
        JOIN iexec.tasks t ON t.chain_id = w.chain_id AND t.address = w.address AND t.taskid = w.taskid
        WHERE $1 = 'iexec' AND analytics.hex(w.worker) COLLATE "C" = analytics.hex($3) AND w.chain_id = $2
        GROUP BY 1
    ) AS l
    WHERE l.seconds IS NOT NULL
$$;
COMMENT ON FUNCTION analytics.work_latency(text, bigint, bytea) IS
    'How long after a task''s submission a worker handed in its work, in seconds.';

CREATE OR REPLACE VIEW analytics.worker_records AS
SELECT w.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = w.chain_id) AS chain,
       w.chain_id,
       analytics.hex(w.worker) COLLATE "C" AS worker,
       w.submitted,
       w.accepted,
       w.lost + coalesce(f.forfeited, 0) AS lost,
       w.submitted - w.accepted - w.lost - coalesce(f.forfeited, 0) AS pending,
       w.earned,
       w.slashed,
       w.first_at,
       w.last_at,
       l.p50_seconds,
       l.p90_seconds,
       l.p99_seconds
FROM chain.worker_counts w
LEFT JOIN (
    SELECT s.chain_id, s.solver, s.tasks AS forfeited FROM arbius.solved_counts s WHERE s.network_status = 'forfeited'
) AS f ON w.network = 'arbius' AND f.chain_id = w.chain_id AND f.solver = w.worker
CROSS JOIN LATERAL analytics.work_latency(w.network, w.chain_id, w.worker) AS l
WHERE w.submitted > 0;
COMMENT ON VIEW analytics.worker_records IS
    'analytics.workers with what is undecided and how long after a task''s submission the worker handed in its work. Of iExec'
    ' ask for one worker: the latencies read all its work.';
COMMENT ON COLUMN analytics.worker_records.lost IS 'rejected, outvoted, not revealed in time, or forfeited';
COMMENT ON COLUMN analytics.worker_records.pending IS 'neither accepted nor lost yet, or expired with its task';
COMMENT ON COLUMN analytics.worker_records.earned IS
    'smallest unit of the network''s token: fees, rewards and awards that were paid to it';
COMMENT ON COLUMN analytics.worker_records.slashed IS 'smallest unit of the network''s token: taken from its stake';
COMMENT ON COLUMN analytics.worker_records.p50_seconds IS 'half of its work took no longer';

CREATE OR REPLACE VIEW analytics.subjects AS
SELECT s.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = s.chain_id) AS chain,
       s.chain_id,
       s.contract,
       s.subject,
       s.tasks,
       s.succeeded,
       s.failed,
       s.disputed,
       s.cancelled,
       s.succeeded::float8 / nullif(s.succeeded + s.failed, 0) AS success_rate,
       s.fees,
       s.first_at,
       s.last_at
FROM (
    SELECT 'arbius'::text AS network, m.chain_id, analytics.hex(m.address) COLLATE "C" AS contract,
           nullif(analytics.hex(m.who), '0x') COLLATE "C" AS subject, m.tasks, m.succeeded, m.failed, m.disputed,
           m.cancelled, CASE WHEN m.who <> '' THEN m.fees END AS fees, first.at AS first_at, last.at AS last_at
    FROM (
        SELECT s.chain_id, s.address, s.who, coalesce(sum(s.n) FILTER (WHERE s.what = 'task'), 0)::bigint AS tasks,
               coalesce(sum(s.n) FILTER (WHERE s.what = 'succeeded'), 0)::bigint AS succeeded,
               coalesce(sum(s.n) FILTER (WHERE s.what = 'failed'), 0)::bigint AS failed,
               coalesce(sum(s.n) FILTER (WHERE s.what = 'disputed'), 0)::bigint AS disputed,
               coalesce(sum(s.n) FILTER (WHERE s.what = 'cancelled'), 0)::bigint AS cancelled,
               sum(s.amount) AS fees
        FROM chain.task_sums s
        WHERE s.network = 'arbius' AND s.what IN ('task', 'succeeded', 'failed', 'disputed', 'cancelled') AND s.n > 0
        GROUP BY s.chain_id, s.address, s.who
    ) AS m
    LEFT JOIN LATERAL (
        SELECT t.blocktime AS at FROM arbius.tasks t
        WHERE analytics.hex(t.model) COLLATE "C" = analytics.hex(m.who) AND t.chain_id = m.chain_id
          AND t.address = m.address AND t.blocktime IS NOT NULL
        ORDER BY t.blocktime LIMIT 1
    ) AS first ON true
    LEFT JOIN LATERAL (
        SELECT t.blocktime AS at FROM arbius.tasks t
        WHERE analytics.hex(t.model) COLLATE "C" = analytics.hex(m.who) AND t.chain_id = m.chain_id
          AND t.address = m.address AND t.blocktime IS NOT NULL
        ORDER BY t.blocktime DESC LIMIT 1
    ) AS last ON true
    UNION ALL
    SELECT 'iexec', t.chain_id, analytics.hex(t.address) COLLATE "C", analytics.hex(t.app) COLLATE "C", count(*),
           count(*) FILTER (WHERE t.status = 3), count(*) FILTER (WHERE t.status = 4), 0, 0, sum(t.fee),
           min(t.start_time), max(t.start_time)
    FROM iexec.tasks t
    GROUP BY t.chain_id, t.address, t.app
) AS s;
COMMENT ON VIEW analytics.subjects IS
    'One row per Arbius model or iExec app (subject; NULL: not known yet): how much it is asked for and how well it goes.';
COMMENT ON COLUMN analytics.subjects.disputed IS 'tasks whose work was contested, whatever came of it';
COMMENT ON COLUMN analytics.subjects.success_rate IS 'succeeded / (succeeded + failed); NULL: none is decided';
COMMENT ON COLUMN analytics.subjects.fees IS 'smallest unit of the network''s token: what its tasks offered';

CREATE OR REPLACE VIEW analytics.pool_depth AS
SELECT d.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = d.chain_id) AS chain,
       d.chain_id,
       d.day,
       d.submitted,
       d.settled,
       CASE d.network WHEN 'arbius' THEN sum(d.submitted - d.worked - d.cancelled) OVER upto END::bigint AS waiting,
       (sum(d.submitted - d.settled) OVER upto)::bigint AS unsettled
FROM (
    SELECT c.network, c.chain_id, c.day,
           coalesce(sum(c.n) FILTER (WHERE c.what = 'task'), 0) AS submitted,
           coalesce(sum(c.n) FILTER (WHERE c.what = 'work'), 0) AS worked,
           coalesce(sum(c.n) FILTER (WHERE c.what = 'cancelled'), 0) AS cancelled,
           coalesce(sum(c.n) FILTER (WHERE c.what IN ('succeeded', 'failed', 'cancelled', 'finished')), 0) AS settled
    FROM chain.day_counts c
    WHERE c.n > 0 AND c.day > '-infinity'
    GROUP BY c.network, c.chain_id, c.day
) AS d
WINDOW upto AS (PARTITION BY d.network, d.chain_id ORDER BY d.day);
COMMENT ON VIEW analytics.pool_depth IS 'One row per network, chain and day (UTC) with events: how many tasks lay in the pool at its end.';
COMMENT ON COLUMN analytics.pool_depth.settled IS 'tasks of any day that came to their end on this one';
COMMENT ON COLUMN analytics.pool_depth.waiting IS 'tasks without a solution at the end of the day (Arbius)';
COMMENT ON COLUMN analytics.pool_depth.unsettled IS 'tasks without their last event at the end of the day';

CREATE OR REPLACE VIEW analytics.parameter_history AS
SELECT h.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = h.chain_id) AS chain,
       h.chain_id,
       h.contract,
       h.parameter,
       h.value,
       h.previous,
       h.since_block,
       h.since_at,
       h.until_at
FROM (
    SELECT p.network, p.chain_id, p.contract, p.parameter, p.value, p.since_block, p.since_at,
           lag(p.value) OVER same AS previous, lead(p.since_at) OVER same AS until_at
    FROM (
        SELECT q.*, lag(q.value) OVER (PARTITION BY q.network, q.chain_id, q.contract, q.parameter
                                       ORDER BY q.since_block, q.log_index) AS before,
               row_number() OVER (PARTITION BY q.network, q.chain_id, q.contract, q.parameter
                                  ORDER BY q.since_block, q.log_index) AS n
        FROM (
            SELECT 'arbius'::text AS network, x.chain_id, analytics.hex(x.address) COLLATE "C" AS contract,
                   e.key COLLATE "C" AS parameter, regexp_replace(e.value, '^\\x', '0x') AS value, x.since_block,
                   x.since_at, 0 AS log_index
            FROM arbius.parameters x
            CROSS JOIN LATERAL jsonb_each_text(to_jsonb(x) - ARRAY['chain_id', 'address', 'since_block', 'since_at']) AS e
            UNION ALL
            SELECT 'iexec', u.chain_id, analytics.hex(u.address) COLLATE "C", v.parameter COLLATE "C", v.value::text,
                   u.block_number, u.block_time, u.log_index
            FROM iexec.policy_update u
            CROSS JOIN LATERAL (VALUES
                ('worker_stake_ratio_policy', u.new_worker_stake_ratio_policy),
                ('scheduler_reward_ratio_policy', u.new_scheduler_reward_ratio_policy)
            ) AS v (parameter, value)
        ) AS q
    ) AS p
    WHERE p.value IS DISTINCT FROM p.before OR (p.n = 1 AND p.value IS NOT NULL)
    WINDOW same AS (PARTITION BY p.network, p.chain_id, p.contract, p.parameter ORDER BY p.since_block, p.log_index)
) AS h
WHERE h.value IS NOT NULL OR h.previous IS NOT NULL;
COMMENT ON VIEW analytics.parameter_history IS
    'One row per change of a parameter: of Arbius engines, upgrades that emit no event included, and of iExec workerpools.';
COMMENT ON COLUMN analytics.parameter_history.contract IS 'the engine or the workerpool';
COMMENT ON COLUMN analytics.parameter_history.value IS
    'as text: numbers in the unit that `\d+ arbius.parameters` tells, addresses as hex, per cent for workerpools';
COMMENT ON COLUMN analytics.parameter_history.until_at IS 'when the next value took its place; NULL: it holds';
