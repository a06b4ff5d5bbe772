-- Add counts of errors to those that a provider's row has already.
UPDATE chain.providers p
SET errors = p.errors || (
    SELECT jsonb_object_agg(n.kind, n.times + coalesce((p.errors ->> n.kind)::bigint, 0))
    FROM unnest(CAST(:kinds AS text[]), CAST(:times AS bigint[])) AS n (kind, times)
)
WHERE p.chain_id = :chain_id AND p.provider = :provider;
