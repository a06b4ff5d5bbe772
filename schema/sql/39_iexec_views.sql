-- iExec as the views in `analytics` show it. There are no disputes in iExec: nobody votes on a result.

CREATE OR REPLACE FUNCTION iexec.is_zero(account bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT $1 = '\x0000000000000000000000000000000000000000'::bytea $$;
COMMENT ON FUNCTION iexec.is_zero(bytea) IS 'Whether this is the zero address, where deposits come from.';

CREATE OR REPLACE FUNCTION iexec.deadline(start timestamptz, timeref numeric, ratio integer) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT $1 + least($2, 1e9)::float8 * $3 * interval '1 second' $$;
COMMENT ON FUNCTION iexec.deadline(timestamptz, numeric, integer) IS
    'A deadline: ratio times the seconds of the category later. Ratios: 7 contribution, 2 reveal, 10 final.';

CREATE OR REPLACE FUNCTION iexec.settled_task(chain_id bigint, block_number bigint, log_index integer, tx_hash bytea)
RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT n.taskid
    FROM (
        (SELECT e.taskid, e.log_index FROM iexec.task_finalize e
         WHERE e.chain_id = $1 AND e.block_number = $2 AND e.log_index > $3 AND e.tx_hash = $4
         ORDER BY e.log_index LIMIT 1)
        UNION ALL
        (SELECT e.taskid, e.log_index FROM iexec.task_claimed e
         WHERE e.chain_id = $1 AND e.block_number = $2 AND e.log_index > $3 AND e.tx_hash = $4
         ORDER BY e.log_index LIMIT 1)
    ) AS n
    ORDER BY n.log_index
    LIMIT 1
$$;
COMMENT ON FUNCTION iexec.settled_task(bigint, bigint, integer, bytea) IS
    'The task that a finalization or claim settles after this log: the next one of the same transaction.';

CREATE OR REPLACE FUNCTION iexec.unlock_kind(chain_id bigint, block_number bigint, log_index integer) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN iexec.kitty_claim($1, $2, $3 + 2, $3 + 3, NULL) IS NOT NULL THEN 'refund' ELSE 'unstake' END
$$;
COMMENT ON FUNCTION iexec.unlock_kind(bigint, bigint, integer) IS
    'Why an Unlock gives back: the payer''s fee, as a claim does, or a stake.';

CREATE OR REPLACE FUNCTION iexec.live_status(
    status integer, at_time timestamptz, start timestamptz, timeref numeric
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN at_time >= iexec.deadline(start, timeref, 10) THEN 'TIMEOUT'
        WHEN status = 2 THEN 'REVEALING'
        WHEN status = 1 THEN 'ACTIVE'
        ELSE 'UNSET'
    END
$$;
COMMENT ON FUNCTION iexec.live_status(integer, timestamptz, timestamptz, numeric) IS
    'State of a task that is neither completed nor failed, at a time.';

CREATE OR REPLACE FUNCTION iexec.status_of(network_status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE network_status
        WHEN 'TIMEOUT' THEN 'claimable'
        WHEN 'REVEALING' THEN 'review'
        WHEN 'ACTIVE' THEN 'running'
        ELSE 'open'
    END
$$;
COMMENT ON FUNCTION iexec.status_of(text) IS 'The common word for a state of a live task.';

CREATE OR REPLACE VIEW iexec.v_tasks AS
SELECT 'iexec'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.taskid) COLLATE "C" AS task_id,
       CASE
           WHEN t.status = 3 THEN 'succeeded'
           WHEN t.status = 4 THEN 'failed'
           ELSE iexec.status_of(iexec.live_status(t.status, analytics.now(t.chain_id), t.start_time, t.timeref))
       END AS status,
       CASE
           WHEN t.status = 3 THEN 'COMPLETED'
           WHEN t.status = 4 THEN 'FAILED'
           ELSE iexec.live_status(t.status, analytics.now(t.chain_id), t.start_time, t.timeref)
       END AS network_status,
       analytics.hex(t.requester) COLLATE "C" AS requester,
       analytics.hex(t.payer) COLLATE "C" AS submitter,
       analytics.hex(t.app) COLLATE "C" AS subject,
       t.fee::numeric AS fee,
       'RLC'::text AS fee_token,
       t.fee * 1e-9 AS fee_amount,
       t.start_time AS submitted_at,
       coalesce(t.finalized_at, t.claimed_at) AS finished_at,
       t.deal_block AS submitted_block,
       t.last_block,
       CASE WHEN t.last_block <= (SELECT c.final_block FROM chain.chains c WHERE c.chain_id = t.chain_id)
            THEN 'final' ELSE 'pending' END AS finality,
       NULL::text AS stage,
       t.status AS stage_number,
       t.ctid AS place
FROM iexec.tasks t;
COMMENT ON VIEW iexec.v_tasks IS
    'Tasks of iExec, as in analytics.tasks_by_stage. submitter is who pays (the sponsor, or the requester): no event'
    ' names the sender. TIMEOUT shows once the category is known.';

CREATE OR REPLACE VIEW iexec.deadlines AS
SELECT t.chain_id, t.address, t.taskid,
       iexec.deadline(t.start_time, t.timeref, 7) AS contribution_deadline,
       iexec.deadline(CASE WHEN t.consensus_value IS NOT NULL THEN t.consensus_at END, t.timeref, 2) AS reveal_deadline,
       iexec.deadline(t.start_time, t.timeref, 10) AS final_deadline
FROM iexec.tasks t;
COMMENT ON VIEW iexec.deadlines IS
    'Deadlines of tasks, as viewTask gives them from their initialization on; NULL until the category is known.';

CREATE OR REPLACE VIEW iexec.v_work AS
SELECT 'iexec'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.taskid) COLLATE "C" AS task_id,
       analytics.hex(t.worker) COLLATE "C" AS worker,
       t.state,
       t.contributed_at AS submitted_at,
       t.settled_at,
       t.reward::numeric AS reward,
       'RLC'::text AS reward_token,
       NULL::bigint AS round,
       t.ctid AS place
FROM iexec.contributions t;
COMMENT ON VIEW iexec.v_work IS 'Contributions of iExec, as in analytics.work. reward is NULL when there was none.';

-- As in arbius.v_payments, each arm is sorted by time from an index.
CREATE OR REPLACE VIEW iexec.v_payments AS
SELECT 'iexec'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = p.chain_id) AS chain,
       p.chain_id,
       analytics.hex(p.address) COLLATE "C" AS contract,
       analytics.hex(p.taskid) COLLATE "C" AS task_id,
       p.kind,
       analytics.hex(p.payer) COLLATE "C" AS from_address,
       analytics.hex(p.payee) COLLATE "C" AS to_address,
       p.amount,
       'RLC'::text AS token,
       p.block,
       p.block_time,
       p.source_event,
       p.from_role,
       p.to_role
FROM (
    (SELECT t.chain_id, t.address, NULL::bytea AS taskid, 'deposit'::text AS kind,
            '\x0000000000000000000000000000000000000000'::bytea AS payer, t."to" AS payee, t.value::numeric AS amount,
            t.block_number AS block, t.block_time, 'Transfer'::text AS source_event, 'nobody'::text AS from_role,
            'account'::text AS to_role
     FROM iexec.transfer t
     WHERE t.value > 0 AND iexec.is_zero(t."from")
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, NULL::bytea, 'withdraw'::text, t."from",
            '\x0000000000000000000000000000000000000000'::bytea, t.value::numeric, t.block_number, t.block_time,
            'Transfer'::text, 'account'::text, 'nobody'::text
     FROM iexec.transfer t
     WHERE t.value > 0 AND NOT iexec.is_zero(t."from") AND iexec.is_zero(t."to")
     ORDER BY t.block_time DESC)
    UNION ALL -- from the hub or to it: of a stake, a reward, unless an account gives to the hub without a Lock
    (SELECT t.chain_id, t.address, NULL::bytea, 'transfer'::text, t."from", t."to", t.value::numeric, t.block_number,
            t.block_time, 'Transfer'::text, 'account'::text, 'account'::text
     FROM iexec.transfer t
     WHERE t.value > 0 AND NOT iexec.is_zero(t."from") AND NOT iexec.is_zero(t."to") AND t."from" <> t.address
       AND t."to" <> t.address
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, NULL::bytea, 'transfer'::text, t."from", t.address, t.value::numeric, t.block_number,
            t.block_time, 'Transfer'::text, 'account'::text, 'contract'::text
     FROM iexec.gifts t
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address,
            coalesce(
                (SELECT e.taskid FROM iexec.task_contribute e WHERE e.chain_id = t.chain_id
                 AND e.block_number = t.block_number AND e.log_index = t.log_index + 1 AND e.worker = t.owner),
                iexec.kitty_claim(t.chain_id, t.block_number, t.log_index - 2, t.log_index - 1, t.owner)),
            'stake'::text, t.owner, t.address, t.amount::numeric, t.block_number, t.block_time, 'Lock'::text,
            'account'::text, 'contract'::text
     FROM iexec.lock t
     WHERE t.amount > 0
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, iexec.settled_task(t.chain_id, t.block_number, t.log_index, t.tx_hash),
            'unstake'::text, t.address, t.owner, t.amount::numeric, t.block_number, t.block_time, 'Unlock'::text,
            'contract'::text, 'account'::text
     FROM iexec.unlock t
     WHERE t.amount > 0 AND iexec.unlock_kind(t.chain_id, t.block_number, t.log_index) <> 'refund'
     ORDER BY t.block_time DESC)
    UNION ALL -- the few that a claim gives back are found by its reward to the kitty
    (SELECT t.chain_id, t.address, iexec.settled_task(t.chain_id, t.block_number, t.log_index, t.tx_hash),
            'refund'::text, t.address, t.owner, t.amount::numeric, t.block_number, r.block_time, 'Unlock'::text,
            'contract'::text, 'account'::text
     FROM iexec.reward r
     JOIN iexec.unlock t ON t.chain_id = r.chain_id AND t.block_number = r.block_number
         AND t.log_index BETWEEN r.log_index - 3 AND r.log_index - 2
     WHERE analytics.hex(r.owner) COLLATE "C" = analytics.hex(iexec.kitty()) AND t.amount > 0
       AND (t.log_index = r.log_index - 2
            OR iexec.kitty_claim(r.chain_id, r.block_number, r.log_index - 1, r.log_index - 1, NULL) IS NULL)
     ORDER BY r.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.ref, 'reward'::text, t.address, t.owner, t.amount::numeric, t.block_number,
            t.block_time, 'Reward'::text, 'contract'::text, 'account'::text
     FROM iexec.reward t
     WHERE t.amount > 0
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.ref, 'fee'::text, t.owner, t.address, t.amount::numeric, t.block_number,
            t.block_time, 'Seize'::text, 'account'::text, 'contract'::text
     FROM iexec.seize t
     WHERE t.amount > 0
       AND iexec.seize_kind(t.chain_id, t.block_number, t.log_index, t.owner) NOT IN ('slash', 'unstake')
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.ref, 'unstake'::text, t.owner, t.address, t.amount::numeric, t.block_number,
            t.block_time, 'Seize'::text, 'account'::text, 'contract'::text
     FROM iexec.seize t
     WHERE t.amount > 0 AND analytics.hex(t.owner) COLLATE "C" = analytics.hex(iexec.kitty())
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.ref, 'slash'::text, t.owner, t.address, t.amount::numeric, t.block_number,
            e.block_time, 'Seize'::text, 'account'::text, 'contract'::text
     FROM iexec.faulty_contribution e
     JOIN iexec.seize t ON t.chain_id = e.chain_id AND t.block_number = e.block_number
         AND t.log_index = e.log_index - 1
     WHERE t.amount > 0 AND t.owner <> iexec.kitty()
     ORDER BY e.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, t.ref, 'slash'::text, t.owner, t.address, t.amount::numeric, t.block_number,
            r.block_time, 'Seize'::text, 'account'::text, 'contract'::text
     FROM iexec.reward r
     JOIN iexec.seize t ON t.chain_id = r.chain_id AND t.block_number = r.block_number
         AND t.log_index BETWEEN r.log_index - 2 AND r.log_index - 1
     WHERE analytics.hex(r.owner) COLLATE "C" = analytics.hex(iexec.kitty()) AND t.amount > 0
       AND t.owner <> iexec.kitty()
       AND (t.log_index = r.log_index - 1
            OR iexec.kitty_claim(r.chain_id, r.block_number, r.log_index - 1, r.log_index - 1, NULL) IS NULL)
       AND NOT EXISTS (
           SELECT FROM iexec.faulty_contribution e
           WHERE e.chain_id = t.chain_id AND e.block_number = t.block_number AND e.log_index = t.log_index + 1)
     ORDER BY r.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, NULL::bytea, 'deposit'::text, NULL::bytea, t.owner, t.amount::numeric,
            t.block_number, t.block_time, 'Deposit'::text, 'account'::text, 'account'::text
     FROM iexec.deposit t
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, NULL::bytea, 'deposit'::text, t.owner, t.target, t.amount::numeric, t.block_number,
            t.block_time, 'DepositFor'::text, 'account'::text, 'account'::text
     FROM iexec.deposit_for t
     ORDER BY t.block_time DESC)
    UNION ALL
    (SELECT t.chain_id, t.address, NULL::bytea, 'withdraw'::text, t.owner, NULL::bytea, t.amount::numeric,
            t.block_number, t.block_time, 'Withdraw'::text, 'account'::text, 'account'::text
     FROM iexec.withdraw t
     ORDER BY t.block_time DESC)
) AS p;
COMMENT ON VIEW iexec.v_payments IS
    'Payments of iExec, as in analytics.payments. A payer''s money is locked for the whole deal (stake), then each task'
    ' takes its fee (Seize) or gives it back (refund); of the stakes of workers and pool owners a task gives back'
    ' (unstake) or takes (slash). transfer: between accounts. Per account: stake - unstake - refund - fee - slash ='
    ' locked, and deposit - withdraw + transfer in - transfer out - stake + unstake + refund + reward = stake in viewAccount.';
