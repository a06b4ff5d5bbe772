-- Koii as the views in `analytics` show it. Slots stand for blocks; all is read as finalized.

CREATE OR REPLACE FUNCTION koii.token(token_type text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce($1, 'KOII') $$;
COMMENT ON FUNCTION koii.token(text) IS 'The token in which a task pays: the mint of a KPL task''s, else KOII.';

CREATE OR REPLACE FUNCTION koii.status_of(status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE $1 WHEN 'active' THEN 'running' WHEN 'depleted' THEN 'succeeded' ELSE 'cancelled' END $$;
COMMENT ON FUNCTION koii.status_of(text) IS 'A task''s status in the words of analytics.tasks.';

CREATE OR REPLACE VIEW koii.v_tasks AS
SELECT 'koii'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       t.program AS contract,
       t.task_id,
       koii.status_of(t.status) AS status,
       t.status AS network_status,
       t.task_manager AS requester,
       t.task_manager AS submitter,
       t.task_name COLLATE "C" AS subject,
       t.bounty_amount_per_round::numeric AS fee,
       koii.token(t.token_type) AS fee_token,
       CASE WHEN t.token_type IS NULL THEN t.bounty_amount_per_round / 1e9 END AS fee_amount,
       t.started_at AS submitted_at,
       t.ended_at AS finished_at,
       least(t.starting_slot, 9223372036854775807)::bigint AS submitted_block,
       t.last_slot AS last_block,
       'final'::text AS finality,
       t.status AS stage,
       NULL::integer AS stage_number
FROM koii.tasks t;
COMMENT ON VIEW koii.v_tasks IS
    'Tasks of Koii, as in analytics.tasks. fee is what a round costs at most; submitted_at the time of its first slot.';

CREATE OR REPLACE FUNCTION koii.reward_of(chain bigint, task text, staker text, round bigint) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT b.amount FROM koii.balance_changes b
    JOIN koii.distribution_records d ON d.chain_id = b.chain_id AND d.task_id = b.task_id AND d.round = $4
         AND d.status = 'PayoutSuccessful' AND b.from_slot >= d.first_slot
    WHERE b.chain_id = $1 AND b.task_id = $2 AND b.staker = $3 AND b.kind = 'reward' AND b.round = $4
    ORDER BY b.from_slot LIMIT 1
$$;
COMMENT ON FUNCTION koii.reward_of(bigint, text, text, bigint) IS
    'What a node got for a round, where snapshots tell it. A subquery in its place would keep all of analytics.work from'
    ' being summed by several processes.';

CREATE OR REPLACE VIEW koii.v_work AS
SELECT 'koii'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = s.chain_id) AS chain,
       s.chain_id,
       (SELECT t.program FROM koii.tasks t WHERE t.chain_id = s.chain_id AND t.task_id = s.task_id) AS contract,
       s.task_id,
       s.submitter AS worker,
       (SELECT CASE WHEN v.net < 0 THEN 'rejected'
                    WHEN r.paid AND v.net = 0 THEN 'lost'
                    WHEN r.paid THEN 'accepted'
                    WHEN r.failed AND t.last_slot >= t.starting_slot
                         + (s.round + 3 + coalesce(t.allowed_failed_distributions, 0)) * t.round_time THEN 'expired'
                    ELSE 'submitted' END
        FROM koii.tasks t
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(CASE WHEN a.is_valid THEN 1 ELSE -1 END), 1) AS net FROM koii.audit_votes a
            WHERE a.chain_id = s.chain_id AND a.task_id = s.task_id AND a.kind = 'submission' AND a.round = s.round
              AND a.subject = s.submitter) AS v
        CROSS JOIN LATERAL (
            SELECT bool_or(d.status = 'PayoutSuccessful') AS paid, bool_or(d.status = 'PayoutFailed') AS failed
            FROM koii.distribution_records d
            WHERE d.chain_id = s.chain_id AND d.task_id = s.task_id AND d.round = s.round) AS r
        WHERE t.chain_id = s.chain_id AND t.task_id = s.task_id) AS state,
       s.submitted_at,
       (SELECT d.first_at FROM koii.distribution_records d
        WHERE d.chain_id = s.chain_id AND d.task_id = s.task_id AND d.round = s.round
          AND d.status = 'PayoutSuccessful') AS settled_at,
       koii.reward_of(s.chain_id, s.task_id, s.submitter, s.round) AS reward,
       (SELECT koii.token(t.token_type) FROM koii.tasks t
        WHERE t.chain_id = s.chain_id AND t.task_id = s.task_id) AS reward_token,
       s.round
FROM koii.submissions s;
COMMENT ON VIEW koii.v_work IS
    'Submissions of Koii, as in analytics.work. reward is NULL where snapshots do not tell it of one round.';

CREATE OR REPLACE VIEW koii.v_payments AS
SELECT 'koii'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = b.chain_id) AS chain,
       b.chain_id,
       t.program AS contract,
       b.task_id,
       CASE b.kind WHEN 'claim' THEN 'withdraw' ELSE b.kind END AS kind,
       CASE WHEN b.kind IN ('stake', 'slash') THEN b.staker ELSE b.task_id END AS from_address,
       CASE WHEN b.kind IN ('stake', 'slash') THEN b.task_id ELSE b.staker END AS to_address,
       b.amount::numeric AS amount,
       CASE WHEN b.kind IN ('stake', 'unstake', 'slash') THEN 'KOII' ELSE koii.token(t.token_type) END AS token,
       b.from_slot AS block,
       b.from_at AS block_time,
       'snapshot'::text AS source_event
FROM koii.balance_changes b
JOIN koii.tasks t USING (chain_id, task_id)
UNION ALL
SELECT 'koii', (SELECT c.name FROM chain.chains c WHERE c.chain_id = n.chain_id), n.chain_id, t.program, n.task_id,
       'deposit', NULL, n.task_id, (n.total_bounty_amount - p.total_bounty_amount)::numeric, koii.token(t.token_type),
       n.from_slot, n.from_at, 'snapshot'
FROM koii.task_totals n
JOIN koii.task_totals p ON p.chain_id = n.chain_id AND p.task_id = n.task_id AND p.to_slot = n.from_slot
JOIN koii.tasks t ON t.chain_id = n.chain_id AND t.task_id = n.task_id
WHERE n.total_bounty_amount > p.total_bounty_amount;
COMMENT ON VIEW koii.v_payments IS
    'Payments of Koii that differences of snapshots tell, as in analytics.payments; block is the snapshot that first shows'
    ' them. A deposit shows only as far as it exceeds what was paid out meanwhile.';

CREATE OR REPLACE VIEW koii.v_workers AS
SELECT 'koii'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = w.chain_id) AS chain,
       w.submitter AS worker,
       count(*) AS submitted,
       count(*) FILTER (WHERE r.paid AND coalesce(a.valid - a.invalid, 1) > 0) AS accepted,
       count(*) FILTER (WHERE a.invalid > a.valid OR (r.paid AND a.invalid = a.valid)) AS lost,
       coalesce(max(m.earned), 0) AS earned,
       coalesce(max(m.slashed), 0) AS slashed,
       min(w.submitted_at) AS first_at,
       max(w.submitted_at) AS last_at
FROM koii.submissions w
LEFT JOIN koii.audit_results a ON a.chain_id = w.chain_id AND a.task_id = w.task_id AND a.kind = 'submission'
    AND a.round = w.round AND a.subject = w.submitter
LEFT JOIN (
    SELECT chain_id, task_id, round, true AS paid FROM koii.distribution_records WHERE status = 'PayoutSuccessful'
) AS r ON r.chain_id = w.chain_id AND r.task_id = w.task_id AND r.round = w.round
LEFT JOIN (
    SELECT chain_id, staker, sum(amount) FILTER (WHERE kind = 'reward') AS earned,
           sum(amount) FILTER (WHERE kind = 'slash') AS slashed
    FROM koii.balance_changes GROUP BY chain_id, staker
) AS m ON m.chain_id = w.chain_id AND m.staker = w.submitter
GROUP BY w.chain_id, w.submitter;
COMMENT ON VIEW koii.v_workers IS
    'Nodes of Koii by staking key, as in analytics.workers. Money of several tokens is added up.';

CREATE OR REPLACE VIEW koii.v_status_counts AS
SELECT 'koii'::text AS network, t.chain_id, koii.status_of(t.status) AS status, count(*) AS tasks
FROM koii.tasks t
GROUP BY t.chain_id, t.status;
COMMENT ON VIEW koii.v_status_counts IS 'Tasks of Koii by status, in parts to be added up.';

CREATE OR REPLACE VIEW koii.v_days AS
SELECT 'koii'::text AS network, d.chain_id, d.day, d.what, d.n, d.amount
FROM (
    SELECT chain_id, (started_at AT TIME ZONE 'UTC')::date AS day, 'task' AS what, count(*) AS n, 0::numeric AS amount
    FROM koii.tasks GROUP BY 1, 2
    UNION ALL
    SELECT chain_id, (ended_at AT TIME ZONE 'UTC')::date, 'succeeded', count(*), 0
    FROM koii.tasks WHERE status = 'depleted' GROUP BY 1, 2
    UNION ALL
    SELECT chain_id, (opened_at AT TIME ZONE 'UTC')::date, 'dispute', count(*), 0
    FROM koii.submission_audits GROUP BY 1, 2
    UNION ALL
    SELECT chain_id, (submitted_at AT TIME ZONE 'UTC')::date, 'worker', count(DISTINCT submitter), 0
    FROM koii.submissions GROUP BY 1, 2
    UNION ALL
    SELECT chain_id, (from_at AT TIME ZONE 'UTC')::date, 'reward', count(*), sum(amount)
    FROM koii.balance_changes WHERE kind = 'reward' GROUP BY 1, 2
) AS d
WHERE d.day IS NOT NULL;
COMMENT ON VIEW koii.v_days IS
    'What analytics.daily adds up of Koii: rewards of all tokens, disputes by objections to work.';
