-- Before a downgrade: our views and functions go, so that the tables below them may change.
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP VIEW IF EXISTS analytics.%I CASCADE', table_name)
        FROM information_schema.views WHERE table_schema = 'analytics'
        UNION ALL
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', p.oid::regprocedure)
        FROM pg_proc p WHERE p.pronamespace = to_regnamespace('analytics')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
