-- Counts by status: terminal ones from the counts that triggers keep, live ones from partial indexes.

CREATE OR REPLACE VIEW arbius.v_status_counts AS
SELECT 'arbius'::text AS network, c.chain_id, CASE c.what WHEN 'contested' THEN 'disputed' ELSE c.what END AS status,
       c.n AS tasks
FROM chain.day_counts c
WHERE c.network = 'arbius' AND c.what IN ('open', 'contested', 'succeeded', 'failed', 'cancelled')
UNION ALL
SELECT 'arbius', c.chain_id, NULL, c.n
FROM chain.day_counts c
WHERE c.network = 'arbius' AND c.what = 'finished'
UNION ALL
SELECT 'arbius', s.chain_id, arbius.status_of(s.network_status), s.tasks
FROM arbius.solved_counts s;
COMMENT ON VIEW arbius.v_status_counts IS 'Tasks of Arbius by status, in parts to be added up.';

CREATE OR REPLACE VIEW iexec.v_status_counts AS
SELECT 'iexec'::text AS network, c.chain_id, c.what AS status, c.n AS tasks
FROM chain.day_counts c
WHERE c.network = 'iexec' AND c.what IN ('succeeded', 'failed')
UNION ALL
SELECT 'iexec', l.chain_id, l.status, count(*)
FROM (
    SELECT t.chain_id,
           iexec.status_of(iexec.live_status(t.status, n.now, t.start_time, t.timeref)) AS status
    FROM iexec.tasks t
    JOIN (SELECT c.chain_id, analytics.now(c.chain_id) AS now FROM chain.chains c OFFSET 0) AS n
        ON n.chain_id = t.chain_id
    WHERE t.status < 3
) AS l
GROUP BY l.chain_id, l.status;
COMMENT ON VIEW iexec.v_status_counts IS 'Tasks of iExec by status, in parts to be added up.';
