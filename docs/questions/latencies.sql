-- How long does a task wait for its first work?
SELECT network, chain, p50_seconds, p90_seconds FROM analytics.latencies WHERE measure = 'submit_to_work';

-- How long is the way from a commitment to its solution?
SELECT chain, n, p50_seconds, p99_seconds, max_seconds FROM analytics.latencies
WHERE measure = 'commitment_to_solution';

-- Is work handed in faster in June 2025 than over all time?
SELECT a.network, a.p50_seconds AS always, j.p50_seconds AS june FROM analytics.latencies a
JOIN analytics.latencies_between('2025-06-01', '2025-07-01') j USING (network, chain_id, measure)
WHERE a.measure = 'submit_to_work';
