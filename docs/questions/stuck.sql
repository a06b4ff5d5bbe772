-- How much of whose stake is stuck, and why?
SELECT account, reason, token, sum(stake) AS stake FROM analytics.stuck
GROUP BY 1, 2, 3 ORDER BY 4 DESC NULLS LAST LIMIT 20;

-- What has this worker locked, and until when?
SELECT task_id, reason, stake, until, action FROM analytics.stuck
WHERE account = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8' AND role = 'worker';

-- Which solutions are forfeited for good?
SELECT task_id, account, stake, since FROM analytics.stuck WHERE reason = 'forfeited' ORDER BY since DESC LIMIT 20;
