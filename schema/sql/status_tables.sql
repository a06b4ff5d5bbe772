-- Sizes per table for `taskscan status`. Row counts are the statistics collector's, not a scan.
SELECT schemaname || '.' || relname AS "table",
       n_live_tup AS rows,
       pg_total_relation_size(relid) AS bytes
FROM pg_stat_user_tables
WHERE schemaname IN ('chain', 'arbius', 'iexec', 'koii', 'aidbox', 'work', 'analytics') AND n_live_tup > 0
ORDER BY 3 DESC, 1;
