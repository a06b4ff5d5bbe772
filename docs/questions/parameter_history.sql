-- Which parameters of an engine changed, and when?
SELECT since_at, parameter, previous, value FROM analytics.parameter_history
WHERE network = 'arbius' AND previous IS NOT NULL ORDER BY since_block;

-- How long was a solution open to challenge at each time?
SELECT contract, since_at, until_at, value AS seconds FROM analytics.parameter_history
WHERE parameter = 'min_claim_solution_time' ORDER BY contract, since_at;

-- Which workerpools changed their policies?
SELECT contract, parameter, previous, value, since_at FROM analytics.parameter_history
WHERE network = 'iexec' ORDER BY since_at DESC;
