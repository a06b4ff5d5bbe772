-- Orders: signed, closed, broadcast, and what deals took of them. PoCo, contracts/facets/IexecOrderManagementFacet.sol

CREATE OR REPLACE FUNCTION iexec.taken(chain bigint, emitters bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (hash bytea, kind text, volume numeric, block_number bigint)
LANGUAGE sql STABLE AS $$
    SELECT o.hash, o.kind, e.volume, e.block_number
    FROM iexec.orders_matched e
    CROSS JOIN LATERAL (
        VALUES (e.app_hash, 'app'), (e.dataset_hash, 'dataset'), (e.workerpool_hash, 'workerpool'),
               (e.request_hash, 'request')
    ) AS o (hash, kind)
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
      AND o.hash <> decode(repeat('00', 32), 'hex')
$$;
COMMENT ON FUNCTION iexec.taken(bigint, bytea[], bigint, bigint) IS 'Orders that deals of these blocks used.';

CREATE OR REPLACE VIEW iexec.order_decisions AS
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.app_hash AS hash, 'app' AS kind, true AS signed
FROM iexec.signed_app_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.dataset_hash, 'dataset', true
FROM iexec.signed_dataset_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.workerpool_hash, 'workerpool', true
FROM iexec.signed_workerpool_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.request_hash, 'request', true
FROM iexec.signed_request_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.app_hash, 'app', false
FROM iexec.closed_app_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.dataset_hash, 'dataset', false
FROM iexec.closed_dataset_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.workerpool_hash, 'workerpool', false
FROM iexec.closed_workerpool_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, e.request_hash, 'request', false
FROM iexec.closed_request_order e;
COMMENT ON VIEW iexec.order_decisions IS 'Signed… and Closed… events of all kinds of orders.';

CREATE OR REPLACE VIEW iexec.order_broadcasts AS
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, 'app' AS kind, e.apporder AS broadcast
FROM iexec.broadcast_app_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, 'dataset', e.datasetorder
FROM iexec.broadcast_dataset_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, 'workerpool', e.workerpoolorder
FROM iexec.broadcast_workerpool_order e
UNION ALL
SELECT e.chain_id, e.address, e.block_number, e.log_index, e.block_time, 'request', e.requestorder
FROM iexec.broadcast_request_order e;
COMMENT ON VIEW iexec.order_broadcasts IS 'Broadcast… events of all kinds of orders.';

CREATE OR REPLACE FUNCTION iexec.touched_orders(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, e.hash
    FROM iexec.contracts c
    CROSS JOIN LATERAL iexec.taken($1, ARRAY[c.address], $3, $4) AS e
    WHERE c.chain_id = $1 AND c.role = 'hub' AND c.address = ANY ($2)
    UNION
    SELECT c.hub, e.hash
    FROM iexec.order_decisions e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
    UNION
    SELECT c.hub, b.hash
    FROM iexec.broadcasts b
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.hub = b.address AND c.role = 'hub'
    WHERE b.chain_id = $1 AND b.block_number BETWEEN $3 AND $4 AND c.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_orders(bigint, bytea[], bigint, bigint) IS 'Orders that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_orders(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.orders
LANGUAGE sql STABLE AS $$
    WITH parts AS (
        SELECT w.address, w.key, 'wanted' AS what, NULL::text AS kind, NULL::bigint AS place, NULL::bigint AS block_number,
               NULL::timestamptz AS block_time, NULL::numeric AS volume, 0::bigint AS deals, NULL::jsonb AS broadcast
        FROM unnest($2, $3) AS w (address, key)
        UNION ALL
        SELECT w.address, w.key, 'matched', m.kind, NULL, m.last_block, NULL, m.matched_volume, m.deals, NULL
        FROM unnest($2, $3) AS w (address, key)
        CROSS JOIN LATERAL (
            SELECT a.kind, a.matched_volume, a.deals, a.last_block
            FROM iexec.order_marks a
            WHERE a.chain_id = $1 AND a.address = w.address AND a.hash = w.key AND a.block_number <= $4
            ORDER BY a.block_number DESC
            LIMIT 1
        ) AS m
        UNION ALL
        SELECT h.address, e.hash, 'matched', e.kind, NULL, e.block_number, NULL, e.volume, 1, NULL
        FROM iexec.marked($1, $2, $3, $4) AS h
        CROSS JOIN LATERAL iexec.taken($1, h.emitters, h.marked + 1, $4) AS e
        UNION ALL
        SELECT w.address, w.key, CASE WHEN e.signed THEN 'signed' ELSE 'closed' END, e.kind,
               iexec.place(e.block_number, e.log_index), e.block_number, e.block_time, NULL, 0, NULL
        FROM iexec.keyed($1, 'hub', $2, $3) AS w
        JOIN iexec.order_decisions e ON e.hash = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, 'broadcast', e.kind,
               iexec.place(e.block_number, e.log_index), e.block_number, e.block_time,
               (e.broadcast ->> 'volume')::numeric, 0, e.broadcast
        FROM unnest($2, $3) AS w (address, key)
        JOIN iexec.broadcasts b ON b.chain_id = $1 AND b.address = w.address AND b.hash = w.key AND b.block_number <= $4
        JOIN iexec.order_broadcasts e
          ON e.chain_id = $1 AND e.block_number = b.block_number AND e.log_index = b.event_index
    )
    SELECT $1, p.address, p.key, (array_agg(p.kind ORDER BY p.block_number) FILTER (WHERE p.kind IS NOT NULL))[1],
           (array_agg(p.block_time ORDER BY p.place) FILTER (WHERE p.what = 'signed'))[1],
           (array_agg(p.block_time ORDER BY p.place) FILTER (WHERE p.what = 'closed'))[1],
           coalesce(sum(p.volume) FILTER (WHERE p.what = 'matched'), 0),
           sum(p.deals)::bigint,
           CASE
               WHEN bool_or(p.what = 'closed') THEN max(p.volume) FILTER (WHERE p.what = 'broadcast')
               ELSE coalesce(sum(p.volume) FILTER (WHERE p.what = 'matched'), 0)
           END,
           max(p.volume) FILTER (WHERE p.what = 'broadcast'),
           (array_agg(p.broadcast ORDER BY p.place) FILTER (WHERE p.what = 'broadcast'))[1],
           (array_agg(p.block_time ORDER BY p.place) FILTER (WHERE p.what = 'broadcast'))[1],
           max(p.block_number)
    FROM parts p
    GROUP BY p.key, p.address
    HAVING bool_or(p.what = 'wanted') AND count(p.block_number) > 0
$$;
COMMENT ON FUNCTION iexec.fold_orders(bigint, bytea[], bytea[], bigint) IS 'Orders from their events up to a block.';
