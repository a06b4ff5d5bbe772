-- Which windows close within the hour?
SELECT network, task_id, "window", deadline, becomes FROM analytics.expiring
WHERE seconds_left < 3600 ORDER BY deadline LIMIT 20;

-- What will become of this requester's tasks if nobody acts?
SELECT task_id, "window", deadline, becomes FROM analytics.expiring
WHERE requester = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8' ORDER BY deadline;

-- How many windows of each kind are open?
SELECT network, "window", count(*) AS tasks, min(deadline) AS next FROM analytics.expiring GROUP BY 1, 2;
