-- Arbius as the views in `analytics` show it: each one a plain SELECT of one table.

CREATE OR REPLACE VIEW arbius.v_tasks AS
SELECT 'arbius'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.task_id) COLLATE "C" AS task_id,
       CASE t.stage
           WHEN 'open' THEN 'open'
           WHEN 'retracted' THEN 'cancelled'
           WHEN 'claimed' THEN 'succeeded'
           WHEN 'contested' THEN 'disputed'
           WHEN 'contestation_succeeded' THEN 'failed'
           WHEN 'contestation_failed' THEN 'succeeded'
           WHEN 'solved' THEN (
               SELECT arbius.status_of(s.network_status)
               FROM arbius.live_state(t.chain_id, t.address, t.stage, t.solution_validator,
                                      coalesce(t.solution_blocktime, t.last_at), coalesce(t.contested_at, t.last_at),
                                      t.yeas + t.nays, NULL, NULL) s)
       END AS status,
       CASE
           WHEN t.stage IN ('solved', 'contested') THEN (
               SELECT s.network_status
               FROM arbius.live_state(t.chain_id, t.address, t.stage, t.solution_validator,
                                      coalesce(t.solution_blocktime, t.last_at), coalesce(t.contested_at, t.last_at),
                                      t.yeas + t.nays, NULL, NULL) s)
           WHEN t.stage <> 'finished' THEN t.stage
       END AS network_status,
       analytics.hex(t.owner) COLLATE "C" AS requester,
       analytics.hex(t.sender) COLLATE "C" AS submitter,
       analytics.hex(t.model) COLLATE "C" AS subject,
       t.fee::numeric AS fee,
       'AIUS'::text AS fee_token,
       t.fee * 1e-18 AS fee_amount,
       t.blocktime AS submitted_at,
       coalesce(t.finished_at, t.claimed_at, t.retracted_at) AS finished_at,
       t.submitted_block,
       t.last_block,
       CASE WHEN t.last_block <= (SELECT c.final_block FROM chain.chains c WHERE c.chain_id = t.chain_id)
            THEN 'final' ELSE 'pending' END AS finality,
       t.stage,
       NULL::integer AS stage_number,
       t.ctid AS place
FROM arbius.tasks t;
COMMENT ON VIEW arbius.v_tasks IS 'Tasks of Arbius, as in analytics.tasks_by_stage.';

CREATE OR REPLACE VIEW arbius.v_work AS
SELECT 'arbius'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.task_id) COLLATE "C" AS task_id,
       analytics.hex(t.validator) COLLATE "C" AS worker,
       CASE t.stage
           WHEN 'claimed' THEN 'accepted'
           WHEN 'contestation_failed' THEN 'accepted'
           WHEN 'contestation_succeeded' THEN 'rejected'
           WHEN 'contested' THEN 'submitted'
           WHEN 'solved' THEN (
               SELECT CASE s.network_status WHEN 'forfeited' THEN 'lost' ELSE 'submitted' END
               FROM arbius.live_state(t.chain_id, t.address, t.stage, t.validator,
                                      coalesce(t.blocktime, t.last_at), NULL, 0, NULL, NULL) s)
       END AS state,
       t.blocktime AS submitted_at,
       coalesce(t.finished_at, t.claimed_at) AS settled_at,
       t.validator_fee + coalesce(t.validator_reward, 0) AS reward,
       'AIUS'::text AS reward_token,
       NULL::bigint AS round,
       t.stage,
       t.ctid AS place
FROM arbius.solutions t;
COMMENT ON VIEW arbius.v_work IS
    'Solutions of Arbius, as in analytics.work. reward is unknown (NULL) before V5: no event tells it.';

CREATE OR REPLACE VIEW arbius.v_disputes AS
SELECT 'arbius'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.task_id) COLLATE "C" AS task_id,
       analytics.hex(t.validator) COLLATE "C" AS opened_by,
       analytics.hex(t.solver) COLLATE "C" AS against,
       t.blocktime AS opened_at,
       t.yeas::bigint AS yeas,
       t.nays::bigint AS nays,
       CASE WHEN t.yeas + coalesce(
                     t.vote_adder, (SELECT p.adder FROM arbius.parameters_at(t.chain_id, t.address, NULL) p)) > t.nays
            THEN 'yeas' ELSE 'nays' END AS leading,
       (SELECT s.deadline
        FROM arbius.live_state(t.chain_id, t.address, 'contested', t.solver, NULL,
                               coalesce(t.blocktime, t.first_vote_at), t.yeas + t.nays, NULL, t.finished_block) s
       ) AS deadline,
       t.outcome,
       t.finished_at AS settled_at,
       t.ctid AS place
FROM arbius.contestations t;
COMMENT ON VIEW arbius.v_disputes IS
    'Contestations of Arbius, as in analytics.disputes; leading counts the vote adder.';

CREATE OR REPLACE FUNCTION arbius.paid_by_votes(chains bigint[], engines bytea[], tasks bytea[])
RETURNS SETOF arbius.vote_payments
LANGUAGE sql STABLE
AS $$
    WITH voted AS (
        SELECT c.chain_id, c.address, c.task_id, x.voter, c.slash_amount, c.outcome, c.submitted_block,
               c.finished_block, c.finished_log_index, c.finished_at, c.last_block, x.block_number, x.log_index, x.blocktime,
               x.yea = (c.outcome = 'succeeded') AS won,
               row_number() OVER (PARTITION BY c.chain_id, c.address, c.task_id, x.yea
                                  ORDER BY x.block_number, x.log_index) - 1 AS n,
               CASE WHEN x.yea THEN c.yeas ELSE c.nays END AS side,
               s.lost,
               CASE WHEN x.yea THEN s.lost - div(s.lost, 2) ELSE div(s.lost, 2) END AS half
        FROM unnest(chains, engines, tasks) AS k (chain_id, address, task_id)
        JOIN arbius.contestations c USING (chain_id, address, task_id)
        JOIN arbius.votes x USING (chain_id, address, task_id)
        -- since V6 nays are awarded the added votes, too, for which nobody has paid
        CROSS JOIN LATERAL (VALUES (c.slash_amount * CASE WHEN x.yea THEN c.nays ELSE c.yeas + c.vote_adder END))
            AS s (lost)
        WHERE c.slash_amount > 0
    )
    SELECT v.chain_id, v.address, v.task_id, v.voter, 'stake', v.block_number, v.log_index, v.blocktime, v.slash_amount
    FROM voted v
    UNION ALL
    SELECT v.chain_id, v.address, v.task_id, v.voter, 'slash', v.finished_block, v.finished_log_index, v.finished_at,
           v.slash_amount
    FROM voted v
    WHERE NOT v.won AND v.finished_log_index IS NOT NULL
    UNION ALL
    SELECT v.chain_id, v.address, v.task_id, v.voter, p.kind, f.block_number, f.log_index, f.block_time, p.amount
    FROM voted v
    JOIN arbius.contestation_vote_finish f ON f.chain_id = v.chain_id AND f.address = v.address AND f.id = v.task_id
        AND v.n >= f.start_idx AND v.n < f.end_idx AND f.block_number <= v.last_block -- no others are folded yet
    CROSS JOIN LATERAL (VALUES
        ('unstake', v.slash_amount),
        ('award', CASE WHEN v.submitted_block IS NULL THEN 0 -- votes may be missing
                       WHEN v.outcome = 'failed' AND v.side = 1 THEN v.lost
                       WHEN v.n = 0 THEN v.half
                       ELSE div(v.lost - v.half, nullif(v.side - 1, 0)) END)
    ) AS p (kind, amount)
    WHERE v.won AND p.amount > 0
$$;
COMMENT ON FUNCTION arbius.paid_by_votes(bigint[], bytea[], bytea[]) IS
    'What the votes about these tasks locked (stake) and lost (slash), and what each ContestationVoteFinish gives to those'
    ' who won: what their vote locked (unstake) once their turn comes, and an award out of what the others lost: half for'
    ' the first of them (rounded up for a contester, down for a solver), all of it where a solver won alone, and equal'
    ' parts for the rest (contestationVoteFinish in V2_EngineV5_2.sol and V2_EngineV6.sol).';

-- Each arm is sorted by time from an index, so that pages of the union merge without reading it all, and an arm that
-- may have nothing to show has an index of its own. Each receiver has an arm, with a plain column and constant words for
-- kind and roles, so that a filter uses an index or leaves the arm out. block_time of what was paid is paid_at, written
-- as all that a solution can wait for: one index by solver serves payments, stakes and its newest work.
CREATE OR REPLACE VIEW arbius.v_payments AS
SELECT 'arbius'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = p.chain_id) AS chain,
       p.chain_id,
       analytics.hex(p.address) COLLATE "C" AS contract,
       analytics.hex(p.task_id) COLLATE "C" AS task_id,
       p.kind,
       analytics.hex(p.payer) COLLATE "C" AS from_address,
       analytics.hex(p.payee) COLLATE "C" AS to_address,
       p.amount,
       'AIUS'::text AS token,
       p.block,
       p.block_time,
       p.source_event,
       p.from_role,
       p.to_role
FROM (
    (SELECT t.chain_id, t.address, t.task_id, 'fee'::text AS kind, t.address AS payer, t.validator AS payee,
            t.validator_fee::numeric AS amount, t.paid_block AS block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at) AS block_time, 'FeesPaid'::text AS source_event,
            'contract'::text AS from_role, 'account'::text AS to_role
     FROM arbius.solutions t
     WHERE t.paid_at IS NOT NULL AND t.validator_fee > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'fee'::text, t.address, NULL::bytea,
            (t.model_fee - t.treasury_fee)::numeric, t.paid_block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'FeesPaid'::text, 'contract'::text, 'unknown'::text
     FROM arbius.solutions t
     WHERE t.paid_at IS NOT NULL AND t.model_fee - t.treasury_fee > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'fee'::text, t.address, arbius.treasury(t.chain_id, t.address, t.paid_block),
            (t.treasury_fee + t.remaining_fee - t.validator_fee)::numeric, t.paid_block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'FeesPaid'::text, 'contract'::text, 'treasury'::text
     FROM arbius.solutions t
     WHERE t.paid_at IS NOT NULL AND t.treasury_fee + t.remaining_fee - t.validator_fee > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'reward'::text, t.address, t.validator,
            t.validator_reward::numeric, t.paid_block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'RewardsPaid'::text, 'contract'::text, 'account'::text
     FROM arbius.solutions t
     WHERE t.rewarded_log_index IS NOT NULL AND t.validator_reward > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'reward'::text, t.address, NULL::bytea,
            t.task_owner_reward::numeric, t.paid_block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'RewardsPaid'::text, 'contract'::text, 'unknown'::text
     FROM arbius.solutions t
     WHERE t.rewarded_log_index IS NOT NULL AND t.task_owner_reward > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'reward'::text, t.address, arbius.treasury(t.chain_id, t.address, t.paid_block),
            t.treasury_reward::numeric, t.paid_block,
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'RewardsPaid'::text, 'contract'::text, 'treasury'::text
     FROM arbius.solutions t
     WHERE t.rewarded_log_index IS NOT NULL AND t.treasury_reward > 0
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'stake'::text, t.sender, t.address, t.fee::numeric, t.submitted_block,
            t.blocktime, 'TaskSubmitted'::text, 'account'::text, 'contract'::text
     FROM arbius.tasks t
     WHERE t.fee > 0
     ORDER BY t.blocktime DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'refund'::text, t.address, t.owner, t.fee::numeric, t.finished_block,
            t.finished_at, 'ContestationVoteFinish'::text, 'contract'::text, 'account'::text
     FROM arbius.tasks t
     WHERE t.outcome = 'succeeded' AND t.fee > 0 AND t.finished_at < 'infinity' -- or a bound seems to leave millions
     ORDER BY t.finished_at DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'refund'::text, t.address, t.owner,
            div(t.fee * (1e18 - arbius.retraction_fee(t.chain_id, t.address, t.retracted_block)), 1e18),
            t.retracted_block, t.retracted_at, 'TaskRetracted'::text, 'contract'::text, 'account'::text
     FROM arbius.tasks t
     WHERE t.retracted_at IS NOT NULL AND t.fee > 0 AND t.retracted_at < 'infinity'
     ORDER BY t.retracted_at DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'stake'::text, t.validator, t.address, t.stake::numeric,
            t.submitted_block, t.blocktime, 'SolutionSubmitted'::text, 'account'::text, 'contract'::text
     FROM arbius.solutions t
     WHERE t.stake > 0
     ORDER BY t.blocktime DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'unstake'::text, t.address, t.validator, t.stake::numeric,
            coalesce(t.paid_block, t.claimed_block), coalesce(t.paid_at, t.claimed_at, t.finished_at),
            'SolutionClaimed'::text, 'contract'::text, 'account'::text
     FROM arbius.solutions t
     WHERE t.stake > 0 AND t.claimed AND (t.paid_at IS NOT NULL OR t.claimed OR t.outcome = 'failed') -- as the index
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'unstake'::text, t.address, t.validator, t.stake::numeric,
            coalesce(t.paid_block, (
                SELECT c.finished_block FROM arbius.contestations c
                WHERE c.chain_id = t.chain_id AND c.address = t.address AND c.task_id = t.task_id)),
            coalesce(t.paid_at, t.claimed_at, t.finished_at), 'ContestationVoteFinish'::text, 'contract'::text,
            'account'::text
     FROM arbius.solutions t
     WHERE t.stake > 0 AND NOT t.claimed AND (t.paid_at IS NOT NULL OR t.outcome = 'failed')
     ORDER BY coalesce(t.paid_at, t.claimed_at, t.finished_at) DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'slash'::text, t.validator, c.validator, t.stake::numeric,
            c.finished_block, t.finished_at, 'ContestationVoteFinish'::text, 'account'::text, 'account'::text
     FROM arbius.solutions t
     JOIN arbius.contestations c ON c.chain_id = t.chain_id AND c.address = t.address AND c.task_id = t.task_id
     WHERE t.outcome = 'succeeded' AND t.stake > 0
     ORDER BY t.finished_at DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'stake'::text, t.voter, t.address, t.amount, t.block_number, t.block_time,
            'ContestationVote'::text, 'account'::text, 'contract'::text
     FROM arbius.vote_payments t
     WHERE t.kind = 'stake'
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'slash'::text, t.voter, NULL::bytea, t.amount, t.block_number, t.block_time,
            'ContestationVoteFinish'::text, 'account'::text, 'unknown'::text
     FROM arbius.vote_payments t
     WHERE t.kind = 'slash'
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'unstake'::text, t.address, t.voter, t.amount, t.block_number, t.block_time,
            'ContestationVoteFinish'::text, 'contract'::text, 'account'::text
     FROM arbius.vote_payments t
     WHERE t.kind = 'unstake'
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.task_id, 'award'::text, t.address, t.voter, t.amount, t.block_number, t.block_time,
            'ContestationVoteFinish'::text, 'contract'::text, 'account'::text
     FROM arbius.vote_payments t
     WHERE t.kind = 'award'
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT d.chain_id, d.address, NULL::bytea, 'deposit'::text, d.addr, d.validator, d.amount::numeric,
            d.block_number, d.block_time, 'ValidatorDeposit'::text, 'account'::text, 'account'::text
     FROM arbius.validator_deposit d
     ORDER BY d.block_time DESC)
    UNION ALL
    (SELECT w.chain_id, w.address, NULL::bytea, 'withdraw'::text, w.addr, w."to", w.amount::numeric, w.block_number,
            w.block_time, 'ValidatorWithdraw'::text, 'account'::text, 'account'::text
     FROM arbius.validator_withdraw w
     ORDER BY w.block_time DESC)
) AS p;
COMMENT ON VIEW arbius.v_payments IS
    'Payments of Arbius that events tell, as in analytics.payments. The engine holds a task''s fee from its submission on'
    ' (stake) and pays it out (fee) or back (refund). A solution and each vote lock a stake, too, whose amount no event'
    ' tells: it is enriched (arbius.solution_facts, contestation_facts: enriched_from), and missing until it is known. It'
    ' comes back (unstake) or is lost (slash): a solver''s to the contester, a vote''s to the engine, which awards it to'
    ' those who won (award: half to the first, the rest in equal parts; what cannot be divided, and half where a'
    ' contester won alone, it keeps). Up to V5 an award is paid in tokens, from V6 on to the stake, as fees and rewards'
    ' of solvers are. to_address is NULL where no event names the receiver.';
DROP FUNCTION IF EXISTS arbius.settled_votes(bigint, bytea, bytea, bigint, int, bigint, bigint), -- of earlier versions
    arbius.settlement(bigint, bytea, bytea, bigint, int, bigint, bigint);

CREATE OR REPLACE VIEW arbius.v_lost_stakes AS
SELECT x.chain_id, x.account, sum(x.amount) AS amount
FROM (
    SELECT v.chain_id, v.voter AS account, c.slash_amount AS amount
    FROM arbius.contestations c
    JOIN arbius.votes v ON v.chain_id = c.chain_id AND v.address = c.address AND v.task_id = c.task_id
    WHERE v.yea <> (c.outcome = 'succeeded') AND c.slash_amount > 0
    UNION ALL
    SELECT s.chain_id, s.validator, s.stake
    FROM arbius.solutions s
    WHERE s.outcome = 'succeeded' AND s.stake > 0
) AS x
GROUP BY x.chain_id, x.account;
COMMENT ON VIEW arbius.v_lost_stakes IS 'What validators lost by contestations: the sum of their rows of kind slash.';
