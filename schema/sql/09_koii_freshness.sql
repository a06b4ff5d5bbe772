-- How far each task of Koii is read. Before 10_freshness.sql, which shows it beside the contracts of other networks.

CREATE OR REPLACE VIEW koii.v_freshness AS
SELECT 'koii'::text AS network,
       c.name AS chain,
       t.task_id AS source,
       c.head_block,
       c.head_time,
       s.slot AS read_to,
       s.slot AS folded_to,
       0::bigint AS to_enrich,
       extract(epoch FROM CASE c.clock WHEN 'head' THEN c.head_time ELSE now() END - s.read_at) AS lag_seconds
FROM koii.tasks t
JOIN chain.chains c USING (chain_id)
LEFT JOIN LATERAL (
    SELECT n.slot, CASE c.clock WHEN 'head' THEN c.head_time ELSE n.requested_at END AS read_at
    FROM koii.snapshots n
    WHERE n.chain_id = t.chain_id AND n.task_id = t.task_id AND n.outcome IN ('read', 'unchanged', 'deleted')
    ORDER BY n.slot DESC, n.snapshot_id DESC LIMIT 1) AS s ON true;
COMMENT ON VIEW koii.v_freshness IS 'How old the newest snapshot of each task is, as in analytics.freshness.';
