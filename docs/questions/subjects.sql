-- Which models and apps are asked for most?
SELECT network, subject, tasks, success_rate FROM analytics.subjects ORDER BY tasks DESC LIMIT 10;

-- Which models are contested most, in proportion?
SELECT subject, disputed::float8 / tasks AS part, disputed FROM analytics.subjects
WHERE network = 'arbius' ORDER BY part DESC LIMIT 10;

-- What do tasks of each subject offer, in whole tokens?
SELECT network, subject, fees / CASE network WHEN 'arbius' THEN 1e18 ELSE 1e9 END AS fees FROM analytics.subjects
ORDER BY 3 DESC NULLS LAST LIMIT 10;
