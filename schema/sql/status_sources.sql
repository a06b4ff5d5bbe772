-- One row per network and chain for `taskscan status`: the contract that lags most stands for all.
SELECT f.network,
       f.chain,
       count(*) AS contracts,
       min(s.from_block) AS from_block,
       CASE WHEN count(f.read_to) = count(*) THEN min(f.read_to) END AS read_to,
       max(f.head_block) AS head_block,
       sum(f.to_enrich)::bigint AS to_enrich,
       CASE WHEN count(f.read_to) = count(*) THEN max(f.lag_seconds)::float8 END AS lag_seconds,
       (SELECT min(g.evidence) FROM chain.groups g WHERE g.group_id = any (array_agg(s.group_id))) AS evidence
FROM analytics.freshness f
JOIN chain.chains c ON c.name = f.chain
JOIN chain.sources s ON s.chain_id = c.chain_id AND analytics.hex(s.address) = f.source
GROUP BY f.network, f.chain
UNION ALL
-- A task of Koii is read twice in a round, one that rests every six hours: lag is what goes beyond that.
SELECT 'koii', c.name, count(*), min(t.first_slot),
       CASE WHEN count(f.read_to) = count(*) THEN min(f.read_to) END, max(c.head_block), 0,
       max(greatest(0, f.lag_seconds
           - CASE t.status WHEN 'active' THEN least(t.round_time * 0.42, 86400) ELSE 21600 END * 1.1))::float8,
       NULL
FROM koii.tasks t
JOIN chain.chains c USING (chain_id)
JOIN koii.v_freshness f ON f.chain = c.name AND f.source = t.task_id
GROUP BY c.name
UNION ALL
-- Types of Aidbox resources share one sequence of numbers, and one pass.
SELECT 'aidbox', f.chain, count(*), 0, max(f.read_to), coalesce(max(f.head_block), 0), 0, max(f.lag_seconds)::float8, NULL
FROM aidbox.v_freshness f
GROUP BY f.chain
ORDER BY 1, 2;
