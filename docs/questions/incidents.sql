-- What went wrong lately?
SELECT last_at, chain, kind, subject, message, times FROM analytics.incidents ORDER BY last_at DESC LIMIT 20;

-- Which kinds of incidents are frequent?
SELECT chain, kind, sum(times) AS times FROM analytics.incidents GROUP BY 1, 2 ORDER BY times DESC;

-- What went wrong for the first time today?
SELECT chain, kind, subject, message FROM analytics.incidents WHERE first_at >= date_trunc('day', now());
