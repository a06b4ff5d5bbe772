-- One row per network and chain for `taskscan status`: the contract that lags most stands for all.
SELECT f.network,
       f.chain,
       count(*) AS contracts,
       min(s.from_block) AS from_block,
       CASE WHEN count(f.read_to) = count(*) THEN min(f.read_to) END AS read_to,
       max(f.head_block) AS head_block,
       CASE WHEN count(f.read_to) = count(*) THEN max(f.lag_seconds)::float8 END AS lag_seconds,
       (SELECT min(g.evidence) FROM chain.groups g WHERE g.group_id = any (array_agg(s.group_id))) AS evidence
FROM analytics.freshness f
JOIN chain.chains c ON c.name = f.chain
JOIN chain.sources s ON s.chain_id = c.chain_id AND analytics.hex(s.address) = f.source
GROUP BY f.network, f.chain
ORDER BY f.network, f.chain;
