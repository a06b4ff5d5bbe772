-- Which workers contribute most?
SELECT network, worker, count(*) AS works FROM analytics.work GROUP BY 1, 2 ORDER BY works DESC LIMIT 10;

-- How long does it take until work is settled?
SELECT network, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM settled_at - submitted_at))
       AS seconds_median_and_p95
FROM analytics.work WHERE settled_at IS NOT NULL GROUP BY 1;

-- What became of this worker's work?
SELECT state, count(*) AS works, sum(reward) AS reward, reward_token FROM analytics.work
WHERE worker = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8' GROUP BY state, reward_token;
