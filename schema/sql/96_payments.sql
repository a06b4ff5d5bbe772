-- What narrows a list of payments before it is read.

CREATE OR REPLACE VIEW arbius.v_paying AS
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.task_submitted e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.solution_submitted e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.solution_claimed e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.fees_paid e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.rewards_paid e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.task_retracted e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.contestation_vote e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.contestation_vote_finish e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.validator_deposit e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM arbius.validator_withdraw e;
COMMENT ON VIEW arbius.v_paying IS 'Events of Arbius that payments are made of, by their place.';

CREATE OR REPLACE VIEW iexec.v_paying AS
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.transfer e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.lock e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.unlock e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.reward e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.seize e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.deposit e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.deposit_for e
UNION ALL
SELECT e.chain_id, e.block_number, e.block_time FROM iexec.withdraw e;
COMMENT ON VIEW iexec.v_paying IS 'Events of iExec that payments are made of, by their place.';

CREATE OR REPLACE FUNCTION analytics.paying_times(first bigint, last bigint)
RETURNS TABLE (network text, chain_id bigint, since timestamptz, until timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT x.network, x.chain_id, x.since, x.until
    FROM (
        SELECT 'arbius'::text AS network, c.chain_id,
               (SELECT e.block_time FROM arbius.v_paying e
                WHERE e.chain_id = c.chain_id AND e.block_number >= $1 ORDER BY e.block_number LIMIT 1) AS since,
               (SELECT e.block_time FROM arbius.v_paying e
                WHERE e.chain_id = c.chain_id AND e.block_number <= $2 ORDER BY e.block_number DESC LIMIT 1) AS until
        FROM chain.chains c
        UNION ALL
        SELECT 'iexec', c.chain_id,
               (SELECT e.block_time FROM iexec.v_paying e
                WHERE e.chain_id = c.chain_id AND e.block_number >= $1 ORDER BY e.block_number LIMIT 1),
               (SELECT e.block_time FROM iexec.v_paying e
                WHERE e.chain_id = c.chain_id AND e.block_number <= $2 ORDER BY e.block_number DESC LIMIT 1)
        FROM chain.chains c
    ) AS x
    WHERE x.since <= x.until
$$;
COMMENT ON FUNCTION analytics.paying_times(bigint, bigint) IS
    'From when to when payments can be that were made in these blocks: one row per network and chain that has any.';

CREATE OR REPLACE VIEW iexec.v_paid_tasks AS
SELECT e.taskid, e.block_time FROM iexec.task_contribute e
UNION ALL
SELECT e.taskid, e.block_time FROM iexec.task_finalize e
UNION ALL
SELECT e.taskid, e.block_time FROM iexec.task_claimed e
UNION ALL
SELECT e.ref, e.block_time FROM iexec.reward e
UNION ALL
SELECT e.ref, e.block_time FROM iexec.seize e;
COMMENT ON VIEW iexec.v_paid_tasks IS 'When events name a task in blocks in which iexec.v_payments may have payments of it.';
