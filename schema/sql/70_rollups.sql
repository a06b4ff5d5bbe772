-- Counts that triggers keep (tables: schema/rollups.py). 71 and 72 say what counts; 79 counts anew at every upgrade.

CREATE OR REPLACE FUNCTION analytics.day(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce((at AT TIME ZONE 'UTC')::date, '-infinity') $$;
COMMENT ON FUNCTION analytics.day(timestamptz) IS 'The day in UTC; -infinity where no event tells when.';

CREATE OR REPLACE FUNCTION analytics.recount() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM chain.day_counts;
    DELETE FROM chain.worker_counts;
    DELETE FROM chain.worker_days;
    PERFORM arbius.recount();
    PERFORM iexec.recount();
END
$$;
COMMENT ON FUNCTION analytics.recount() IS 'Count all entities anew.';

CREATE OR REPLACE FUNCTION analytics.recount_all() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM analytics.recount();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION analytics.recount_all() IS 'Trigger: count anew once a table was emptied.';
