-- Where what is counted has changed, count anew, with writers kept out until the upgrade is done: with millions of tasks
-- that takes minutes. What it is stands on one of the triggers that keep the counts, and goes with them.
DO $$
DECLARE
    schemas CONSTANT regnamespace[] := ARRAY['analytics', 'arbius', 'iexec'];
    path CONSTANT text := set_config('search_path', current_setting('search_path'), true);
    counted text;
BEGIN
    PERFORM set_config('search_path', 'pg_catalog', true); -- so that views are told with full names
    WITH RECURSIVE ours AS MATERIALIZED (
        SELECT p.oid, p.pronamespace::regnamespace || '.' || p.proname AS name, pg_get_functiondef(p.oid) AS made
        FROM pg_proc p
        WHERE p.pronamespace = ANY (schemas) AND p.prokind = 'f'
        UNION ALL
        SELECT c.oid, c.relnamespace::regnamespace || '.' || c.relname, pg_get_viewdef(c.oid)
        FROM pg_class c
        WHERE c.relnamespace = ANY (schemas) AND c.relkind = 'v'
    ),
    used AS ( -- what triggers call and what a recount calls; a name that only begins another one does no harm
        SELECT o.* FROM ours o
        WHERE o.name = 'analytics.recount' OR o.oid IN (SELECT t.tgfoid FROM pg_trigger t)
        UNION
        SELECT o.* FROM used u JOIN ours o ON strpos(u.made, o.name) > 0
    )
    SELECT 'counts ' || md5(string_agg(u.made, '' ORDER BY u.name, u.made)) INTO counted FROM used u;
    PERFORM set_config('search_path', path, true);
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'arbius.tasks'::regclass AND t.tgname = 'count_truncated'
               AND obj_description(t.oid, 'pg_trigger') = counted) THEN
        RETURN;
    END IF;
    LOCK TABLE arbius.tasks, arbius.solution_facts, arbius.solutions, arbius.contestations, iexec.deals, iexec.tasks, iexec.contributions
        IN SHARE ROW EXCLUSIVE MODE;
    PERFORM analytics.recount();
    EXECUTE format('COMMENT ON TRIGGER count_truncated ON arbius.tasks IS %L', counted);
END
$$;
