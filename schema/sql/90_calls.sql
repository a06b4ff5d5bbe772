-- Ready calls: what somebody could send, as `to` and `data`. Nothing is ever signed or sent here.

CREATE OR REPLACE FUNCTION analytics.uint_word(value numeric) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT decode(string_agg(lpad(to_hex(mod(div($1, 4294967296::numeric ^ n), 4294967296)::bigint), 8, '0'), ''
                             ORDER BY n DESC), 'hex')
    FROM generate_series(0, 7) AS n
$$;
COMMENT ON FUNCTION analytics.uint_word(numeric) IS 'A uint256 as the contract ABI encodes it: 32 bytes, big-endian.';

CREATE OR REPLACE FUNCTION arbius.claim_call(task bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT analytics.hex('\x77286d17'::bytea || $1) $$;
COMMENT ON FUNCTION arbius.claim_call(bytea) IS 'Calldata of claimSolution(bytes32).';

CREATE OR REPLACE FUNCTION arbius.finish_call(task bytea, votes bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT analytics.hex('\x8b4d7b35'::bytea || $1 || analytics.uint_word(greatest($2, 1))) $$;
COMMENT ON FUNCTION arbius.finish_call(bytea, bigint) IS
    'Calldata of contestationVoteFinish(bytes32,uint32) that pays off so many votes more.';

CREATE OR REPLACE FUNCTION arbius.withdraw_call(request numeric, receiver bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT analytics.hex('\x763253bb'::bytea || analytics.uint_word($1) || '\x000000000000000000000000'::bytea || $2)
$$;
COMMENT ON FUNCTION arbius.withdraw_call(numeric, bytea) IS 'Calldata of validatorWithdraw(uint256,address).';

CREATE OR REPLACE FUNCTION iexec.claim_call(taskid bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT analytics.hex('\xbd66528a'::bytea || $1) $$;
COMMENT ON FUNCTION iexec.claim_call(bytea) IS 'Calldata of claim(bytes32).';

CREATE OR REPLACE FUNCTION iexec.reopen_call(taskid bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT analytics.hex('\xf6c68e10'::bytea || $1) $$;
COMMENT ON FUNCTION iexec.reopen_call(bytea) IS 'Calldata of reopen(bytes32).';

CREATE OR REPLACE FUNCTION iexec.claim_unset_call(dealid bytea, idx numeric) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT analytics.hex('\xf722cb32'::bytea || analytics.uint_word(64) || analytics.uint_word(128)
                         || analytics.uint_word(1) || $1 || analytics.uint_word(1) || analytics.uint_word($2))
$$;
COMMENT ON FUNCTION iexec.claim_unset_call(bytea, numeric) IS
    'Calldata of initializeAndClaimArray(bytes32[],uint256[]) for one task that was never initialized.';

CREATE OR REPLACE FUNCTION arbius.word_of(network_status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE $1
        WHEN 'retracted' THEN 'cancelled'
        WHEN 'claimed' THEN 'succeeded'
        WHEN 'voting' THEN 'disputed'
        WHEN 'awaiting_finish' THEN 'disputed'
        WHEN 'contestation_succeeded' THEN 'failed'
        WHEN 'contestation_failed' THEN 'succeeded'
        ELSE arbius.status_of($1)
    END
$$;
COMMENT ON FUNCTION arbius.word_of(text) IS 'The common word for any of the ten states of a task.';

CREATE OR REPLACE FUNCTION iexec.word_of(network_status text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE $1 WHEN 'COMPLETED' THEN 'succeeded' WHEN 'FAILED' THEN 'failed' ELSE iexec.status_of($1) END
$$;
COMMENT ON FUNCTION iexec.word_of(text) IS 'The common word for any state of a task.';
