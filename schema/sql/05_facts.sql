-- How many facts that no event carries are not known yet, and which stakes have moved since they were asked for.

CREATE OR REPLACE FUNCTION analytics.waiting(network text, chain bigint, contract bytea, what text) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT coalesce((
        SELECT s.n FROM chain.task_sums s
        WHERE s.network = $1 AND s.chain_id = $2 AND s.what = $4 AND s.who = '' AND s.seconds = 0 AND s.address = $3), 0)
$$;
COMMENT ON FUNCTION analytics.waiting(text, bigint, bytea, text) IS
    'How many entities of an engine or hub lack facts, as triggers count them: millions may.';

CREATE OR REPLACE FUNCTION arbius.to_enrich(chain bigint, engine bytea) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT analytics.waiting('arbius', chain, engine, 'to_enrich')
         + (SELECT count(*) FROM arbius.models m WHERE m.chain_id = chain AND m.address = engine AND m.cid IS NULL)
         + (SELECT count(*) FROM arbius.validators v
            LEFT JOIN arbius.validator_facts f USING (chain_id, address, validator)
            WHERE v.chain_id = chain AND v.address = engine AND (v.staked IS NULL OR f.stale))
$$;
COMMENT ON FUNCTION arbius.to_enrich(bigint, bytea) IS
    'Tasks, solutions, contestations, models and validators of an engine that lack facts.';

CREATE OR REPLACE FUNCTION iexec.to_enrich(chain bigint, hub bytea) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT analytics.waiting('iexec', chain, hub, 'to_enrich')
         + CASE WHEN EXISTS ( -- v3, which had a clerk, keeps nothing of a callback
               SELECT FROM iexec.contracts c
               WHERE c.chain_id = chain AND c.hub = $2 AND c.role = 'hub' AND c.address <> c.hub)
           THEN 0 ELSE analytics.waiting('iexec', chain, hub, 'to_call_back') END
         + (SELECT count(*) FROM (
                SELECT e.address, e.app AS entry FROM iexec.apps e WHERE e.chain_id = chain AND e.address = hub
                UNION ALL
                SELECT e.address, e.dataset FROM iexec.datasets e WHERE e.chain_id = chain AND e.address = hub
                UNION ALL
                SELECT e.address, e.workerpool FROM iexec.workerpools e WHERE e.chain_id = chain AND e.address = hub
            ) AS e
            WHERE NOT EXISTS (
                SELECT FROM iexec.entry_facts f
                WHERE f.chain_id = chain AND f.address = e.address AND f.entry = e.entry))
$$;
COMMENT ON FUNCTION iexec.to_enrich(bigint, bytea) IS
    'Deals, tasks, contributions and entries of a hub that lack facts.';

CREATE OR REPLACE FUNCTION arbius.moved_stakes(chain bigint, after_block bigint, to_block bigint)
RETURNS TABLE (address bytea, validator bytea, block_number bigint)
LANGUAGE sql STABLE
AS $$
    SELECT e.address, e.who, max(e.block_number)
    FROM (
        SELECT x.address, x.addr AS who, x.block_number FROM arbius.solution_submitted x
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
        UNION ALL
        SELECT x.address, x.addr, x.block_number FROM arbius.solution_claimed x
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
        UNION ALL
        SELECT x.address, x.addr, x.block_number FROM arbius.contestation_vote x
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
        UNION ALL
        SELECT x.address, x.validator, x.block_number FROM arbius.validator_deposit x
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
        UNION ALL
        SELECT x.address, x.addr, x.block_number FROM arbius.validator_withdraw x
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
        UNION ALL -- a finish pays voters, the contester and the solver
        SELECT x.address, p.who, x.block_number
        FROM arbius.contestation_vote_finish x
        CROSS JOIN LATERAL (
            SELECT v.addr AS who FROM arbius.contestation_vote v
            WHERE v.task = x.id AND v.address = x.address AND v.chain_id = chain
            UNION
            SELECT s.addr FROM arbius.solution_submitted s
            WHERE s.task = x.id AND s.address = x.address AND s.chain_id = chain
            UNION
            SELECT c.addr FROM arbius.contestation_submitted c
            WHERE c.task = x.id AND c.address = x.address AND c.chain_id = chain
        ) AS p
        WHERE x.chain_id = chain AND x.block_number > after_block AND x.block_number <= to_block
    ) AS e
    GROUP BY e.address, e.who
$$;
COMMENT ON FUNCTION arbius.moved_stakes(bigint, bigint, bigint) IS
    'Validators whose stake events in these blocks have moved, with the newest such block.';
