-- What a rollback moves. The statements are made here: in a fresh process it takes longer to put them together for
-- every event table than to run them.

CREATE OR REPLACE FUNCTION analytics.filled(tables text[], chain bigint, from_block bigint, to_block bigint)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    stored text;
    holds boolean;
BEGIN
    FOREACH stored IN ARRAY tables LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE chain_id = $1 AND block_number BETWEEN $2 AND $3)',
                       stored::regclass)
            INTO holds USING chain, from_block, to_block;
        IF holds THEN
            RETURN NEXT stored;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.filled(text[], bigint, bigint, bigint) IS
    'Those of these event tables that hold logs of these blocks.';

CREATE OR REPLACE FUNCTION analytics.arguments(stored regclass) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format('jsonb_build_object(%s)', string_agg(
        format(CASE a.atttypid
                   WHEN 'bytea'::regtype THEN '%L, ''0x'' || encode(o.%I, ''hex'')'
                   WHEN 'bytea[]'::regtype THEN '%L, ARRAY(SELECT ''0x'' || encode(p, ''hex'') FROM unnest(o.%I) p)'
                   ELSE '%L, o.%I' END, a.attname, a.attname), ', '))
    FROM pg_attribute a
    WHERE a.attrelid = stored AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname NOT IN ('chain_id', 'block_number', 'log_index', 'block_hash', 'block_time', 'tx_hash', 'tx_index',
                            'address')
$$;
COMMENT ON FUNCTION analytics.arguments(regclass) IS
    'The expression of what a row `o` of an event table holds beside its place, as JSON; bytes as hex text.';

CREATE OR REPLACE FUNCTION analytics.orphan(
    tables text[], reorg bigint, chain bigint, from_block bigint, to_block bigint
) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    stored text;
    moved bigint;
    removed bigint := 0;
BEGIN
    FOREACH stored IN ARRAY tables LOOP
        EXECUTE format('
            WITH old AS (DELETE FROM %1$s WHERE chain_id = $2 AND block_number BETWEEN $3 AND $4 RETURNING *),
            near AS MATERIALIZED ( -- once: looked for block by block, a stale plan goes through all reads each time
                SELECT r.group_id, r.from_block, r.to_block, coalesce(r.written_at, r.requested_at) AS at
                FROM chain.reads r
                WHERE r.chain_id = $2 AND r.to_block >= $3 AND r.from_block <= $4),
            believed AS MATERIALIZED ( -- by a read of the group of its contract, else (it was joined) of any
                SELECT p.address, p.block_number,
                       (SELECT coalesce(min(n.at) FILTER (WHERE n.group_id = s.group_id), min(n.at))
                        FROM near n
                        WHERE n.from_block <= p.block_number AND n.to_block >= p.block_number) AS at
                FROM (SELECT DISTINCT o.address, o.block_number FROM old o) AS p
                LEFT JOIN chain.sources s ON s.chain_id = $2 AND s.address = p.address)
            INSERT INTO chain.orphaned_logs
                (reorg_id, chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address,
                 stored_in, arguments, believed_at, removed_at)
            SELECT $1, $2, o.block_number, o.log_index, o.block_hash, o.block_time, o.tx_hash, o.tx_index, o.address,
                   $5, %2$s, b.at, clock_timestamp()
            FROM old o JOIN believed b ON b.address = o.address AND b.block_number = o.block_number',
            stored::regclass, analytics.arguments(stored))
            USING reorg, chain, from_block, to_block, stored;
        GET DIAGNOSTICS moved = ROW_COUNT;
        removed := removed + moved;
    END LOOP;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION analytics.orphan(text[], bigint, bigint, bigint, bigint) IS
    'Move the logs of these blocks from event tables to chain.orphaned_logs; how many.';
