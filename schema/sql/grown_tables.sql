-- Tables of a schema that have grown fourfold since the planner last looked at them.
SELECT c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind = 'r'
  AND pg_relation_size(c.oid) > 8192::bigint * 4 * greatest(c.relpages, 4)
ORDER BY c.relname;
