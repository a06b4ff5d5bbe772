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

CREATE OR REPLACE VIEW arbius.v_retraction_shares AS
SELECT coalesce(p.retraction_fee_percentage, 1e17) AS kept FROM arbius.parameters p
UNION
SELECT 1e17;
COMMENT ON VIEW arbius.v_retraction_shares IS
    'Parts of a fee that an engine keeps, or has kept, when a task is retracted (arbius.retraction_fee); 1e18 is 100 %.';

CREATE OR REPLACE FUNCTION analytics.paying_amounts(low numeric, high numeric, few integer)
RETURNS TABLE (network text, source_event text, kind text, to_role text, block_time timestamptz)
LANGUAGE sql STABLE
AS $$
    (SELECT 'arbius'::text, 'FeesPaid'::text, 'fee'::text, 'account'::text, t.block_time
     FROM arbius.fees_paid t
     WHERE t.validator_fee BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'FeesPaid'::text, 'fee'::text, 'unknown'::text, t.block_time
     FROM arbius.fees_paid t
     WHERE t.model_fee - t.treasury_fee BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'FeesPaid'::text, 'fee'::text, 'treasury'::text, t.block_time
     FROM arbius.fees_paid t
     WHERE t.remaining_fee + (t.treasury_fee - t.validator_fee) BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'RewardsPaid'::text, 'reward'::text, 'account'::text, t.block_time
     FROM arbius.rewards_paid t
     WHERE t.validator_reward BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'RewardsPaid'::text, 'reward'::text, 'unknown'::text, t.block_time
     FROM arbius.rewards_paid t
     WHERE t.task_owner_reward BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'RewardsPaid'::text, 'reward'::text, 'treasury'::text, t.block_time
     FROM arbius.rewards_paid t
     WHERE t.treasury_reward BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'TaskSubmitted'::text, 'stake'::text, 'contract'::text, t.blocktime
     FROM arbius.tasks t
     WHERE t.fee BETWEEN greatest($1, 1) AND $2 AND t.blocktime IS NOT NULL LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'refund'::text, 'account'::text, t.finished_at
     FROM arbius.tasks t
     WHERE t.fee BETWEEN greatest($1, 1) AND $2 AND t.outcome = 'succeeded' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'TaskRetracted'::text, 'refund'::text, 'account'::text, t.retracted_at
     FROM arbius.v_retraction_shares p
     CROSS JOIN LATERAL ( -- LIMIT: by the index on fees for each share
         SELECT x.retracted_at FROM arbius.tasks x
         WHERE x.retracted_at IS NOT NULL
           AND x.fee BETWEEN greatest(div($1 * 1e18, 1e18 - p.kept), 1) AND div(($2 + 1) * 1e18, 1e18 - p.kept)
         LIMIT $3) AS t
     WHERE p.kept < 1e18 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'TaskRetracted'::text, 'refund'::text, 'account'::text, t.retracted_at
     FROM arbius.tasks t
     WHERE t.retracted_at IS NOT NULL AND $1 <= 0
       AND EXISTS (SELECT FROM arbius.v_retraction_shares p WHERE p.kept >= 1e18) LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'SolutionSubmitted'::text, 'stake'::text, 'contract'::text, t.blocktime
     FROM arbius.solutions t
     WHERE t.stake BETWEEN greatest($1, 1) AND $2 AND t.stake > 0 AND t.blocktime IS NOT NULL LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'SolutionClaimed'::text, 'unstake'::text, 'account'::text, coalesce(t.paid_at, t.claimed_at, t.finished_at)
     FROM arbius.solutions t
     WHERE t.stake BETWEEN greatest($1, 1) AND $2 AND t.stake > 0 AND t.claimed LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'unstake'::text, 'account'::text, coalesce(t.paid_at, t.claimed_at, t.finished_at)
     FROM arbius.solutions t
     WHERE t.stake + 0 BETWEEN greatest($1, 1) AND $2 AND t.stake > 0 AND NOT t.claimed AND (t.paid_at IS NOT NULL OR t.outcome = 'failed') LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'slash'::text, 'account'::text, t.finished_at
     FROM arbius.solutions t
     WHERE t.stake + 0 BETWEEN greatest($1, 1) AND $2 AND t.stake > 0 AND t.outcome = 'succeeded' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVote'::text, 'stake'::text, 'contract'::text, t.block_time
     FROM arbius.vote_payments t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 AND t.kind = 'stake' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'slash'::text, 'unknown'::text, t.block_time
     FROM arbius.vote_payments t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 AND t.kind = 'slash' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'unstake'::text, 'account'::text, t.block_time
     FROM arbius.vote_payments t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 AND t.kind = 'unstake' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ContestationVoteFinish'::text, 'award'::text, 'account'::text, t.block_time
     FROM arbius.vote_payments t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 AND t.kind = 'award' LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ValidatorDeposit'::text, 'deposit'::text, 'account'::text, t.block_time
     FROM arbius.validator_deposit t
     WHERE t.amount BETWEEN $1 AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'arbius'::text, 'ValidatorWithdraw'::text, 'withdraw'::text, 'account'::text, t.block_time
     FROM arbius.validator_withdraw t
     WHERE t.amount BETWEEN $1 AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Transfer'::text, 'deposit'::text, 'account'::text, t.block_time
     FROM iexec.transfer t
     WHERE t.value BETWEEN greatest($1, 1) AND $2 AND iexec.is_zero(t."from") LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Transfer'::text, 'withdraw'::text, 'nobody'::text, t.block_time
     FROM iexec.transfer t
     WHERE t.value BETWEEN greatest($1, 1) AND $2 AND iexec.is_zero(t."to") LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Transfer'::text, 'transfer'::text, 'account'::text, t.block_time
     FROM iexec.transfer t
     WHERE t.value BETWEEN greatest($1, 1) AND $2 AND NOT iexec.is_zero(t."from") AND NOT iexec.is_zero(t."to")
       AND t."from" <> t.address AND t."to" <> t.address LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Transfer'::text, 'transfer'::text, 'contract'::text, t.block_time
     FROM iexec.gifts t
     WHERE t.value BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Lock'::text, 'stake'::text, 'contract'::text, t.block_time
     FROM iexec.lock t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Unlock'::text, k.kind, 'account'::text, t.block_time
     FROM (SELECT x.block_time FROM iexec.unlock x WHERE x.amount BETWEEN greatest($1, 1) AND $2 LIMIT $3) AS t
     CROSS JOIN (VALUES ('unstake'::text), ('refund')) AS k (kind))
    UNION ALL
    (SELECT 'iexec'::text, 'Reward'::text, 'reward'::text, 'account'::text, t.block_time
     FROM iexec.reward t
     WHERE t.amount BETWEEN greatest($1, 1) AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Seize'::text, k.kind, 'contract'::text, t.block_time
     FROM (SELECT x.block_time FROM iexec.seize x WHERE x.amount BETWEEN greatest($1, 1) AND $2 LIMIT $3) AS t
     CROSS JOIN (VALUES ('fee'::text), ('unstake'), ('slash')) AS k (kind))
    UNION ALL
    (SELECT 'iexec'::text, 'Deposit'::text, 'deposit'::text, 'account'::text, t.block_time
     FROM iexec.deposit t
     WHERE t.amount BETWEEN $1 AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'DepositFor'::text, 'deposit'::text, 'account'::text, t.block_time
     FROM iexec.deposit_for t
     WHERE t.amount BETWEEN $1 AND $2 LIMIT $3)
    UNION ALL
    (SELECT 'iexec'::text, 'Withdraw'::text, 'withdraw'::text, 'account'::text, t.block_time
     FROM iexec.withdraw t
     WHERE t.amount BETWEEN $1 AND $2 LIMIT $3)
$$;
-- `+ 0`: few solutions were contested, and millions can have locked the same.
COMMENT ON FUNCTION analytics.paying_amounts(numeric, numeric, integer) IS
    'When amounts from `low` to `high` were paid, by what, and in which role of the receiver: at most `few` of each. Some'
    ' may not be of payments.';
