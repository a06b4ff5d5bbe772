-- iExec: whose money waits for a transaction, and what time ends next. Rules: iexec.md, section 3.

CREATE OR REPLACE VIEW iexec.v_stalled AS
SELECT t.chain_id, t.address, t.taskid, t.start_time, t.requester, t.payer, t.fee, t.dealid, w.reason,
       CASE w.reason
           WHEN 'claimable' THEN iexec.deadline(t.start_time, t.timeref, 10)
           WHEN 'contribution_closed' THEN iexec.deadline(t.start_time, t.timeref, 7)
           WHEN 'finalizable' THEN least(
               CASE WHEN t.reveal_counter = t.winner_counter THEN (
                   SELECT max(c.revealed_at) FROM iexec.contributions c
                   WHERE c.chain_id = t.chain_id AND c.address = t.address AND c.taskid = t.taskid) END,
               iexec.deadline(t.consensus_at, t.timeref, 2))
           ELSE iexec.deadline(t.consensus_at, t.timeref, 2)
       END AS since,
       CASE WHEN w.reason <> 'claimable' THEN iexec.deadline(t.start_time, t.timeref, 10) END AS until,
       CASE w.reason
           WHEN 'claimable' THEN 'claim'
           WHEN 'finalizable' THEN 'finalize'
           WHEN 'reopenable' THEN 'reopen'
       END AS action,
       CASE w.reason
           WHEN 'claimable' THEN CASE t.status WHEN 0 THEN iexec.claim_unset_call(t.dealid, t.idx)
                                               ELSE iexec.claim_call(t.taskid) END
           WHEN 'reopenable' THEN iexec.reopen_call(t.taskid)
       END AS call_data,
       CASE w.reason WHEN 'finalizable' THEN 'the results, which are off-chain' END AS lacks
FROM iexec.tasks t
CROSS JOIN LATERAL (
    SELECT iexec.window_state(t.status, t.start_time, t.timeref,
                              CASE WHEN t.consensus_value IS NOT NULL THEN t.consensus_at END,
                              t.reveal_counter, t.winner_counter, analytics.now(t.chain_id)) AS reason
) AS w
WHERE t.status < 3 AND w.reason IN ('claimable', 'contribution_closed', 'finalizable', 'reopenable');
COMMENT ON VIEW iexec.v_stalled IS
    'Tasks of iExec that only a transaction can move on: claimable, finalizable, reopenable, contribution_closed (a claim,'
    ' once the final deadline has passed).';

-- Each arm is sorted by an index, so that a page reads no more than it shows.
CREATE OR REPLACE VIEW iexec.v_idle AS
(SELECT 'iexec'::text AS network,
        (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id) AS chain,
        t.chain_id,
        analytics.hex(t.address) COLLATE "C" AS contract,
        analytics.hex(t.taskid) COLLATE "C" AS task_id,
        t.reason,
        'requester'::text AS role,
        analytics.hex(t.requester) COLLATE "C" AS account,
        CASE WHEN t.payer = t.requester THEN t.fee ELSE 0 END::numeric AS stake,
        CASE WHEN t.payer = t.requester AND t.action = 'claim' THEN t.fee ELSE 0 END::numeric AS gain,
        'RLC'::text AS token,
        t.start_time AS begun_at,
        t.since,
        t.until,
        CASE t.action WHEN 'claim' THEN t.action END AS action,
        NULL::text COLLATE "C" AS sender,
        CASE t.action WHEN 'claim' THEN analytics.hex(t.address) END COLLATE "C" AS call_to,
        CASE t.action WHEN 'claim' THEN t.call_data END COLLATE "C" AS call_data,
        NULL::text AS lacks
 FROM iexec.v_stalled t
 WHERE t.requester IS NOT NULL
 ORDER BY t.start_time DESC)
UNION ALL
(SELECT 'iexec'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
        analytics.hex(t.address) COLLATE "C", analytics.hex(t.taskid) COLLATE "C", t.reason,
        'payer'::text, analytics.hex(t.payer) COLLATE "C", t.fee::numeric,
        CASE t.action WHEN 'claim' THEN t.fee ELSE 0 END::numeric, 'RLC'::text, t.start_time, t.since, t.until,
        CASE t.action WHEN 'claim' THEN t.action END, NULL::text COLLATE "C",
        CASE t.action WHEN 'claim' THEN analytics.hex(t.address) END COLLATE "C",
        CASE t.action WHEN 'claim' THEN t.call_data END COLLATE "C", NULL::text
 FROM iexec.v_stalled t
 WHERE t.payer IS DISTINCT FROM t.requester
 ORDER BY t.start_time DESC)
UNION ALL
(SELECT 'iexec'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
        analytics.hex(t.address) COLLATE "C", analytics.hex(t.taskid) COLLATE "C", t.reason,
        'scheduler'::text, analytics.hex(d.workerpool_owner) COLLATE "C",
        div(d.scheduler_stake, nullif(d.bot_size, 0))::numeric,
        CASE t.action WHEN 'finalize' THEN div(d.scheduler_stake, nullif(d.bot_size, 0)) ELSE 0 END::numeric,
        'RLC'::text, t.start_time, t.since, t.until,
        CASE WHEN t.action <> 'claim' THEN t.action END,
        CASE WHEN t.action <> 'claim' THEN analytics.hex(d.workerpool_owner) END COLLATE "C",
        CASE WHEN t.action <> 'claim' THEN analytics.hex(t.address) END COLLATE "C",
        CASE WHEN t.action <> 'claim' THEN t.call_data END COLLATE "C", t.lacks
 FROM iexec.v_stalled t
 JOIN iexec.deals d ON d.chain_id = t.chain_id AND d.address = t.address AND d.dealid = t.dealid
 ORDER BY t.start_time DESC)
UNION ALL
(SELECT 'iexec'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = w.chain_id), w.chain_id,
        analytics.hex(w.address) COLLATE "C", analytics.hex(w.taskid) COLLATE "C", t.reason,
        'worker'::text, analytics.hex(w.worker) COLLATE "C",
        (SELECT d.worker_stake FROM iexec.deals d
         WHERE d.chain_id = t.chain_id AND d.address = t.address AND d.dealid = t.dealid)::numeric,
        CASE t.action WHEN 'claim' THEN (
            SELECT d.worker_stake FROM iexec.deals d
            WHERE d.chain_id = t.chain_id AND d.address = t.address AND d.dealid = t.dealid) ELSE 0 END::numeric,
        'RLC'::text, w.contributed_at, t.since, t.until,
        CASE t.action WHEN 'claim' THEN t.action END, NULL::text COLLATE "C",
        CASE t.action WHEN 'claim' THEN analytics.hex(t.address) END COLLATE "C",
        CASE t.action WHEN 'claim' THEN t.call_data END COLLATE "C", NULL::text
 FROM iexec.contributions w
 JOIN iexec.v_stalled t ON t.chain_id = w.chain_id AND t.address = w.address AND t.taskid = w.taskid
 WHERE w.settled_at IS NULL
 ORDER BY w.contributed_at DESC);
COMMENT ON VIEW iexec.v_idle IS
    'Accounts of iExec whose money waits for a transaction, as in analytics.claimable and analytics.stuck.';

CREATE OR REPLACE VIEW iexec.v_expiring AS
SELECT 'iexec'::text AS network,
       e.chain,
       t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.taskid) COLLATE "C" AS task_id,
       w."window",
       w.deadline,
       extract(epoch FROM w.deadline - e.now) AS seconds_left,
       w.becomes,
       analytics.hex(t.requester) COLLATE "C" AS requester,
       NULL::text COLLATE "C" AS worker
FROM (
    SELECT o.chain_id, o.address, c.name AS chain, analytics.now(o.chain_id) AS now,
           (SELECT max(least(k.work_clock_time_ref, 1e9))::float8 FROM iexec.categories k
            WHERE k.chain_id = o.chain_id AND k.address = o.address) * 10 * interval '1 second' AS longest
    FROM chain.sources o
    JOIN chain.chains c USING (chain_id)
    WHERE o.network = 'iexec' AND o.role = 'hub'
    OFFSET 0
) AS e
JOIN iexec.tasks t ON t.chain_id = e.chain_id AND t.address = e.address AND t.status < 3
    AND t.start_time >= e.now - e.longest -- what began earlier has run out whatever its category
CROSS JOIN LATERAL (
    SELECT iexec.deadline(t.start_time, t.timeref, 7) AS contribution, iexec.deadline(t.start_time, t.timeref, 10) AS final,
           CASE WHEN t.status = 2 THEN iexec.deadline(t.consensus_at, t.timeref, 2) END AS reveal
) AS d
CROSS JOIN LATERAL (
    SELECT x."window", x.deadline, x.becomes
    FROM (VALUES
        ('contribution', CASE WHEN t.status < 2 THEN d.contribution END, 'contribution_closed'),
        ('reveal', d.reveal, CASE WHEN t.reveal_counter > 0 THEN 'finalizable' ELSE 'reopenable' END),
        ('final', d.final, 'TIMEOUT')
    ) AS x ("window", deadline, becomes)
    WHERE x.deadline > e.now
    ORDER BY x.deadline
    LIMIT 1
) AS w;
COMMENT ON VIEW iexec.v_expiring IS
    'The next window of each live iExec task that time will close, as in analytics.expiring.';
