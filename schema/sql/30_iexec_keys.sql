-- What the folds of iExec share.

CREATE OR REPLACE FUNCTION iexec.keyed(chain bigint, role text, addresses bytea[], keys bytea[])
RETURNS TABLE (address bytea, key bytea, emitters bytea[])
LANGUAGE sql STABLE AS $$
    SELECT k.address, k.key, h.emitters
    FROM unnest($3, $4) AS k (address, key)
    JOIN (
        SELECT c.hub, array_agg(c.address) AS emitters
        FROM iexec.contracts c
        WHERE c.chain_id = $1 AND c.role = $2
        GROUP BY c.hub
    ) AS h ON h.hub = k.address
$$;
COMMENT ON FUNCTION iexec.keyed(bigint, text, bytea[], bytea[]) IS
    'Keys of entities with the contracts of that role whose events tell of them (v3 had a hub and a clerk).';

CREATE OR REPLACE FUNCTION iexec.place(block_number bigint, log_index integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ($1 << 24) + $2 $$;
COMMENT ON FUNCTION iexec.place(bigint, integer) IS 'The place of a log on its chain as one number that sorts.';

CREATE OR REPLACE FUNCTION iexec.readable(value bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(value, 'UTF8');
EXCEPTION WHEN others THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iexec.readable(bytea) IS 'Bytes as text; NULL when they are no UTF-8 or hold NUL.';

CREATE OR REPLACE FUNCTION iexec.number(entry bytea) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sum(('x' || encode(substr($1, 4 * n + 1, 4), 'hex'))::bit(32)::bigint * 4294967296::numeric ^ (4 - n))
    FROM generate_series(0, 4) AS n
$$;
COMMENT ON FUNCTION iexec.number(bytea) IS 'The ERC-721 token id of an app, dataset or workerpool: its address as number.';

CREATE OR REPLACE FUNCTION iexec.entry(token_id numeric) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT decode(string_agg(lpad(to_hex(mod(div($1, 4294967296::numeric ^ (4 - n)), 4294967296)::bigint), 8, '0'), ''
                             ORDER BY n), 'hex')
    FROM generate_series(0, 4) AS n
$$;
COMMENT ON FUNCTION iexec.entry(numeric) IS 'The address of an app, dataset or workerpool from its ERC-721 token id.';

CREATE OR REPLACE FUNCTION iexec.matched(chain bigint, emitters bytea[], dealid bytea, at_block bigint)
RETURNS TABLE (
    app_hash bytea, dataset_hash bytea, workerpool_hash bytea, request_hash bytea, volume numeric, boost boolean,
    workerpool bytea, owners bytea[], amounts numeric[], block_number bigint, block_time timestamptz, tx_hash bytea
)
LANGUAGE sql STABLE AS $$
    SELECT m.app_hash, nullif(m.dataset_hash, decode(repeat('00', 32), 'hex')), m.workerpool_hash, m.request_hash,
           m.volume, coalesce(s.boost, false), s.workerpool, l.owners, l.amounts,
           m.block_number, m.block_time, m.tx_hash
    FROM (
        SELECT *
        FROM iexec.orders_matched m
        WHERE m.dealid = $3 AND m.chain_id = $1 AND m.block_number <= $4 AND m.address = ANY ($2)
        ORDER BY m.block_number, m.log_index
        LIMIT 1
    ) AS m
    LEFT JOIN LATERAL (
        SELECT n.workerpool, false AS boost
        FROM iexec.scheduler_notice n
        WHERE n.dealid = m.dealid AND n.chain_id = $1 AND n.block_number = m.block_number AND n.address = m.address
        UNION ALL
        SELECT n.workerpool, true
        FROM iexec.scheduler_notice_boost n
        WHERE n.deal_id = m.dealid AND n.chain_id = $1 AND n.block_number = m.block_number AND n.address = m.address
        LIMIT 1
    ) AS s ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(near.owner ORDER BY near.log_index) AS owners,
               array_agg(near.amount ORDER BY near.log_index) AS amounts
        FROM (
            SELECT e.owner, e.amount, e.log_index
            FROM iexec.lock e
            WHERE e.chain_id = $1 AND e.block_number = m.block_number AND e.address = m.address
              AND e.log_index BETWEEN m.log_index - 6 AND m.log_index - 1 AND e.tx_hash = m.tx_hash
            ORDER BY e.log_index DESC
            LIMIT 2
        ) AS near
    ) AS l ON cardinality(l.owners) = 2
$$;
COMMENT ON FUNCTION iexec.matched(bigint, bytea[], bytea, bigint) IS
    'OrdersMatched of a deal with the workerpool and the two Locks just before it: the payer''s, the pool owner''s.';

CREATE OR REPLACE FUNCTION iexec.rejected(
    hash bytea, place bigint, agreed bytea[], agreed_places bigint[], reopened bigint
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT $5 >= 0 AND EXISTS (
        SELECT FROM unnest($3, $4) AS a (hash, place) WHERE a.hash = $1 AND a.place BETWEEN $2 AND $5
    )
$$;
COMMENT ON FUNCTION iexec.rejected(bytea, bigint, bytea[], bigint[], bigint) IS
    'Whether a contribution at this place won a consensus that a reopening (the last one at reopened) threw away.';

CREATE OR REPLACE FUNCTION iexec.kitty() RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '\x99c2268479b93fde36232351229815df80837e23'::bytea $$;
COMMENT ON FUNCTION iexec.kitty() IS
    'The account that keeps what failed tasks take from pool owners. PoCo, contracts/libs/PocoStorageLib.sol';

CREATE OR REPLACE FUNCTION iexec.kitty_claim(
    chain_id bigint, block_number bigint, first integer, last integer, owner bytea
) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT e.ref
    FROM iexec.reward e
    WHERE e.chain_id = $1 AND e.block_number = $2 AND e.log_index BETWEEN $3 AND $4
      AND e.owner = iexec.kitty() AND coalesce($5, e.owner) = e.owner
    LIMIT 1
$$;
COMMENT ON FUNCTION iexec.kitty_claim(bigint, bigint, integer, integer, bytea) IS
    'The task whose claim rewards the kitty with one of these logs; claim takes the pool owner''s stake just before.';

CREATE OR REPLACE FUNCTION iexec.seize_kind(chain_id bigint, block_number bigint, log_index integer, owner bytea)
RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN $4 = iexec.kitty() THEN 'unstake'
        WHEN EXISTS (SELECT FROM iexec.faulty_contribution e
                     WHERE e.chain_id = $1 AND e.block_number = $2 AND e.log_index = $3 + 1) THEN 'slash'
        WHEN iexec.kitty_claim($1, $2, $3 + 1, $3 + 2, NULL) IS NOT NULL THEN 'slash'
        ELSE 'fee'
    END
$$;
COMMENT ON FUNCTION iexec.seize_kind(bigint, bigint, integer, bytea) IS
    'Why a Seize took from an account: the payer''s fee, a slashed stake, or what the kitty gives back.';
