-- Which disputes are open, which side leads, and until when can one vote?
SELECT task_id, opened_by, against, yeas, nays, "leading", deadline FROM analytics.disputes
WHERE outcome IS NULL ORDER BY deadline;

-- Who contests with success?
SELECT opened_by, count(*) AS opened, count(*) FILTER (WHERE outcome = 'succeeded') AS won
FROM analytics.disputes GROUP BY 1 ORDER BY won DESC LIMIT 10;

-- How many disputes were opened per month, and how did they end?
SELECT date_trunc('month', opened_at) AS month, coalesce(outcome, 'open') AS outcome, count(*) AS disputes
FROM analytics.disputes GROUP BY 1, 2 ORDER BY 1, 2;
