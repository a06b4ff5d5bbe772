-- A task's whole life: every event in the order of the chain, and what time alone changed or will change.
-- kind: event; time (a window that has closed); due (one that will, unless something happens before).

CREATE OR REPLACE FUNCTION analytics.kind_of(at timestamptz, chain_id bigint) RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT CASE WHEN $1 <= analytics.now($2) THEN 'time' ELSE 'due' END $$;
COMMENT ON FUNCTION analytics.kind_of(timestamptz, bigint) IS 'Whether a window has closed (time) or will (due).';

CREATE OR REPLACE FUNCTION arbius.windows(chain bigint, engine bytea, task bytea)
RETURNS TABLE (at timestamptz, what text, network_status text)
LANGUAGE sql STABLE
AS $$
    SELECT w.at, w.what, w.network_status
    FROM arbius.tasks t
    CROSS JOIN LATERAL arbius.parameters_at(chain, engine, coalesce(t.claimed_block, t.finished_block)) AS p
    CROSS JOIN LATERAL (SELECT t.solution_blocktime + p.claim AS closed) AS c
    LEFT JOIN LATERAL (
        SELECT min(l.finished_at) AS lost_at FROM arbius.contestations l
        WHERE l.chain_id = chain AND l.address = engine AND l.solver = t.solution_validator
          AND l.outcome = 'succeeded' AND p.loss_blocks_claims
          AND l.finished_at >= t.solution_blocktime - p.claim - p.vote
    ) AS l ON true
    CROSS JOIN LATERAL (VALUES
        (CASE WHEN t.contested_at IS NULL THEN c.closed END, 'challenge_window_closed',
         CASE WHEN l.lost_at <= c.closed THEN 'forfeited' ELSE 'claimable' END),
        (CASE WHEN t.contested_at IS NULL AND l.lost_at > c.closed
                   AND l.lost_at < coalesce(t.claimed_at, 'infinity') THEN l.lost_at END,
         'solver_lost_elsewhere', 'forfeited'),
        (t.contested_at + p.vote + (t.yeas + t.nays) * p.extension, 'voting_closed', 'awaiting_finish')
    ) AS w (at, what, network_status)
    WHERE t.chain_id = chain AND t.address = engine AND t.task_id = task AND w.at IS NOT NULL
      AND w.at <= coalesce(t.claimed_at, t.finished_at, 'infinity')
$$;
COMMENT ON FUNCTION arbius.windows(bigint, bytea, bytea) IS
    'What time and lost contestations of its solver made of a task, and when.';

CREATE OR REPLACE FUNCTION arbius.timeline(chain bigint, engine bytea, task bytea)
RETURNS TABLE (at timestamptz, block bigint, log_index integer, kind text, what text, network_status text, who text,
               details jsonb, tx_hash text)
LANGUAGE sql STABLE
AS $$
    SELECT e.at, e.block, e.log_index, 'event', e.what, e.network_status, analytics.hex(e.who), e.details,
           analytics.hex(e.tx_hash)
    FROM (
        SELECT x.block_time AS at, x.block_number AS block, x.log_index, 'TaskSubmitted' AS what,
               'open' AS network_status, x.sender AS who,
               jsonb_build_object('model', analytics.hex(x.model), 'fee', x.fee) AS details, x.tx_hash
        FROM arbius.task_submitted x
        WHERE x.id = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'SignalCommitment', NULL, x.addr,
               jsonb_build_object('commitment', analytics.hex(x.commitment)), x.tx_hash
        FROM arbius.solution_facts f
        JOIN arbius.signal_commitment x ON x.commitment = f.commitment AND x.chain_id = chain AND x.address = engine
        WHERE f.chain_id = chain AND f.address = engine AND f.task_id = timeline.task
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'SolutionSubmitted', 'challengeable', x.addr, '{}', x.tx_hash
        FROM arbius.solution_submitted x
        WHERE x.task = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'SolutionClaimed', 'claimed', x.addr, '{}', x.tx_hash
        FROM arbius.solution_claimed x
        WHERE x.task = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'ContestationSuggested', NULL, x.addr, '{}', x.tx_hash
        FROM arbius.contestation_suggested x
        WHERE x.task = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'ContestationSubmitted', 'voting', x.addr, '{}', x.tx_hash
        FROM arbius.contestation_submitted x
        WHERE x.task = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'ContestationVote', NULL, x.addr,
               jsonb_build_object('yea', x.yea), x.tx_hash
        FROM arbius.contestation_vote x
        WHERE x.task = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'ContestationVoteFinish',
               CASE x.start_idx WHEN 0 THEN (
                   SELECT 'contestation_' || c.outcome FROM arbius.contestations c
                   WHERE c.chain_id = chain AND c.address = engine AND c.task_id = timeline.task) END,
               NULL, jsonb_build_object('start_idx', x.start_idx, 'end_idx', x.end_idx), x.tx_hash
        FROM arbius.contestation_vote_finish x
        WHERE x.id = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskRetracted', 'retracted', NULL, '{}', x.tx_hash
        FROM arbius.task_retracted x
        WHERE x.id = timeline.task AND x.chain_id = chain AND x.address = engine
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'FeesPaid', NULL, s.validator,
               jsonb_build_object('model_fee', x.model_fee, 'treasury_fee', x.treasury_fee,
                                  'remaining_fee', x.remaining_fee, 'validator_fee', x.validator_fee), x.tx_hash
        FROM arbius.solutions s
        JOIN arbius.fees_paid x ON x.chain_id = chain AND x.block_number = s.paid_block AND x.log_index = s.paid_log_index
        WHERE s.chain_id = chain AND s.address = engine AND s.task_id = timeline.task
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'RewardsPaid', NULL, s.validator,
               jsonb_build_object('total_rewards', x.total_rewards, 'treasury_reward', x.treasury_reward,
                                  'task_owner_reward', x.task_owner_reward, 'validator_reward', x.validator_reward),
               x.tx_hash
        FROM arbius.solutions s
        JOIN arbius.rewards_paid x
            ON x.chain_id = chain AND x.block_number = s.paid_block AND x.log_index = s.rewarded_log_index
        WHERE s.chain_id = chain AND s.address = engine AND s.task_id = timeline.task
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'IncentiveAdded', NULL, NULL,
               jsonb_build_object('amount', x.amount), x.tx_hash
        FROM arbius.incentive_added x WHERE x.taskid = timeline.task AND x.chain_id = chain
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'IncentiveClaimed', NULL, x.recipient,
               jsonb_build_object('amount', x.amount), x.tx_hash
        FROM arbius.incentive_claimed x WHERE x.taskid = timeline.task AND x.chain_id = chain
    ) AS e
    UNION ALL
    SELECT w.at, NULL, NULL, analytics.kind_of(w.at, chain), w.what, w.network_status, NULL, '{}', NULL
    FROM arbius.windows(chain, engine, task) w
$$;
COMMENT ON FUNCTION arbius.timeline(bigint, bytea, bytea) IS 'The life of an Arbius task, as analytics.timeline shows it.';

CREATE OR REPLACE FUNCTION iexec.windows(chain bigint, hub bytea, task bytea)
RETURNS TABLE (at timestamptz, what text, network_status text)
LANGUAGE sql STABLE
AS $$
    SELECT w.at, w.what, w.network_status
    FROM iexec.tasks t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.finalized_at, t.claimed_at, 'infinity') AS ended,
               (SELECT min(c.block_time) FROM iexec.task_consensus c
                WHERE c.taskid = task AND c.chain_id = chain AND c.address = hub) AS agreed
    ) AS e
    CROSS JOIN LATERAL (
        SELECT iexec.deadline(t.start_time, t.timeref, 7), 'contribution_window_closed',
               CASE t.status WHEN 0 THEN 'UNSET' ELSE 'ACTIVE' END
        WHERE iexec.deadline(t.start_time, t.timeref, 7) < coalesce(e.agreed, 'infinity')
        UNION ALL
        SELECT iexec.deadline(c.block_time, t.timeref, 2), 'reveal_window_closed', 'REVEALING'
        FROM iexec.task_consensus c WHERE c.taskid = task AND c.chain_id = chain AND c.address = hub
        UNION ALL
        SELECT iexec.deadline(t.start_time, t.timeref, 10), 'final_deadline', 'TIMEOUT'
    ) AS w (at, what, network_status)
    WHERE t.chain_id = chain AND t.address = hub AND t.taskid = task AND w.at IS NOT NULL AND w.at <= e.ended
$$;
COMMENT ON FUNCTION iexec.windows(bigint, bytea, bytea) IS 'Deadlines that a task met before it was settled, and when.';

CREATE OR REPLACE FUNCTION iexec.timeline(chain bigint, hub bytea, task bytea)
RETURNS TABLE (at timestamptz, block bigint, log_index integer, kind text, what text, network_status text, who text,
               details jsonb, tx_hash text)
LANGUAGE sql STABLE
AS $$
    SELECT e.at, e.block, e.log_index, 'event', e.what, e.network_status, analytics.hex(e.who), e.details,
           analytics.hex(e.tx_hash)
    FROM (
        SELECT x.block_time AS at, x.block_number AS block, x.log_index, 'OrdersMatched' AS what,
               'UNSET' AS network_status, t.payer AS who,
               jsonb_build_object('dealid', analytics.hex(x.dealid), 'idx', t.idx) AS details, x.tx_hash
        FROM iexec.tasks t JOIN iexec.orders_matched x ON x.dealid = t.dealid AND x.chain_id = chain
        WHERE t.chain_id = chain AND t.address = hub AND t.taskid = task
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskInitialize', 'ACTIVE', x.workerpool, '{}', x.tx_hash
        FROM iexec.task_initialize x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskContribute', NULL, x.worker,
               jsonb_build_object('hash', analytics.hex(x.hash)), x.tx_hash
        FROM iexec.task_contribute x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskConsensus', 'REVEALING', NULL,
               jsonb_build_object('consensus', analytics.hex(x.consensus)), x.tx_hash
        FROM iexec.task_consensus x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskReveal', NULL, x.worker,
               jsonb_build_object('digest', analytics.hex(x.digest)), x.tx_hash
        FROM iexec.task_reveal x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskReopen', 'ACTIVE', NULL, '{}', x.tx_hash
        FROM iexec.task_reopen x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskFinalize', 'COMPLETED', NULL,
               jsonb_build_object('results', analytics.hex(x.results)), x.tx_hash
        FROM iexec.task_finalize x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'TaskClaimed', 'FAILED', NULL, '{}', x.tx_hash
        FROM iexec.task_claimed x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'AccurateContribution', NULL, x.worker, '{}', x.tx_hash
        FROM iexec.accurate_contribution x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'FaultyContribution', NULL, x.worker, '{}', x.tx_hash
        FROM iexec.faulty_contribution x WHERE x.taskid = task AND x.chain_id = chain AND x.address = hub
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'ResultPushedBoost', 'COMPLETED', NULL,
               jsonb_build_object('results', analytics.hex(x.results)), x.tx_hash
        FROM iexec.tasks t
        JOIN iexec.result_pushed_boost x ON x.deal_id = t.dealid AND x.index = t.idx AND x.chain_id = chain
        WHERE t.chain_id = chain AND t.address = hub AND t.taskid = task
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'Reward', NULL, x.owner,
               jsonb_build_object('amount', x.amount), x.tx_hash
        FROM iexec.reward x WHERE x.ref = task AND x.chain_id = chain
        UNION ALL
        SELECT x.block_time, x.block_number, x.log_index, 'Seize', NULL, x.owner,
               jsonb_build_object('amount', x.amount), x.tx_hash
        FROM iexec.seize x WHERE x.ref = task AND x.chain_id = chain
    ) AS e
    UNION ALL
    SELECT w.at, NULL, NULL, analytics.kind_of(w.at, chain), w.what, w.network_status, NULL, '{}', NULL
    FROM iexec.windows(chain, hub, task) w
$$;
COMMENT ON FUNCTION iexec.timeline(bigint, bytea, bytea) IS 'The life of an iExec task, as analytics.timeline shows it.';

CREATE OR REPLACE FUNCTION koii.timeline(chain bigint, task text)
RETURNS TABLE (at timestamptz, block bigint, log_index integer, kind text, what text, network_status text, who text,
               details jsonb, tx_hash text)
LANGUAGE sql STABLE
AS $$
    SELECT t.started_at, least(t.starting_slot, 9223372036854775807)::bigint, NULL::integer, 'event', 'started', 'active',
           t.task_manager, '{}'::jsonb, NULL::text
    FROM koii.tasks t WHERE t.chain_id = chain AND t.task_id = task
    UNION ALL
    SELECT r.first_at, r.first_slot, NULL, 'event', r.status, NULL, NULL, jsonb_build_object('round', r.round), NULL
    FROM koii.distribution_records r WHERE r.chain_id = chain AND r.task_id = task
    UNION ALL
    SELECT m.first_at, m.first_slot, NULL, 'event', 'migrated', 'migrated', NULL,
           jsonb_build_object('migrated_to', m.migrated_to), NULL
    FROM koii.migrations m WHERE m.chain_id = chain AND m.task_id = task
    UNION ALL
    SELECT t.ended_at, t.last_slot, NULL, 'event', t.status, t.status, NULL, '{}', NULL
    FROM koii.tasks t WHERE t.chain_id = chain AND t.task_id = task AND t.ended_at IS NOT NULL
$$;
COMMENT ON FUNCTION koii.timeline(bigint, text) IS
    'The life of a Koii task as snapshots show it, as analytics.timeline shows it: its rounds are in koii.rounds.';

CREATE OR REPLACE FUNCTION aidbox.timeline(chain bigint, task text)
RETURNS TABLE (at timestamptz, block bigint, log_index integer, kind text, what text, status text, network_status text,
               who text, details jsonb, tx_hash text)
LANGUAGE sql STABLE
AS $$
    SELECT coalesce(v.updated_at, v.read_at), v.version_number, 0, 'event',
           CASE WHEN v.deleted THEN 'removed' ELSE v.status END,
           CASE WHEN NOT v.deleted OR v.status = 'done' THEN aidbox.status_of(v.status, v.outcome) END,
           CASE WHEN NOT v.deleted OR v.status = 'done' THEN v.status ELSE 'cleaned-up' END,
           CASE WHEN v.updated_at = v.created_at THEN v.requester_id ELSE v.pool END,
           jsonb_strip_nulls(jsonb_build_object(
               'outcome', v.outcome, 'reason', v.outcome_type, 'exec_id', v.exec_id, 'retry_count', v.retry_count)),
           v.version
    FROM aidbox.task_versions v
    WHERE v.chain_id = chain AND v.task_id = task
    UNION ALL
    SELECT coalesce(l.updated_at, l.read_at), l.version_number, 1, 'event', l.action, NULL, NULL, NULL,
           jsonb_strip_nulls(jsonb_build_object(
               'log_id', l.log_id, 'status_before', l.status_before, 'status_after', l.status_after,
               'params', l.action_params)),
           l.version
    FROM aidbox.task_log l
    WHERE l.chain_id = chain AND l.task_id = task AND NOT l.deleted
    UNION ALL
    SELECT t.cleaned_up_at, NULL, NULL, 'event', 'cleaned-up',
           CASE WHEN t.status = 'done' THEN aidbox.status_of(t.status, t.outcome) END,
           CASE WHEN t.status = 'done' THEN t.status ELSE 'cleaned-up' END, NULL, '{}', NULL
    FROM aidbox.tasks t
    WHERE t.chain_id = chain AND t.task_id = task AND t.cleaned_up_at IS NOT NULL
      AND EXISTS (SELECT FROM aidbox.absences a
                  WHERE a.chain_id = chain AND a.resource = 'AidboxTask' AND a.id = task AND a.after_version = t.version)
$$;
COMMENT ON FUNCTION aidbox.timeline(bigint, text) IS
    'The life of an Aidbox task by its versions and the lines of its log, as analytics.timeline shows it.';

CREATE OR REPLACE FUNCTION analytics.timeline(wanted text)
RETURNS TABLE (network text, chain text, chain_id bigint, contract text, task_id text, at timestamptz, block bigint,
               log_index integer, kind text, what text, status text, network_status text, who text, details jsonb,
               tx_hash text)
LANGUAGE plpgsql STABLE -- so that only the network of the task is planned for
AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT x.chain_id, x.address, x.task_id AS id FROM arbius.tasks x WHERE analytics.hex(x.task_id) COLLATE "C" = $1 LOOP
        RETURN QUERY
        SELECT 'arbius', c.name, c.chain_id, analytics.hex(t.address), $1, e.at, e.block, e.log_index, e.kind, e.what,
               CASE WHEN e.network_status IS NOT NULL THEN arbius.word_of(e.network_status) END, e.network_status, e.who,
               e.details, e.tx_hash
        FROM chain.chains c CROSS JOIN LATERAL arbius.timeline(t.chain_id, t.address, t.id) e
        WHERE c.chain_id = t.chain_id
        ORDER BY e.at, e.block NULLS LAST, e.log_index;
    END LOOP;
    FOR t IN SELECT x.chain_id, x.address, x.taskid AS id FROM iexec.tasks x WHERE analytics.hex(x.taskid) COLLATE "C" = $1 LOOP
        RETURN QUERY
        SELECT 'iexec', c.name, c.chain_id, analytics.hex(t.address), $1, e.at, e.block, e.log_index, e.kind, e.what,
               CASE WHEN e.network_status IS NOT NULL THEN iexec.word_of(e.network_status) END, e.network_status, e.who,
               e.details, e.tx_hash
        FROM chain.chains c CROSS JOIN LATERAL iexec.timeline(t.chain_id, t.address, t.id) e
        WHERE c.chain_id = t.chain_id
        ORDER BY e.at, e.block NULLS LAST, e.log_index;
    END LOOP;
    FOR t IN SELECT x.chain_id, x.program FROM koii.tasks x WHERE x.task_id = $1 LOOP
        RETURN QUERY
        SELECT 'koii', c.name, c.chain_id, t.program, $1, e.at, e.block, e.log_index, e.kind, e.what,
               CASE WHEN e.network_status IS NOT NULL THEN koii.status_of(e.network_status) END, e.network_status, e.who,
               e.details, e.tx_hash
        FROM chain.chains c CROSS JOIN LATERAL koii.timeline(t.chain_id, $1) e
        WHERE c.chain_id = t.chain_id
        ORDER BY e.at, e.block NULLS LAST;
    END LOOP;
    FOR t IN SELECT x.chain_id FROM aidbox.tasks x WHERE x.task_id = $1 LOOP
        RETURN QUERY
        SELECT 'aidbox', c.name, c.chain_id, 'AidboxTask', $1, e.at, e.block, e.log_index, e.kind, e.what, e.status,
               e.network_status, e.who, e.details, e.tx_hash
        FROM chain.chains c CROSS JOIN LATERAL aidbox.timeline(t.chain_id, $1) e
        WHERE c.chain_id = t.chain_id
        ORDER BY e.at, e.block NULLS LAST, e.log_index;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.timeline(text) IS
    'The whole life of the task of this id (lower-case hex, base58, or an Aidbox id): its events, contributions, votes and payments, and the'
    ' windows that time closed (kind time) or will close (kind due). status: what the task is from then on; NULL: no change.';
