-- Before a downgrade: our views and functions go, so that the tables below them may change. What a user has built on one
-- of them stops it, and is named.
DO $$
DECLARE
    ours CONSTANT regnamespace[] := ARRAY(
        SELECT n.oid FROM pg_namespace n
        WHERE n.nspname IN ('analytics', 'arbius', 'iexec', 'koii', 'aidbox', 'work'));
    homes CONSTANT regnamespace[] := ours || ARRAY(
        SELECT n.oid::regnamespace FROM pg_namespace n WHERE n.nspname = 'chain');
    statement text;
    goes_on boolean := true;
    dependent text;
    fewest text;
BEGIN
    FOREACH statement IN ARRAY ARRAY(
        SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE NOT t.tgisinternal AND c.relnamespace = ANY (homes) AND p.pronamespace = ANY (ours)
    ) LOOP
        EXECUTE statement;
    END LOOP;
    -- Views call functions that return rows of views: round by round go those that nothing stands on any more.
    WHILE goes_on LOOP
        goes_on := false;
        fewest := NULL;
        FOREACH statement IN ARRAY ARRAY(
            SELECT format('DROP VIEW %s', c.oid::regclass)
            FROM pg_class c WHERE c.relnamespace = ANY (ours) AND c.relkind = 'v'
            UNION ALL
            SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM pg_proc p WHERE p.pronamespace = ANY (ours)
        ) LOOP
            BEGIN
                EXECUTE statement;
                goes_on := true;
            EXCEPTION WHEN dependent_objects_still_exist THEN
                GET STACKED DIAGNOSTICS dependent = PG_EXCEPTION_DETAIL;
                fewest := CASE WHEN length(fewest) < length(dependent) THEN fewest ELSE dependent END;
            END;
        END LOOP;
    END LOOP;
    IF fewest IS NOT NULL THEN
        RAISE dependent_objects_still_exist USING DETAIL = fewest;
    END IF;
END
$$;
