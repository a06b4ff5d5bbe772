-- What tasks showed at a wall time: the rows that were stored then, those that a reorg removed later included.

CREATE OR REPLACE FUNCTION analytics.read_steps(chain bigint)
RETURNS TABLE (group_id bigint, from_block bigint, to_block bigint, written_at timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT r.group_id, r.from_block, r.to_block, r.written_at
    FROM chain.reads r
    WHERE r.chain_id = chain AND r.joined_to IS NULL
    UNION ALL
    SELECT r.group_id, coalesce(j.before + 1, r.from_block), least(j.joined_to, r.to_block), j.joined_at
    FROM chain.reads r
    CROSS JOIN LATERAL (
        SELECT u.joined_to, u.joined_at, lag(u.joined_to) OVER (ORDER BY u.joined_to) AS before
        FROM unnest(r.joined_to, r.joined_at) AS u (joined_to, joined_at)
    ) AS j
    WHERE r.chain_id = chain AND r.joined_to IS NOT NULL AND coalesce(j.before + 1, r.from_block) <= r.to_block
$$;
COMMENT ON FUNCTION analytics.read_steps(bigint) IS
    'Ranges as they were read, with when they were written; reads that were joined later are taken apart.';

CREATE OR REPLACE FUNCTION analytics.known_to(chain bigint, source bytea, known_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    mine record;
    begun timestamptz := (SELECT min(r.written_at) FROM chain.reads r WHERE r.chain_id = chain);
    covered int8multirange;
    noted int8multirange;
    later int8multirange;
    unclear int8multirange;
BEGIN
    SELECT s.from_block, s.added_at, s.group_id INTO mine
    FROM chain.sources s WHERE s.chain_id = chain AND s.address = source;
    IF known_at < mine.added_at THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(range_agg(int8range(c.from_block, c.to_block, '[]')), '{}') * int8multirange(int8range(mine.from_block, NULL))
    INTO covered
    FROM chain.coverage c WHERE c.group_id = mine.group_id;
    -- Its own reads: of its group, or of a group that was joined with another since.
    WITH own AS MATERIALIZED (
        SELECT s.group_id,
               coalesce(range_agg(int8range(s.from_block, s.to_block, '[]')) FILTER (WHERE s.written_at <= known_at), '{}') AS past,
               coalesce(range_agg(int8range(s.from_block, s.to_block, '[]')) FILTER (WHERE s.written_at > known_at), '{}') AS future
        FROM analytics.read_steps(chain) s
        WHERE s.written_at >= mine.added_at
          AND (s.group_id = mine.group_id OR NOT EXISTS (SELECT FROM chain.groups g WHERE g.group_id = s.group_id))
        GROUP BY s.group_id
    )
    SELECT (SELECT coalesce(range_agg(r), '{}') FROM own, unnest(own.past + own.future) r),
           (SELECT coalesce(range_agg(r), '{}') FROM own, unnest(own.future - own.past) r),
           (SELECT coalesce(range_agg(r), '{}')
            FROM own a JOIN own b ON a.group_id <> b.group_id CROSS JOIN unnest(a.past * (b.future - b.past)) r)
    INTO noted, later, unclear;
    IF begun IS NULL OR known_at < begun AND NOT covered <@ noted THEN
        RAISE EXCEPTION 'what was known of chain % at % is not kept: when blocks were written is noted since %',
            chain, known_at, coalesce(begun::text, 'never') USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT isempty(unclear * covered) THEN
        RAISE EXCEPTION 'what was known of chain % at % is not kept: contract % was still catching up then in blocks %',
            chain, known_at, analytics.hex(source), unclear * covered USING ERRCODE = 'no_data_found';
    END IF;
    RETURN (SELECT upper(r) - 1 FROM unnest(covered - later) AS r WHERE r @> mine.from_block);
END
$$;
COMMENT ON FUNCTION analytics.known_to(bigint, bytea, timestamptz) IS
    'The last block up to which a contract was read without a gap at a wall time, of the branch that holds now; NULL:'
    ' none. Raises an error where that is not kept.';

CREATE OR REPLACE FUNCTION analytics.restored(stored_in regclass, orphan chain.orphaned_logs) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
               'chain_id', orphan.chain_id, 'block_number', orphan.block_number, 'log_index', orphan.log_index,
               'block_hash', orphan.block_hash::text, 'block_time', orphan.block_time, 'tx_hash', orphan.tx_hash::text,
               'tx_index', orphan.tx_index, 'address', orphan.address::text)
           || coalesce(jsonb_object_agg(v.key, CASE
                  WHEN a.atttypid = 'bytea'::regtype AND v.value <> 'null'
                  THEN to_jsonb('\x' || substr(v.value #>> '{}', 3))
                  ELSE v.value
              END), '{}')
    FROM jsonb_each(orphan.arguments) v
    JOIN pg_attribute a ON a.attrelid = stored_in AND a.attname = v.key
$$;
COMMENT ON FUNCTION analytics.restored(regclass, chain.orphaned_logs) IS
    'A row of an event table as JSON, from what is kept of a log that a reorg removed.';

CREATE OR REPLACE FUNCTION analytics.orphans_known_at(chain bigint, known_at timestamptz)
RETURNS SETOF chain.orphaned_logs
LANGUAGE sql STABLE
AS $$
    SELECT o.* FROM chain.orphaned_logs o
    WHERE o.chain_id = chain AND o.believed_at <= known_at AND o.removed_at > known_at
$$;
COMMENT ON FUNCTION analytics.orphans_known_at(bigint, timestamptz) IS
    'Logs that were stored at a wall time and that a reorg has removed since.';

CREATE OR REPLACE FUNCTION analytics.all_known_to(chain bigint, known_at timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    gone record;
BEGIN
    IF known_at > clock_timestamp() THEN
        RAISE EXCEPTION '% lies in the future', known_at USING ERRCODE = 'no_data_found';
    END IF;
    SELECT r.reorg_id, r.at INTO gone FROM chain.reorgs r
    WHERE r.chain_id = chain AND r.at > known_at AND r.rows_removed <> (
        SELECT count(*) FROM chain.orphaned_logs o WHERE o.reorg_id = r.reorg_id AND o.believed_at IS NOT NULL);
    IF FOUND THEN
        RAISE EXCEPTION 'what was known of chain % at % is not kept: logs that reorg % removed at % are gone',
            chain, known_at, gone.reorg_id, gone.at USING ERRCODE = 'no_data_found';
    END IF;
    SELECT i.subject, i.last_at INTO gone FROM chain.incidents i
    WHERE i.chain_id = chain AND i.kind = 'Repaired' AND i.last_at > known_at LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what was known of chain % at % is not kept: % were repaired at %',
            chain, known_at, gone.subject, gone.last_at USING ERRCODE = 'no_data_found';
    END IF;
    RETURN (SELECT max(analytics.known_to(chain, s.address, known_at))
            FROM chain.sources s WHERE s.chain_id = chain AND s.role IN ('engine', 'hub'));
END
$$;
COMMENT ON FUNCTION analytics.all_known_to(bigint, timestamptz) IS
    'The last block of the present branch that was read at a wall time; NULL: none. Raises an error for what is not kept.';

CREATE OR REPLACE FUNCTION analytics.keys_of(
    touched text, chain bigint, addresses bytea[], from_block bigint, to_block bigint
) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    found jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(jsonb_build_array(t.address::text, t.key::text)), ''[]'')
                    FROM %s($1, $2, $3, $4) t', touched)
        INTO found USING chain, addresses, from_block, to_block;
    RETURN found;
END
$$;
COMMENT ON FUNCTION analytics.keys_of(text, bigint, bytea[], bigint, bigint) IS
    'Addresses and keys that a touched_… function gives, as JSON.';

CREATE OR REPLACE FUNCTION analytics.keys(found jsonb) RETURNS TABLE (address bytea, key text)
LANGUAGE sql IMMUTABLE
AS $$ SELECT DISTINCT (k ->> 0)::bytea, k ->> 1 FROM jsonb_array_elements(found) AS k $$;
COMMENT ON FUNCTION analytics.keys(jsonb) IS 'What keys_of gave, as rows.';

CREATE OR REPLACE FUNCTION iexec.put_back_ids(chain bigint, known_at timestamptz, hubs bytea[], from_block bigint)
RETURNS void
LANGUAGE sql
AS $$
    SELECT iexec.forget_task_ids($1, $3, $4);
    -- Of several removals after that time the first one tells an id as it was then.
    INSERT INTO iexec.deal_starts AS d
    SELECT n.*
    FROM (SELECT DISTINCT ON (o.made ->> 'address', o.made ->> 'dealid') o.made
          FROM chain.orphaned_ids o
          WHERE o.chain_id = $1 AND o.stored_in = 'iexec.deal_starts' AND o.removed_at > $2
          ORDER BY o.made ->> 'address', o.made ->> 'dealid', o.orphan_id) AS o
    CROSS JOIN LATERAL jsonb_populate_record(NULL::iexec.deal_starts, o.made) AS n
    WHERE EXISTS (SELECT FROM iexec.orders_matched e
                  WHERE e.dealid = n.dealid AND e.chain_id = $1 AND e.block_number = n.block_number)
    ON CONFLICT (chain_id, address, dealid) DO UPDATE
        SET block_number = excluded.block_number, event_index = excluded.event_index, bot_first = excluded.bot_first;
    INSERT INTO iexec.task_ids AS t
    SELECT n.*
    FROM (SELECT DISTINCT ON (o.made ->> 'address', o.made ->> 'taskid') o.made
          FROM chain.orphaned_ids o
          WHERE o.chain_id = $1 AND o.stored_in = 'iexec.task_ids' AND o.removed_at > $2
          ORDER BY o.made ->> 'address', o.made ->> 'taskid', o.orphan_id) AS o
    CROSS JOIN LATERAL jsonb_populate_record(NULL::iexec.task_ids, o.made) AS n
    WHERE EXISTS (SELECT FROM iexec.orders_matched e
                  WHERE e.dealid = n.dealid AND e.chain_id = $1 AND e.block_number = n.listed_from)
       OR EXISTS (SELECT FROM iexec.task_initialize e
                  WHERE e.taskid = n.taskid AND e.chain_id = $1 AND e.block_number = n.listed_from)
    ON CONFLICT (chain_id, address, taskid) DO UPDATE SET listed_from = excluded.listed_from, dealid = excluded.dealid
$$;
COMMENT ON FUNCTION iexec.put_back_ids(bigint, timestamptz, bytea[], bigint) IS
    'After events were put back: the ids that Python had made of them. Part of analytics.put_back.';

CREATE OR REPLACE FUNCTION analytics.put_back_events(
    chain bigint, known_at timestamptz, from_block bigint, to_block bigint
) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    events regclass;
BEGIN
    FOR events IN
        SELECT a.attrelid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attname = 'tx_index' AND c.relkind = 'r'
          AND c.relnamespace IN ('arbius'::regnamespace, 'iexec'::regnamespace)
    LOOP
        EXECUTE format('DELETE FROM %s WHERE chain_id = $1 AND block_number BETWEEN $2 AND $3', events)
            USING chain, from_block, to_block;
    END LOOP;
    FOR events IN
        SELECT DISTINCT o.stored_in::regclass FROM analytics.orphans_known_at(chain, known_at) o
        WHERE o.stored_in <> 'chain.unknown_logs'
    LOOP
        EXECUTE format('INSERT INTO %1$s SELECT (jsonb_populate_record(NULL::%1$s, analytics.restored($3, o))).*
                        FROM analytics.orphans_known_at($1, $2) o WHERE o.stored_in::regclass = $3', events)
            USING chain, known_at, events;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.put_back_events(bigint, timestamptz, bigint, bigint) IS
    'The events of these blocks as they were stored at a wall time. Part of analytics.put_back.';

CREATE OR REPLACE FUNCTION analytics.put_back(chain bigint, known_at timestamptz, from_block bigint, to_block bigint)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    engines bytea[] := ARRAY(SELECT s.address FROM chain.sources s WHERE s.chain_id = chain AND s.network = 'arbius');
    hubs bytea[] := ARRAY(SELECT s.address FROM chain.sources s WHERE s.chain_id = chain AND s.network = 'iexec');
    solved jsonb;
    contested jsonb;
    settings jsonb;
    jobs jsonb;
BEGIN
    solved := analytics.keys_of('arbius.touched_tasks', chain, engines, from_block, to_block);
    contested := analytics.keys_of('arbius.touched_contestations', chain, engines, from_block, to_block);
    settings := analytics.keys_of('arbius.touched_parameters', chain, engines, from_block, to_block);
    jobs := analytics.keys_of('iexec.touched_tasks', chain, hubs, from_block, to_block);
    PERFORM analytics.put_back_events(chain, known_at, from_block, to_block);
    PERFORM iexec.put_back_ids(chain, known_at, hubs, from_block);
    solved := solved || analytics.keys_of('arbius.touched_tasks', chain, engines, from_block, to_block);
    contested := contested || analytics.keys_of('arbius.touched_contestations', chain, engines, from_block, to_block);
    settings := settings || analytics.keys_of('arbius.touched_parameters', chain, engines, from_block, to_block);
    jobs := jobs || analytics.keys_of('iexec.touched_tasks', chain, hubs, from_block, to_block);
    DELETE FROM arbius.contestations c USING analytics.keys(contested) k
    WHERE c.chain_id = chain AND c.address = k.address AND c.task_id = k.key::bytea;
    INSERT INTO arbius.contestations
    SELECT f.* FROM arbius.fold_contestations(
        chain, ARRAY(SELECT k.address FROM analytics.keys(contested) k ORDER BY k.address, k.key),
        ARRAY(SELECT k.key::bytea FROM analytics.keys(contested) k ORDER BY k.address, k.key), to_block) f;
    DELETE FROM arbius.parameters p USING analytics.keys(settings) k
    WHERE p.chain_id = chain AND p.address = k.address AND p.since_block = k.key::bigint;
    INSERT INTO arbius.parameters
    SELECT f.* FROM arbius.fold_parameters(
        chain, ARRAY(SELECT k.address FROM analytics.keys(settings) k ORDER BY k.address, k.key),
        ARRAY(SELECT k.key::bigint FROM analytics.keys(settings) k ORDER BY k.address, k.key), to_block) f;
    -- tasks_at itself folds a row whose last block is a later one; a row without events shows nothing then.
    INSERT INTO arbius.tasks
        (chain_id, address, task_id, model, fee, sender, blocktime, suggestions, stage, last_block, last_at)
    SELECT chain, k.address, k.key::bytea, f.model, f.fee, f.sender, f.blocktime, 0, 'open', to_block + 1, known_at
    FROM analytics.keys(solved) k
    LEFT JOIN LATERAL arbius.fold_tasks(chain, ARRAY[k.address], ARRAY[k.key::bytea], to_block) f ON true
    ON CONFLICT (chain_id, address, task_id) DO UPDATE
        SET last_block = excluded.last_block, submitted_block = NULL, model = excluded.model, fee = excluded.fee,
            sender = excluded.sender, blocktime = excluded.blocktime;
    INSERT INTO iexec.tasks
        (chain_id, address, taskid, start_time, status, contribution_count, reopen_count, last_block)
    SELECT chain, k.address, k.key::bytea, f.start_time, 0, 0, 0, to_block + 1
    FROM analytics.keys(jobs) k
    LEFT JOIN LATERAL iexec.fold_tasks(chain, ARRAY[k.address], ARRAY[k.key::bytea], to_block) f ON true
    ON CONFLICT (chain_id, address, taskid) DO UPDATE
        SET last_block = excluded.last_block, deal_block = NULL, start_time = excluded.start_time;
END
$$;
COMMENT ON FUNCTION analytics.put_back(bigint, timestamptz, bigint, bigint) IS
    'Make the tables what they were at a wall time in these blocks. Only in a transaction that is rolled back and that has'
    ' the locks of folds.';

CREATE OR REPLACE FUNCTION analytics.tasks_known_to(
    chain bigint, known_at timestamptz, branch_to bigint, upto bigint, at_time timestamptz
) RETURNS SETOF analytics.tasks
LANGUAGE sql STABLE
AS $$
    WITH known AS MATERIALIZED (
        SELECT s.role, analytics.hex(s.address) AS contract, CASE WHEN k.block = branch_to THEN upto ELSE k.block END AS block
        FROM chain.sources s
        CROSS JOIN LATERAL (SELECT coalesce(analytics.known_to(chain, s.address, known_at), -1) AS block) AS k
        WHERE s.chain_id = chain AND s.role IN ('engine', 'hub')
    )
    SELECT t.* FROM known k CROSS JOIN LATERAL arbius.tasks_at(chain, k.block, at_time) t
    WHERE k.role = 'engine' AND t.contract = k.contract
    UNION ALL
    SELECT t.* FROM known k CROSS JOIN LATERAL iexec.tasks_at(chain, k.block, at_time) t
    WHERE k.role = 'hub' AND t.contract = k.contract
$$;
COMMENT ON FUNCTION analytics.tasks_known_to(bigint, timestamptz, bigint, bigint, timestamptz) IS
    'Tasks of each contract as of the last block that was read of it at a wall time; upto for those at branch_to.';

CREATE OR REPLACE FUNCTION analytics.was_read(chain bigint, known_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT analytics.all_known_to(chain, known_at) IS NOT NULL
        OR EXISTS (SELECT FROM analytics.orphans_known_at(chain, known_at))
$$;
COMMENT ON FUNCTION analytics.was_read(bigint, timestamptz) IS
    'Whether anything of a chain was read at a wall time. Raises an error for what is not kept.';

CREATE OR REPLACE FUNCTION analytics.known_ends(
    chain bigint, known_at timestamptz, INOUT by_time timestamptz, OUT branch_to bigint, OUT upto bigint, OUT reorg bigint
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT analytics.was_read(chain, known_at) THEN
        RAISE EXCEPTION 'nothing of chain % was read at %: it is read since %', chain, known_at, coalesce(
            (SELECT min(r.written_at)::text FROM chain.reads r WHERE r.chain_id = chain), 'never')
            USING ERRCODE = 'no_data_found';
    END IF;
    branch_to := coalesce(analytics.all_known_to(chain, known_at), -1);
    upto := greatest(branch_to, (SELECT max(o.block_number) FROM analytics.orphans_known_at(chain, known_at) o));
    by_time := coalesce(by_time, (
        SELECT CASE c.clock WHEN 'wall' THEN known_at ELSE greatest(
                   (SELECT k.block_time FROM analytics.known_time(chain, branch_to) k),
                   (SELECT max(o.block_time) FROM analytics.orphans_known_at(chain, known_at) o)) END
        FROM chain.chains c WHERE c.chain_id = chain));
    reorg := (SELECT max(r.reorg_id) FROM chain.reorgs r WHERE r.chain_id = chain);
END
$$;
COMMENT ON FUNCTION analytics.known_ends(bigint, timestamptz, timestamptz) IS
    'What was read at a wall time: up to branch_to of the present branch, up to upto with what was removed since; the time'
    ' to judge by, and the newest rollback. Raises an error where that is nothing or is not kept.';

CREATE OR REPLACE FUNCTION analytics.tasks_known_at(
    chain_id bigint, known_at timestamptz, at_time timestamptz DEFAULT NULL, task text DEFAULT NULL
) RETURNS SETOF analytics.tasks
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    k record;
BEGIN
    LOOP -- a rollback between two statements would leave the second one without what the first one found
        SELECT * INTO k FROM analytics.known_ends($1, $2, $3);
        EXIT WHEN k.upto <> k.branch_to;
        RETURN QUERY SELECT t.* FROM analytics.tasks_known_to($1, $2, k.branch_to, k.upto, k.by_time) t
                     WHERE ($4 IS NULL OR t.task_id = $4) AND k.reorg IS NOT DISTINCT FROM (
                         SELECT max(r.reorg_id) FROM chain.reorgs r WHERE r.chain_id = $1);
        IF FOUND OR k.reorg IS NOT DISTINCT FROM (
                SELECT max(r.reorg_id) FROM chain.reorgs r WHERE r.chain_id = $1) THEN
            RETURN;
        END IF;
    END LOOP;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('taskscan: folds of a chain', $1)); -- as every fold does
        PERFORM FROM chain.chains c WHERE c.chain_id = $1 FOR NO KEY UPDATE;
        SELECT * INTO k FROM analytics.known_ends($1, $2, $3);
        PERFORM analytics.put_back($1, $2, k.branch_to + 1, k.upto);
        RETURN QUERY SELECT t.* FROM analytics.tasks_known_to($1, $2, k.branch_to, k.upto, k.by_time) t
                     WHERE $4 IS NULL OR t.task_id = $4;
        RAISE EXCEPTION USING ERRCODE = 'TS000'; -- all but the answer is undone
    EXCEPTION WHEN SQLSTATE 'TS000' THEN NULL;
    END;
END
$$;
COMMENT ON FUNCTION analytics.tasks_known_at(bigint, timestamptz, timestamptz, text) IS
    'analytics.tasks as they were shown at a wall time, with what a reorg has removed since. States that time changes are'
    ' those of at_time; without it, of known_at or, where the chain''s clock is its head, of the newest time known then.'
    ' With later enrichment; finality is that of now. task: of this task only. An error tells what is not kept.';
