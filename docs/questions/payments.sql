-- What was paid for this task, by whom to whom?
SELECT block_time, kind, from_address, to_address, amount, token, source_event FROM analytics.payments
WHERE task_id = '0x0000000000000000000000000000000000000000000000000000000000000001' ORDER BY block, kind;

-- How much of each kind moved per month?
SELECT date_trunc('month', block_time) AS month, network, kind, token, sum(amount) AS amount
FROM analytics.payments GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3;

-- Who was slashed most?
SELECT network, from_address, sum(amount) AS amount, token FROM analytics.payments
WHERE kind = 'slash' GROUP BY network, from_address, token ORDER BY amount DESC LIMIT 10;
