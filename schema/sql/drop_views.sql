-- Before a downgrade: our views and functions go, so that the tables below them may change.
DO $$
DECLARE
    statement text;
BEGIN
    -- All names are looked up before the first one goes: CASCADE takes functions along.
    FOREACH statement IN ARRAY ARRAY(
        SELECT format('DROP VIEW IF EXISTS %I.%I CASCADE', table_schema, table_name)
        FROM information_schema.views WHERE table_schema IN ('analytics', 'arbius', 'iexec', 'koii', 'aidbox', 'work')
        UNION ALL
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', p.oid::regprocedure)
        FROM pg_proc p WHERE p.pronamespace = ANY (ARRAY[to_regnamespace('analytics'), to_regnamespace('arbius'), to_regnamespace('iexec'), to_regnamespace('koii'), to_regnamespace('aidbox'), to_regnamespace('work')])
    ) LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
