-- Parameters of Arbius engines, block by block: what setters tell, and what each version's `initialize` sets silently.

CREATE OR REPLACE FUNCTION arbius.parameter_changes(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (
    address bytea, block_number bigint, log_index int, level int, block_time timestamptz,
    name text, value numeric, who bytea
)
LANGUAGE sql STABLE
AS $$
    SELECT e.address, e.block_number, e.log_index, e.level, e.block_time, e.name, e.value, e.who
    FROM (
        SELECT i.chain_id, i.address, i.block_number, i.log_index, d.level, i.block_time, d.name,
               coalesce(d.value, extract(epoch FROM i.block_time)) AS value, NULL::bytea AS who
        FROM (SELECT x.*, max(x.version) OVER before AS known
              FROM arbius.initialized x
              WHERE x.chain_id = chain AND x.address = ANY (addresses)
              WINDOW before AS (PARTITION BY x.address ORDER BY x.block_number, x.log_index
                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS i
        CROSS JOIN (VALUES
            (1, 'min_claim_solution_time', 2000),
            (1, 'min_contestation_vote_period_time', 4000),
            (1, 'contestation_vote_extension_time', 0),
            (1, 'min_retraction_wait_time', 10000),
            (1, 'max_contestation_validator_stake_since', 120),
            (1, 'exit_validator_min_unlock_time', 86400),
            (1, 'validator_minimum_percentage', 8e14),
            (1, 'slash_amount_percentage', 1e14),
            (1, 'solution_fee_percentage', 1e17),
            (1, 'retraction_fee_percentage', 1e17),
            (1, 'treasury_reward_percentage', 1e17),
            (1, 'master_contester_vote_adder', 0),
            (1, 'loss_blocks_claims', 0),
            (1, 'paused', 0),
            (1, 'start_block_time', NULL), -- the block's own time
            (3, 'min_claim_solution_time', 3600),
            (3, 'min_contestation_vote_period_time', 360),
            (3, 'contestation_vote_extension_time', 10),
            (3, 'exit_validator_min_unlock_time', 259200),
            (3, 'task_owner_reward_percentage', 1e17),
            (3, 'solution_rate_limit', 1e18),
            (3, 'loss_blocks_claims', 1),
            (4, 'version', 4),
            (4, 'start_block_time', NULL),
            (5, 'validator_minimum_percentage', 0),
            (5, 'start_block_time', NULL),
            (6, 'version', 5),
            (6, 'validator_minimum_percentage', 24e14),
            (6, 'slash_amount_percentage', 1e13),
            (6, 'solutions_stake_amount', 1e15),
            (6, 'solution_model_fee_percentage', 1e18),
            (9, 'version', 6),
            (9, 'master_contester_vote_adder', 50)
        ) AS d (level, name, value)
        WHERE d.level <= i.version AND d.level > coalesce(i.known, 0)
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'initialized', x.version, NULL
        FROM arbius.initialized x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'implementation', NULL,
               x.implementation
        FROM arbius.upgraded x
        UNION ALL -- V2_EngineV2 has no Initialized: any Upgraded after the first Initialized brings at least it
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'loss_blocks_claims', 1, NULL
        FROM arbius.upgraded x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'version', x.version, NULL
        FROM arbius.version_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'min_claim_solution_time',
               x.amount, NULL
        FROM arbius.min_claim_solution_time_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time,
               'min_contestation_vote_period_time', x.amount, NULL
        FROM arbius.min_contestation_vote_period_time_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'min_retraction_wait_time',
               x.amount, NULL
        FROM arbius.min_retraction_wait_time_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time,
               'max_contestation_validator_stake_since', x.amount, NULL
        FROM arbius.max_contestation_validator_stake_since_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'exit_validator_min_unlock_time',
               x.amount, NULL
        FROM arbius.exit_validator_min_unlock_time_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'validator_minimum_percentage',
               x.amount, NULL
        FROM arbius.validator_minimum_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'slash_amount_percentage',
               x.amount, NULL
        FROM arbius.slash_amount_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'solution_fee_percentage',
               x.amount, NULL
        FROM arbius.solution_fee_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'retraction_fee_percentage',
               x.amount, NULL
        FROM arbius.retraction_fee_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'treasury_reward_percentage',
               x.amount, NULL
        FROM arbius.treasury_reward_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'solution_model_fee_percentage',
               x.percentage, NULL
        FROM arbius.solution_model_fee_percentage_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'solutions_stake_amount',
               x.amount, NULL
        FROM arbius.solution_stake_amount_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'master_contester_vote_adder',
               x.adder, NULL
        FROM arbius.master_contester_vote_adder_set x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'master_contester_registry',
               NULL, x.registry
        FROM arbius.master_contester_registry_set x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'start_block_time',
               x.start_block_time, NULL
        FROM arbius.start_block_time_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'paused', x.paused::int, NULL
        FROM arbius.paused_changed x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'pauser', NULL, x."to"
        FROM arbius.pauser_transferred x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'treasury', NULL, x."to"
        FROM arbius.treasury_transferred x
        UNION ALL
        SELECT x.chain_id, x.address, x.block_number, x.log_index, 0, x.block_time, 'owner', NULL, x.new_owner
        FROM arbius.ownership_transferred x
    ) AS e
    WHERE e.chain_id = chain AND e.address = ANY (addresses) AND e.block_number BETWEEN from_block AND to_block
$$;
COMMENT ON FUNCTION arbius.parameter_changes(bigint, bytea[], bigint, bigint) IS
    'Each change of a parameter of engines in these blocks; level orders the changes of one Initialized.';

CREATE OR REPLACE FUNCTION arbius.fold_parameters(chain bigint, addresses bytea[], keys bigint[], at_block bigint)
RETURNS SETOF arbius.parameters
LANGUAGE sql STABLE
AS $$
    SELECT chain, l.address, l.key,
           max(l.block_time),
           (max(l.value) FILTER (WHERE l.name = 'initialized'))::int,
           (array_agg(l.who) FILTER (WHERE l.name = 'implementation'))[1],
           max(l.value) FILTER (WHERE l.name = 'version'),
           max(l.value) FILTER (WHERE l.name = 'min_claim_solution_time'),
           max(l.value) FILTER (WHERE l.name = 'min_contestation_vote_period_time'),
           max(l.value) FILTER (WHERE l.name = 'contestation_vote_extension_time'),
           max(l.value) FILTER (WHERE l.name = 'min_retraction_wait_time'),
           max(l.value) FILTER (WHERE l.name = 'max_contestation_validator_stake_since'),
           max(l.value) FILTER (WHERE l.name = 'exit_validator_min_unlock_time'),
           max(l.value) FILTER (WHERE l.name = 'validator_minimum_percentage'),
           max(l.value) FILTER (WHERE l.name = 'slash_amount_percentage'),
           max(l.value) FILTER (WHERE l.name = 'solution_fee_percentage'),
           max(l.value) FILTER (WHERE l.name = 'retraction_fee_percentage'),
           max(l.value) FILTER (WHERE l.name = 'treasury_reward_percentage'),
           max(l.value) FILTER (WHERE l.name = 'task_owner_reward_percentage'),
           max(l.value) FILTER (WHERE l.name = 'solution_model_fee_percentage'),
           max(l.value) FILTER (WHERE l.name = 'solutions_stake_amount'),
           max(l.value) FILTER (WHERE l.name = 'solution_rate_limit'),
           max(l.value) FILTER (WHERE l.name = 'master_contester_vote_adder'),
           (array_agg(l.who) FILTER (WHERE l.name = 'master_contester_registry'))[1],
           coalesce(max(l.value) FILTER (WHERE l.name = 'loss_blocks_claims') = 1, true),
           max(l.value) FILTER (WHERE l.name = 'start_block_time'),
           max(l.value) FILTER (WHERE l.name = 'paused') = 1,
           (array_agg(l.who) FILTER (WHERE l.name = 'pauser'))[1],
           (array_agg(l.who) FILTER (WHERE l.name = 'treasury'))[1],
           (array_agg(l.who) FILTER (WHERE l.name = 'owner'))[1]
    FROM (
        SELECT DISTINCT ON (k.address, k.key, c.name)
               k.address, k.key, c.name, c.value, c.who, c.block_number, c.block_time
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.parameter_changes(chain, addresses, 0, at_block) c
            ON c.address = k.address AND c.block_number <= k.key
        WHERE k.key <= at_block
        ORDER BY k.address, k.key, c.name, c.block_number DESC, c.log_index DESC, c.level DESC
    ) AS l
    GROUP BY l.address, l.key
    HAVING bool_or(l.block_number = l.key)
$$;
COMMENT ON FUNCTION arbius.fold_parameters(bigint, bytea[], bigint[], bigint) IS
    'All parameters of engines from the end of the given blocks on.';

CREATE OR REPLACE FUNCTION arbius.touched_parameters(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bigint)
LANGUAGE sql STABLE
AS $$
    -- a change also holds in the rows of all later changes
    SELECT DISTINCT c.address, c.block_number
    FROM (SELECT n.address, min(n.block_number) AS block_number
          FROM arbius.parameter_changes(chain, addresses, from_block, to_block) n GROUP BY n.address) AS first
    JOIN arbius.parameter_changes(chain, addresses, from_block, 9223372036854775807) c
        ON c.address = first.address AND c.block_number >= first.block_number
$$;
COMMENT ON FUNCTION arbius.touched_parameters(bigint, bytea[], bigint, bigint) IS
    'Blocks of engines from which on the parameters may be others, because of events in these blocks.';

CREATE OR REPLACE FUNCTION arbius.vote_rule(chain bigint, engine bytea, at_block bigint, at_log int)
RETURNS TABLE (initialized int, adder bigint)
LANGUAGE sql STABLE
AS $$
    SELECT v.initialized,
           coalesce(
               (SELECT s.adder FROM arbius.master_contester_vote_adder_set s
                WHERE s.chain_id = chain AND s.address = engine AND (s.block_number, s.log_index) < (at_block, at_log)
                ORDER BY s.block_number DESC, s.log_index DESC LIMIT 1),
               CASE WHEN v.initialized >= 9 THEN 50 ELSE 0 END)
    FROM (SELECT coalesce(
              (SELECT max(i.version) FROM arbius.initialized i
               WHERE i.chain_id = chain AND i.address = engine AND i.block_number <= at_block),
              -- reading began later: only V5 and later pay with FeesPaid, and only V6 names the task in it
              (SELECT CASE WHEN f.task IS NULL THEN 6 ELSE 9 END FROM arbius.fees_paid f
               WHERE f.chain_id = chain AND f.address = engine AND f.block_number <= at_block
               ORDER BY f.block_number DESC, f.log_index DESC
               LIMIT 1)) AS initialized) AS v
$$;
COMMENT ON FUNCTION arbius.vote_rule(bigint, bytea, bigint, int) IS
    'How an engine counts votes at a log: its reinitializer number (V6 = 9; NULL: unknown) and the yeas that it adds.';
