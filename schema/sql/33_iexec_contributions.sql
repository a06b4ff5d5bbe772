-- Contributions of workers to tasks, as viewContribution tells of them, and what became of them.

CREATE OR REPLACE FUNCTION iexec.touched_contributions(
    chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT c.hub, e.taskid
    FROM (
        SELECT t.address, t.taskid FROM iexec.task_contribute t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_reveal t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_reopen t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_finalize t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid FROM iexec.task_claimed t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid
        FROM iexec.accurate_contribution t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
        UNION
        SELECT t.address, t.taskid
        FROM iexec.faulty_contribution t WHERE t.chain_id = $1 AND t.block_number BETWEEN $3 AND $4
    ) AS e
    JOIN iexec.contracts c ON c.chain_id = $1 AND c.address = e.address AND c.role = 'hub'
    WHERE e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_contributions(bigint, bytea[], bigint, bigint) IS
    'Tasks whose contributions events in these blocks touch.';

CREATE OR REPLACE FUNCTION iexec.fold_contributions(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.contributions
LANGUAGE sql STABLE AS $$
    WITH wanted AS MATERIALIZED (
        SELECT * FROM iexec.keyed($1, 'hub', $2, $3)
    ),
    told AS (
        SELECT w.address, w.key, e.worker AS who, 'contributed' AS what, iexec.place(e.block_number, e.log_index) AS place,
               e.block_number, e.block_time, e.tx_hash, e.hash AS value, NULL::numeric AS amount
        FROM wanted w JOIN iexec.task_contribute e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, e.worker, 'revealed', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, e.digest, NULL
        FROM wanted w JOIN iexec.task_reveal e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, e.worker, 'accurate', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, NULL
        FROM wanted w JOIN iexec.accurate_contribution e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, e.worker, 'faulty', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, s.amount
        FROM wanted w JOIN iexec.faulty_contribution e ON e.taskid = w.key
        LEFT JOIN iexec.seize s ON s.chain_id = e.chain_id AND s.block_number = e.block_number
            AND s.log_index = e.log_index - 1 AND s.owner = e.worker AND s.ref = e.taskid AND s.address = e.address
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, e.owner, 'rewarded', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, e.amount
        FROM wanted w JOIN iexec.reward e ON e.ref = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters) AND (
            EXISTS (  -- finalize gives a winner the stake back just before the reward
                SELECT FROM iexec.unlock u
                WHERE u.chain_id = e.chain_id AND u.block_number = e.block_number AND u.owner = e.owner
                  AND u.log_index BETWEEN e.log_index - 2 AND e.log_index - 1 AND u.tx_hash = e.tx_hash)
            OR EXISTS (  -- contributeAndFinalize rewards worker and scheduler just before it tells of the contribution
                SELECT FROM iexec.task_contribute c
                WHERE c.chain_id = e.chain_id AND c.block_number = e.block_number AND c.log_index = e.log_index + 3
                  AND c.taskid = e.ref AND c.worker = e.owner))
        UNION ALL
        SELECT w.address, w.key, NULL, 'agreed', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, e.consensus, NULL
        FROM wanted w JOIN iexec.task_consensus e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, NULL, 'reopened', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, NULL
        FROM wanted w JOIN iexec.task_reopen e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, NULL, 'finalized', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, NULL
        FROM wanted w JOIN iexec.task_finalize e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
        UNION ALL
        SELECT w.address, w.key, NULL, 'claimed', iexec.place(e.block_number, e.log_index),
               e.block_number, e.block_time, e.tx_hash, NULL, NULL
        FROM wanted w JOIN iexec.task_claimed e ON e.taskid = w.key
        WHERE e.chain_id = $1 AND e.block_number <= $4 AND e.address = ANY (w.emitters)
    ),
    known AS (
        SELECT t.address, t.key, t.who,
               (array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'contributed'))[1] AS hash,
               min(t.place) FILTER (WHERE t.what = 'contributed') AS place,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'contributed'))[1] AS contributed_at,
               (array_agg(t.tx_hash ORDER BY t.place) FILTER (WHERE t.what = 'contributed'))[1] AS contributed_tx,
               (array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'revealed'))[1] AS digest,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'revealed'))[1] AS revealed_at,
               bool_or(t.what = 'accurate') AS accurate,
               bool_or(t.what = 'faulty') AS faulty,
               sum(t.amount) FILTER (WHERE t.what = 'faulty') AS seized,
               sum(t.amount) FILTER (WHERE t.what = 'rewarded') AS reward,
               min(t.block_number) AS first_block,
               max(t.block_number) AS last_block,
               array_agg(t.value ORDER BY t.place) FILTER (WHERE t.what = 'agreed') AS agreed,
               array_agg(t.place ORDER BY t.place) FILTER (WHERE t.what = 'agreed') AS agreed_places,
               max(t.place) FILTER (WHERE t.what = 'reopened') AS reopened,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'finalized'))[1] AS finalized_at,
               (array_agg(t.block_time ORDER BY t.place) FILTER (WHERE t.what = 'claimed'))[1] AS claimed_at
        FROM told t
        GROUP BY t.key, t.who, t.address
    ),
    joined AS (
        SELECT k.*, max(k.finalized_at) OVER w AS task_finalized_at, max(k.claimed_at) OVER w AS task_claimed_at,
               max(k.last_block) FILTER (WHERE k.who IS NULL) OVER w AS task_block,
               iexec.rejected(k.hash, k.place, max(k.agreed) OVER w, max(k.agreed_places) OVER w,
                              max(k.reopened) OVER w) AS rejected
        FROM known k
        WINDOW w AS (PARTITION BY k.key, k.address)
    )
    SELECT $1, j.address, j.key, j.who,
           CASE
               WHEN j.revealed_at IS NOT NULL OR j.accurate THEN 'PROVED'
               WHEN j.rejected THEN 'REJECTED'
               ELSE 'CONTRIBUTED'
           END,
           CASE
               WHEN j.rejected THEN 'rejected'
               WHEN j.task_finalized_at IS NOT NULL AND (j.revealed_at IS NOT NULL OR j.accurate) THEN 'accepted'
               WHEN j.task_finalized_at IS NOT NULL OR j.faulty THEN 'lost'
               WHEN j.task_claimed_at IS NOT NULL THEN 'expired'
               ELSE 'submitted'
           END,
           j.hash, j.digest,
           CASE WHEN j.accurate THEN true WHEN j.faulty THEN false END,
           j.reward, j.seized, j.contributed_at, j.contributed_tx, j.revealed_at,
           coalesce(j.task_finalized_at, j.task_claimed_at),
           j.first_block, greatest(j.last_block, j.task_block),
           NULL::bytea, NULL::bytea, NULL::numeric(78, 0)
    FROM joined j
    WHERE j.who IS NOT NULL
$$;
COMMENT ON FUNCTION iexec.fold_contributions(bigint, bytea[], bytea[], bigint) IS
    'All contributions to these tasks from their events up to a block.';
