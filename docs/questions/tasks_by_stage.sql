-- Which Arbius tasks are contested, read off an index?
SELECT task_id, network_status, submitted_at FROM analytics.tasks_by_stage
WHERE network = 'arbius' AND stage = 'contested' ORDER BY submitted_at DESC LIMIT 20;

-- Which iExec tasks have workers revealing their results?
SELECT task_id, subject, submitted_at FROM analytics.tasks_by_stage
WHERE network = 'iexec' AND stage_number = 2 ORDER BY submitted_at DESC LIMIT 20;

-- How does what events tell differ from what time has made of it?
SELECT network, coalesce(stage, stage_number::text) AS by_events, status AS now, count(*) AS tasks
FROM analytics.tasks_by_stage GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
