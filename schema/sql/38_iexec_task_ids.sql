-- What Python needs to make task ids, which take keccak (indexer/networks/iexec/task_ids.py).

CREATE OR REPLACE FUNCTION iexec.new_deals(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (
    address bytea, dealid bytea, request_hash bytea, volume numeric, boost boolean, block_number bigint,
    log_index integer, earlier bytea, taken numeric
)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, e.dealid, e.request_hash, e.volume,
           EXISTS (SELECT FROM iexec.scheduler_notice_boost n WHERE n.deal_id = e.dealid AND n.chain_id = $1),
           e.block_number, e.log_index, p.dealid, p.taken
    FROM iexec.orders_matched e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    LEFT JOIN LATERAL (
        SELECT p.dealid, p.volume + p.bot_first AS taken
        FROM iexec.deal_starts p
        WHERE p.request_hash = e.request_hash AND p.block_number < $3 AND p.chain_id = $1 AND p.address = c.hub
        ORDER BY p.block_number DESC, p.event_index DESC
        LIMIT 1
    ) AS p ON true
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
      AND NOT EXISTS (  -- a forged copy of a deal is none
          SELECT FROM iexec.orders_matched o
          WHERE o.dealid = e.dealid AND o.chain_id = $1 AND o.address = e.address
            AND (o.block_number, o.log_index) < (e.block_number, e.log_index))
$$;
COMMENT ON FUNCTION iexec.new_deals(bigint, bytea[], bigint, bigint) IS
    'Deals of these blocks, each with the last deal of its request order before these blocks and the tasks taken then.';

CREATE OR REPLACE FUNCTION iexec.forget_task_ids(chain bigint, addresses bytea[], from_block bigint) RETURNS void
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM iexec.deal_starts d
        WHERE d.chain_id = $1 AND d.block_number >= $3 AND d.address = ANY ($2)
          AND NOT EXISTS (
              SELECT FROM iexec.orders_matched e
              WHERE e.dealid = d.dealid AND e.chain_id = $1 AND e.block_number = d.block_number)
        RETURNING d.*
    )
    INSERT INTO chain.orphaned_ids (chain_id, stored_in, block_number, made)
    SELECT g.chain_id, 'iexec.deal_starts', g.block_number, to_jsonb(g) FROM gone g;
    WITH gone AS (
    DELETE FROM iexec.task_ids t
    WHERE t.chain_id = $1 AND t.listed_from >= $3 AND t.address = ANY ($2)
      AND NOT EXISTS (
          SELECT FROM iexec.orders_matched e
          WHERE e.dealid = t.dealid AND e.chain_id = $1 AND e.block_number = t.listed_from)
      AND NOT EXISTS (
          SELECT FROM iexec.task_initialize e
          WHERE e.taskid = t.taskid AND e.chain_id = $1 AND e.block_number = t.listed_from)
    RETURNING t.*
    )
    INSERT INTO chain.orphaned_ids (chain_id, stored_in, block_number, made)
    SELECT g.chain_id, 'iexec.task_ids', g.listed_from, to_jsonb(g) FROM gone g
$$;
COMMENT ON FUNCTION iexec.forget_task_ids(bigint, bytea[], bigint) IS
    'Forget the ids from this block on whose deal or initialization is not there any more; chain.orphaned_ids keeps them.';

CREATE OR REPLACE FUNCTION iexec.unlisted_tasks(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (
    address bytea, dealid bytea, bot_first numeric, last_idx numeric, volume numeric, taskids bytea[], blocks bigint[]
)
LANGUAGE sql STABLE AS $$
    SELECT u.hub, d.dealid, d.bot_first, i.idx, d.volume, u.taskids, u.blocks
    FROM (
        SELECT c.hub, e.workerpool, array_agg(e.taskid) AS taskids, array_agg(e.block_number) AS blocks
        FROM iexec.task_initialize e
        JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
        WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
          AND EXISTS (SELECT FROM iexec.deal_starts d WHERE d.chain_id = $1 AND d.volume > 10000)
          AND NOT EXISTS (
              SELECT FROM iexec.task_ids t WHERE t.chain_id = $1 AND t.address = c.hub AND t.taskid = e.taskid)
        GROUP BY c.hub, e.workerpool
    ) AS u
    CROSS JOIN LATERAL (
        SELECT s.dealid, s.bot_first, s.volume
        FROM iexec.deal_starts s
        JOIN iexec.scheduler_notice n ON n.dealid = s.dealid AND n.chain_id = $1
        WHERE s.chain_id = $1 AND s.volume > 10000 AND s.block_number <= $4 AND s.address = u.hub
          AND n.workerpool = u.workerpool
        ORDER BY s.block_number DESC, s.event_index DESC
        LIMIT 10
    ) AS d
    CROSS JOIN LATERAL (
        SELECT t.idx
        FROM iexec.task_ids t
        WHERE t.dealid = d.dealid AND t.chain_id = $1 AND t.address = u.hub
        ORDER BY t.idx DESC
        LIMIT 1
    ) AS i
$$;
COMMENT ON FUNCTION iexec.unlisted_tasks(bigint, bytea[], bigint, bigint) IS
    'Initialized tasks that are not listed, with the newest ten deals of their workerpool that have unlisted tasks.';

CREATE OR REPLACE FUNCTION iexec.registries_of(chain bigint, workerpools bytea[])
RETURNS TABLE (workerpool bytea, registry bytea)
LANGUAGE sql STABLE AS $$
    SELECT w.workerpool, e.address
    FROM unnest($2) AS w (workerpool)
    JOIN iexec.registry_transfer e ON e.token_id = iexec.number(w.workerpool) AND e.chain_id = $1
    JOIN chain.sources s ON s.chain_id = $1 AND s.address = e.address AND s.role = 'workerpoolregistry'
    UNION
    SELECT e.entry, e.address
    FROM iexec.created($1) AS e
    WHERE e.entry = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.registries_of(bigint, bytea[]) IS 'The registries that these workerpools are entries of.';

CREATE OR REPLACE FUNCTION iexec.late_ids(chain bigint)
RETURNS TABLE (address bytea, taskid bytea, dealid bytea, idx numeric, listed_from bigint)
LANGUAGE sql STABLE AS $$
    SELECT t.address, t.taskid, t.dealid, t.idx, t.listed_from
    FROM iexec.deal_starts d
    JOIN iexec.task_ids t ON t.dealid = d.dealid AND t.chain_id = $1 AND t.address = d.address
                         AND t.idx >= d.bot_first + 10000
    WHERE d.chain_id = $1 AND d.volume > 10000
      AND EXISTS (
          SELECT FROM iexec.task_initialize e
          WHERE e.taskid = t.taskid AND e.chain_id = $1 AND e.block_number = t.listed_from)
$$;
COMMENT ON FUNCTION iexec.late_ids(bigint) IS
    'Tasks beyond the first 10,000 of their deal, which their initialization made known.';

CREATE OR REPLACE FUNCTION iexec.forget_all_ids(chain bigint) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM iexec.deal_starts WHERE chain_id = $1;
    DELETE FROM iexec.task_ids WHERE chain_id = $1;
    DELETE FROM iexec.broadcasts WHERE chain_id = $1
$$;
COMMENT ON FUNCTION iexec.forget_all_ids(bigint) IS 'Before everything that Python makes from events is made anew.';
