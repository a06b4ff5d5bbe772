-- What enrichment has learned, for people: inputs and results with their IPFS links, and the windows of iExec tasks.

CREATE OR REPLACE FUNCTION analytics.cid(value bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    digits CONSTANT text := '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
    number numeric := 0;
    rest numeric;
    found text := '';
BEGIN
    IF length(value) <> 34 OR substr(value, 1, 2) <> '\x1220' THEN
        RETURN NULL; -- no CIDv0: a solver may hand in any bytes
    END IF;
    FOR n IN 0..33 LOOP
        number := number * 256 + get_byte(value, n);
    END LOOP;
    WHILE number > 0 LOOP
        rest := div(number, 58);
        found := substr(digits, (number - rest * 58)::int + 1, 1) || found;
        number := rest;
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION analytics.cid(bytea) IS
    'An IPFS hash as people write it (CIDv0: base58 of 34 bytes, Qm…); NULL for bytes that are none.';

CREATE OR REPLACE FUNCTION analytics.ipfs_link(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT 'ipfs://' || analytics.cid(value) $$;
COMMENT ON FUNCTION analytics.ipfs_link(bytea) IS 'The link to an IPFS hash.';

CREATE OR REPLACE VIEW arbius.v_inputs AS
SELECT t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.task_id) COLLATE "C" AS task_id,
       analytics.hex(t.owner) COLLATE "C" AS owner,
       t.version,
       analytics.cid(t.cid) AS cid,
       analytics.ipfs_link(t.cid) AS link,
       t.input,
       iexec.readable(t.input) AS input_text,
       f.enriched_from
FROM arbius.tasks t
LEFT JOIN arbius.task_facts f
    ON f.chain_id = t.chain_id AND f.address = t.address AND f.task_id = t.task_id
   AND f.tx_hash IS NOT DISTINCT FROM t.submitted_tx;
COMMENT ON VIEW arbius.v_inputs IS
    'What each Arbius task was asked with; input_text is NULL where the input is no valid text.';

CREATE OR REPLACE VIEW arbius.v_results AS
SELECT s.chain_id,
       analytics.hex(s.address) COLLATE "C" AS contract,
       analytics.hex(s.task_id) COLLATE "C" AS task_id,
       analytics.hex(s.validator) COLLATE "C" AS solver,
       s.cid AS cid_bytes,
       analytics.cid(s.cid) AS cid,
       analytics.ipfs_link(s.cid) AS link,
       s.stake,
       f.commitment,
       c.block_number AS committed_block,
       c.block_time AS committed_at,
       c.addr AS committed_by,
       s.blocktime - c.block_time AS commitment_to_solution,
       f.enriched_from
FROM arbius.solutions s
LEFT JOIN arbius.solution_facts f
    ON f.chain_id = s.chain_id AND f.address = s.address AND f.task_id = s.task_id
   AND f.tx_hash IS NOT DISTINCT FROM s.submitted_tx
LEFT JOIN LATERAL (
    SELECT x.block_number, x.block_time, x.addr
    FROM arbius.signal_commitment x
    WHERE x.commitment = f.commitment AND x.address = s.address AND x.chain_id = s.chain_id
    ORDER BY x.block_number, x.log_index
    LIMIT 1
) AS c ON true;
COMMENT ON VIEW arbius.v_results IS
    'What each Arbius solution consists of, and the SignalCommitment that its hash proves to be its own.';

CREATE OR REPLACE FUNCTION iexec.window_state(
    status integer, start_time timestamptz, timeref numeric, consensus_at timestamptz,
    reveal_counter integer, winner_counter integer, at_time timestamptz
) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- Source: iexec.md section 3. Open means deadline > now.
    SELECT CASE
        WHEN status >= 3 THEN NULL
        WHEN at_time >= iexec.deadline(start_time, timeref, 10) THEN 'claimable'
        WHEN status = 2 AND reveal_counter > 0 AND (
            reveal_counter = winner_counter OR at_time >= iexec.deadline(consensus_at, timeref, 2)) THEN 'finalizable'
        WHEN status = 2 AND reveal_counter = 0 AND at_time >= iexec.deadline(consensus_at, timeref, 2)
            THEN 'reopenable'
        WHEN status = 1 AND at_time >= iexec.deadline(start_time, timeref, 7) THEN 'contribution_closed'
        WHEN timeref IS NULL THEN NULL
        WHEN status = 2 THEN 'revealing'
        WHEN status = 1 THEN 'contributing'
        ELSE 'waiting'
    END
$$;
COMMENT ON FUNCTION iexec.window_state(
    integer, timestamptz, numeric, timestamptz, integer, integer, timestamptz
) IS 'What can happen to a task at a time by its deadlines; NULL: nothing any more, or its category is not known.';

CREATE OR REPLACE VIEW iexec.v_windows AS
SELECT t.chain_id,
       analytics.hex(t.address) COLLATE "C" AS contract,
       analytics.hex(t.taskid) COLLATE "C" AS task_id,
       iexec.window_state(t.status, t.start_time, t.timeref,
                          CASE WHEN t.consensus_value IS NOT NULL THEN t.consensus_at END,
                          t.reveal_counter, t.winner_counter, analytics.now(t.chain_id)) AS window_state,
       iexec.deadline(t.start_time, t.timeref, 7) AS contribution_deadline,
       iexec.deadline(CASE WHEN t.consensus_value IS NOT NULL THEN t.consensus_at END, t.timeref, 2)
           AS reveal_deadline,
       iexec.deadline(t.start_time, t.timeref, 10) AS final_deadline
FROM iexec.tasks t;
COMMENT ON VIEW iexec.v_windows IS
    'What can happen to each iExec task now: waiting, contributing, contribution_closed (only a claim can end it),'
    ' revealing, reopenable, finalizable, claimable.';
