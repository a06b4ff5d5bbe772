-- Deals of iExec: what OrdersMatched and the logs around it tell. PoCo, contracts/facets/IexecPoco1Facet.sol

CREATE OR REPLACE FUNCTION iexec.touched_deals(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, e.dealid
    FROM iexec.orders_matched e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
    UNION
    SELECT t.address, t.dealid
    FROM iexec.task_ids t
    WHERE t.chain_id = $1 AND t.listed_from BETWEEN $3 AND $4 AND t.address = ANY ($2)
    UNION
    SELECT t.address, t.dealid
    FROM (
        SELECT f.address, f.taskid FROM iexec.task_finalize f WHERE f.chain_id = $1 AND f.block_number BETWEEN $3 AND $4
        UNION ALL
        SELECT f.address, f.taskid FROM iexec.task_claimed f WHERE f.chain_id = $1 AND f.block_number BETWEEN $3 AND $4
    ) AS e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    JOIN iexec.task_ids t ON t.chain_id = $1 AND t.address = c.hub AND t.taskid = e.taskid
    WHERE e.address = ANY ($2)
    UNION
    SELECT c.hub, e.deal_id
    FROM iexec.result_pushed_boost e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_deals(bigint, bytea[], bigint, bigint) IS 'Deals that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_deals(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.deals
LANGUAGE sql STABLE AS $$
    SELECT $1, w.address, w.key,
           d.app_hash, d.dataset_hash, d.workerpool_hash, d.request_hash,
           b.bot_first, d.volume::numeric(78, 0), d.boost, d.block_time, d.workerpool,
           d.owners[2], d.owners[1], s.sponsor, d.amounts[1], d.amounts[2],
           d.volume - t.listed, t.completed, t.claimed, d.tx_hash, d.block_number,
           greatest(d.block_number, t.last_block),
           NULL::bytea, NULL::bytea, NULL::numeric(78, 0), NULL::bytea, NULL::bytea, NULL::numeric(78, 0),
           NULL::numeric(78, 0), NULL::numeric(78, 0), NULL::numeric(78, 0), NULL::bytea, NULL::bytea, NULL::bytea,
           NULL::bytea, NULL::text, NULL::bytea, NULL::numeric(78, 0), NULL::numeric(78, 0), NULL::text
    FROM iexec.keyed($1, 'hub', $2, $3) AS w
    CROSS JOIN LATERAL iexec.matched($1, w.emitters, w.key, $4) AS d
    LEFT JOIN iexec.deal_starts b
      ON b.chain_id = $1 AND b.address = w.address AND b.dealid = w.key AND b.block_number <= $4
    LEFT JOIN LATERAL (
        SELECT e.sponsor
        FROM (
            SELECT p.sponsor, p.chain_id, p.block_number, p.address FROM iexec.deal_sponsored p WHERE p.deal_id = w.key
            UNION ALL
            SELECT p.sponsor, p.chain_id, p.block_number, p.address
            FROM iexec.deal_sponsored_boost p WHERE p.deal_id = w.key
        ) AS e
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        LIMIT 1
    ) AS s ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS listed,
               count(f.block_number) AS completed,
               count(c.block_number) AS claimed,
               greatest(max(f.block_number), max(c.block_number)) AS last_block
        FROM iexec.task_ids i
        LEFT JOIN LATERAL (
            SELECT min(e.block_number) AS block_number
            FROM (
                SELECT f.chain_id, f.block_number, f.address FROM iexec.task_finalize f WHERE f.taskid = i.taskid
                UNION ALL
                SELECT f.chain_id, f.block_number, f.address
                FROM iexec.result_pushed_boost f WHERE d.boost AND f.deal_id = i.dealid AND f.index = i.idx
            ) AS e
            WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        ) AS f ON true
        LEFT JOIN LATERAL (
            SELECT min(e.block_number) AS block_number
            FROM iexec.task_claimed e
            WHERE e.taskid = i.taskid AND e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        ) AS c ON true
        WHERE i.dealid = w.key AND i.chain_id = $1 AND i.address = w.address AND i.listed_from <= $4
    ) AS t
$$;
COMMENT ON FUNCTION iexec.fold_deals(bigint, bytea[], bytea[], bigint) IS 'Deals from their events up to a block.';
