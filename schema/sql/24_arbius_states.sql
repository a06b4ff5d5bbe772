-- States that time, parameters and lost contestations change. The source of the rules is arbius.md, section 3.

CREATE OR REPLACE FUNCTION arbius.parameters_at(chain bigint, engine bytea, at_block bigint)
RETURNS TABLE (claim interval, vote interval, extension interval, adder numeric, loss_blocks_claims boolean)
LANGUAGE sql STABLE
AS $$
    -- least: an interval of more than 95 years serves nobody and may not be representable.
    -- Where reading began later than every event of an upgrade, the values since V3 hold.
    SELECT least(coalesce(p.min_claim_solution_time, 3600), 3e9)::float8 * interval '1 second',
           least(coalesce(p.min_contestation_vote_period_time, 360), 3e9)::float8 * interval '1 second',
           least(coalesce(p.contestation_vote_extension_time, 10), 3e4)::float8 * interval '1 second',
           coalesce(p.master_contester_vote_adder, 50),
           coalesce(p.loss_blocks_claims, true)
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT x.min_claim_solution_time, x.min_contestation_vote_period_time, x.contestation_vote_extension_time,
               x.master_contester_vote_adder, x.loss_blocks_claims
        FROM arbius.parameters x
        WHERE x.chain_id = chain AND x.address = engine AND x.since_block <= coalesce(at_block, 9223372036854775807)
        ORDER BY x.since_block DESC
        LIMIT 1
    ) AS p ON true
$$;
COMMENT ON FUNCTION arbius.parameters_at(bigint, bytea, bigint) IS
    'The parameters that states depend on, from the end of at_block on; NULL: newest.';

CREATE OR REPLACE FUNCTION arbius.solved_state(
    at_time timestamptz, solved_at timestamptz, claim interval, vote interval, loss_blocks_claims boolean,
    lost_at timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN at_time <= solved_at + claim THEN 'challengeable'
        WHEN loss_blocks_claims AND solved_at <= lost_at + claim + vote THEN 'forfeited'
        ELSE 'claimable'
    END
$$;
COMMENT ON FUNCTION arbius.solved_state(timestamptz, timestamptz, interval, interval, boolean, timestamptz) IS
    'State of a solved task that is neither claimed nor contested; lost_at: newest contestation that its solver lost.';

CREATE OR REPLACE FUNCTION arbius.status_of(network_status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE network_status
        WHEN 'challengeable' THEN 'review'
        WHEN 'forfeited' THEN 'succeeded'
        ELSE network_status
    END
$$;
COMMENT ON FUNCTION arbius.status_of(text) IS 'The common word for a state of a solved task.';

CREATE OR REPLACE FUNCTION arbius.live_state(
    chain bigint, engine bytea, stage text, solver bytea, solved_at timestamptz,
    contested_at timestamptz, votes int, at_time timestamptz, at_block bigint
) RETURNS TABLE (network_status text, deadline timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT CASE
               WHEN stage = 'contested' AND n.time > d.deadline THEN 'awaiting_finish'
               WHEN stage = 'contested' THEN 'voting'
               WHEN stage = 'finished' THEN NULL
               WHEN stage <> 'solved' THEN stage
               ELSE arbius.solved_state(n.time, solved_at, p.claim, p.vote, p.loss_blocks_claims, (
                   SELECT max(l.finished_at) FROM arbius.contestations l
                   WHERE l.chain_id = chain AND l.address = engine AND l.solver = live_state.solver
                     AND l.outcome = 'succeeded'
                     AND l.finished_block <= coalesce(at_block, 9223372036854775807)))
           END,
           d.deadline
    FROM arbius.parameters_at(chain, engine, at_block) p
    CROSS JOIN LATERAL (
        SELECT coalesce(at_time, (SELECT CASE c.clock WHEN 'head' THEN c.head_time ELSE now() END
                                  FROM chain.chains c WHERE c.chain_id = chain)) AS time
    ) AS n
    CROSS JOIN LATERAL (
        SELECT CASE stage
                   WHEN 'solved' THEN solved_at + p.claim
                   ELSE contested_at + p.vote + votes * p.extension
               END AS deadline
    ) AS d
$$;
COMMENT ON FUNCTION arbius.live_state(
    bigint, bytea, text, bytea, timestamptz, timestamptz, int, timestamptz, bigint
) IS 'State of a task at a time (NULL: the chain''s clock) and block (NULL: newest), and when its window or vote ends.';

CREATE OR REPLACE FUNCTION arbius.treasury(chain bigint, engine bytea, at_block bigint) RETURNS bytea
LANGUAGE sql STABLE
AS $$
    SELECT p.treasury FROM arbius.parameters p
    WHERE p.chain_id = chain AND p.address = engine AND p.since_block <= at_block
    ORDER BY p.since_block DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION arbius.treasury(bigint, bytea, bigint) IS
    'Treasury of an engine at a block, as far as an event has told it.';

CREATE OR REPLACE FUNCTION arbius.retraction_fee(chain bigint, engine bytea, at_block bigint) RETURNS numeric
LANGUAGE sql STABLE
AS $$
    SELECT coalesce((
        SELECT p.retraction_fee_percentage FROM arbius.parameters p
        WHERE p.chain_id = chain AND p.address = engine AND p.since_block <= at_block
        ORDER BY p.since_block DESC
        LIMIT 1), 1e17)
$$;
COMMENT ON FUNCTION arbius.retraction_fee(bigint, bytea, bigint) IS
    'Part of the fee that an engine keeps of a retracted task at a block; 1e18 is 100 %.';

CREATE OR REPLACE VIEW arbius.solved_counts AS
SELECT s.chain_id, s.solver, s.network_status, count(*) AS tasks
FROM (
    SELECT t.chain_id,
           t.solver,
           arbius.solved_state(n.time, t.solved_at, p.claim, p.vote, p.loss_blocks_claims, l.lost_at) AS network_status
    FROM (SELECT x.chain_id, x.address, x.solution_validator AS solver,
                 coalesce(x.solution_blocktime, x.last_at) AS solved_at
          FROM arbius.tasks x WHERE x.stage = 'solved') AS t
    JOIN chain.sources e ON e.chain_id = t.chain_id AND e.address = t.address
    CROSS JOIN LATERAL (SELECT analytics.now(e.chain_id) AS time OFFSET 0) AS n
    CROSS JOIN LATERAL (SELECT q.* FROM arbius.parameters_at(e.chain_id, e.address, NULL) q OFFSET 0) AS p
    LEFT JOIN (
        SELECT c.chain_id, c.address, c.solver, max(c.finished_at) AS lost_at
        FROM arbius.contestations c WHERE c.outcome = 'succeeded' GROUP BY c.chain_id, c.address, c.solver
    ) AS l ON l.chain_id = t.chain_id AND l.address = t.address AND l.solver = t.solver
) AS s
GROUP BY s.chain_id, s.solver, s.network_status;
COMMENT ON VIEW arbius.solved_counts IS
    'Solved tasks that nobody has claimed or contested, by solver and state: what time and losses decide, for all at once.';
