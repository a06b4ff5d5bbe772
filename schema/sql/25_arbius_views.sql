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
       NULL::integer AS stage_number
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
       NULL::bigint AS round
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
       t.finished_at AS settled_at
FROM arbius.contestations t;
COMMENT ON VIEW arbius.v_disputes IS
    'Contestations of Arbius, as in analytics.disputes; leading counts the vote adder.';

-- Each arm is sorted by time from an index, so that pages of the union merge without reading it all.
CREATE OR REPLACE VIEW arbius.v_payments AS
(SELECT 'arbius'::text AS network,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
        t.chain_id,
        analytics.hex(t.address) COLLATE "C" AS contract,
        analytics.hex(t.task_id) COLLATE "C" AS task_id,
        p.kind,
        analytics.hex(t.address) COLLATE "C" AS from_address,
        analytics.hex(CASE p.receiver
            WHEN 'solver' THEN t.validator
            WHEN 'treasury' THEN arbius.treasury(t.chain_id, t.address, t.paid_block)
        END) COLLATE "C" AS to_address,
        p.amount::numeric AS amount,
        'AIUS'::text AS token,
        t.paid_block AS block,
        t.paid_at AS block_time,
        p.source_event
 FROM arbius.solutions t
 CROSS JOIN LATERAL (VALUES
     ('fee', 'solver', t.validator_fee, 'FeesPaid'),
     ('fee', 'model', t.model_fee - t.treasury_fee, 'FeesPaid'),
     ('fee', 'treasury', t.treasury_fee + t.remaining_fee - t.validator_fee, 'FeesPaid'),
     ('reward', 'solver', t.validator_reward, 'RewardsPaid'),
     ('reward', 'owner', t.task_owner_reward, 'RewardsPaid'),
     ('reward', 'treasury', t.treasury_reward, 'RewardsPaid')
 ) AS p (kind, receiver, amount, source_event)
 WHERE t.paid_at IS NOT NULL AND p.amount > 0
 ORDER BY t.paid_at DESC)
UNION ALL
(SELECT 'arbius'::text,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id),
        t.chain_id,
        analytics.hex(t.address) COLLATE "C",
        analytics.hex(t.task_id) COLLATE "C",
        'stake'::text,
        analytics.hex(t.sender) COLLATE "C",
        analytics.hex(t.address) COLLATE "C",
        t.fee::numeric,
        'AIUS'::text,
        t.submitted_block,
        t.blocktime,
        'TaskSubmitted'::text
 FROM arbius.tasks t
 WHERE t.fee > 0
 ORDER BY t.blocktime DESC)
UNION ALL
(SELECT 'arbius'::text,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id),
        t.chain_id,
        analytics.hex(t.address) COLLATE "C",
        analytics.hex(t.task_id) COLLATE "C",
        'refund'::text,
        analytics.hex(t.address) COLLATE "C",
        analytics.hex(t.owner) COLLATE "C",
        t.fee::numeric,
        'AIUS'::text,
        t.finished_block,
        t.finished_at,
        'ContestationVoteFinish'::text
 FROM arbius.tasks t
 WHERE t.outcome = 'succeeded' AND t.fee > 0
 ORDER BY t.finished_at DESC)
UNION ALL
(SELECT 'arbius'::text,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id),
        t.chain_id,
        analytics.hex(t.address) COLLATE "C",
        analytics.hex(t.task_id) COLLATE "C",
        'refund'::text,
        analytics.hex(t.address) COLLATE "C",
        analytics.hex(t.owner) COLLATE "C",
        div(t.fee * (1e18 - arbius.retraction_fee(t.chain_id, t.address, t.retracted_block)), 1e18),
        'AIUS'::text,
        t.retracted_block,
        t.retracted_at,
        'TaskRetracted'::text
 FROM arbius.tasks t
 WHERE t.retracted_at IS NOT NULL AND t.fee > 0
 ORDER BY t.retracted_at DESC)
UNION ALL
(SELECT 'arbius'::text,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = d.chain_id),
        d.chain_id,
        analytics.hex(d.address) COLLATE "C",
        NULL::text,
        'deposit'::text,
        analytics.hex(d.addr) COLLATE "C",
        analytics.hex(d.validator) COLLATE "C",
        d.amount::numeric,
        'AIUS'::text,
        d.block_number,
        d.block_time,
        'ValidatorDeposit'::text
 FROM arbius.validator_deposit d
 ORDER BY d.block_time DESC)
UNION ALL
(SELECT 'arbius'::text,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = w.chain_id),
        w.chain_id,
        analytics.hex(w.address) COLLATE "C",
        NULL::text,
        'withdraw'::text,
        analytics.hex(w.addr) COLLATE "C",
        analytics.hex(w."to") COLLATE "C",
        w.amount::numeric,
        'AIUS'::text,
        w.block_number,
        w.block_time,
        'ValidatorWithdraw'::text
 FROM arbius.validator_withdraw w
 ORDER BY w.block_time DESC);
COMMENT ON VIEW arbius.v_payments IS
    'Payments of Arbius that events tell, as in analytics.payments. The engine holds a task''s fee from its submission on'
    ' (stake) and pays it out (fee) or back (refund). to_address is NULL where no event names the receiver.';
