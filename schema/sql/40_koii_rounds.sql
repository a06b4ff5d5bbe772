-- Koii: what follows from the rows of snapshots. Rules: koii.md A5 and A7.

CREATE OR REPLACE VIEW koii.audit_results AS
SELECT v.chain_id, v.task_id, v.kind, v.round, v.subject,
       count(*) FILTER (WHERE v.is_valid) AS valid,
       count(*) FILTER (WHERE NOT v.is_valid) AS invalid
FROM koii.audit_votes v
GROUP BY v.chain_id, v.task_id, v.kind, v.round, v.subject;
COMMENT ON VIEW koii.audit_results IS 'Votes on each objection, counted. More invalid ones: the stake is cut; as many: no reward.';

CREATE OR REPLACE VIEW koii.rounds AS
SELECT s.chain_id,
       s.task_id,
       s.round,
       s.participants,
       coalesce(a.audits, 0)::bigint AS audits,
       coalesce(d.lists, 0)::bigint AS distributions,
       coalesce(x.audits, 0)::bigint AS distribution_audits,
       CASE WHEN p.paid_at IS NOT NULL THEN 'PayoutSuccessful'
            WHEN p.failed THEN 'PayoutFailed'
            WHEN p.round IS NOT NULL THEN 'Uninitialized' END AS payout,
       p.paid_slot,
       p.paid_at,
       (t.starting_slot + s.round * t.round_time)::numeric AS starts_slot,
       s.first_submission_at,
       s.last_submission_at,
       extract(epoch FROM p.paid_at - s.first_submission_at) AS duration_seconds
FROM (
    SELECT chain_id, task_id, round, count(*) AS participants, min(submitted_at) AS first_submission_at,
           max(submitted_at) AS last_submission_at
    FROM koii.submissions GROUP BY chain_id, task_id, round
) AS s
JOIN koii.tasks t USING (chain_id, task_id)
LEFT JOIN (SELECT chain_id, task_id, round, count(*) AS audits FROM koii.submission_audits GROUP BY 1, 2, 3) AS a
    USING (chain_id, task_id, round)
LEFT JOIN (SELECT chain_id, task_id, round, count(*) AS lists FROM koii.distribution_submissions GROUP BY 1, 2, 3) AS d
    USING (chain_id, task_id, round)
LEFT JOIN (SELECT chain_id, task_id, round, count(*) AS audits FROM koii.distribution_audits GROUP BY 1, 2, 3) AS x
    USING (chain_id, task_id, round)
LEFT JOIN (
    SELECT chain_id, task_id, round,
           min(first_slot) FILTER (WHERE status = 'PayoutSuccessful') AS paid_slot,
           min(first_at) FILTER (WHERE status = 'PayoutSuccessful') AS paid_at,
           bool_or(status = 'PayoutFailed') AS failed
    FROM koii.distribution_records GROUP BY 1, 2, 3
) AS p USING (chain_id, task_id, round);
COMMENT ON VIEW koii.rounds IS
    'One row per round in which somebody handed in work. paid_slot: first snapshot that shows the payout;'
    ' duration_seconds: from the first submission to it.';

CREATE OR REPLACE FUNCTION koii.paid_round(chain_id bigint, task_id text, after_slot bigint, to_slot bigint)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN count(*) = 1 THEN min(r.round) END
    FROM koii.distribution_records r
    WHERE r.chain_id = $1 AND r.task_id = $2 AND r.status = 'PayoutSuccessful'
      AND r.first_slot > $3 AND r.first_slot <= $4
$$;
COMMENT ON FUNCTION koii.paid_round(bigint, text, bigint, bigint) IS
    'The round that was paid between two snapshots; NULL when there were none or several.';

CREATE OR REPLACE FUNCTION koii.is_slashed(
    chain_id bigint, task_id text, staker text, after_slot bigint, to_slot bigint
) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (
        SELECT 1
        FROM koii.distribution_records r
        JOIN koii.audit_results a ON a.chain_id = r.chain_id AND a.task_id = r.task_id AND a.round = r.round
        WHERE r.chain_id = $1 AND r.task_id = $2 AND r.status = 'PayoutSuccessful'
          AND r.first_slot > $4 AND r.first_slot <= $5
          AND a.kind = 'submission' AND a.subject = $3 AND a.invalid > a.valid)
$$;
COMMENT ON FUNCTION koii.is_slashed(bigint, text, text, bigint, bigint) IS
    'Whether a round that was paid between two snapshots had its work by this node voted wrong.';

CREATE OR REPLACE VIEW koii.balance_moves AS
SELECT a.chain_id, a.task_id, a.staker, a.after_slot, a.from_slot, a.from_at,
       coalesce((SELECT p.amount FROM koii.available_balances p
                 WHERE p.chain_id = a.chain_id AND p.task_id = a.task_id AND p.staker = a.staker
                   AND p.from_slot < a.from_slot ORDER BY p.from_slot DESC LIMIT 1), 0) AS available_before,
       a.amount AS available_after,
       coalesce(p.amount, 0) AS stake_before,
       coalesce(s.amount, p.amount, 0) AS stake_after
FROM koii.available_balances a
LEFT JOIN koii.stakes s ON s.chain_id = a.chain_id AND s.task_id = a.task_id AND s.staker = a.staker
    AND s.from_slot = a.from_slot
LEFT JOIN LATERAL (
    SELECT b.amount FROM koii.stakes b
    WHERE b.chain_id = a.chain_id AND b.task_id = a.task_id AND b.staker = a.staker AND b.from_slot < a.from_slot
    ORDER BY b.from_slot DESC LIMIT 1) AS p ON true
WHERE a.after_slot IS NOT NULL
UNION ALL
SELECT s.chain_id, s.task_id, s.staker, s.after_slot, s.from_slot, s.from_at, v.amount, v.amount,
       coalesce((SELECT p.amount FROM koii.stakes p
                 WHERE p.chain_id = s.chain_id AND p.task_id = s.task_id AND p.staker = s.staker
                   AND p.from_slot < s.from_slot ORDER BY p.from_slot DESC LIMIT 1), 0),
       s.amount
FROM koii.stakes s
CROSS JOIN LATERAL (
    SELECT coalesce((SELECT a.amount FROM koii.available_balances a
                     WHERE a.chain_id = s.chain_id AND a.task_id = s.task_id AND a.staker = s.staker
                       AND a.from_slot < s.from_slot ORDER BY a.from_slot DESC LIMIT 1), 0) AS amount) AS v
WHERE s.after_slot IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM koii.available_balances a
    WHERE a.chain_id = s.chain_id AND a.task_id = s.task_id AND a.staker = s.staker AND a.from_slot = s.from_slot);
COMMENT ON VIEW koii.balance_moves IS
    'Stake and claimable balance of a node before and after each change of one of them. What the first snapshot shows is no change.';

CREATE OR REPLACE VIEW koii.balance_changes AS
SELECT m.chain_id, m.task_id, m.staker, k.kind, k.amount, m.after_slot, m.from_slot, m.from_at,
       CASE k.kind WHEN 'reward' THEN koii.paid_round(m.chain_id, m.task_id, m.after_slot, m.from_slot)
                   WHEN 'slash' THEN koii.paid_round(m.chain_id, m.task_id, m.after_slot, m.from_slot) END AS round
FROM koii.balance_moves m
CROSS JOIN LATERAL (SELECT greatest(m.stake_before - m.stake_after, 0) AS fall) AS f
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.stake_after > 0 THEN 0
                WHEN m.available_after - m.available_before >= f.fall THEN f.fall
                -- Who was voted wrong is not paid: what he gained is the rest of his stake.
                WHEN f.fall > 0 AND koii.is_slashed(m.chain_id, m.task_id, m.staker, m.after_slot, m.from_slot)
                    THEN greatest(m.available_after - m.available_before, 0)
                ELSE f.fall END AS unstaked) AS u
CROSS JOIN LATERAL (SELECT m.available_before + u.unstaked AS claimable) AS c
CROSS JOIN LATERAL (VALUES
    ('stake', greatest(m.stake_after - m.stake_before, 0)),
    ('unstake', u.unstaked),
    ('slash', f.fall - u.unstaked),
    ('claim', CASE WHEN m.available_after < c.claimable THEN c.claimable ELSE 0 END),
    ('reward', CASE WHEN m.available_after < c.claimable THEN m.available_after
                    ELSE m.available_after - c.claimable END)
) AS k (kind, amount)
WHERE k.amount > 0;
COMMENT ON VIEW koii.balance_changes IS
    'What moved a node''s money between two snapshots: stake, unstake (the stake becomes claimable), slash (a part of the'
    ' stake goes, or all of it after votes against), claim (all that was claimable), reward (the rest). round: the one'
    ' that was paid meanwhile, if it was one. Of what is paid and claimed between two snapshots only the net shows.';
