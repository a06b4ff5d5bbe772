-- Who earns most?
SELECT network, worker, submitted, accepted, lost, earned FROM analytics.workers ORDER BY earned DESC LIMIT 10;

-- Whose work is rejected most often, of those with ten units of work or more?
SELECT network, worker, lost::numeric / submitted AS share FROM analytics.workers
WHERE submitted >= 10 ORDER BY share DESC LIMIT 10;

-- Who has handed in nothing for a week?
SELECT network, chain, worker, last_at FROM analytics.workers
WHERE last_at < now() - interval '7 days' ORDER BY last_at DESC LIMIT 20;
