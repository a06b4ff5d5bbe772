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

CREATE OR REPLACE FUNCTION arbius.date_workers(chains bigint[], workers bytea[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE chain.worker_counts w
    SET first_at = s.first_at, last_at = s.last_at
    FROM unnest(chains, workers) AS o (chain_id, worker)
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

SELECT analytics.keep_counts('arbius.tasks', days => $$
    SELECT t.sign, t.chain_id, c.at, c.what, c.amount
    FROM changes t
    CROSS JOIN LATERAL arbius.counted_task(
        t.stage, t.blocktime, coalesce(t.finished_at, t.claimed_at, t.retracted_at)) c
$$);

SELECT analytics.keep_counts('arbius.contestations', days => $$
    SELECT t.sign, t.chain_id, t.blocktime AS at, 'dispute' AS what, 0 AS amount FROM changes t
$$);

SELECT analytics.keep_counts('arbius.solutions', days => $$
    SELECT t.sign, t.chain_id, c.at, c.what, c.amount
    FROM changes t
    CROSS JOIN LATERAL arbius.counted_solution(
        t.blocktime, t.paid_at, t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee,
        ARRAY[t.validator_reward, t.task_owner_reward, t.treasury_reward]) c
$$, workers => $$
    SELECT t.sign, t.chain_id, t.validator AS worker,
           t.stage IN ('claimed', 'contestation_failed') AS accepted, t.stage = 'contestation_succeeded' AS lost,
           t.validator_reward AS earned, 0 AS slashed,
           t.blocktime AS first_at, coalesce(t.finished_at, t.claimed_at, t.blocktime) AS last_at
    FROM changes t
$$);
