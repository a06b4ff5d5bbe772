-- Models, validators and their requests to withdraw.

CREATE OR REPLACE FUNCTION arbius.fold_models(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.models
LANGUAGE sql STABLE
AS $$
    SELECT chain, e.address, e.key,
           (array_agg(e.value ORDER BY e.block_number DESC, e.log_index DESC) FILTER (WHERE e.kind = 'fee'))[1],
           (array_agg(e.who ORDER BY e.block_number DESC, e.log_index DESC) FILTER (WHERE e.kind = 'addr'))[1],
           coalesce(
               (array_agg(e.value ORDER BY e.block_number DESC, e.log_index DESC) FILTER (WHERE e.kind = 'rate'))[1],
               CASE WHEN bool_or(e.kind = 'registered') THEN 0 END),
           NULL::bytea,
           NULL::numeric(78, 0),
           NULL::bytea,
           min(e.block_number) FILTER (WHERE e.kind = 'registered'),
           min(e.block_time) FILTER (WHERE e.kind = 'registered'),
           (array_agg(e.who ORDER BY e.block_number, e.log_index) FILTER (WHERE e.kind = 'registered'))[1],
           (array_agg(e.value = 1 ORDER BY e.block_number DESC, e.log_index DESC)
               FILTER (WHERE e.kind = 'requires'))[1],
           max(e.block_number),
           max(e.block_time)
    FROM (
        SELECT k.address, k.key, x.block_number, x.log_index, x.block_time, 'registered' AS kind,
               NULL::numeric AS value, x.tx_hash AS who
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.model_registered x ON x.id = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.block_number, x.log_index, x.block_time, 'fee', x.fee, NULL
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.model_fee_changed x ON x.id = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.block_number, x.log_index, x.block_time, 'addr', NULL, x.addr
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.model_addr_changed x ON x.id = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.block_number, x.log_index, x.block_time, 'rate', x.rate, NULL
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.solution_mineable_rate_change x ON x.id = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.block_number, x.log_index, x.block_time, 'requires', x.required::int, NULL
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.model_allow_list_requirement_changed x
            ON x.model = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
    ) AS e
    GROUP BY e.address, e.key
$$;
COMMENT ON FUNCTION arbius.fold_models(bigint, bytea[], bytea[], bigint) IS
    'The given models from their events up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_models(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.id FROM arbius.model_registered x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.id FROM arbius.model_fee_changed x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.id FROM arbius.model_addr_changed x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.id FROM arbius.solution_mineable_rate_change x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.model FROM arbius.model_allow_list_requirement_changed x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
$$;
COMMENT ON FUNCTION arbius.touched_models(bigint, bytea[], bigint, bigint) IS
    'Models that events in these blocks concern.';

CREATE OR REPLACE FUNCTION arbius.fold_withdraw_requests(
    chain bigint, addresses bytea[], keys bytea[], at_block bigint
) RETURNS SETOF arbius.withdraw_requests
LANGUAGE sql STABLE
AS $$
    SELECT chain, e.address, e.key, e.count,
           coalesce(max(e.amount) FILTER (WHERE e.kind = 'pending'), max(e.amount)),
           max(e.unlock_time),
           CASE WHEN max(e.unlock_time) > 9224318015999 THEN 'infinity' -- the last second of year 294276
                ELSE to_timestamp(max(e.unlock_time)::float8) END,
           CASE WHEN bool_or(e.kind = 'withdrawn') THEN 'withdrawn'
                WHEN bool_or(e.kind = 'cancelled') THEN 'cancelled'
                ELSE 'pending' END,
           (array_agg(e.receiver) FILTER (WHERE e.kind = 'withdrawn'))[1],
           min(e.block_number) FILTER (WHERE e.kind = 'pending'),
           min(e.block_time) FILTER (WHERE e.kind = 'pending'),
           max(e.block_number) FILTER (WHERE e.kind <> 'pending'),
           max(e.block_time) FILTER (WHERE e.kind <> 'pending')
    FROM (
        SELECT k.address, k.key, x.count, 'pending' AS kind, x.amount, x.unlock_time, NULL::bytea AS receiver,
               x.block_number, x.block_time
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.validator_withdraw_initiated x ON x.addr = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.count, 'cancelled', NULL, NULL, NULL, x.block_number, x.block_time
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.validator_withdraw_cancelled x ON x.addr = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT k.address, k.key, x.count, 'withdrawn', x.amount, NULL, x."to", x.block_number, x.block_time
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.validator_withdraw x ON x.addr = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
    ) AS e
    GROUP BY e.address, e.key, e.count
$$;
COMMENT ON FUNCTION arbius.fold_withdraw_requests(bigint, bytea[], bytea[], bigint) IS
    'Requests of the given validators to withdraw, up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_withdraw_requests(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.addr FROM arbius.validator_withdraw_initiated x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.addr FROM arbius.validator_withdraw_cancelled x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.addr FROM arbius.validator_withdraw x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
$$;
COMMENT ON FUNCTION arbius.touched_withdraw_requests(bigint, bytea[], bigint, bigint) IS
    'Validators whose requests to withdraw changed in these blocks.';

CREATE OR REPLACE FUNCTION arbius.fold_validators(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF arbius.validators
LANGUAGE sql STABLE
AS $$
    SELECT chain, e.address, e.key,
           NULL::numeric(78, 0),
           NULL::timestamptz,
           (count(*) FILTER (WHERE e.kind = 'deposit'))::int,
           least(coalesce(sum(e.amount) FILTER (WHERE e.kind = 'deposit'), 0), 1e78 - 1),
           (count(*) FILTER (WHERE e.kind = 'withdrawn'))::int,
           least(coalesce(sum(e.amount) FILTER (WHERE e.kind = 'withdrawn'), 0), 1e78 - 1),
           (count(*) FILTER (WHERE e.kind = 'pending'))::int,
           least(coalesce(sum(e.amount) FILTER (WHERE e.kind = 'pending'), 0), 1e78 - 1),
           min(e.first_block),
           min(e.first_at),
           max(e.last_block),
           max(e.last_at)
    FROM (
        SELECT k.address, k.key, 'deposit' AS kind, x.amount, x.block_number AS first_block,
               x.block_time AS first_at, x.block_number AS last_block, x.block_time AS last_at
        FROM unnest(addresses, keys) AS k (address, key)
        JOIN arbius.validator_deposit x ON x.validator = k.key AND x.address = k.address AND x.chain_id = chain
        WHERE x.block_number <= at_block
        UNION ALL
        SELECT r.address, r.validator, r.state, r.amount, coalesce(r.initiated_block, r.ended_block),
               coalesce(r.initiated_at, r.ended_at), coalesce(r.ended_block, r.initiated_block),
               coalesce(r.ended_at, r.initiated_at)
        FROM arbius.fold_withdraw_requests(chain, addresses, keys, at_block) r
    ) AS e
    GROUP BY e.address, e.key
$$;
COMMENT ON FUNCTION arbius.fold_validators(bigint, bytea[], bytea[], bigint) IS
    'Deposits and withdrawals of the given validators up to at_block.';

CREATE OR REPLACE FUNCTION arbius.touched_validators(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE
AS $$
    SELECT x.address, x.validator FROM arbius.validator_deposit x
    WHERE x.chain_id = chain AND x.block_number BETWEEN from_block AND to_block AND x.address = ANY (addresses)
    UNION
    SELECT x.address, x.key FROM arbius.touched_withdraw_requests(chain, addresses, from_block, to_block) x
$$;
COMMENT ON FUNCTION arbius.touched_validators(bigint, bytea[], bigint, bigint) IS
    'Validators whose deposits or withdrawals changed in these blocks.';
