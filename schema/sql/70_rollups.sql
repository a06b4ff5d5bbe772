-- Counts that triggers keep (tables: schema/rollups.py). 71 and 72 say what counts; where an upgrade changed that, 79
-- counts anew.

CREATE OR REPLACE FUNCTION analytics.day(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce((at AT TIME ZONE 'UTC')::date, '-infinity') $$;
COMMENT ON FUNCTION analytics.day(timestamptz) IS 'The day in UTC; -infinity where no event tells when.';

-- Of earlier versions: sums had triggers of their own.
DROP TRIGGER IF EXISTS sum_at_insert ON arbius.tasks;
DROP TRIGGER IF EXISTS sum_at_update ON arbius.tasks;
DROP TRIGGER IF EXISTS sum_at_delete ON arbius.tasks;
DROP FUNCTION IF EXISTS analytics.counting(text, text, text, text), analytics.keep_counts(regclass, text, text),
    arbius.sum_at_insert(), arbius.sum_at_update(), arbius.sum_at_delete(), arbius.recount_sums(),
    arbius.summed_task(text, bytea, numeric, timestamptz, timestamptz, timestamptz, bytea, timestamptz),
    arbius.slash_votes(arbius.contestations, integer), arbius.slash_vote(arbius.votes, integer);

CREATE OR REPLACE FUNCTION analytics.counting(network text, changes text, days text, workers text, sums text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $counting$
    -- What cancels out is not written: most updates leave most counts as they are.
    SELECT replace(replace(replace(replace(replace(
        CASE WHEN days IS NULL THEN '' ELSE $days$
        WITH changes AS NOT MATERIALIZED (<changes>)
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT '<network>', f.chain_id, analytics.day(f.at), f.what, sum(f.sign), sum(f.sign * f.amount)
        FROM (<days>) AS f
        GROUP BY f.chain_id, analytics.day(f.at), f.what
        HAVING sum(f.sign) <> 0 OR sum(f.sign * f.amount) <> 0
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
        $days$ END
        || CASE WHEN workers IS NULL THEN '' ELSE $workers$
        WITH changes AS NOT MATERIALIZED (<changes>)
        INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
        SELECT '<network>', f.chain_id, analytics.day(f.first_at), f.worker, sum(f.sign)
        FROM (<workers>) AS f
        WHERE f.worker IS NOT NULL AND f.first_at IS NOT NULL
        GROUP BY f.chain_id, analytics.day(f.first_at), f.worker
        HAVING sum(f.sign) <> 0
        ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
        WITH changes AS NOT MATERIALIZED (<changes>)
        INSERT INTO chain.worker_counts AS w
            (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
        SELECT '<network>', c.chain_id, c.worker, c.submitted, c.accepted, c.lost, c.earned, c.slashed, c.first_at,
               c.last_at
        FROM (SELECT f.chain_id, f.worker, sum(f.sign) AS submitted,
                     coalesce(sum(f.sign) FILTER (WHERE f.accepted), 0) AS accepted,
                     coalesce(sum(f.sign) FILTER (WHERE f.lost), 0) AS lost,
                     coalesce(sum(f.sign * f.earned), 0) AS earned, coalesce(sum(f.sign * f.slashed), 0) AS slashed,
                     min(f.first_at) FILTER (WHERE f.sign > 0) AS first_at,
                     max(f.last_at) FILTER (WHERE f.sign > 0) AS last_at,
                     min(f.first_at) FILTER (WHERE f.sign < 0) AS first_before,
                     max(f.last_at) FILTER (WHERE f.sign < 0) AS last_before
              FROM (<workers>) AS f
              WHERE f.worker IS NOT NULL
              GROUP BY f.chain_id, f.worker) AS c
        WHERE (c.submitted, c.accepted, c.lost, c.earned, c.slashed) <> (0, 0, 0, 0, 0)
           OR (c.first_at, c.last_at) IS DISTINCT FROM (c.first_before, c.last_before)
        ON CONFLICT (network, chain_id, worker) DO UPDATE
            SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
                lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
                slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
                last_at = greatest(w.last_at, excluded.last_at);
        $workers$ END
        || CASE WHEN sums IS NULL THEN '' ELSE $sums$
        WITH changes AS NOT MATERIALIZED (<changes>)
        INSERT INTO chain.task_sums AS s (network, chain_id, what, who, seconds, address, n, amount)
        SELECT '<network>', f.chain_id, f.what, f.who, f.seconds, f.address, sum(f.sign), sum(f.sign * f.amount)
        FROM (<sums>) AS f
        GROUP BY f.chain_id, f.what, f.who, f.seconds, f.address
        HAVING sum(f.sign) <> 0 OR sum(f.sign * f.amount) <> 0
        ON CONFLICT (network, chain_id, what, who, seconds, address) DO UPDATE
            SET n = s.n + excluded.n, amount = s.amount + excluded.amount;
        $sums$ END,
        '<days>', coalesce(days, '')), '<workers>', coalesce(workers, '')), '<sums>', coalesce(sums, '')), '<changes>', changes),
        '<network>', network)
$counting$;
COMMENT ON FUNCTION analytics.counting(text, text, text, text, text) IS
    'Statements that add to the counts what `changes` holds: rows of an entity with sign 1, and -1 for those that went.';

CREATE OR REPLACE FUNCTION analytics.keep_counts(
    entity regclass, days text, workers text DEFAULT NULL, sums text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql
AS $keep$
DECLARE
    home text := (SELECT c.relnamespace::regnamespace::text FROM pg_class c WHERE c.oid = entity);
    name text := (SELECT c.relname FROM pg_class c WHERE c.oid = entity);
    came text := 'SELECT 1 AS sign, n.* FROM new_rows n';
    went text := 'SELECT -1 AS sign, o.* FROM old_rows o';
    -- First and last can only be summed while they grow apart: who lost an end gets it looked up.
    dates text := CASE WHEN workers IS NULL THEN '' ELSE format($dates$
        WITH changes AS NOT MATERIALIZED (<changes>)
        SELECT array_agg(f.chain_id), array_agg(f.worker) INTO chains, losers
        FROM (SELECT f.chain_id, f.worker FROM (%s) AS f
              WHERE f.worker IS NOT NULL
              GROUP BY f.chain_id, f.worker
              HAVING min(f.first_at) FILTER (WHERE f.sign < 0)
                         < coalesce(min(f.first_at) FILTER (WHERE f.sign > 0), 'infinity')
                  OR max(f.last_at) FILTER (WHERE f.sign < 0)
                         > coalesce(max(f.last_at) FILTER (WHERE f.sign > 0), '-infinity')) AS f;
        IF losers IS NOT NULL THEN
            PERFORM %I.date_workers(chains, losers);
        END IF;
        $dates$, workers, home) END;
BEGIN
    EXECUTE format($make$
        CREATE OR REPLACE FUNCTION %1$I.count_%2$s() RETURNS trigger LANGUAGE plpgsql AS $body$
        DECLARE
            chains bigint[];
            losers bytea[];
        BEGIN
            IF TG_OP = 'INSERT' THEN
                IF NOT EXISTS (SELECT FROM new_rows) THEN
                    RETURN NULL;
                END IF;
                %3$s
            ELSIF TG_OP = 'UPDATE' THEN
                IF NOT EXISTS (SELECT FROM new_rows) THEN
                    RETURN NULL;
                END IF;
                %4$s
            ELSE
                IF NOT EXISTS (SELECT FROM old_rows) THEN
                    RETURN NULL;
                END IF;
                %5$s
            END IF;
            RETURN NULL;
        END
        $body$;
        CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON %6$s
            REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %1$I.count_%2$s();
        CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON %6$s
            REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION %1$I.count_%2$s();
        CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON %6$s
            REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION %1$I.count_%2$s();
        CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON %6$s
            FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();
        CREATE OR REPLACE FUNCTION %1$I.recount_%2$s() RETURNS void LANGUAGE sql AS $body$ %7$s $body$;
        COMMENT ON FUNCTION %1$I.count_%2$s() IS 'Trigger: what a statement changes in %6$s, into the counts.';
        COMMENT ON FUNCTION %1$I.recount_%2$s() IS 'Add all of %6$s to counts that do not hold it.';
        $make$, home, name,
        analytics.counting(home, came, days, workers, sums),
        analytics.counting(home, came || ' UNION ALL ' || went, days, workers, sums)
            || replace(dates, '<changes>', came || ' UNION ALL ' || went),
        analytics.counting(home, went, days, workers, sums) || replace(dates, '<changes>', went),
        entity::text,
        analytics.counting(home, format('SELECT 1 AS sign, e.* FROM %s e', entity), days, workers, sums));
END
$keep$;
COMMENT ON FUNCTION analytics.keep_counts(regclass, text, text, text) IS
    'Make the triggers that keep the counts of an entity, `count_<entity>`, and `recount_<entity>`. days: a query of'
    ' `changes` that gives sign, chain_id, at, what, amount; workers: one that gives sign, chain_id, worker, accepted,'
    ' lost, earned, slashed, first_at, last_at of each unit of work; sums: one that gives sign, chain_id, address, what,'
    ' who, seconds, amount, for chain.task_sums. Each may be NULL.';

-- Of earlier versions, where each entity had statements of its own.
DROP FUNCTION IF EXISTS arbius.recount(), iexec.recount(), arbius.counted_task(text, timestamptz, timestamptz),
    iexec.counted_task(integer, timestamptz, timestamptz, numeric, numeric),
    arbius.counted_solution(timestamptz, timestamptz, numeric, numeric, numeric, numeric, numeric[]);

CREATE OR REPLACE FUNCTION analytics.recount() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM arbius.age_all(); -- first: what changes is taken from the counts
    DELETE FROM iexec.gifts;
    DELETE FROM arbius.vote_payments;
    DELETE FROM chain.day_counts;
    DELETE FROM chain.worker_counts;
    DELETE FROM chain.worker_days;
    DELETE FROM chain.task_sums;
    PERFORM arbius.recount_tasks();
    PERFORM arbius.recount_contestations();
    PERFORM arbius.recount_solutions();
    PERFORM arbius.recount_solution_facts();
    PERFORM iexec.recount_deals();
    PERFORM iexec.recount_tasks();
    PERFORM iexec.recount_contributions();
    PERFORM arbius.recount_slashed();
    PERFORM arbius.settle_all();
    PERFORM iexec.find_gifts();
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
