-- How many facts that no event carries are not known yet, and which stakes have moved since they were asked for.

CREATE OR REPLACE FUNCTION arbius.to_enrich(chain bigint, engine bytea) RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT (SELECT count(*) FROM arbius.tasks t WHERE t.chain_id = chain AND t.address = engine AND t.input_size IS NULL)
         + (SELECT count(*) FROM arbius.solutions s WHERE s.chain_id = chain AND s.address = engine AND s.cid IS NULL)
         + (SELECT count(*) FROM arbius.contestations c
            WHERE c.chain_id = chain AND c.address = engine AND c.slash_amount IS NULL)
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
    SELECT (SELECT count(*) FROM iexec.deals d
            WHERE d.chain_id = chain AND d.address = hub AND d.enriched_from IS NULL)
         + (SELECT count(*) FROM iexec.tasks t
            WHERE t.chain_id = chain AND t.address = hub AND t.timeref IS NULL AND t.dealid IS NOT NULL)
         + (SELECT count(*) FROM iexec.tasks t WHERE t.chain_id = chain AND t.address = hub
            AND t.finalized_at IS NOT NULL AND t.results_callback IS NULL
            -- v3, which had a clerk, and PoCo Boost keep none
            AND NOT EXISTS (SELECT FROM iexec.contracts c WHERE c.chain_id = chain AND c.hub = hub AND c.role = 'hub'
                            AND c.address <> c.hub)
            AND NOT EXISTS (SELECT FROM iexec.deals d WHERE d.chain_id = chain AND d.address = hub
                            AND d.dealid = t.dealid AND d.boost))
         + (SELECT count(*) FROM iexec.contributions c
            WHERE c.chain_id = chain AND c.address = hub AND c.weight IS NULL)
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
