-- Tasks of iExec, as viewTask tells of them. PoCo, contracts/facets/IexecPoco2Facet.sol

CREATE OR REPLACE FUNCTION iexec.touched_tasks(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, e.taskid
    FROM (
        SELECT t.address, t.taskid FROM iexec.task_initialize t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_contribute t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_consensus t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_reveal t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_reopen t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_finalize t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_claimed t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
    ) AS e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.address = ANY ($2)
    UNION
    SELECT t.address, t.taskid
    FROM iexec.task_ids t
    WHERE t.chain_id = $1 AND t.listed_from BETWEEN $3 AND $4 AND t.address = ANY ($2)
    UNION
    SELECT t.address, t.taskid
    FROM iexec.result_pushed_boost e
    JOIN iexec.task_ids t ON t.chain_id = $1 AND t.address = e.address AND t.dealid = e.deal_id AND t.idx = e.index
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_tasks(bigint, bytea[], bigint, bigint) IS 'Tasks that events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_tasks(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.tasks
LANGUAGE sql STABLE AS $$
    WITH wanted AS MATERIALIZED (
        SELECT * FROM iexec.keyed($1, 'hub', $2, $3)
    ),
    told AS (
        SELECT w.address, w.key, w.emitters, 'listed' AS what, -1::bigint AS place, NULL::bigint AS block_number,
               NULL::timestamptz AS block_time, NULL::bytea AS tx_hash, NULL::bytea AS who, t.dealid AS value, t.idx
        FROM wanted w JOIN iexec.task_ids t ON t.chain_id = $1 AND t.address = w.address AND t.taskid = w.key
        WHERE t.listed_from <= $4
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'initialized', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, e.workerpool, NULL
        FROM wanted w JOIN iexec.task_initialize e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'contributed', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, e.worker, e.hash, NULL
        FROM wanted w JOIN iexec.task_contribute e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'agreed', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, e.consensus, NULL
        FROM wanted w JOIN iexec.task_consensus e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'revealed', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, e.worker, e.digest, NULL
        FROM wanted w JOIN iexec.task_reveal e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'reopened', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, NULL, NULL
        FROM wanted w JOIN iexec.task_reopen e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'finalized', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, e.results, NULL
        FROM wanted w JOIN iexec.task_finalize e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'finalized', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, e.results, NULL
        FROM wanted w
        JOIN iexec.task_ids t ON t.chain_id = $1 AND t.address = w.address AND t.taskid = w.key
        JOIN iexec.result_pushed_boost e ON e.deal_id = t.dealid AND e.index = t.idx
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters) AND t.listed_from <= $4
        UNION ALL
        SELECT w.address, w.key, w.emitters, 'claimed', iexec.place(e.block_number, e.log_index), e.block_number,
               e.block_time, e.tx_hash, NULL, NULL, NULL
        FROM wanted w JOIN iexec.task_claimed e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
    ),
    known AS (
        SELECT t.address, t.key, t.emitters,
               (array_agg(t.value) FILTER (WHERE t.what = 'listed'))[1] AS dealid,
               max(t.idx) AS idx,
               (array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'initialized'))[1] AS workerpool,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'initialized'))[1] AS initialized_at,
               min(t.block_number) FILTER (WHERE t.what = 'initialized') AS initialized_block,
               (array_agg(t.tx_hash ORDER BY t.place) FILTER (WHERE t.what = 'initialized'))[1] AS initialized_tx,
               array_agg(t.who ORDER BY t.place) FILTER (WHERE t.what = 'contributed') AS contributors,
               array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'contributed') AS hashes,
               array_agg(t.place ORDER BY t.place) FILTER (WHERE t.what = 'contributed') AS places,
               array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'agreed') AS agreed,
               array_agg(t.place ORDER BY t.place) FILTER (WHERE t.what = 'agreed') AS agreed_places,
               array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'agreed') AS agreed_at,
               array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'revealed') AS digests,
               max(t.place) FILTER (WHERE t.what IN ('agreed', 'revealed')) AS revealing,
               count(*) FILTER (WHERE t.what = 'reopened')::int4 AS reopen_count,
               coalesce(max(t.place) FILTER (WHERE t.what = 'reopened'), -1) AS reopened,
               (array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'finalized'))[1] AS results,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'finalized'))[1] AS finalized_at,
               min(t.block_number) FILTER (WHERE t.what = 'finalized') AS finalized_block,
               (array_agg(t.tx_hash ORDER BY t.place) FILTER (WHERE t.what = 'finalized'))[1] AS finalized_tx,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'claimed'))[1] AS claimed_at,
               min(t.block_number) FILTER (WHERE t.what = 'claimed') AS claimed_block,
               (array_agg(t.tx_hash ORDER BY t.place) FILTER (WHERE t.what = 'claimed'))[1] AS claimed_tx,
               max(t.block_number) AS last_block
        FROM told t
        GROUP BY t.key, t.address, t.emitters
    )
    SELECT $1, k.address, k.key,
           CASE
               WHEN k.claimed_block > coalesce(k.finalized_block, -1) THEN 4
               WHEN k.finalized_block IS NOT NULL THEN 3
               WHEN k.revealing > k.reopened THEN 2
               WHEN k.last_block IS NOT NULL THEN 1
               ELSE 0
           END,
           k.dealid, k.idx, d.block_time, d.block_number, coalesce(d.workerpool, k.workerpool),
           d.owners[1], trunc(d.amounts[1] / nullif(d.volume, 0)),
           k.initialized_at, k.initialized_block, k.initialized_tx,
           coalesce(cardinality(k.contributors), 0),
           CASE WHEN b.begun THEN coalesce(k.contributors, '{}') END,
           c.consensus, c.reached,
           CASE WHEN b.begun THEN coalesce(cardinality(k.digests), 0) END,
           CASE
               WHEN NOT b.begun THEN NULL
               WHEN c.consensus IS NULL THEN 0
               WHEN k.reopen_count = 0 THEN cardinality(array_positions(k.hashes, c.consensus))
               ELSE (
                   SELECT count(*)::int4
                   FROM unnest(k.hashes, k.places) AS own (hash, place)
                   WHERE own.hash = c.consensus
                     AND NOT iexec.rejected(own.hash, own.place, k.agreed, k.agreed_places, k.reopened)
               )
           END,
           k.reopen_count,
           k.digests[cardinality(k.digests)], k.results, iexec.readable(k.results),
           k.finalized_at, k.finalized_block, k.finalized_tx,
           k.claimed_at, k.claimed_block, k.claimed_tx,
           greatest(k.last_block, d.block_number),
           NULL::bytea, NULL::bytea, NULL::numeric(78, 0), NULL::numeric(78, 0), NULL::bytea,
           m.fees, m.rewards
    FROM known k
    LEFT JOIN LATERAL iexec.matched($1, k.emitters, k.dealid, $4) AS d ON true
    CROSS JOIN LATERAL (
        SELECT k.initialized_block IS NOT NULL OR coalesce(d.boost, false) OR k.last_block IS NULL AS begun
    ) AS b
    LEFT JOIN LATERAL (
        SELECT k.agreed[cardinality(k.agreed)] AS consensus, k.agreed_at[cardinality(k.agreed)] AS reached
    ) AS c ON k.agreed_places[cardinality(k.agreed)] > k.reopened
    LEFT JOIN LATERAL (
        SELECT sum(e.amount) FILTER (WHERE NOT e.gain) AS fees, sum(e.amount) FILTER (WHERE e.gain) AS rewards
        FROM (
            SELECT p.amount, true AS gain, p.chain_id, p.block_number, p.address
            FROM iexec.reward p WHERE p.ref = k.key
            UNION ALL
            SELECT p.amount, false, p.chain_id, p.block_number, p.address
            FROM iexec.seize p
            WHERE p.ref = k.key AND iexec.seize_kind(p.chain_id, p.block_number, p.log_index, p.owner) = 'fee'
        ) AS e
        WHERE coalesce(k.finalized_block, k.claimed_block) IS NOT NULL
          AND e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (k.emitters)
    ) AS m ON true
$$;
COMMENT ON FUNCTION iexec.fold_tasks(bigint, bytea[], bytea[], bigint) IS 'Tasks from their events up to a block.';
