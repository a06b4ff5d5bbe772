-- Before an upgrade touches anything: wait for all writers and keep new ones out until it is done. It takes locks in the
-- order in which they do: folds of a chain, its groups, its facts. One of the two would be given up otherwise.
DO $$
DECLARE
    chain bigint;
BEGIN
    IF to_regclass('chain.groups') IS NULL THEN
        RETURN;
    END IF;
    FOR chain IN SELECT c.chain_id FROM chain.chains c ORDER BY c.chain_id LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('taskscan: folds of a chain', chain));
    END LOOP;
    LOCK TABLE chain.groups IN EXCLUSIVE MODE;
    LOCK TABLE chain.chains IN EXCLUSIVE MODE;
END
$$;
