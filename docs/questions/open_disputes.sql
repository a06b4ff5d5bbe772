-- Who leads in each open dispute, and until when is it voted?
SELECT task_id, yeas, adder, nays, "leading", deadline FROM analytics.open_disputes WHERE state = 'voting' ORDER BY deadline;

-- Which votes can be counted now, and with which transaction?
SELECT task_id, "leading", call_to, call_data FROM analytics.open_disputes WHERE state = 'awaiting_finish';

-- Who has to defend most work at once?
SELECT against, count(*) AS disputes FROM analytics.open_disputes GROUP BY 1 ORDER BY 2 DESC LIMIT 10;
