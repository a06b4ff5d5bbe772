-- How many tasks waited for a solution at the end of each day?
SELECT day, waiting FROM analytics.pool_depth WHERE network = 'arbius' ORDER BY day;

-- On which days did more tasks come than went?
SELECT network, day, submitted, settled FROM analytics.pool_depth WHERE submitted > settled ORDER BY day;

-- How deep is each pool now?
SELECT DISTINCT ON (network, chain_id) network, chain, day, unsettled FROM analytics.pool_depth
ORDER BY network, chain_id, day DESC;
