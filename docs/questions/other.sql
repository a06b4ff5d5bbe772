-- How many tasks were submitted to Arbius per day, and by how many senders, from the events alone?
SELECT date_trunc('day', block_time) AS day, count(*) AS tasks, count(DISTINCT sender) AS senders
FROM arbius.task_submitted GROUP BY 1 ORDER BY 1;

-- Which iExec workers contribute most, from the events alone?
SELECT analytics.hex(worker) AS worker, count(*) AS contributions
FROM iexec.task_contribute GROUP BY 1 ORDER BY 2 DESC LIMIT 10;

-- What did the contracts say that nobody could decode?
SELECT analytics.hex(address), reason, count(*) FROM chain.unknown_logs GROUP BY 1, 2;
