-- Counts of iExec. What counts as what stands here once; triggers and recounts call it.

CREATE OR REPLACE FUNCTION iexec.counted_task(
    status integer, submitted timestamptz, settled timestamptz, fees numeric, rewards numeric
) RETURNS TABLE (at timestamptz, what text, amount numeric)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT v.at, v.what, v.amount
    FROM (VALUES
        (submitted, 'task', 0::numeric),
        (settled, CASE status WHEN 3 THEN 'succeeded' WHEN 4 THEN 'failed' ELSE 'live' END, 0),
        (settled, 'fee', fees),
        (settled, 'reward', rewards)
    ) AS v (at, what, amount)
    WHERE v.what NOT IN ('fee', 'reward') OR v.amount > 0
$$;
COMMENT ON FUNCTION iexec.counted_task(integer, timestamptz, timestamptz, numeric, numeric) IS
    'As what a task counts, and when.';

CREATE OR REPLACE FUNCTION iexec.count_tasks() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
        FROM new_rows t
        CROSS JOIN LATERAL iexec.counted_task(
            t.status, t.start_time, coalesce(t.finalized_at, t.claimed_at), t.fees, t.rewards) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, -count(*), -sum(c.amount)
        FROM old_rows t
        CROSS JOIN LATERAL iexec.counted_task(
            t.status, t.start_time, coalesce(t.finalized_at, t.claimed_at), t.fees, t.rewards) c
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iexec.count_tasks() IS
    'Trigger: what a statement changes in iexec.tasks, into the counts.';

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON iexec.tasks
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_tasks();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON iexec.tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_tasks();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON iexec.tasks
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_tasks();
CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON iexec.tasks
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();

CREATE OR REPLACE FUNCTION iexec.date_workers(chains bigint[], workers bytea[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE chain.worker_counts w
    SET first_at = s.first_at, last_at = s.last_at
    FROM (SELECT DISTINCT u.chain_id, u.worker FROM unnest(chains, workers) AS u (chain_id, worker)) AS o
    CROSS JOIN LATERAL ( -- each off the end of an index, however much a worker has done
        SELECT (SELECT t.contributed_at FROM iexec.contributions t
                WHERE analytics.hex(t.worker) COLLATE "C" = analytics.hex(o.worker) AND t.chain_id = o.chain_id
                  AND t.contributed_at IS NOT NULL
                ORDER BY t.contributed_at LIMIT 1) AS first_at,
               (SELECT coalesce(t.settled_at, t.contributed_at) FROM iexec.contributions t
                WHERE t.worker = o.worker AND t.chain_id = o.chain_id
                  AND coalesce(t.settled_at, t.contributed_at) IS NOT NULL
                ORDER BY coalesce(t.settled_at, t.contributed_at) DESC LIMIT 1) AS last_at
    ) AS s
    WHERE w.network = 'iexec' AND w.chain_id = o.chain_id AND w.worker = o.worker
$$;
COMMENT ON FUNCTION iexec.date_workers(bigint[], bytea[]) IS
    'Look up when these workers worked first and last: after a rollback no sum tells it.';

CREATE OR REPLACE FUNCTION iexec.count_contributions() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
        FROM new_rows t
        CROSS JOIN LATERAL (VALUES (t.contributed_at, 'work', 0::numeric)) AS c (at, what, amount)
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
        INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
        SELECT 'iexec', t.chain_id, analytics.day(t.contributed_at), t.worker, count(*)
        FROM new_rows t WHERE t.worker IS NOT NULL AND t.contributed_at IS NOT NULL
        GROUP BY t.chain_id, analytics.day(t.contributed_at), t.worker
        ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
        INSERT INTO chain.worker_counts AS w
            (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
        SELECT 'iexec', t.chain_id, t.worker, count(*),
               count(*) FILTER (WHERE t.state = 'accepted'),
               count(*) FILTER (WHERE t.state IN ('rejected', 'lost')),
               coalesce(sum(t.reward), 0), coalesce(sum(t.seized), 0),
               min(t.contributed_at), max(coalesce(t.settled_at, t.contributed_at))
        FROM new_rows t WHERE t.worker IS NOT NULL
        GROUP BY t.chain_id, t.worker
        ON CONFLICT (network, chain_id, worker) DO UPDATE
            SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
                lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
                slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
                last_at = greatest(w.last_at, excluded.last_at);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
        SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, -count(*), -sum(c.amount)
        FROM old_rows t
        CROSS JOIN LATERAL (VALUES (t.contributed_at, 'work', 0::numeric)) AS c (at, what, amount)
        GROUP BY t.chain_id, analytics.day(c.at), c.what
        ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
        INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
        SELECT 'iexec', t.chain_id, analytics.day(t.contributed_at), t.worker, -count(*)
        FROM old_rows t WHERE t.worker IS NOT NULL AND t.contributed_at IS NOT NULL
        GROUP BY t.chain_id, analytics.day(t.contributed_at), t.worker
        ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
        INSERT INTO chain.worker_counts AS w
            (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
        SELECT 'iexec', t.chain_id, t.worker, -count(*),
               -count(*) FILTER (WHERE t.state = 'accepted'),
               -count(*) FILTER (WHERE t.state IN ('rejected', 'lost')),
               -coalesce(sum(t.reward), 0), -coalesce(sum(t.seized), 0), NULL::timestamptz, NULL::timestamptz
        FROM old_rows t WHERE t.worker IS NOT NULL
        GROUP BY t.chain_id, t.worker
        ON CONFLICT (network, chain_id, worker) DO UPDATE
            SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
                lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
                slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
                last_at = greatest(w.last_at, excluded.last_at);
    END IF;
    IF TG_OP = 'UPDATE' THEN -- first and last can only be summed while they grow apart
        PERFORM iexec.date_workers(array_agg(o.chain_id), array_agg(o.worker))
        FROM old_rows o JOIN new_rows n ON n.chain_id = o.chain_id AND n.address = o.address
            AND n.taskid = o.taskid AND n.worker = o.worker
        WHERE coalesce(n.settled_at, n.contributed_at) < coalesce(o.settled_at, o.contributed_at)
           OR n.contributed_at > o.contributed_at
           OR n.worker IS DISTINCT FROM o.worker;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM iexec.date_workers(array_agg(t.chain_id), array_agg(t.worker)) FROM old_rows t;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iexec.count_contributions() IS
    'Trigger: what a statement changes in iexec.contributions, into the counts.';

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON iexec.contributions
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_contributions();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE ON iexec.contributions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_contributions();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON iexec.contributions
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION iexec.count_contributions();
CREATE OR REPLACE TRIGGER count_truncated AFTER TRUNCATE ON iexec.contributions
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();

CREATE OR REPLACE FUNCTION iexec.recount() RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
    SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
    FROM iexec.tasks t
        CROSS JOIN LATERAL iexec.counted_task(
        t.status, t.start_time, coalesce(t.finalized_at, t.claimed_at), t.fees, t.rewards) c
    GROUP BY t.chain_id, analytics.day(c.at), c.what
    ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    INSERT INTO chain.day_counts AS d (network, chain_id, day, what, n, amount)
    SELECT 'iexec', t.chain_id, analytics.day(c.at), c.what, count(*), sum(c.amount)
    FROM iexec.contributions t
        CROSS JOIN LATERAL (VALUES (t.contributed_at, 'work', 0::numeric)) AS c (at, what, amount)
    GROUP BY t.chain_id, analytics.day(c.at), c.what
    ON CONFLICT (network, chain_id, day, what) DO UPDATE
            SET n = d.n + excluded.n, amount = d.amount + excluded.amount;
    INSERT INTO chain.worker_days AS d (network, chain_id, day, worker, works)
    SELECT 'iexec', t.chain_id, analytics.day(t.contributed_at), t.worker, count(*)
    FROM iexec.contributions t WHERE t.worker IS NOT NULL AND t.contributed_at IS NOT NULL
    GROUP BY t.chain_id, analytics.day(t.contributed_at), t.worker
    ON CONFLICT (network, chain_id, day, worker) DO UPDATE SET works = d.works + excluded.works;
    INSERT INTO chain.worker_counts AS w
        (network, chain_id, worker, submitted, accepted, lost, earned, slashed, first_at, last_at)
    SELECT 'iexec', t.chain_id, t.worker, count(*),
           count(*) FILTER (WHERE t.state = 'accepted'),
           count(*) FILTER (WHERE t.state IN ('rejected', 'lost')),
           coalesce(sum(t.reward), 0), coalesce(sum(t.seized), 0),
               min(t.contributed_at), max(coalesce(t.settled_at, t.contributed_at))
    FROM iexec.contributions t WHERE t.worker IS NOT NULL
    GROUP BY t.chain_id, t.worker
    ON CONFLICT (network, chain_id, worker) DO UPDATE
        SET submitted = w.submitted + excluded.submitted, accepted = w.accepted + excluded.accepted,
            lost = w.lost + excluded.lost, earned = w.earned + excluded.earned,
            slashed = w.slashed + excluded.slashed, first_at = least(w.first_at, excluded.first_at),
            last_at = greatest(w.last_at, excluded.last_at);
$$;
COMMENT ON FUNCTION iexec.recount() IS 'Add all that is in the tables to counts that are empty.';
