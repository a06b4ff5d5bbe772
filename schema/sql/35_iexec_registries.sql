-- Categories, and the ERC-721 entries of the three registries: apps, datasets, workerpools.

CREATE OR REPLACE FUNCTION iexec.touched_categories(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key numeric)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT c.hub, e.catid
    FROM iexec.create_category e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_categories(bigint, bytea[], bigint, bigint) IS 'Categories created in these blocks.';

CREATE OR REPLACE FUNCTION iexec.fold_categories(chain bigint, addresses bytea[], keys numeric[], at_block bigint)
RETURNS SETOF iexec.categories
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (k.address, k.key)
           $1, k.address, k.key::numeric(78, 0), e.name, e.name_raw, e.description, e.description_raw,
           e.work_clock_time_ref, e.block_number
    FROM unnest($2, $3) AS k (address, key)
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.hub = k.address AND c.role = 'hub'
    JOIN iexec.create_category e ON e.chain_id = $1 AND e.address = c.address AND e.catid = k.key
    WHERE e.block_number <= $4
    ORDER BY k.address, k.key, e.block_number, e.log_index
$$;
COMMENT ON FUNCTION iexec.fold_categories(bigint, bytea[], numeric[], bigint) IS 'Categories, which never change.';

CREATE OR REPLACE FUNCTION iexec.created(chain bigint)
RETURNS TABLE (
    address bytea, entry bytea, owner bytea, block_number bigint, log_index integer, block_time timestamptz, tx_hash bytea
)
LANGUAGE sql STABLE AS $$
    SELECT e.address, e.app, e.app_owner, e.block_number, e.log_index, e.block_time, e.tx_hash
    FROM iexec.create_app e WHERE e.chain_id = $1
    UNION ALL
    SELECT e.address, e.dataset, e.dataset_owner, e.block_number, e.log_index, e.block_time, e.tx_hash
    FROM iexec.create_dataset e WHERE e.chain_id = $1
    UNION ALL
    SELECT e.address, e.workerpool, e.workerpool_owner, e.block_number, e.log_index, e.block_time, e.tx_hash
    FROM iexec.create_workerpool e WHERE e.chain_id = $1
$$;
COMMENT ON FUNCTION iexec.created(bigint) IS 'Entries of the registries of v3, which were no ERC-721 tokens.';

CREATE OR REPLACE FUNCTION iexec.touched_entries(
    chain bigint, role text, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, iexec.entry(e.token_id)
    FROM iexec.registry_transfer e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = $2
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($3)
    UNION
    SELECT c.hub, e.entry
    FROM iexec.created($1) AS e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = $2
    WHERE e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($3)
$$;
COMMENT ON FUNCTION iexec.touched_entries(bigint, text, bytea[], bigint, bigint) IS
    'Entries of the registries of this role that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.entries(chain bigint, role text, addresses bytea[], keys bytea[], at_block bigint)
RETURNS TABLE (
    address bytea, key bytea, registry bytea, owner bytea, created_at timestamptz, created_block bigint,
    created_tx bytea, last_block bigint
)
LANGUAGE sql STABLE AS $$
    SELECT t.address, t.key,
           (array_agg(t.registry))[1],
           (array_agg(t.owner ORDER BY t.place DESC))[1],
           (array_agg(t.block_time ORDER BY t.place DESC) FILTER (WHERE t.creation))[1],
           min(t.block_number) FILTER (WHERE t.creation),
           (array_agg(t.tx_hash ORDER BY t.place DESC) FILTER (WHERE t.creation))[1],
           max(t.block_number)
    FROM (
        SELECT w.address, w.key, e.address AS registry, e."to" AS owner, iexec.place(e.block_number, e.log_index) AS place,
               e."from" = decode(repeat('00', 20), 'hex') AS creation, e.block_number, e.block_time, e.tx_hash
        FROM iexec.keyed($1, $2, $3, $4) AS w
        JOIN iexec.registry_transfer e ON e.token_id = iexec.number(w.key)
        WHERE e.chain_id = $1 AND e.block_number <= $5 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, e.address, e.owner, iexec.place(e.block_number, e.log_index), true,
               e.block_number, e.block_time, e.tx_hash
        FROM iexec.keyed($1, $2, $3, $4) AS w
        JOIN iexec.created($1) AS e ON e.entry = w.key
        WHERE e.block_number <= $5 AND e.address = ANY (w.emitters)
    ) AS t
    GROUP BY t.key, t.address
$$;
COMMENT ON FUNCTION iexec.entries(bigint, text, bytea[], bytea[], bigint) IS
    'Entries of the registries of this role with their owners, from their transfers up to a block.';

CREATE OR REPLACE FUNCTION iexec.touched_apps(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$ SELECT t.address, t.key FROM iexec.touched_entries($1, 'appregistry', $2, $3, $4) AS t $$;
COMMENT ON FUNCTION iexec.touched_apps(bigint, bytea[], bigint, bigint) IS 'Apps that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_apps(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.apps
LANGUAGE sql STABLE AS $$
    SELECT $1, e.address, e.key, e.registry, e.owner, e.created_at, e.created_block, e.created_tx, e.last_block
    FROM iexec.entries($1, 'appregistry', $2, $3, $4) AS e
$$;
COMMENT ON FUNCTION iexec.fold_apps(bigint, bytea[], bytea[], bigint) IS 'Apps from their events up to a block.';

CREATE OR REPLACE FUNCTION iexec.touched_datasets(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$ SELECT t.address, t.key FROM iexec.touched_entries($1, 'datasetregistry', $2, $3, $4) AS t $$;
COMMENT ON FUNCTION iexec.touched_datasets(bigint, bytea[], bigint, bigint) IS
    'Datasets that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_datasets(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.datasets
LANGUAGE sql STABLE AS $$
    SELECT $1, e.address, e.key, e.registry, e.owner, e.created_at, e.created_block, e.created_tx, e.last_block
    FROM iexec.entries($1, 'datasetregistry', $2, $3, $4) AS e
$$;
COMMENT ON FUNCTION iexec.fold_datasets(bigint, bytea[], bytea[], bigint) IS 'Datasets from their events up to a block.';

CREATE OR REPLACE FUNCTION iexec.touched_workerpools(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT t.address, t.key FROM iexec.touched_entries($1, 'workerpoolregistry', $2, $3, $4) AS t
    UNION
    SELECT c.hub, e.address
    FROM iexec.policy_update e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'workerpool'
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_workerpools(bigint, bytea[], bigint, bigint) IS
    'Workerpools that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_workerpools(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.workerpools
LANGUAGE sql STABLE AS $$
    SELECT $1, e.address, e.key, e.registry, e.owner, e.created_at, e.created_block, e.created_tx,
           greatest(e.last_block, p.block_number),
           p.new_worker_stake_ratio_policy, p.new_scheduler_reward_ratio_policy
    FROM iexec.entries($1, 'workerpoolregistry', $2, $3, $4) AS e
    LEFT JOIN LATERAL (
        SELECT u.new_worker_stake_ratio_policy, u.new_scheduler_reward_ratio_policy, u.block_number
        FROM iexec.policy_update u
        WHERE u.chain_id = $1 AND u.address = e.key AND u.block_number <= $4
        ORDER BY u.block_number DESC, u.log_index DESC
        LIMIT 1
    ) AS p ON true
$$;
COMMENT ON FUNCTION iexec.fold_workerpools(bigint, bytea[], bytea[], bigint) IS
    'Workerpools from the events of their registry and of their own up to a block.';
