-- Marks: sums kept now and then, so that a fold of an account with millions of events adds up the last few only.

CREATE OR REPLACE FUNCTION iexec.mark(chain bigint, hub bytea, from_block bigint, to_block bigint, every integer)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    emitters bytea[] := (SELECT array_agg(c.address) FROM iexec.contracts c
                         WHERE c.chain_id = $1 AND c.hub = $2 AND c.role = 'hub');
    first bigint;
    hubs bytea[];
    keys bytea[];
BEGIN
    DELETE FROM iexec.account_marks m WHERE m.chain_id = $1 AND m.address = $2 AND m.block_number >= $3;
    DELETE FROM iexec.worker_marks m WHERE m.chain_id = $1 AND m.address = $2 AND m.block_number >= $3;
    DELETE FROM iexec.order_marks m WHERE m.chain_id = $1 AND m.address = $2 AND m.block_number >= $3;
    DELETE FROM iexec.marks m WHERE m.chain_id = $1 AND m.address = $2 AND m.block_number >= $3;
    first := coalesce((SELECT max(m.block_number) + 1 FROM iexec.marks m WHERE m.chain_id = $1 AND m.address = $2), 0);
    IF (SELECT count(*) FROM (SELECT FROM iexec.moves($1, emitters, $2, first, $4) LIMIT $5) AS few) < $5 THEN
        RETURN;
    END IF;
    SELECT array_agg(t.address), array_agg(t.key) INTO hubs, keys FROM iexec.touched_accounts($1, emitters, first, $4) t;
    INSERT INTO iexec.account_marks
    SELECT f.chain_id, f.address, f.owner, $4, f.stake, f.locked, f.last_block
    FROM iexec.fold_accounts($1, hubs, keys, $4) AS f;
    SELECT array_agg(t.address), array_agg(t.key) INTO hubs, keys FROM iexec.touched_workers($1, emitters, first, $4) t;
    INSERT INTO iexec.worker_marks
    SELECT f.chain_id, f.address, f.worker, $4, f.score, f.accurate, f.faulty, f.last_block
    FROM iexec.fold_workers($1, hubs, keys, $4) AS f;
    SELECT array_agg($2), array_agg(o.hash) INTO hubs, keys
    FROM (SELECT DISTINCT t.hash FROM iexec.taken($1, emitters, first, $4) AS t) AS o;
    INSERT INTO iexec.order_marks
    SELECT f.chain_id, f.address, f.hash, $4, f.kind, f.matched_volume, f.deals, f.last_block
    FROM iexec.fold_orders($1, hubs, keys, $4) AS f;
    INSERT INTO iexec.marks VALUES ($1, $2, $4);
END
$$;
COMMENT ON FUNCTION iexec.mark(bigint, bytea, bigint, bigint, integer) IS
    'Forget the marks of a hub from from_block on; make new ones at to_block if so many events came since the last.';
