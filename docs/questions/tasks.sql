-- What can be claimed right now, and for how much?
SELECT network, task_id, submitter, fee_amount, fee_token FROM analytics.tasks
WHERE status = 'claimable' ORDER BY submitted_at LIMIT 20;

-- Which subjects (models, apps) are asked for most, and how often does it fail?
SELECT network, subject, count(*) AS tasks, count(*) FILTER (WHERE status = 'failed') AS failed
FROM analytics.tasks GROUP BY 1, 2 ORDER BY tasks DESC LIMIT 10;

-- Which tasks did this account send, newest first?
SELECT task_id, status, network_status, fee_amount, submitted_at FROM analytics.tasks
WHERE submitter = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8' ORDER BY submitted_at DESC LIMIT 20;
