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

CREATE OR REPLACE FUNCTION arbius.fees_of(model numeric, treasury numeric, remaining numeric, validator numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT greatest(validator, 0) + greatest(model - treasury, 0) + greatest(treasury + remaining - validator, 0)
$$;
COMMENT ON FUNCTION arbius.fees_of(numeric, numeric, numeric, numeric) IS
    'What a FeesPaid moved to solver, model and treasury: the sum of the fees in arbius.v_payments.';

CREATE OR REPLACE FUNCTION arbius.rewards_of(validator numeric, task_owner numeric, treasury numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(validator, 0) + coalesce(task_owner, 0) + coalesce(treasury, 0) $$;
COMMENT ON FUNCTION arbius.rewards_of(numeric, numeric, numeric) IS
    'What a RewardsPaid gave: the sum of the rewards in arbius.v_payments.';

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
               greatest(
                   (SELECT t.blocktime FROM arbius.solutions t
                    WHERE analytics.hex(t.validator) COLLATE "C" = analytics.hex(o.worker) AND t.chain_id = o.chain_id
                      AND t.blocktime IS NOT NULL
                    ORDER BY t.blocktime DESC LIMIT 1),
                   (SELECT coalesce(t.paid_at, t.claimed_at, t.finished_at) FROM arbius.solutions t
                    WHERE analytics.hex(t.validator) COLLATE "C" = analytics.hex(o.worker) AND t.chain_id = o.chain_id
                      AND coalesce(t.paid_at, t.claimed_at, t.finished_at) IS NOT NULL
                    ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC LIMIT 1)) AS last_at
    ) AS s
    WHERE w.network = 'arbius' AND w.chain_id = o.chain_id AND w.worker = o.worker
$$;
COMMENT ON FUNCTION arbius.date_workers(bigint[], bytea[]) IS
    'Look up when these workers worked first and last: after a rollback no sum tells it.';

-- One scan per thing that counts: to make several rows of one in a lateral subquery takes twice the time.
SELECT analytics.keep_counts('arbius.tasks', days => $$
    SELECT t.sign, t.chain_id, t.blocktime AS at, 'task' AS what, 0 AS amount FROM changes t
    UNION ALL
    SELECT t.sign, t.chain_id, coalesce(t.finished_at, t.claimed_at, t.retracted_at), arbius.counted_as(t.stage), 0
    FROM changes t
$$, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'task' AS what, coalesce(t.model, '') AS who, 0::bigint AS seconds,
           coalesce(t.fee, 0) AS amount
    FROM changes t
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, arbius.counted_as(t.stage), coalesce(t.model, ''), 0, 0
    FROM changes t
    WHERE arbius.counted_as(t.stage) IN ('succeeded', 'failed', 'cancelled')
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, 'disputed', coalesce(t.model, ''), 0, 0
    FROM changes t
    WHERE t.contested_at IS NOT NULL
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, 'work', coalesce(t.solution_validator, ''),
           extract(epoch FROM t.solution_blocktime - t.blocktime)::bigint, 0
    FROM changes t
    WHERE t.solution_blocktime IS NOT NULL AND t.blocktime IS NOT NULL
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, 'finish', '',
           extract(epoch FROM coalesce(t.finished_at, t.claimed_at, t.retracted_at) - t.blocktime)::bigint, 0
    FROM changes t
    WHERE coalesce(t.finished_at, t.claimed_at, t.retracted_at) IS NOT NULL AND t.blocktime IS NOT NULL
    UNION ALL
    SELECT t.sign, t.chain_id, t.address, 'to_enrich', '', 0, 0 FROM changes t WHERE t.input_size IS NULL
$$);

SELECT analytics.keep_counts('arbius.contestations', days => $$
    SELECT t.sign, t.chain_id, t.blocktime AS at, 'dispute' AS what, 0 AS amount FROM changes t
$$, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'to_enrich' AS what, ''::bytea AS who, 0 AS seconds, 0 AS amount
    FROM changes t
    WHERE t.slash_amount IS NULL
$$);

SELECT analytics.keep_counts('arbius.solutions', days => $$
    SELECT t.sign, t.chain_id, t.blocktime AS at, 'work' AS what, 0 AS amount FROM changes t
    UNION ALL
    SELECT t.sign, t.chain_id, t.paid_at, 'fee',
           arbius.fees_of(t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee)
    FROM changes t
    WHERE t.paid_at IS NOT NULL
      AND arbius.fees_of(t.model_fee, t.treasury_fee, t.remaining_fee, t.validator_fee) > 0
    UNION ALL
    SELECT t.sign, t.chain_id, t.paid_at, 'reward',
           arbius.rewards_of(t.validator_reward, t.task_owner_reward, t.treasury_reward)
    FROM changes t
    WHERE t.paid_at IS NOT NULL AND arbius.rewards_of(t.validator_reward, t.task_owner_reward, t.treasury_reward) > 0
$$, workers => $$
    SELECT t.sign, t.chain_id, t.validator AS worker,
           t.stage IN ('claimed', 'contestation_failed') AS accepted, t.stage = 'contestation_succeeded' AS lost,
           coalesce(t.validator_fee, 0) + coalesce(t.validator_reward, 0) AS earned, 0 AS slashed,
           t.blocktime AS first_at, coalesce(t.finished_at, t.claimed_at, t.blocktime) AS last_at
    FROM changes t
$$, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'to_enrich' AS what, ''::bytea AS who, 0 AS seconds, 0 AS amount
    FROM changes t
    WHERE t.cid IS NULL
$$);
