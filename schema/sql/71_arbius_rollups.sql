-- Counts of Arbius. What counts as what stands here once; triggers and recounts call it.

CREATE OR REPLACE FUNCTION arbius.counted_as(stage text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE stage
        WHEN 'claimed' THEN 'succeeded'
        WHEN 'contestation_failed' THEN 'succeeded'
        WHEN 'contestation_succeeded' THEN 'failed'
        WHEN 'retracted' THEN 'cancelled'
        ELSE stage
    END
$$;
COMMENT ON FUNCTION arbius.counted_as(text) IS 
    'The status of a task of this stage, or the stage where time decides too.';

CREATE OR REPLACE FUNCTION arbius.counted_task(stage text, submitted timestamptz, settled timestamptz)
RETURNS TABLE (at timestamptz, what text, amount numeric)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT v.at, v.what, 0::numeric
    FROM (VALUES (submitted, 'task'), (settled, arbius.counted_as(stage))) AS v (at, what)
$$;
COMMENT ON FUNCTION arbius.counted_task(text, timestamptz, timestamptz) IS 'As what a task counts, and when.';

CREATE OR REPLACE FUNCTION arbius.counted_solution(
    submitted timestamptz, paid timestamptz, model numeric, treasury numeric, remaining numeric, validator numeric,
    rewards numeric[]
) RETURNS TABLE (at timestamptz, what text, amount numeric)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT v.at, v.what, v.amount
    FROM (VALUES
        (submitted, 'work', 0::numeric),
        (paid, 'fee', greatest(validator, 0) + greatest(model - treasury, 0)
                      + greatest(treasury + remaining - validator, 0)),
        (paid, 'reward', coalesce(rewards[1], 0) + coalesce(rewards[2], 0) + coalesce(rewards[3], 0))
    ) AS v (at, what, amount)
    WHERE v.what = 'work' OR (v.at IS NOT NULL AND v.amount > 0)
$$;
COMMENT ON FUNCTION arbius.counted_solution(
    timestamptz, timestamptz, numeric, numeric, numeric, numeric, numeric[]
) IS 'As what a solution counts, and when: the sums are those of arbius.v_payments.';

CREATE OR REPLACE FUNCTION arbius.count_tasks() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
        FROM new_rows t
        CROSS JOIN LATERAL arbius.counted_task(
            t.stage, t.blocktime, coalesce(t.finished_at, t.claimed_at, t.retracted_at)) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, -count(*), -sum(c.amount)
        FROM old_rows t
        CROSS JOIN LATERAL arbius.counted_task(
            t.stage, t.blocktime, coalesce(t.finished_at, t.claimed_at, t.retracted_at)) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.count_tasks() IS
    'Trigger: what a statement changes in arbius.tasks, into the counts.';

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON arbius.tasks
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_tasks();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON arbius.tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_tasks();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON arbius.tasks
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_tasks();
CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON arbius.tasks
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();

CREATE OR REPLACE FUNCTION arbius.count_contestations() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
        FROM new_rows t
        CROSS JOIN LATERAL (VALUES (t.blocktime, 'dispute', 0::numeric)) AS c (at, what, amount)
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, -count(*), -sum(c.amount)
        FROM old_rows t
        CROSS JOIN LATERAL (VALUES (t.blocktime, 'dispute', 0::numeric)) AS c (at, what, amount)
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.count_contestations() IS
    'Trigger: what a statement changes in arbius.contestations, into the counts.';

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON arbius.contestations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_contestations();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON arbius.contestations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_contestations();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON arbius.contestations
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_contestations();
CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON arbius.contestations
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();

CREATE OR REPLACE FUNCTION arbius.date_workers(chains bigint[], workers bytea[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE chain.worker_counts w
    SET first_at = s.first_at, last_at = s.last_at
    FROM (SELECT DISTINCT u.chain_id, u.worker FROM unnest(chains, workers) AS u (chain_id, worker)) AS o
    CROSS JOIN LATERAL ( -- each off the end of an index, however much a worker has done
        SELECT (SELECT t.blocktime FROM arbius.solutions t
                WHERE analytics.hex(t.validator) COLLATE "C" = analytics.hex(o.worker) AND t.chain_id = o.chain_id
                  AND t.blocktime IS NOT NULL
                ORDER BY t.blocktime LIMIT 1) AS first_at,
               (SELECT coalesce(t.finished_at, t.claimed_at, t.blocktime) FROM arbius.solutions t
                WHERE t.validator = o.worker AND t.chain_id = o.chain_id
                  AND coalesce(t.finished_at, t.claimed_at, t.blocktime) IS NOT NULL
                ORDER BY coalesce(t.finished_at, t.claimed_at, t.blocktime) DESC LIMIT 1) AS last_at
    ) AS s
    WHERE w.network = 'arbius' AND w.chain_id = o.chain_id AND w.worker = o.worker
$$;
COMMENT ON FUNCTION arbius.date_workers(bigint[], bytea[]) IS
    'Look up when these workers worked first and last: after a rollback no sum tells it.';

CREATE OR REPLACE FUNCTION arbius.count_solutions() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
        FROM new_rows t
        CROSS JOIN LATERAL arbius.counted_solution(
            t.blocktime, t.paid_at, t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee,
            ARRAY[t.validator_reward, t.task_owner_reward, t.treasury_reward]) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
        INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
        SELECT 'arbius', t.chain_id, analytics.day(t.blocktime), t.validator, count(*)
        FROM new_rows t WHERE t.validator IS NOT NULL AND t.blocktime IS NOT NULL
        GROUP BY t.chain_id, analytics.day(t.blocktime), t.validator
        ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
        INSERT INTO chain.worker_counts AS w
            (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
        SELECT 'arbius', t.chain_id, t.validator, count(*),
               count(*) FILTER (WHERE t.stage IN ('claimed', 'contestation_failed')),
               count(*) FILTER (WHERE t.stage = 'contestation_succeeded'),
               coalesce(sum(t.validator_reward), 0), 0,
               min(t.blocktime), max(coalesce(t.finished_at, t.claimed_at, t.blocktime))
        FROM new_rows t WHERE t.validator IS NOT NULL
        GROUP BY t.chain_id, t.validator
        ON CONFLICT (network, chain_id, worker) DO UPDATE
            SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
                lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
                slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
                last_at = greatest(w.last_at, excluded.last_at);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, -count(*), -sum(c.amount)
        FROM old_rows t
        CROSS JOIN LATERAL arbius.counted_solution(
            t.blocktime, t.paid_at, t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee,
            ARRAY[t.validator_reward, t.task_owner_reward, t.treasury_reward]) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
        INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
        SELECT 'arbius', t.chain_id, analytics.day(t.blocktime), t.validator, -count(*)
        FROM old_rows t WHERE t.validator IS NOT NULL AND t.blocktime IS NOT NULL
        GROUP BY t.chain_id, analytics.day(t.blocktime), t.validator
        ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
        INSERT INTO chain.worker_counts AS w
            (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
        SELECT 'arbius', t.chain_id, t.validator, -count(*),
               -count(*) FILTER (WHERE t.stage IN ('claimed', 'contestation_failed')),
               -count(*) FILTER (WHERE t.stage = 'contestation_succeeded'),
               -coalesce(sum(t.validator_reward), 0), 0, NULL::timestamptz, NULL::timestamptz
        FROM old_rows t WHERE t.validator IS NOT NULL
        GROUP BY t.chain_id, t.validator
        ON CONFLICT (network, chain_id, worker) DO UPDATE
            SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
                lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
                slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
                last_at = greatest(w.last_at, excluded.last_at);
    END IF;
    IF TG_OP = 'UPDATE' THEN -- first and last can only be summed while they grow apart
        PERFORM arbius.date_workers(array_agg(o.chain_id), array_agg(o.validator))
        FROM old_rows o JOIN new_rows n ON n.chain_id = o.chain_id AND n.address = o.address AND n.task_id = o.task_id
        WHERE coalesce(n.finished_at, n.claimed_at, n.blocktime) < coalesce(o.finished_at, o.claimed_at, o.blocktime)
           OR n.blocktime > o.blocktime
           OR n.validator IS DISTINCT FROM o.validator;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM arbius.date_workers(array_agg(t.chain_id), array_agg(t.validator)) FROM old_rows t;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.count_solutions() IS
    'Trigger: what a statement changes in arbius.solutions, into the counts.';

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON arbius.solutions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_solutions();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON arbius.solutions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_solutions();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON arbius.solutions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION arbius.count_solutions();
CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON arbius.solutions
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();

CREATE OR REPLACE FUNCTION arbius.recount() RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
    SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
    FROM arbius.tasks t
        CROSS JOIN LATERAL arbius.counted_task(
            t.stage, t.blocktime, coalesce(t.finished_at, t.claimed_at, t.retracted_at)) c
    GROUP BY t.chain_id, analytics.day(c.at), c.what
    ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
    SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
    FROM arbius.contestations t
        CROSS JOIN LATERAL (VALUES (t.blocktime, 'dispute', 0::numeric)) AS c (at, what, amount)
    GROUP BY t.chain_id, analytics.day(c.at), c.what
    ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
    SELECT 'arbius', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
    FROM arbius.solutions t
        CROSS JOIN LATERAL arbius.counted_solution(
        t.blocktime, t.paid_at, t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee,
        ARRAY[t.validator_reward, t.task_owner_reward, t.treasury_reward]) c
    GROUP BY t.chain_id, analytics.day(c.at), c.what
    ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
    SELECT 'arbius', t.chain_id, analytics.day(t.blocktime), t.validator, count(*)
    FROM arbius.solutions t WHERE t.validator IS NOT NULL AND t.blocktime IS NOT NULL
    GROUP BY t.chain_id, analytics.day(t.blocktime), t.validator
    ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
    INSERT INTO chain.worker_counts AS w
        (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
    SELECT 'arbius', t.chain_id, t.validator, count(*),
           count(*) FILTER (WHERE t.stage IN ('claimed', 'contestation_failed')),
           count(*) FILTER (WHERE t.stage = 'contestation_succeeded'),
           coalesce(sum(t.validator_reward), 0), 0,
               min(t.blocktime), max(coalesce(t.finished_at, t.claimed_at, t.blocktime))
    FROM arbius.solutions t WHERE t.validator IS NOT NULL
    GROUP BY t.chain_id, t.validator
    ON CONFLICT (network, chain_id, worker) DO UPDATE
        SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
            lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
            slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
            last_at = greatest(w.last_at, excluded.last_at);
$$;
COMMENT ON FUNCTION arbius.recount() IS 'Add all that is in the tables to counts that are empty.';
