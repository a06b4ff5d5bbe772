-- The job queue: what several servers do at once, and what time alone does. All by this database's clock.

CREATE OR REPLACE FUNCTION work.touch() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.version := pg_current_xact_id()::text::bigint;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION work.touch() IS 'Gives a changed job its version, as Aidbox does: the number of the transaction.';
CREATE OR REPLACE TRIGGER touch BEFORE INSERT OR UPDATE ON work.jobs FOR EACH ROW EXECUTE FUNCTION work.touch();

CREATE OR REPLACE FUNCTION work.wake() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- A job that ends makes room for others with its concurrency_key.
    IF NEW.status = 'ready' OR NEW.concurrency_key IS NOT NULL THEN
        PERFORM pg_notify('taskscan_jobs', '');
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION work.wake() IS 'Tells all servers, on the channel taskscan_jobs, that it is worth polling.';
CREATE OR REPLACE TRIGGER wake_new AFTER INSERT ON work.jobs FOR EACH ROW EXECUTE FUNCTION work.wake();
CREATE OR REPLACE TRIGGER wake AFTER UPDATE OF status ON work.jobs FOR EACH ROW
    WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION work.wake();

CREATE OR REPLACE FUNCTION work.pass_time(at_most integer) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH late AS (
        SELECT id, status, exec_id, CASE
                   WHEN status <> 'in-progress' THEN 'ready'
                   WHEN definition = 'awf.task/wait' THEN 'succeeded'
                   WHEN retry_count < allowed_retry_count THEN 'again'
                   ELSE 'failed'
               END AS becomes
        FROM work.jobs
        WHERE due_at <= clock_timestamp()
        ORDER BY due_at LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE work.jobs j SET
            status = CASE late.becomes WHEN 'ready' THEN 'ready' WHEN 'again' THEN 'waiting' ELSE 'done' END,
            outcome = CASE WHEN late.becomes IN ('succeeded', 'failed') THEN late.becomes END,
            outcome_reason = CASE WHEN late.becomes = 'failed' THEN jsonb_build_object(
                'type', 'awf.task/failed-due-to-in-progress-timeout',
                'message', format('No sign of life for %s ms', j.in_progress_timeout)) END,
            exec_id = CASE WHEN late.becomes IN ('succeeded', 'failed') THEN j.exec_id END,
            execute_at = CASE WHEN late.becomes = 'again'
                THEN clock_timestamp() + j.retry_delay * interval '1 millisecond' ELSE j.execute_at END,
            due_at = CASE WHEN late.becomes = 'again'
                THEN clock_timestamp() + j.retry_delay * interval '1 millisecond' END
        FROM late WHERE late.id = j.id
        RETURNING j.id, late.status AS before, j.status AS after, late.exec_id
    ), noted AS (
        INSERT INTO work.job_log (job_id, action, status_before, status_after, exec_id)
        SELECT id, CASE before
                       WHEN 'waiting' THEN 'awf.task/execute-at'
                       WHEN 'requested' THEN 'awf.task/requested-to-start-timeout'
                       ELSE 'awf.task/in-progress-timeout'
                   END, before, after, exec_id
        FROM moved
    )
    SELECT count(*) FROM moved
$$;
COMMENT ON FUNCTION work.pass_time(integer) IS
    'Ends the states whose time is over: waiting, not started, no sign of life. How many jobs changed.';

CREATE OR REPLACE FUNCTION work.take(definitions text[], at_most integer, client text) RETURNS SETOF work.jobs
LANGUAGE plpgsql
AS $$
DECLARE
    job work.jobs;
    full_keys text[] := '{}';
    has_place boolean;
BEGIN
    WHILE at_most > 0 LOOP
        SELECT * INTO job FROM work.jobs j
        WHERE j.status = 'ready' AND j.definition = ANY (definitions)
          AND (j.concurrency_key IS NULL OR j.concurrency_key <> ALL (full_keys))
        ORDER BY j.turn LIMIT 1
        FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF job.concurrency_key IS NOT NULL THEN
            -- Whoever counts what is running must be the only one, or two would take the last place at once. The count
            -- is a statement of its own: one that also took the lock would count by a snapshot from before the lock.
            has_place := pg_try_advisory_xact_lock(hashtextextended(job.concurrency_key, 7));
            IF has_place THEN
                SELECT count(*) < job.concurrency_limit INTO has_place FROM work.jobs j
                WHERE j.concurrency_key = job.concurrency_key AND j.status IN ('requested', 'in-progress');
            END IF;
            IF NOT has_place THEN
                full_keys := full_keys || job.concurrency_key;
                CONTINUE;
            END IF;
        END IF;
        UPDATE work.jobs j SET status = 'requested', exec_id = gen_random_uuid()::text,
            due_at = clock_timestamp() + j.requested_to_start_timeout * interval '1 millisecond'
        WHERE j.id = job.id RETURNING * INTO job;
        INSERT INTO work.job_log (job_id, action, status_before, status_after, exec_id, client_id)
        VALUES (job.id, 'awf.task/poll', 'ready', 'requested', job.exec_id, client);
        at_most := at_most - 1;
        RETURN NEXT job;
    END LOOP;
END
$$;
COMMENT ON FUNCTION work.take(text[], integer, text) IS
    'Hands out ready jobs of these definitions, each to one caller only, and never more at once than their limits allow.';

CREATE OR REPLACE FUNCTION work.forget(older_than interval, at_most integer) RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    WITH old AS (
        SELECT id FROM work.jobs
        WHERE status = 'done' AND updated_at < clock_timestamp() - older_than
        LIMIT at_most
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM work.jobs j USING old WHERE old.id = j.id RETURNING j.id
    )
    SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION work.forget(interval, integer) IS
    'Deletes jobs that ended longer ago than this, with their log. How many.';
