-- Arbius: whose money waits for a transaction, what time ends next, and which votes run. Rules: arbius.md, section 3.

CREATE OR REPLACE FUNCTION arbius.hindrance(chain bigint, engine bytea) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN p.paused THEN 'the engine is paused' END
    FROM arbius.parameters p
    WHERE p.chain_id = chain AND p.address = engine
    ORDER BY p.since_block DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION arbius.hindrance(bigint, bytea) IS 'Why an engine would refuse every call now; NULL: it would not.';

-- Each arm is sorted by an index, so that a page reads no more than it shows.
CREATE OR REPLACE VIEW arbius.v_idle AS
(SELECT 'arbius'::text AS network,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = s.chain_id) AS chain,
        s.chain_id,
        analytics.hex(s.address) COLLATE "C" AS contract,
        analytics.hex(s.task_id) COLLATE "C" AS task_id,
        'claimable'::text AS reason,
        'worker'::text AS role,
        analytics.hex(s.validator) COLLATE "C" AS account,
        s.stake::numeric AS stake,
        (SELECT t.fee FROM arbius.tasks t
         WHERE t.chain_id = s.chain_id AND t.address = s.address AND t.task_id = s.task_id)::numeric AS gain,
        'AIUS'::text AS token,
        s.blocktime AS begun_at,
        l.deadline AS since,
        NULL::timestamptz AS until,
        'claim'::text AS action,
        NULL::text COLLATE "C" AS sender,
        analytics.hex(s.address) COLLATE "C" AS call_to,
        arbius.claim_call(s.task_id) COLLATE "C" AS call_data,
        arbius.hindrance(s.chain_id, s.address) AS lacks
 FROM arbius.solutions s
 CROSS JOIN LATERAL arbius.live_state(
     s.chain_id, s.address, s.stage, s.validator, s.blocktime, NULL, 0, NULL, NULL) AS l
 WHERE s.stage = 'solved' AND l.network_status = 'claimable'
   AND s.blocktime < (SELECT max(e.now - e.claim) FROM arbius.v_engines e) -- what is younger is challengeable
 ORDER BY s.blocktime DESC)
UNION ALL
(SELECT 'arbius'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = s.chain_id), s.chain_id,
        analytics.hex(s.address) COLLATE "C", analytics.hex(s.task_id) COLLATE "C",
        'forfeited'::text, 'worker'::text, analytics.hex(s.validator) COLLATE "C", s.stake::numeric,
        NULL::numeric, 'AIUS'::text, s.blocktime, s.since, NULL::timestamptz, NULL::text, NULL::text COLLATE "C",
        NULL::text COLLATE "C", NULL::text COLLATE "C", arbius.hindrance(s.chain_id, s.address)
 FROM arbius.v_forfeited s
 ORDER BY s.blocktime DESC)
UNION ALL
(SELECT 'arbius'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
        analytics.hex(t.address) COLLATE "C", analytics.hex(t.task_id) COLLATE "C",
        l.network_status, w.role, analytics.hex(w.account) COLLATE "C", w.stake::numeric,
        CASE WHEN w.role <> 'voter' THEN t.fee END::numeric, 'AIUS'::text, t.blocktime, l.deadline, NULL::timestamptz,
        'finish'::text, NULL::text COLLATE "C", analytics.hex(t.address) COLLATE "C",
        arbius.finish_call(t.task_id, t.yeas + t.nays) COLLATE "C", arbius.hindrance(t.chain_id, t.address)
 FROM arbius.tasks t
 CROSS JOIN LATERAL arbius.live_state(
     t.chain_id, t.address, t.stage, t.solution_validator, t.solution_blocktime,
     coalesce(t.contested_at, t.last_at), t.yeas + t.nays, NULL, NULL) AS l
 CROSS JOIN LATERAL arbius.parameters_at(t.chain_id, t.address, NULL) AS p
 CROSS JOIN LATERAL (
     SELECT 'voter'::text AS role, v.voter AS account, (
         SELECT c.slash_amount FROM arbius.contestations c
         WHERE c.chain_id = t.chain_id AND c.address = t.address AND c.task_id = t.task_id) AS stake
     FROM arbius.votes v
     WHERE v.chain_id = t.chain_id AND v.address = t.address AND v.task_id = t.task_id
     UNION ALL
     SELECT 'requester', t.owner, NULL WHERE t.yeas + p.adder > t.nays
     UNION ALL
     SELECT 'worker', t.solution_validator, (
         SELECT s.stake FROM arbius.solutions s
         WHERE s.chain_id = t.chain_id AND s.address = t.address AND s.task_id = t.task_id)
     WHERE t.yeas + p.adder <= t.nays
 ) AS w
 WHERE t.stage = 'contested' AND l.network_status = 'awaiting_finish'
 ORDER BY t.blocktime DESC)
UNION ALL
(SELECT 'arbius'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = d.chain_id), d.chain_id,
        analytics.hex(d.address) COLLATE "C", analytics.hex(d.task_id) COLLATE "C",
        'unsettled'::text, 'voter'::text, analytics.hex(v.voter) COLLATE "C", d.slash_amount::numeric,
        d.slash_amount::numeric, 'AIUS'::text, d.blocktime, d.finished_at, NULL::timestamptz,
        'settle'::text, NULL::text COLLATE "C", analytics.hex(d.address) COLLATE "C",
        arbius.finish_call(d.task_id, d.yeas + d.nays) COLLATE "C", arbius.hindrance(d.chain_id, d.address)
 FROM arbius.contestations d
 JOIN arbius.votes v ON v.chain_id = d.chain_id AND v.address = d.address
     AND v.task_id = ANY (ARRAY[d.task_id]) AND d.task_id = ANY (ARRAY[v.task_id]) -- a join by = would hash them all
 WHERE d.outcome IS NOT NULL AND v.yea = (d.outcome = 'succeeded')
   AND d.finish_start_index < CASE d.outcome WHEN 'succeeded' THEN d.yeas ELSE d.nays END
   AND d.finish_start_index <= ( -- the votes of its side before it
       SELECT count(*) FROM arbius.votes x
       WHERE x.chain_id = d.chain_id AND x.address = d.address AND x.task_id = d.task_id AND x.yea = v.yea
         AND (x.block_number, x.log_index) < (v.block_number, v.log_index))
 ORDER BY d.blocktime DESC)
UNION ALL
(SELECT 'arbius'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = r.chain_id), r.chain_id,
        analytics.hex(r.address) COLLATE "C", NULL::text COLLATE "C",
        'unlocked'::text, 'validator'::text, analytics.hex(r.validator) COLLATE "C", r.amount::numeric,
        r.amount::numeric, 'AIUS'::text, r.initiated_at, r.unlock_at, NULL::timestamptz,
        'withdraw'::text, analytics.hex(r.validator) COLLATE "C", analytics.hex(r.address) COLLATE "C",
        arbius.withdraw_call(r.count, r.validator) COLLATE "C", arbius.hindrance(r.chain_id, r.address)
 FROM arbius.withdraw_requests r
 WHERE r.state = 'pending' AND analytics.now(r.chain_id) >= r.unlock_at
 ORDER BY r.initiated_at DESC);
COMMENT ON VIEW arbius.v_idle IS
    'Accounts of Arbius whose money waits for a transaction, or is locked for good, as in analytics.claimable and stuck.';

CREATE OR REPLACE VIEW arbius.v_expiring AS
SELECT 'arbius'::text AS network,
       e.chain,
       s.chain_id,
       analytics.hex(s.address) COLLATE "C" AS contract,
       analytics.hex(s.task_id) COLLATE "C" AS task_id,
       'challenge'::text AS "window",
       s.blocktime + e.claim AS deadline,
       extract(epoch FROM s.blocktime + e.claim - e.now) AS seconds_left,
       CASE WHEN e.loss_blocks_claims AND s.blocktime <= (
                SELECT max(c.finished_at) FROM arbius.contestations c
                WHERE c.chain_id = s.chain_id AND c.address = s.address AND c.solver = s.validator
                  AND c.outcome = 'succeeded') + e.claim + e.vote
            THEN 'forfeited' ELSE 'claimable' END AS becomes,
       analytics.hex(t.owner) COLLATE "C" AS requester,
       analytics.hex(s.validator) COLLATE "C" AS worker
FROM arbius.v_engines e
JOIN arbius.solutions s ON s.chain_id = e.chain_id AND s.address = e.address AND s.stage = 'solved'
    AND s.blocktime >= e.now - e.claim
JOIN arbius.tasks t ON t.chain_id = s.chain_id AND t.address = s.address AND t.task_id = s.task_id
UNION ALL
SELECT 'arbius', (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
       analytics.hex(t.address) COLLATE "C", analytics.hex(t.task_id) COLLATE "C",
       'vote', l.deadline, extract(epoch FROM l.deadline - analytics.now(t.chain_id)), 'awaiting_finish',
       analytics.hex(t.owner) COLLATE "C", analytics.hex(t.solution_validator) COLLATE "C"
FROM arbius.tasks t
CROSS JOIN LATERAL arbius.live_state(
    t.chain_id, t.address, t.stage, t.solution_validator, t.solution_blocktime,
    coalesce(t.contested_at, t.last_at), t.yeas + t.nays, NULL, NULL) AS l
WHERE t.stage = 'contested' AND l.network_status = 'voting';
COMMENT ON VIEW arbius.v_expiring IS 'Windows of Arbius tasks that time will close, as in analytics.expiring.';

CREATE OR REPLACE VIEW arbius.v_open_disputes AS
SELECT 'arbius'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.task_id) COLLATE "C" AS task_id,
       analytics.hex(t.contester) COLLATE "C" AS opened_by,
       analytics.hex(t.solution_validator) COLLATE "C" AS against,
       t.contested_at AS opened_at,
       t.yeas::bigint AS yeas,
       t.nays::bigint AS nays,
       p.adder::bigint AS adder,
       CASE WHEN t.yeas + p.adder > t.nays THEN 'yeas' ELSE 'nays' END AS leading,
       l.network_status AS state,
       l.deadline,
       extract(epoch FROM l.deadline - analytics.now(t.chain_id)) AS seconds_left,
       CASE l.network_status WHEN 'awaiting_finish' THEN analytics.hex(t.address) END COLLATE "C" AS call_to,
       CASE l.network_status WHEN 'awaiting_finish' THEN arbius.finish_call(t.task_id, t.yeas + t.nays)
       END COLLATE "C" AS call_data
FROM arbius.tasks t
CROSS JOIN LATERAL arbius.live_state(
    t.chain_id, t.address, t.stage, t.solution_validator, t.solution_blocktime,
    coalesce(t.contested_at, t.last_at), t.yeas + t.nays, NULL, NULL) AS l
CROSS JOIN LATERAL arbius.parameters_at(t.chain_id, t.address, NULL) AS p
WHERE t.stage = 'contested';
COMMENT ON VIEW arbius.v_open_disputes IS 'Contestations of Arbius that are not counted yet, as in analytics.open_disputes.';
