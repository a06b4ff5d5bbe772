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
LANGUAGE sql STABLE PARALLEL SAFE
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

CREATE OR REPLACE FUNCTION arbius.longest_vote() RETURNS interval
LANGUAGE sql STABLE
AS $$
    SELECT (p.vote + (v.yeas + v.nays) * p.extension)::float8 * interval '1 second'
    FROM (
        SELECT greatest(max(least(x.min_contestation_vote_period_time, 3e9)), 360) AS vote,
               greatest(max(least(x.contestation_vote_extension_time, 3e4)), 10) AS extension
        FROM arbius.parameters x
    ) AS p
    CROSS JOIN (
        SELECT coalesce((SELECT max(c.yeas::bigint) FROM arbius.contestations c), 0) AS yeas, -- as their indexes
               coalesce((SELECT max(c.nays::bigint) FROM arbius.contestations c), 0) AS nays
    ) AS v
$$;
COMMENT ON FUNCTION arbius.longest_vote() IS
    'No vote on a contestation has taken or takes longer from its opening to its deadline, as arbius.live_state tells it.';

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

CREATE OR REPLACE VIEW arbius.v_engines AS
SELECT o.chain_id, o.address, c.name AS chain, analytics.now(o.chain_id) AS now, p.claim, p.vote, p.loss_blocks_claims
FROM chain.sources o
JOIN chain.chains c USING (chain_id)
CROSS JOIN LATERAL arbius.parameters_at(o.chain_id, o.address, NULL) AS p
WHERE o.network = 'arbius' AND o.role = 'engine'
OFFSET 0;
COMMENT ON VIEW arbius.v_engines IS 'Engines with their clock and what decides on solved tasks, looked up once.';

CREATE OR REPLACE VIEW arbius.v_forfeited AS
SELECT s.chain_id, s.address, s.task_id, s.validator, s.blocktime, s.stake, s.blocktime + e.claim AS since
FROM arbius.v_engines e
JOIN (
    SELECT c.chain_id, c.address, c.solver, max(c.finished_at) AS lost_at
    FROM arbius.contestations c WHERE c.outcome = 'succeeded' GROUP BY c.chain_id, c.address, c.solver
) AS l ON l.chain_id = e.chain_id AND l.address = e.address
CROSS JOIN LATERAL (
    SELECT x.* FROM arbius.solutions x
    WHERE analytics.hex(x.validator) COLLATE "C" = analytics.hex(l.solver) AND x.stage = 'solved'
      AND x.chain_id = e.chain_id AND x.address = e.address
      AND x.blocktime <= l.lost_at + e.claim + e.vote AND x.blocktime < coalesce(e.now - e.claim, 'infinity')
    OFFSET 0 -- solver by solver: few have lost
) AS s
WHERE e.loss_blocks_claims;
COMMENT ON VIEW arbius.v_forfeited IS
    'Solutions that nobody can claim any more, for their solver has lost a contestation: solved_state says so, too.';

CREATE OR REPLACE VIEW arbius.v_forfeited_tasks AS
SELECT f.chain_id, analytics.hex(f.address) COLLATE "C" AS contract, analytics.hex(f.task_id) COLLATE "C" AS task_id
FROM arbius.v_forfeited f;
COMMENT ON VIEW arbius.v_forfeited_tasks IS 'arbius.v_forfeited as text; a task that was retracted meanwhile can be in it.';

CREATE OR REPLACE VIEW arbius.v_challengeable AS
SELECT s.chain_id, analytics.hex(s.address) COLLATE "C" AS contract, analytics.hex(s.task_id) COLLATE "C" AS task_id
FROM arbius.v_engines e
JOIN arbius.solutions s ON s.chain_id = e.chain_id AND s.address = e.address AND s.stage = 'solved'
    AND s.blocktime >= e.now - e.claim
UNION ALL
SELECT t.chain_id, analytics.hex(t.address) COLLATE "C", analytics.hex(t.task_id) COLLATE "C"
FROM arbius.v_engines e
JOIN arbius.tasks t ON t.chain_id = e.chain_id AND t.address = e.address AND t.stage = 'solved'
    AND t.solution_blocktime IS NULL AND t.last_at >= e.now - e.claim;
COMMENT ON VIEW arbius.v_challengeable IS
    'Among these are all tasks whose work can be challenged, found by the end of their window; a retracted one can be, too.';

CREATE OR REPLACE VIEW arbius.v_pending AS
SELECT e.chain_id, analytics.hex(e.address) COLLATE "C" AS contract, analytics.hex(e.task_id) COLLATE "C" AS task_id
FROM chain.chains c
CROSS JOIN LATERAL (
    SELECT x.chain_id, x.address, x.id AS task_id FROM arbius.task_submitted x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.id FROM arbius.task_retracted x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.task FROM arbius.solution_submitted x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.task FROM arbius.solution_claimed x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.task FROM arbius.contestation_suggested x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.task FROM arbius.contestation_submitted x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.task FROM arbius.contestation_vote x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
    UNION ALL
    SELECT x.chain_id, x.address, x.id FROM arbius.contestation_vote_finish x
    WHERE x.chain_id = c.chain_id AND x.block_number > c.final_block
) AS e;
COMMENT ON VIEW arbius.v_pending IS
    'Tasks with an event above the final block of their chain, once per event; none of a chain without a final block.';

CREATE OR REPLACE VIEW arbius.solved_counts AS
WITH challengeable AS (
    SELECT e.chain_id, solved.tasks + suggested.tasks AS tasks
    FROM arbius.v_engines e
    CROSS JOIN LATERAL (
        SELECT count(*) AS tasks
        FROM arbius.solutions s
        WHERE s.stage = 'solved' AND s.blocktime >= e.now - e.claim
          AND s.chain_id = e.chain_id AND s.address = e.address
          AND 'solved' = ( -- no join: it would hash all solved tasks
              SELECT t.stage FROM arbius.tasks t
              WHERE t.chain_id = s.chain_id AND t.address = s.address AND t.task_id = s.task_id)
    ) AS solved
    CROSS JOIN LATERAL (
        SELECT count(*) AS tasks FROM arbius.tasks t
        WHERE t.stage = 'solved' AND t.solution_blocktime IS NULL AND t.last_at >= e.now - e.claim
          AND t.chain_id = e.chain_id AND t.address = e.address
    ) AS suggested
), forfeited AS (
    SELECT s.chain_id, s.validator AS solver, count(*) AS tasks
    FROM arbius.v_forfeited s
    WHERE 'solved' = (
        SELECT t.stage FROM arbius.tasks t
        WHERE t.chain_id = s.chain_id AND t.address = s.address AND t.task_id = s.task_id)
    GROUP BY s.chain_id, s.validator
)
SELECT f.chain_id, f.solver, 'forfeited'::text AS network_status, f.tasks FROM forfeited f
UNION ALL
SELECT c.chain_id, NULL, 'challengeable', sum(c.tasks)::bigint FROM challengeable c GROUP BY c.chain_id
UNION ALL
SELECT s.chain_id, NULL, 'claimable', sum(s.tasks)::bigint
FROM (
    SELECT d.chain_id, d.n AS tasks FROM chain.day_counts d WHERE d.network = 'arbius' AND d.what = 'solved'
    UNION ALL
    SELECT c.chain_id, -c.tasks FROM challengeable c
    UNION ALL
    SELECT f.chain_id, -f.tasks FROM forfeited f
) AS s
GROUP BY s.chain_id;
COMMENT ON VIEW arbius.solved_counts IS
    'Solved tasks that nobody has claimed or contested, by state, and by solver those that are forfeited: counted from the'
    ' few that time or losses set apart, not one by one.';
