-- Counts of iExec. What counts as what stands here once; triggers and recounts call it.

CREATE OR REPLACE FUNCTION iexec.date_workers(chains bigint[], workers bytea[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE chain.worker_counts w
    SET first_at = s.first_at, last_at = s.last_at
    FROM unnest(chains, workers) AS o (chain_id, worker)
    CROSS JOIN LATERAL ( -- each off the end of an index, however much a worker has done
        SELECT (SELECT t.contributed_at FROM iexec.contributions t
                WHERE analytics.hex(t.worker) COLLATE "C" = analytics.hex(o.worker) AND t.chain_id = o.chain_id
                  AND t.contributed_at IS NOT NULL
                ORDER BY t.contributed_at LIMIT 1) AS first_at,
               (SELECT coalesce(t.settled_at, t.contributed_at) FROM iexec.contributions t
                WHERE t.worker = o.worker AND t.chain_id = o.chain_id
                  AND coalesce(t.settled_at, t.contributed_at) IS NOT NULL
                ORDER BY coalesce(t.settled_at, t.contributed_at) DESC LIMIT 1) AS last_at
    ) AS s
    WHERE w.network = 'iexec' AND w.chain_id = o.chain_id AND w.worker = o.worker
$$;
COMMENT ON FUNCTION iexec.date_workers(bigint[], bytea[]) IS
    'Look up when these workers worked first and last: after a rollback no sum tells it.';

SELECT analytics.keep_counts('iexec.deals', days => NULL, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'to_enrich' AS what, ''::bytea AS who, 0 AS seconds, 0 AS amount
    FROM changes t
    WHERE t.enriched_from IS NULL
    UNION ALL -- PoCo Boost keeps nothing of a callback
    SELECT -t.sign * t.completed_tasks, t.chain_id, t.address, 'to_call_back', '', 0, 0
    FROM changes t
    WHERE t.boost
$$);

SELECT analytics.keep_counts('iexec.tasks', days => $$
    SELECT t.sign, t.chain_id, t.start_time AS at, 'task' AS what, 0 AS amount FROM changes t
    UNION ALL
    SELECT t.sign, t.chain_id, coalesce(t.finalized_at, t.claimed_at),
           CASE t.status WHEN 3 THEN 'succeeded' WHEN 4 THEN 'failed' ELSE 'live' END, 0
    FROM changes t
    UNION ALL
    SELECT t.sign, t.chain_id, coalesce(t.finalized_at, t.claimed_at), 'fee', t.fees FROM changes t WHERE t.fees > 0
    UNION ALL
    SELECT t.sign, t.chain_id, coalesce(t.finalized_at, t.claimed_at), 'reward', t.rewards
    FROM changes t WHERE t.rewards > 0
$$, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'to_enrich' AS what, ''::bytea AS who, 0 AS seconds, 0 AS amount
    FROM changes t
    WHERE t.timeref IS NULL AND t.dealid IS NOT NULL
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, 'to_call_back', '', 0, 0
    FROM changes t
    WHERE t.finalized_at IS NOT NULL AND t.results_callback IS NULL
$$);

SELECT analytics.keep_counts('iexec.contributions', days => $$
    SELECT t.sign, t.chain_id, t.contributed_at AS at, 'work' AS what, 0 AS amount FROM changes t
$$, workers => $$
    SELECT t.sign, t.chain_id, t.worker, t.state = 'accepted' AS accepted, t.state IN ('rejected', 'lost') AS lost,
           t.reward AS earned, t.seized AS slashed,
           t.contributed_at AS first_at, coalesce(t.settled_at, t.contributed_at) AS last_at
    FROM changes t
$$, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'to_enrich' AS what, ''::bytea AS who, 0 AS seconds, 0 AS amount
    FROM changes t
    WHERE t.weight IS NULL
$$);
