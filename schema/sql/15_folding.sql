-- Folding many blocks at once: keys and rows stay in the server, and what is new is folded from these blocks alone.

CREATE OR REPLACE FUNCTION analytics.within(block bigint, from_block bigint, at_block bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- The planner takes a range with unknown ends for half a percent of a table, and would read all of it to find a few
    -- keys; the whole of it, which it is from block 0 on, it leaves alone.
    SELECT CASE WHEN from_block = 0 THEN block <= at_block ELSE block BETWEEN from_block AND at_block END
$$;
COMMENT ON FUNCTION analytics.within(bigint, bigint, bigint) IS
    'Whether a block is one of from_block to at_block. Becomes a condition that an index can use where it is called.';

CREATE OR REPLACE FUNCTION analytics.named(prefix text, entity regclass) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format('%s.%I', c.relnamespace::regnamespace, prefix || c.relname) FROM pg_class c WHERE c.oid = entity
$$;
COMMENT ON FUNCTION analytics.named(text, regclass) IS
    'What belongs to an entity by its name: of touched_ and arbius.tasks arbius.touched_tasks.';

CREATE OR REPLACE FUNCTION analytics.fold_statement(entity regclass, enriched text[], call text, anew boolean)
RETURNS text
LANGUAGE sql STABLE
AS $$
    -- New rows go in by time: indexes on times grow at their end, and pages of a list read neighbours.
    SELECT format('INSERT INTO %s (%s) SELECT %2$s FROM %s', $1, c.folded, $3)
           || CASE WHEN $4 THEN coalesce(' ORDER BY ' || c.times, '')
                   ELSE format(' ON CONFLICT (%s) DO UPDATE SET %s', c.keys, c.changes) END
    FROM (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS folded,
               string_agg(quote_ident(a.attname), ', ') FILTER (WHERE a.attnum = ANY (i.indkey)) AS keys,
               string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                   FILTER (WHERE a.attname IN ('blocktime', 'submitted_block', 'last_block')) AS times,
               string_agg(format('%I = excluded.%1$I', a.attname), ', ') FILTER (WHERE a.attnum <> ALL (i.indkey))
                   AS changes
        FROM pg_attribute a
        JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL ($2)
    ) AS c
$$;
COMMENT ON FUNCTION analytics.fold_statement(regclass, text[], text, boolean) IS
    'The statement that writes into a table what `call` gives; columns in `enriched` are left alone. anew: no row is there.';

CREATE OR REPLACE FUNCTION analytics.fold_blocks(
    entity regclass, key text, some_keys anyarray, enriched text[], by_range boolean,
    chain bigint, addresses bytea[], from_block bigint, to_block bigint, at_block bigint, at_once integer
) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    fold text := analytics.named('fold_', entity);
    -- LATERAL and LIMIT: one index lookup per key, whatever the planner believes about a table that has just grown.
    touched text := format(
        'SELECT n.fresh, array_agg(n.address) AS addresses, array_agg(n.key) AS keys
         FROM (SELECT t.address, t.key, $1 AND e.known IS NULL AS fresh,
                      (row_number() OVER (PARTITION BY e.known IS NULL ORDER BY t.key, t.address) - 1) / $2 AS part
               FROM %s($3, $4, $5, $6) AS t
               LEFT JOIN LATERAL (
                   SELECT true AS known FROM %s e
                   WHERE e.chain_id = $3 AND e.address = t.address AND e.%I = t.key LIMIT 1) AS e ON true) AS n
         GROUP BY n.fresh, n.part', analytics.named('touched_', entity), entity, key);
    change text := analytics.fold_statement(entity, enriched, fold || '($1, $2, $3, $5)', false);
    make text := analytics.fold_statement(entity, enriched, fold || '($1, $2, $3, $4, $5)', true);
    nested text := current_setting('enable_nestloop');
    folded bigint := 0;
    fresh boolean;
    addresses_now bytea[];
    keys_now some_keys%TYPE;
BEGIN
    FOR fresh, addresses_now, keys_now IN EXECUTE touched USING by_range, at_once, chain, addresses, from_block, to_block LOOP
        folded := folded + cardinality(keys_now);
        IF fresh THEN -- the newest blocks are beyond the planner's statistics: it would take them for empty
            PERFORM set_config('enable_nestloop', 'off', true);
            EXECUTE make USING chain, addresses_now, keys_now, from_block, at_block;
            PERFORM set_config('enable_nestloop', nested, true);
        ELSE
            EXECUTE change USING chain, addresses_now, keys_now, from_block, at_block;
        END IF;
    END LOOP;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION analytics.fold_blocks(
    regclass, text, anyarray, text[], boolean, bigint, bytea[], bigint, bigint, bigint, integer
) IS 'Fold what these blocks touch, in parts of at_once keys. some_keys only tells the type of the keys. by_range: the'
     ' fold takes a first block, and a key without row has no event before from_block.';

CREATE OR REPLACE FUNCTION analytics.fold_and_prune(
    entity regclass, key text, enriched text[], chain bigint, addresses bytea[], some_keys anyarray, at_block bigint
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    primary_key text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                         FROM pg_attribute a JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
                         WHERE a.attrelid = entity AND a.attnum = ANY (i.indkey));
BEGIN
    -- NOT IN is looked up in a hash table; a join would be planned for the one or two rows that a planner expects.
    EXECUTE format('
        WITH given AS MATERIALIZED (SELECT * FROM %1$s($1, $2, $3, $4)), written AS (%2$s)
        DELETE FROM %3$s e USING unnest($2, $3) AS k (address, key)
        WHERE e.chain_id = $1 AND e.address = k.address AND e.%4$I = k.key
          AND (%5$s) NOT IN (SELECT %6$s FROM given)',
        analytics.named('fold_', entity), analytics.fold_statement(entity, enriched, 'given', false), entity, key,
        'e.' || replace(primary_key, ', ', ', e.'), primary_key)
        USING chain, addresses, some_keys, at_block;
END
$$;
COMMENT ON FUNCTION analytics.fold_and_prune(regclass, text, text[], bigint, bytea[], anyarray, bigint) IS
    'Fold these keys up to at_block, and delete their rows that no event gives any more.';
