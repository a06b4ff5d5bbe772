-- What was true at a past block. Rows that nothing has changed since are taken as they are, the others folded again.

CREATE OR REPLACE FUNCTION analytics.known_time(chain bigint, block bigint)
RETURNS TABLE (block_number bigint, block_time timestamptz)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    events regclass;
    found bigint;
    at timestamptz;
BEGIN
    SELECT x.block_number, x.block_time INTO known_time.block_number, known_time.block_time
    FROM (
        (SELECT b.block_number, b.block_time FROM chain.blocks b
         WHERE b.chain_id = chain AND b.block_number <= block ORDER BY b.block_number DESC LIMIT 1)
        UNION ALL
        (SELECT v.to_block, v.to_time FROM chain.coverage v JOIN chain.groups g USING (group_id)
         WHERE g.chain_id = chain AND v.to_block <= block AND v.to_time IS NOT NULL ORDER BY v.to_block DESC LIMIT 1)
        UNION ALL
        SELECT c.head_block, c.head_time FROM chain.chains c WHERE c.chain_id = chain AND c.head_block <= block
    ) AS x
    ORDER BY x.block_number DESC LIMIT 1;
    FOR events IN
        SELECT a.attrelid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attname = 'tx_index' AND c.relkind = 'r'
          AND c.relnamespace IN ('arbius'::regnamespace, 'iexec'::regnamespace)
    LOOP
        EXIT WHEN known_time.block_number = block;
        EXECUTE format('SELECT e.block_number, e.block_time FROM %s e WHERE e.chain_id = $1 AND e.block_number <= $2
                        ORDER BY e.block_number DESC LIMIT 1', events) INTO found, at USING chain, block;
        IF found > coalesce(known_time.block_number, -1) THEN
            known_time.block_number := found;
            known_time.block_time := at;
        END IF;
    END LOOP;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION analytics.known_time(bigint, bigint) IS
    'The newest block at or below this one whose time is known: of an event, a header, or the end of a range.';

CREATE OR REPLACE FUNCTION analytics.refuse(what text, first text, last text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RAISE EXCEPTION '%: it is read from % to %', what, coalesce(first, '-'), coalesce(last, '-')
        USING ERRCODE = 'no_data_found';
END
$$;
COMMENT ON FUNCTION analytics.refuse(text, text, text) IS
    'Raises the error that tells what is not read, and from where to where it is.';

CREATE OR REPLACE FUNCTION analytics.moment(chain bigint, block bigint, at_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    IF (SELECT c.kind FROM chain.chains c WHERE c.chain_id = chain) = 'aidbox' THEN
        RETURN aidbox.moment(chain, block, at_time);
    END IF;
    SELECT min(t.first_slot), max(c.head_block) INTO first, last
    FROM koii.tasks t JOIN chain.chains c USING (chain_id)
    WHERE t.chain_id = chain;
    IF block BETWEEN first AND last THEN
        RETURN coalesce(at_time, (SELECT c.head_time FROM chain.chains c WHERE c.chain_id = chain));
    ELSIF first IS NOT NULL THEN
        PERFORM analytics.refuse(
            format('slot %s of chain %s is not covered', block, chain), 'slot ' || first, last::text);
    END IF;
    SELECT min(s.from_block), min(coalesce(g.folded_to, -1)) FILTER (WHERE s.from_block <= block)
    INTO first, last
    FROM chain.sources s JOIN chain.groups g USING (group_id)
    WHERE s.chain_id = chain AND s.active;
    IF first IS NULL OR block IS NULL OR block < first OR block > last THEN
        PERFORM analytics.refuse(
            format('block %s of chain %s is not covered', block, chain), 'block ' || first, nullif(last, -1)::text);
    END IF;
    RETURN coalesce(at_time, (SELECT k.block_time FROM analytics.known_time(chain, block) k));
END
$$;
COMMENT ON FUNCTION analytics.moment(bigint, bigint, timestamptz) IS
    'The time at which a past block is looked at: at_time, else the newest time known up to the block. Raises an error'
    ' for a block that is not read and folded.';

-- One pass over the tasks: only those that have changed since are folded again, and only live ones are judged.
CREATE OR REPLACE FUNCTION arbius.tasks_at(chain_id bigint, block bigint, at_time timestamptz)
RETURNS SETOF analytics.tasks -- its columns keep the collation that indexes on hex text need
LANGUAGE sql STABLE
AS $$
    SELECT 'arbius'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
           analytics.hex(t.address) COLLATE "C", analytics.hex(t.task_id) COLLATE "C",
           CASE s.network_status -- a function would be called for each row: it is not inlined around the look-ups
               WHEN 'open' THEN 'open'
               WHEN 'retracted' THEN 'cancelled'
               WHEN 'challengeable' THEN 'review'
               WHEN 'claimable' THEN 'claimable'
               WHEN 'voting' THEN 'disputed'
               WHEN 'awaiting_finish' THEN 'disputed'
               WHEN 'contestation_succeeded' THEN 'failed'
               WHEN 'claimed' THEN 'succeeded'
               WHEN 'forfeited' THEN 'succeeded'
               WHEN 'contestation_failed' THEN 'succeeded'
           END,
           s.network_status,
           analytics.hex(t.owner) COLLATE "C", analytics.hex(t.sender) COLLATE "C", analytics.hex(t.model) COLLATE "C",
           t.fee::numeric, 'AIUS'::text, t.fee * 1e-18, t.blocktime,
           CASE WHEN t.last_block <= $2 THEN coalesce(t.finished_at, t.claimed_at, t.retracted_at)
                ELSE coalesce(p.finished_at, p.claimed_at, p.retracted_at) END,
           CASE WHEN t.last_block <= $2 THEN t.submitted_block ELSE p.submitted_block END,
           CASE WHEN t.last_block <= $2 THEN t.last_block ELSE p.last_block END,
           CASE WHEN CASE WHEN t.last_block <= $2 THEN t.last_block ELSE p.last_block END
                     <= (SELECT c.final_block FROM chain.chains c WHERE c.chain_id = t.chain_id)
                THEN 'final' ELSE 'pending' END
    FROM arbius.tasks t
    LEFT JOIN LATERAL (
        SELECT x.* FROM arbius.fold_tasks($1, ARRAY[t.address], ARRAY[t.task_id], $2) x WHERE t.last_block > $2 OFFSET 0
    ) AS p ON true
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN t.last_block > $2 THEN (
                SELECT l.network_status FROM arbius.live_state(
                    t.chain_id, t.address, p.stage, p.solution_validator, coalesce(p.solution_blocktime, p.last_at),
                    coalesce(p.contested_at, p.last_at), p.yeas + p.nays, $3, $2) l)
            WHEN t.stage IN ('solved', 'contested') THEN (
                SELECT l.network_status FROM arbius.live_state(
                    t.chain_id, t.address, t.stage, t.solution_validator, coalesce(t.solution_blocktime, t.last_at),
                    coalesce(t.contested_at, t.last_at), t.yeas + t.nays, $3, $2) l)
            WHEN t.stage <> 'finished' THEN t.stage
        END AS network_status
    ) AS s
    WHERE t.chain_id = $1 AND (t.submitted_block IS NULL OR t.submitted_block <= $2)
      AND (t.last_block <= $2 OR p.task_id IS NOT NULL)
$$;
COMMENT ON FUNCTION arbius.tasks_at(bigint, bigint, timestamptz) IS
    'Tasks of Arbius as they were at a block and time, as analytics.tasks_at shows them.';

CREATE OR REPLACE FUNCTION iexec.tasks_at(chain_id bigint, block bigint, at_time timestamptz)
RETURNS SETOF analytics.tasks -- its columns keep the collation that indexes on hex text need
LANGUAGE sql STABLE
AS $$
    SELECT 'iexec'::text, (SELECT c.name FROM chain.chains c WHERE c.chain_id = t.chain_id), t.chain_id,
           analytics.hex(t.address) COLLATE "C", analytics.hex(t.taskid) COLLATE "C",
           CASE s.network_status
               WHEN 'COMPLETED' THEN 'succeeded'
               WHEN 'FAILED' THEN 'failed'
               WHEN 'TIMEOUT' THEN 'claimable'
               WHEN 'REVEALING' THEN 'review'
               WHEN 'ACTIVE' THEN 'running'
               WHEN 'UNSET' THEN 'open'
           END,
           s.network_status,
           analytics.hex(t.requester) COLLATE "C",
           analytics.hex(CASE WHEN t.last_block <= $2 THEN t.payer ELSE p.payer END) COLLATE "C",
           analytics.hex(t.app) COLLATE "C",
           CASE WHEN t.last_block <= $2 THEN t.fee ELSE p.fee END::numeric, 'RLC'::text,
           CASE WHEN t.last_block <= $2 THEN t.fee ELSE p.fee END * 1e-9,
           t.start_time,
           CASE WHEN t.last_block <= $2 THEN coalesce(t.finalized_at, t.claimed_at)
                ELSE coalesce(p.finalized_at, p.claimed_at) END,
           CASE WHEN t.last_block <= $2 THEN t.deal_block ELSE p.deal_block END,
           CASE WHEN t.last_block <= $2 THEN t.last_block ELSE p.last_block END,
           CASE WHEN CASE WHEN t.last_block <= $2 THEN t.last_block ELSE p.last_block END
                     <= (SELECT c.final_block FROM chain.chains c WHERE c.chain_id = t.chain_id)
                THEN 'final' ELSE 'pending' END
    FROM iexec.tasks t
    LEFT JOIN LATERAL (
        SELECT x.* FROM iexec.fold_tasks($1, ARRAY[t.address], ARRAY[t.taskid], $2) x WHERE t.last_block > $2 OFFSET 0
    ) AS p ON true
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN f.status = 3 THEN 'COMPLETED'
            WHEN f.status = 4 THEN 'FAILED'
            ELSE iexec.live_status(f.status, $3, t.start_time, t.timeref)
        END AS network_status
        FROM (SELECT CASE WHEN t.last_block <= $2 THEN t.status ELSE p.status END AS status) AS f
    ) AS s
    WHERE t.chain_id = $1 AND (t.deal_block IS NULL OR t.deal_block <= $2)
      AND (t.last_block <= $2 OR p.taskid IS NOT NULL)
$$;
COMMENT ON FUNCTION iexec.tasks_at(bigint, bigint, timestamptz) IS
    'Tasks of iExec as they were at a block and time, as analytics.tasks_at shows them.';

CREATE OR REPLACE FUNCTION analytics.tasks_at(chain_id bigint, block bigint, at_time timestamptz DEFAULT NULL)
RETURNS SETOF analytics.tasks -- its columns keep the collation that indexes on hex text need
LANGUAGE sql STABLE
AS $$
    SELECT a.* FROM analytics.moment($1, $2, $3) AS m (time) CROSS JOIN LATERAL arbius.tasks_at($1, $2, m.time) a
    UNION ALL
    SELECT i.* FROM analytics.moment($1, $2, $3) AS m (time) CROSS JOIN LATERAL iexec.tasks_at($1, $2, m.time) i
    UNION ALL
    SELECT k.* FROM analytics.moment($1, $2, $3) AS m (time) CROSS JOIN LATERAL koii.tasks_at($1, $2) k
    UNION ALL
    SELECT b.* FROM analytics.moment($1, $2, $3) AS m (time) CROSS JOIN LATERAL aidbox.tasks_at($1, $2, m.time) b
$$;
COMMENT ON FUNCTION analytics.tasks_at(bigint, bigint, timestamptz) IS
    'analytics.tasks as of a past block (Koii: slot; Aidbox: version) of a chain, with later enrichment. States that time changes are those of'
    ' at_time; without it, of the newest time known up to the block (that of the block itself where it has an event).'
    ' An error tells where the block is not read and folded.';

CREATE OR REPLACE FUNCTION analytics.block_at(chain bigint, at_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    low bigint;
    high bigint;
    middle bigint;
    known record;
BEGIN
    IF (SELECT c.kind FROM chain.chains c WHERE c.chain_id = chain) = 'aidbox' THEN
        RETURN aidbox.version_at(chain, at_time);
    END IF;
    SELECT max(s.slot) FILTER (WHERE s.requested_at <= at_time), max(s.requested_at) AS newest INTO known
    FROM koii.snapshots s WHERE s.chain_id = chain;
    IF known.max IS NOT NULL AND at_time <= known.newest THEN
        RETURN known.max;
    ELSIF known.newest IS NOT NULL THEN
        RAISE EXCEPTION 'what was true at % on chain % is not known: its first snapshot is later or its newest, of %, older',
            at_time, chain, known.newest USING ERRCODE = 'no_data_found';
    END IF;
    SELECT min(s.from_block), min(coalesce(g.folded_to, -1)) INTO low, high
    FROM chain.sources s JOIN chain.groups g USING (group_id)
    WHERE s.chain_id = chain AND s.active;
    SELECT * INTO known FROM analytics.known_time(chain, high);
    IF known.block_time IS NULL OR at_time > known.block_time THEN
        RAISE EXCEPTION 'what was true at % on chain % is not known: it is read up to %',
            at_time, chain, coalesce(known.block_time::text, 'nothing') USING ERRCODE = 'no_data_found';
    END IF;
    WHILE low < high LOOP -- times never fall from block to block
        middle := (low + high + 1) / 2;
        SELECT * INTO known FROM analytics.known_time(chain, middle);
        IF known.block_time IS NULL OR known.block_time <= at_time THEN
            low := middle;
        ELSE
            high := known.block_number - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;
COMMENT ON FUNCTION analytics.block_at(bigint, timestamptz) IS
    'A block up to which everything that had happened by a time is known, and nothing later. Raises an error for a time'
    ' that is not read yet.';
