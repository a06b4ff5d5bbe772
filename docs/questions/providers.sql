-- Which providers can be relied upon?
SELECT provider, chain, calls, errors, round(latency_p95_ms) AS p95_ms, distrust_reason, omission_rate, omission_bound
FROM analytics.providers ORDER BY chain, omission_bound NULLS LAST;

-- Who was caught, at what?
SELECT chain, provider, distrusted_at, distrust_reason FROM analytics.providers WHERE distrusted_at IS NOT NULL;

-- Who refuses calls because of rate limits?
SELECT chain, provider, key AS error, value AS times FROM analytics.providers, jsonb_each(errors) ORDER BY chain, provider;
