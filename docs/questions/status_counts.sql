-- How many tasks have which status?
SELECT network, status, sum(tasks) AS tasks FROM analytics.status_counts GROUP BY 1, 2 ORDER BY 1, 3 DESC;

-- Which share of the tasks that ended has failed?
SELECT network, sum(tasks) FILTER (WHERE status = 'failed') / nullif(sum(tasks), 0) AS share
FROM analytics.status_counts WHERE status IN ('succeeded', 'failed') GROUP BY 1;

-- On which chains is there work to do?
SELECT chain, network, tasks FROM analytics.status_counts WHERE status IN ('open', 'running') ORDER BY tasks DESC;
