-- How did the last 30 days go?
SELECT day, network, tasks, succeeded, failed, disputed, workers FROM analytics.daily
WHERE day > current_date - 30 ORDER BY day DESC, network;

-- Which day had the most tasks?
SELECT DISTINCT ON (network) network, day, tasks FROM analytics.daily ORDER BY network, tasks DESC;

-- What was paid in fees and in rewards per month?
SELECT date_trunc('month', day) AS month, network, sum(fees) AS fees, sum(rewards) AS rewards
FROM analytics.daily GROUP BY 1, 2 ORDER BY 1, 2;
