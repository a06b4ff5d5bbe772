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
       f.input,
       iexec.readable(f.input) AS input_text,
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

CREATE OR REPLACE VIEW arbius.v_parameters AS
SELECT p.chain_id,
       analytics.hex(p.address) COLLATE "C" AS contract,
       p.since_block,
       n.name,
       n.by_events,
       n.by_engine,
       n.by_engine <> coalesce(n.by_events, 0) AS differs,
       f.block_number AS asked_block,
       f.asked_at
FROM arbius.parameters p
JOIN arbius.parameter_facts f USING (chain_id, address, since_block)
CROSS JOIN LATERAL (VALUES
    ('version', p.version, f.version),
    ('min_claim_solution_time', p.min_claim_solution_time, f.min_claim_solution_time),
    ('min_contestation_vote_period_time', p.min_contestation_vote_period_time, f.min_contestation_vote_period_time),
    ('contestation_vote_extension_time', p.contestation_vote_extension_time, f.contestation_vote_extension_time),
    ('min_retraction_wait_time', p.min_retraction_wait_time, f.min_retraction_wait_time),
    ('max_contestation_validator_stake_since', p.max_contestation_validator_stake_since, f.max_contestation_validator_stake_since),
    ('exit_validator_min_unlock_time', p.exit_validator_min_unlock_time, f.exit_validator_min_unlock_time),
    ('validator_minimum_percentage', p.validator_minimum_percentage, f.validator_minimum_percentage),
    ('slash_amount_percentage', p.slash_amount_percentage, f.slash_amount_percentage),
    ('solution_fee_percentage', p.solution_fee_percentage, f.solution_fee_percentage),
    ('retraction_fee_percentage', p.retraction_fee_percentage, f.retraction_fee_percentage),
    ('treasury_reward_percentage', p.treasury_reward_percentage, f.treasury_reward_percentage),
    ('task_owner_reward_percentage', p.task_owner_reward_percentage, f.task_owner_reward_percentage),
    ('solution_model_fee_percentage', p.solution_model_fee_percentage, f.solution_model_fee_percentage),
    ('solutions_stake_amount', p.solutions_stake_amount, f.solutions_stake_amount),
    ('solution_rate_limit', p.solution_rate_limit, f.solution_rate_limit),
    ('master_contester_vote_adder', p.master_contester_vote_adder, f.master_contester_vote_adder),
    ('start_block_time', p.start_block_time, f.start_block_time)
) AS n (name, by_events, by_engine);
COMMENT ON VIEW arbius.v_parameters IS
    'Parameters of Arbius engines as events and known versions tell them, and as the engine itself answered;'
    ' by_engine is NULL where its version has no such getter.';

CREATE OR REPLACE VIEW arbius.v_model_fees AS
SELECT m.chain_id,
       analytics.hex(m.address) COLLATE "C" AS contract,
       analytics.hex(m.model_id) COLLATE "C" AS model,
       coalesce(m.fee, m.registered_fee) AS fee,
       analytics.hex(coalesce(m.addr, m.registered_addr)) COLLATE "C" AS paid_to,
       f.has_override,
       f.fee_override,
       f.block_number AS asked_block,
       f.asked_at
FROM arbius.models m
LEFT JOIN arbius.override_facts f USING (chain_id, address, model_id);
COMMENT ON VIEW arbius.v_model_fees IS
    'What each Arbius model costs, to whom it goes, and the part of it that the treasury takes where V6 has set one for'
    ' this model (no event tells); NULL: not asked, the engine is older.';

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
