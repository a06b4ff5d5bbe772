-- Tasks of Koii as of a past slot, from the rows that snapshots have made of each value.

CREATE OR REPLACE FUNCTION koii.stage(is_migrated boolean, is_active boolean, bounty numeric, cost numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN is_migrated THEN 'migrated'
        WHEN NOT is_active THEN 'inactive'
        WHEN bounty < cost THEN 'depleted'
        ELSE 'active'
    END
$$;
COMMENT ON FUNCTION koii.stage(boolean, boolean, numeric, numeric) IS
    'What has become of a task by its fields: as indexer/networks/koii/rules.py has it.';

CREATE OR REPLACE FUNCTION koii.stages(chain bigint, task text, slot bigint)
RETURNS TABLE (from_slot bigint, from_at timestamptz, stage text)
LANGUAGE sql STABLE
AS $$
    SELECT p.from_slot, p.from_at,
           koii.stage(v.is_migrated, v.is_active, b.total_bounty_amount, v.bounty_amount_per_round)
    FROM (
        SELECT x.from_slot, x.from_at FROM koii.task_versions x
        WHERE x.chain_id = chain AND x.task_id = task AND x.from_slot <= slot
        UNION
        SELECT x.from_slot, x.from_at FROM koii.task_totals x
        WHERE x.chain_id = chain AND x.task_id = task AND x.from_slot <= slot
    ) AS p
    JOIN koii.task_versions v ON v.chain_id = chain AND v.task_id = task AND v.from_slot <= p.from_slot
                             AND (v.to_slot IS NULL OR v.to_slot > p.from_slot)
    LEFT JOIN koii.task_totals b ON b.chain_id = chain AND b.task_id = task AND b.from_slot <= p.from_slot
                                AND (b.to_slot IS NULL OR b.to_slot > p.from_slot)
$$;
COMMENT ON FUNCTION koii.stages(bigint, text, bigint) IS
    'The states of a task up to a slot, one row per snapshot that showed a change.';

CREATE OR REPLACE FUNCTION koii.tasks_at(chain_id bigint, slot bigint)
RETURNS SETOF analytics.tasks
LANGUAGE sql STABLE
AS $$
    SELECT 'koii'::text, c.name, t.chain_id, t.program, t.task_id,
           koii.status_of(s.stage), s.stage,
           v.task_manager, v.task_manager, v.task_name COLLATE "C",
           v.bounty_amount_per_round::numeric, koii.token(v.token_type),
           CASE WHEN v.token_type IS NULL THEN v.bounty_amount_per_round / 1e9 END,
           CASE WHEN v.starting_slot IS NOT DISTINCT FROM t.starting_slot THEN t.started_at END,
           CASE WHEN s.stage <> 'active' THEN coalesce(e.ended_at, t.ended_at) END,
           least(v.starting_slot, 9223372036854775807)::bigint,
           CASE WHEN s.stage = 'deleted' THEN t.last_slot ELSE e.last_slot END,
           'final'::text
    FROM koii.tasks t
    JOIN chain.chains c ON c.chain_id = t.chain_id
    JOIN koii.task_versions v ON v.chain_id = t.chain_id AND v.task_id = t.task_id AND v.from_slot <= $2
                             AND (v.to_slot IS NULL OR v.to_slot > $2)
    CROSS JOIN LATERAL (
        SELECT max(g.from_slot) AS last_slot,
               (array_agg(g.stage ORDER BY g.from_slot DESC))[1] AS stage,
               min(g.from_at) FILTER (WHERE g.stage <> 'active' AND g.from_slot > coalesce((
                   SELECT max(a.from_slot) FROM koii.stages(t.chain_id, t.task_id, $2) a WHERE a.stage = 'active'), -1))
                   AS ended_at
        FROM koii.stages(t.chain_id, t.task_id, $2) g
    ) AS e
    CROSS JOIN LATERAL (
        SELECT CASE WHEN t.status = 'deleted' AND t.last_slot <= $2 THEN 'deleted' ELSE e.stage END AS stage
    ) AS s
    WHERE t.chain_id = $1 AND t.first_slot <= $2
$$;
COMMENT ON FUNCTION koii.tasks_at(bigint, bigint) IS
    'Tasks of Koii as the newest snapshots up to a slot showed them. A change between two snapshots counts from the later.';
