-- How far each type of resource of an Aidbox is read. Before 10_freshness.sql, which shows it beside other networks.

CREATE OR REPLACE VIEW aidbox.v_freshness AS
SELECT 'aidbox'::text AS network,
       c.name AS chain,
       k.resource AS source,
       c.head_block,
       c.head_time,
       coalesce(k.version, 0) AS read_to,
       coalesce(k.version, 0) AS folded_to,
       0::bigint AS to_enrich,
       extract(epoch FROM CASE c.clock WHEN 'head' THEN c.head_time ELSE now() END
           - CASE c.clock WHEN 'head' THEN c.head_time ELSE k.read_at END) AS lag_seconds
FROM aidbox.cursors k
JOIN chain.chains c USING (chain_id);
COMMENT ON VIEW aidbox.v_freshness IS
    'How long ago the last complete pass over each type of resource began, as in analytics.freshness.';
