-- Balances and scores. An account can have millions of events: sums begin at the newest mark (see 37_iexec_marks.sql).

CREATE OR REPLACE FUNCTION iexec.marked(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS TABLE (address bytea, emitters bytea[], marked bigint)
LANGUAGE sql STABLE AS $$
    SELECT h.address, h.emitters, coalesce(m.block_number, -1)
    FROM (SELECT DISTINCT k.address, k.emitters FROM iexec.keyed($1, 'hub', $2, $3) AS k) AS h
    LEFT JOIN LATERAL (
        SELECT m.block_number
        FROM iexec.marks m
        WHERE m.chain_id = $1 AND m.address = h.address AND m.block_number <= $4
        ORDER BY m.block_number DESC
        LIMIT 1
    ) AS m ON true
$$;
COMMENT ON FUNCTION iexec.marked(bigint, bytea[], bytea[], bigint) IS
    'Hubs of the keys with the newest block at which their sums are known; -1: none.';

CREATE OR REPLACE FUNCTION iexec.moves(chain bigint, emitters bytea[], hub bytea, from_block bigint, to_block bigint)
RETURNS TABLE (owner bytea, stake numeric, locked numeric, block_number bigint)
LANGUAGE sql STABLE AS $$
    SELECT e."to", e.value::numeric, 0::numeric, e.block_number
    FROM iexec.transfer e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e."from", -e.value, 0, e.block_number
    FROM iexec.transfer e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.owner, CASE WHEN e.address = $3 THEN 0 ELSE -e.amount END, e.amount, e.block_number
    FROM iexec.lock e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.owner, CASE WHEN e.address = $3 THEN 0 ELSE e.amount END, -e.amount, e.block_number
    FROM iexec.unlock e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.owner, 0, -e.amount, e.block_number
    FROM iexec.seize e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.owner, e.amount, 0, e.block_number
    FROM iexec.reward e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2) AND e.address <> $3
    UNION ALL
    SELECT e.owner, e.amount, 0, e.block_number
    FROM iexec.deposit e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.target, e.amount, 0, e.block_number
    FROM iexec.deposit_for e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.owner, -e.amount, 0, e.block_number
    FROM iexec.withdraw e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $4 AND $5 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.moves(bigint, bytea[], bytea, bigint, bigint) IS
    'Changes of balances. Since v5 Transfer tells of every change of a stake; the clerk of v3, a contract beside the'
    ' hub, has no Transfer: there Lock, Unlock, Reward, Deposit and Withdraw tell.';

CREATE OR REPLACE FUNCTION iexec.touched_accounts(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT c.hub, e.owner
    FROM iexec.contracts c
    CROSS JOIN LATERAL iexec.moves($1, ARRAY[c.address], c.hub, $3, $4) AS e
    WHERE c.chain_id = $1 AND c.role = 'hub' AND c.address = ANY ($2)
      AND e.owner <> decode(repeat('00', 20), 'hex')
$$;
COMMENT ON FUNCTION iexec.touched_accounts(bigint, bytea[], bigint, bigint) IS
    'Accounts that events in these blocks touch. The zero address is none: deposits come from it.';

CREATE OR REPLACE FUNCTION iexec.fold_accounts(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.accounts
LANGUAGE sql STABLE AS $$
    WITH parts AS (
        SELECT w.address, w.key, true AS wanted, NULL::numeric AS stake, NULL::numeric AS locked,
               NULL::bigint AS block_number
        FROM unnest($2, $3) AS w (address, key)
        UNION ALL
        SELECT w.address, w.key, false, m.stake, m.locked, m.last_block
        FROM unnest($2, $3) AS w (address, key)
        CROSS JOIN LATERAL (
            SELECT a.stake, a.locked, a.last_block
            FROM iexec.account_marks a
            WHERE a.chain_id = $1 AND a.address = w.address AND a.owner = w.key AND a.block_number <= $4
            ORDER BY a.block_number DESC
            LIMIT 1
        ) AS m
        UNION ALL
        SELECT h.address, e.owner, false, e.stake, e.locked, e.block_number
        FROM iexec.marked($1, $2, $3, $4) AS h
        CROSS JOIN LATERAL iexec.moves($1, h.emitters, h.address, h.marked + 1, $4) AS e
    )
    SELECT $1, p.address, p.key, sum(p.stake), sum(p.locked), max(p.block_number)
    FROM parts p
    GROUP BY p.key, p.address
    HAVING bool_or(p.wanted) AND count(p.block_number) > 0
$$;
COMMENT ON FUNCTION iexec.fold_accounts(bigint, bytea[], bytea[], bigint) IS
    'Accounts from the events of the ledger up to a block.';

CREATE OR REPLACE FUNCTION iexec.score(score numeric, accurate boolean[]) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    good boolean;
BEGIN
    FOREACH good IN ARRAY coalesce(accurate, '{}') LOOP
        score := CASE WHEN good THEN score + 1 ELSE div(score * 2, 3) END;
    END LOOP;
    RETURN score;
END
$$;
COMMENT ON FUNCTION iexec.score(numeric, boolean[]) IS
    'A worker''s score after these contributions, in their order: plus one, or two thirds of it rounded down.';

CREATE OR REPLACE FUNCTION iexec.judged(chain bigint, emitters bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (worker bytea, good boolean, block_number bigint, log_index integer)
LANGUAGE sql STABLE AS $$
    SELECT e.worker, true, e.block_number, e.log_index
    FROM iexec.accurate_contribution e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
    UNION ALL
    SELECT e.worker, false, e.block_number, e.log_index
    FROM iexec.faulty_contribution e
    WHERE e.chain_id = $1 AND e.block_number BETWEEN $3 AND $4 AND e.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.judged(bigint, bytea[], bigint, bigint) IS 'Events that change scores.';

CREATE OR REPLACE FUNCTION iexec.touched_workers(chain bigint, addresses bytea[], from_block bigint, to_block bigint)
RETURNS TABLE (address bytea, key bytea)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT c.hub, e.worker
    FROM iexec.contracts c
    CROSS JOIN LATERAL iexec.judged($1, ARRAY[c.address], $3, $4) AS e
    WHERE c.chain_id = $1 AND c.role = 'hub' AND c.address = ANY ($2)
$$;
COMMENT ON FUNCTION iexec.touched_workers(bigint, bytea[], bigint, bigint) IS 'Workers whose score events change.';

CREATE OR REPLACE FUNCTION iexec.fold_workers(chain bigint, addresses bytea[], keys bytea[], at_block bigint)
RETURNS SETOF iexec.workers
LANGUAGE sql STABLE AS $$
    WITH parts AS (
        SELECT w.address, w.key, true AS wanted, NULL::numeric AS score, 0::bigint AS accurate, 0::bigint AS faulty,
               NULL::bigint AS block_number, NULL::boolean AS good, NULL::bigint AS place
        FROM unnest($2, $3) AS w (address, key)
        UNION ALL
        SELECT w.address, w.key, false, m.score, m.accurate, m.faulty, m.last_block, NULL, NULL
        FROM unnest($2, $3) AS w (address, key)
        CROSS JOIN LATERAL (
            SELECT a.score, a.accurate, a.faulty, a.last_block
            FROM iexec.worker_marks a
            WHERE a.chain_id = $1 AND a.address = w.address AND a.worker = w.key AND a.block_number <= $4
            ORDER BY a.block_number DESC
            LIMIT 1
        ) AS m
        UNION ALL
        SELECT h.address, e.worker, false, NULL, e.good::int, (NOT e.good)::int, e.block_number, e.good,
               iexec.place(e.block_number, e.log_index)
        FROM iexec.marked($1, $2, $3, $4) AS h
        CROSS JOIN LATERAL iexec.judged($1, h.emitters, h.marked + 1, $4) AS e
    )
    SELECT $1, p.address, p.key,
           iexec.score(coalesce(max(p.score), 0), array_agg(p.good ORDER BY p.place) FILTER (WHERE p.good IS NOT NULL)),
           sum(p.accurate)::bigint, sum(p.faulty)::bigint, max(p.block_number)
    FROM parts p
    GROUP BY p.key, p.address
    HAVING bool_or(p.wanted) AND count(p.block_number) > 0
$$;
COMMENT ON FUNCTION iexec.fold_workers(bigint, bytea[], bytea[], bigint) IS
    'Workers with their scores from AccurateContribution and FaultyContribution up to a block.';
