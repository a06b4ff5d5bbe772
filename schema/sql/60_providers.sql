-- Who was asked, how well they answered, and what they were caught at.

CREATE OR REPLACE VIEW analytics.providers AS
SELECT p.provider,
       c.name AS chain,
       c.chain_id,
       p.calls,
       p.errors,
       p.answer_bytes,
       p.latency_mean_ms,
       p.latency_p95_ms,
       p.last_ok_at,
       p.last_error,
       p.last_error_at,
       p.distrusted_at,
       p.distrust_reason,
       p.logs_compared,
       p.logs_omitted,
       p.logs_omitted::float8 / nullif(p.logs_compared, 0) AS omission_rate,
       p.omission_bound,
       p.profile,
       p.profiled_at
FROM chain.providers p
JOIN chain.chains c USING (chain_id);
COMMENT ON VIEW analytics.providers IS
    'One row per chain and provider: calls, errors by kind, latencies, and which share of true logs it left out.';
COMMENT ON COLUMN analytics.providers.errors IS 'kind of error -> how often';
COMMENT ON COLUMN analytics.providers.latency_p95_ms IS 'milliseconds per post, 95th percentile of the last 200';
COMMENT ON COLUMN analytics.providers.distrust_reason IS 'what it was caught at; NULL: it is trusted';
COMMENT ON COLUMN analytics.providers.logs_compared IS 'true logs that were looked for in its first answers by reading again';
COMMENT ON COLUMN analytics.providers.omission_rate IS 'logs_omitted / logs_compared; NULL before the first comparison';
COMMENT ON COLUMN analytics.providers.omission_bound IS
    '95 % upper bound of the share that it omits (exact binomial, one-sided): with none omitted of n about 3/n';
COMMENT ON COLUMN analytics.providers.profile IS 'what `taskscan doctor` found: limits, archive, blooms, advice';
