-- Contestations, their votes and outcomes.

CREATE OR REPLACE FUNCTION arbius.finish_fees(
    chain bigint, engine bytea, block bigint, tx bytea, finish int, about bytea
) RETURNS SETOF arbius.fees_paid
LANGUAGE sql STABLE
AS $$
    -- A failed contestation pays before its ContestationVoteFinish, a claim after its SolutionClaimed.
    SELECT f.*
    FROM arbius.fees_paid f
    WHERE f.chain_id = chain AND f.block_number = block AND f.address = engine AND f.tx_hash = tx
      AND f.log_index < finish
      AND coalesce(f.task = about, true)
      AND NOT EXISTS (
          SELECT FROM arbius.contestation_vote_finish o
          WHERE o.chain_id = chain AND o.block_number = block AND o.address = engine
            AND o.log_index > f.log_index AND o.log_index < finish AND o.start_idx = 0)
      AND NOT EXISTS (
          SELECT FROM arbius.solution_claimed s
          WHERE s.chain_id = chain AND s.block_number = block AND s.address = engine AND s.tx_hash = tx
            AND s.log_index < f.log_index
            AND NOT EXISTS (
                SELECT FROM arbius.fees_paid o
                WHERE o.chain_id = chain AND o.block_number = block AND o.address = engine
                  AND o.log_index > s.log_index AND o.log_index < f.log_index))
    ORDER BY f.log_index DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION arbius.finish_fees(bigint, bytea, bigint, bytea, int, bytea) IS
    'The FeesPaid of the contestation that ended with this first ContestationVoteFinish; none if it succeeded.';

CREATE OR REPLACE FUNCTION arbius.contestation_of(chain bigint, engine bytea, key bytea, at_block bigint)
RETURNS SETOF arbius.contestations
LANGUAGE sql STABLE
AS $$
    -- One index lookup per event table and key, whatever the planner believes about the number of keys.
    SELECT chain, engine, key,
           c.addr,
           c.block_time,
           f.settled_to,
           NULL::numeric(78, 0),
           s.addr,
           c.block_number,
           c.tx_hash,
           v.yeas,
           v.nays,
           v.first_at,
           v.last_at,
           d.block_number,
           d.log_index,
           d.tx_hash,
           d.block_time,
           r.adder,
           CASE
               WHEN d.block_number IS NULL THEN NULL
               WHEN p.block_number IS NOT NULL THEN 'failed' -- only a solver who was upheld is paid
               -- reading began after the contestation, so votes may be missing; since V5 who was not paid has lost
               WHEN c.block_number IS NULL THEN CASE WHEN r.initialized >= 6 THEN 'succeeded' END
               WHEN v.yeas + r.adder > v.nays THEN 'succeeded'
               WHEN r.initialized IS NOT NULL THEN 'failed' -- else the version's adder may have decided it
           END,
           f.finishes,
           greatest(c.block_number, v.last_block, f.last_block),
           greatest(c.block_time, v.last_at, f.last_at)
    FROM (
        SELECT (count(*) FILTER (WHERE x.yea))::int AS yeas,
               (count(*) FILTER (WHERE NOT x.yea))::int AS nays,
               min(x.block_time) AS first_at, max(x.block_time) AS last_at, max(x.block_number) AS last_block
        FROM arbius.contestation_vote x
        WHERE x.task = key AND x.address = engine AND x.chain_id = chain AND x.block_number <= at_block
    ) AS v
    CROSS JOIN (
        SELECT count(*)::int AS finishes, max(x.end_idx) AS settled_to,
               max(x.block_time) AS last_at, max(x.block_number) AS last_block
        FROM arbius.contestation_vote_finish x
        WHERE x.id = key AND x.address = engine AND x.chain_id = chain AND x.block_number <= at_block
    ) AS f
    LEFT JOIN LATERAL (
        SELECT x.addr, x.block_number, x.block_time, x.tx_hash
        FROM arbius.contestation_submitted x
        WHERE x.task = key AND x.address = engine AND x.chain_id = chain AND x.block_number <= at_block
        ORDER BY x.block_number, x.log_index LIMIT 1
    ) AS c ON true
    LEFT JOIN LATERAL (
        SELECT x.addr
        FROM arbius.solution_submitted x
        WHERE x.task = key AND x.address = engine AND x.chain_id = chain AND x.block_number <= at_block
        ORDER BY x.block_number, x.log_index LIMIT 1
    ) AS s ON true
    LEFT JOIN LATERAL (
        SELECT x.block_number, x.log_index, x.block_time, x.tx_hash
        FROM arbius.contestation_vote_finish x
        WHERE x.id = key AND x.address = engine AND x.chain_id = chain
          AND x.block_number <= at_block AND x.start_idx = 0
          AND f.finishes > 0
        ORDER BY x.block_number, x.log_index LIMIT 1
    ) AS d ON true
    LEFT JOIN LATERAL arbius.vote_rule(chain, engine, d.block_number, d.log_index) r ON d.block_number IS NOT NULL
    LEFT JOIN LATERAL arbius.finish_fees(chain, engine, d.block_number, d.tx_hash, d.log_index, key) p
        ON d.block_number IS NOT NULL
    WHERE coalesce(c.block_number, v.last_block, f.last_block) IS NOT NULL
    OFFSET 0 -- so that its columns are worked out once, not wherever they are named
$$;
COMMENT ON FUNCTION arbius.contestation_of(bigint, bytea, bytea, bigint) IS
    'The contestation of a task from its events up to at_block; no row without any.';

CREATE OR REPLACE FUNCTION arbius.fold_contestations(
    chain bigint, addresses bytea[], keys bytea[], from_block bigint, at_block bigint
) RETURNS SETOF arbius.contestations
LANGUAGE sql STABLE
AS $$
    SELECT c.*
    FROM ( -- few tasks are contested: the others cost no lookup of their own
        SELECT x.address, x.task
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.contestation_submitted x ON x.task = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
        UNION
        SELECT x.address, x.task
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.contestation_vote x ON x.task = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
        UNION
        SELECT x.address, x.id
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.contestation_vote_finish x ON x.id = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
    ) AS k
    CROSS JOIN LATERAL arbius.contestation_of(chain, k.address, k.task, at_block) c
$$;
COMMENT ON FUNCTION arbius.fold_contestations(bigint, bytea[], bytea[], bigint, bigint) IS
    'Contestations of the given tasks, which have no event before from_block, from their events up to at_block.';

CREATE OR REPLACE FUNCTION arbius.fold_contestations(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.contestations
LANGUAGE sql STABLE
AS $$ SELECT f.* FROM arbius.fold_contestations(chain, addresses, keys, 0, at_block) f $$;
COMMENT ON FUNCTION arbius.fold_contestations(bigint, bytea[], bytea[], bigint) IS
    'Contestations of the given tasks from their events up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_disputes(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.task FROM arbius.contestation_submitted x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.task FROM arbius.contestation_vote x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.id FROM arbius.contestation_vote_finish x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION -- what is decided after a change of the rules; nothing, unless a gap below it is filled
    SELECT x.address, x.id FROM arbius.contestation_vote_finish x
    JOIN (SELECT i.address, i.block_number FROM arbius.initialized i
          WHERE i.chain_id = chain AND i.block_number BETWEEN from_block AND to_block AND i.address = ANY (addresses)
          UNION ALL
          SELECT a.address, a.block_number FROM arbius.master_contester_vote_adder_set a
          WHERE a.chain_id = chain AND a.block_number BETWEEN from_block AND to_block
            AND a.address = ANY (addresses)) AS rule
        ON rule.address = x.address AND rule.block_number <= x.block_number
    WHERE x.chain_id = chain AND x.block_number > to_block
$$;
COMMENT ON FUNCTION arbius.touched_disputes(bigint, bytea[], bigint, bigint) IS
    'Contested tasks that events of their contestations in these blocks, or changes of the rules, concern.';

CREATE OR REPLACE FUNCTION arbius.touched_contestations(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT d.address, d.key FROM arbius.touched_disputes(chain, addresses, from_block, to_block) d
    UNION -- the solver, where the solution is read after the contestation
    SELECT x.address, x.task FROM arbius.solution_submitted x
    CROSS JOIN LATERAL ( -- LIMIT: one index lookup per solution, however many contestations there are
        SELECT FROM arbius.contestation_submitted c
        WHERE c.task = x.task AND c.address = x.address AND c.chain_id = x.chain_id LIMIT 1) AS contested
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
$$;
COMMENT ON FUNCTION arbius.touched_contestations(bigint, bytea[], bigint, bigint) IS
    'Contested tasks that events in these blocks concern.';

CREATE OR REPLACE FUNCTION arbius.fold_votes(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.votes
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (x.task, x.address, x.addr)
           chain, x.address, x.task, x.addr, x.yea, x.block_number, x.log_index, x.block_time, x.tx_hash
    FROM unnest(addresses, keys) AS k (address, key)
    JOIN arbius.contestation_vote x ON x.task = k.key AND x.address = k.address AND x.chain_id = chain
    WHERE x.block_number <= at_block
    ORDER BY x.task, x.address, x.addr, x.block_number, x.log_index
$$;
COMMENT ON FUNCTION arbius.fold_votes(bigint, bytea[], bytea[], bigint) IS
    'Votes on the contestations of the given tasks up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_votes(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT x.address, x.task FROM arbius.contestation_vote x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
$$;
COMMENT ON FUNCTION arbius.touched_votes(bigint, bytea[], bigint, bigint) IS 'Tasks voted on in these blocks.';
