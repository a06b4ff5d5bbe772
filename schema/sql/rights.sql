-- The read-only role for dashboards and BI tools: GRANT taskscan_read TO <your user>;
DO $$
BEGIN
    CREATE ROLE taskscan_read NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server has made it
END
$$;
GRANT USAGE ON SCHEMA chain, arbius, iexec, koii, aidbox, analytics TO taskscan_read;
GRANT SELECT ON ALL TABLES IN SCHEMA chain, arbius, iexec, koii, aidbox, analytics TO taskscan_read;
-- Of the job queue what was done, not who may ask it.
GRANT USAGE ON SCHEMA work TO taskscan_read;
GRANT SELECT ON work.jobs, work.job_log, work.fences TO taskscan_read;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA arbius, iexec, koii, aidbox, analytics TO taskscan_read;
