-- Tasks and solutions from their events.

CREATE OR REPLACE FUNCTION arbius.stage(
    outcome text, finishes int, claimed boolean, retracted boolean, contested boolean, solved boolean
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN outcome = 'succeeded' THEN 'contestation_succeeded'
        WHEN outcome = 'failed' THEN 'contestation_failed'
        WHEN finishes > 0 THEN 'finished'
        WHEN claimed THEN 'claimed'
        WHEN retracted THEN 'retracted'
        WHEN contested THEN 'contested'
        WHEN solved THEN 'solved'
        ELSE 'open'
    END
$$;
COMMENT ON FUNCTION arbius.stage(text, int, boolean, boolean, boolean, boolean) IS
    'How far a task is by its own events alone; live_state adds what time and losses change.';

CREATE OR REPLACE FUNCTION arbius.first_solutions(
    chain bigint, addresses bytea[], keys bytea[], from_block bigint, at_block bigint
) RETURNS SETOF arbius.solution_submitted
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (x.task, x.address) x.*
    FROM unnest(addresses, keys) AS w (address, key)
    JOIN arbius.solution_submitted x ON x.task = w.key AND x.address = w.address AND x.chain_id = chain
    WHERE analytics.within(x.block_number, from_block, at_block)
    ORDER BY x.task, x.address, x.block_number, x.log_index
$$;
COMMENT ON FUNCTION arbius.first_solutions(bigint, bytea[], bytea[], bigint, bigint) IS
    'The first SolutionSubmitted of each of these tasks in these blocks.';

CREATE OR REPLACE FUNCTION arbius.first_claims(
    chain bigint, addresses bytea[], keys bytea[], from_block bigint, at_block bigint
) RETURNS SETOF arbius.solution_claimed
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT ON (x.task, x.address) x.*
    FROM unnest(addresses, keys) AS w (address, key)
    JOIN arbius.solution_claimed x ON x.task = w.key AND x.address = w.address AND x.chain_id = chain
    WHERE analytics.within(x.block_number, from_block, at_block)
    ORDER BY x.task, x.address, x.block_number, x.log_index
$$;
COMMENT ON FUNCTION arbius.first_claims(bigint, bytea[], bytea[], bigint, bigint) IS
    'The first SolutionClaimed of each of these tasks in these blocks.';

CREATE OR REPLACE FUNCTION arbius.fold_tasks(
    chain bigint, addresses bytea[], keys bytea[], from_block bigint, at_block bigint
) RETURNS SETOF arbius.tasks
LANGUAGE sql STABLE
AS $$
    SELECT chain, k.address, k.key,
           t.model,
           t.fee,
           NULL::bytea,
           t.block_time,
           NULL::int,
           NULL::bytea,
           NULL::int,
           t.sender,
           t.block_number,
           t.log_index,
           t.tx_hash,
           r.block_number,
           r.block_time,
           coalesce(g.suggestions, 0),
           s.addr,
           s.block_number,
           s.block_time,
           p.block_number,
           p.block_time,
           c.validator,
           c.submitted_block,
           c.blocktime,
           c.yeas,
           c.nays,
           c.finished_block,
           c.finished_at,
           c.outcome,
           c.finish_start_index,
           arbius.stage(c.outcome, c.finishes, p.block_number IS NOT NULL, r.block_number IS NOT NULL,
                        c.last_block IS NOT NULL, coalesce(s.block_number, g.last_block) IS NOT NULL),
           greatest(t.block_number, r.block_number, s.block_number, p.block_number, c.last_block, g.last_block),
           greatest(t.block_time, r.block_time, s.block_time, p.block_time, c.last_at, g.last_at)
    FROM unnest(addresses, keys) AS k (address, key)
    LEFT JOIN (
        SELECT DISTINCT ON (x.id, x.address)
               x.id, x.address, x.model, x.fee, x.sender, x.block_number, x.log_index, x.block_time, x.tx_hash
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.task_submitted x ON x.id = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
        ORDER BY x.id, x.address, x.block_number, x.log_index
    ) AS t ON t.id = k.key AND t.address = k.address
    LEFT JOIN (
        SELECT DISTINCT ON (x.id, x.address) x.id, x.address, x.block_number, x.block_time
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.task_retracted x ON x.id = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
        ORDER BY x.id, x.address, x.block_number, x.log_index
    ) AS r ON r.id = k.key AND r.address = k.address
    LEFT JOIN arbius.first_solutions(chain, addresses, keys, from_block, at_block) s
        ON s.task = k.key AND s.address = k.address
    LEFT JOIN arbius.first_claims(chain, addresses, keys, from_block, at_block) p
        ON p.task = k.key AND p.address = k.address
    LEFT JOIN (
        SELECT x.task, x.address, count(*)::int AS suggestions, max(x.block_number) AS last_block,
               max(x.block_time) AS last_at
        FROM unnest(addresses, keys) AS w (address, key)
        JOIN arbius.contestation_suggested x ON x.task = w.key AND x.address = w.address AND x.chain_id = chain
        WHERE analytics.within(x.block_number, from_block, at_block)
        GROUP BY x.task, x.address
    ) AS g ON g.task = k.key AND g.address = k.address
    LEFT JOIN arbius.fold_contestations(chain, addresses, keys, from_block, at_block) c
        ON c.task_id = k.key AND c.address = k.address
    WHERE coalesce(t.block_number, r.block_number, s.block_number, p.block_number, c.last_block, g.last_block)
          IS NOT NULL
$$;
COMMENT ON FUNCTION arbius.fold_tasks(bigint, bytea[], bytea[], bigint, bigint) IS
    'The given tasks, which have no event before from_block, from their events up to at_block.';

CREATE OR REPLACE FUNCTION arbius.fold_tasks(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.tasks
LANGUAGE sql STABLE
AS $$ SELECT f.* FROM arbius.fold_tasks(chain, addresses, keys, 0, at_block) f $$;
COMMENT ON FUNCTION arbius.fold_tasks(bigint, bytea[], bytea[], bigint) IS
    'The given tasks from their events up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_solutions(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.task FROM arbius.solution_submitted x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.task FROM arbius.solution_claimed x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.key FROM arbius.touched_disputes(chain, addresses, from_block, to_block) x
$$;
COMMENT ON FUNCTION arbius.touched_solutions(bigint, bytea[], bigint, bigint) IS
    'Tasks whose solution events in these blocks concern.';

CREATE OR REPLACE FUNCTION arbius.touched_tasks(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.id FROM arbius.task_submitted x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.id FROM arbius.task_retracted x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.task FROM arbius.contestation_suggested x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.key FROM arbius.touched_solutions(chain, addresses, from_block, to_block) x
$$;
COMMENT ON FUNCTION arbius.touched_tasks(bigint, bytea[], bigint, bigint) IS
    'Tasks that events in these blocks concern.';

CREATE OR REPLACE FUNCTION arbius.claim_fees(chain bigint, engine bytea, block bigint, tx bytea, claim int, about bytea)
RETURNS SETOF arbius.fees_paid
LANGUAGE sql STABLE
AS $$
    SELECT f.*
    FROM arbius.fees_paid f
    WHERE f.chain_id = chain AND f.block_number = block AND f.address = engine AND f.tx_hash = tx
      AND f.log_index > claim
      AND coalesce(f.task = about, true)
    ORDER BY f.log_index
    LIMIT 1
$$;
COMMENT ON FUNCTION arbius.claim_fees(bigint, bytea, bigint, bytea, int, bytea) IS
    'The FeesPaid of the SolutionClaimed at this log: the next one in its transaction.';

CREATE OR REPLACE FUNCTION arbius.fold_solutions(
    chain bigint, addresses bytea[], keys bytea[], from_block bigint, at_block bigint
) RETURNS SETOF arbius.solutions
LANGUAGE sql STABLE
AS $$
    SELECT chain, k.address, k.key,
           coalesce(s.addr, p.addr, f.validator),
           s.block_time,
           p.block_number IS NOT NULL,
           NULL::bytea,
           NULL::numeric(78, 0),
           s.block_number,
           s.tx_hash,
           p.block_number,
           p.block_time,
           c.blocktime,
           c.finished_at,
           c.outcome,
           f.block_number,
           f.log_index,
           f.block_time,
           f.model_fee,
           f.treasury_fee,
           f.remaining_fee,
           f.validator_fee,
           w.log_index,
           w.total_rewards,
           w.treasury_reward,
           w.task_owner_reward,
           w.validator_reward,
           arbius.stage(c.outcome, c.finishes, p.block_number IS NOT NULL, false, c.last_block IS NOT NULL, true),
           greatest(s.block_number, p.block_number, c.last_block),
           greatest(s.block_time, p.block_time, c.last_at)
    FROM unnest(addresses, keys) AS k (address, key)
    LEFT JOIN arbius.first_solutions(chain, addresses, keys, from_block, at_block) s
        ON s.task = k.key AND s.address = k.address
    LEFT JOIN arbius.first_claims(chain, addresses, keys, from_block, at_block) p
        ON p.task = k.key AND p.address = k.address
    LEFT JOIN arbius.fold_contestations(chain, addresses, keys, from_block, at_block) c
        ON c.task_id = k.key AND c.address = k.address
    LEFT JOIN LATERAL (
        SELECT * FROM arbius.claim_fees(chain, k.address, p.block_number, p.tx_hash, p.log_index, k.key)
        UNION ALL
        SELECT * FROM arbius.finish_fees(
            chain, k.address, c.finished_block, c.finished_tx, c.finished_log_index, k.key)
        LIMIT 1
    ) AS f ON true
    LEFT JOIN LATERAL (
        SELECT x.*
        FROM arbius.rewards_paid x
        WHERE x.chain_id = chain AND x.block_number = f.block_number AND x.address = k.address
          AND x.tx_hash = f.tx_hash AND x.log_index > f.log_index
          AND NOT EXISTS (
              SELECT FROM arbius.fees_paid o
              WHERE o.chain_id = chain AND o.block_number = f.block_number AND o.address = k.address
                AND o.log_index > f.log_index AND o.log_index < x.log_index)
        ORDER BY x.log_index
        LIMIT 1
    ) AS w ON f.block_number IS NOT NULL
    WHERE coalesce(s.block_number, p.block_number, c.last_block) IS NOT NULL
$$;
COMMENT ON FUNCTION arbius.fold_solutions(bigint, bytea[], bytea[], bigint, bigint) IS
    'Solutions of the given tasks, which have no event before from_block, with what was paid for them.';

CREATE OR REPLACE FUNCTION arbius.fold_solutions(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.solutions
LANGUAGE sql STABLE
AS $$ SELECT f.* FROM arbius.fold_solutions(chain, addresses, keys, 0, at_block) f $$;
COMMENT ON FUNCTION arbius.fold_solutions(bigint, bytea[], bytea[], bigint) IS
    'Solutions of the given tasks, with what was paid for them, from their events up to at_block.';
