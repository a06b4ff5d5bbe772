-- What is read, how far and how well known: the ledger as analysts and dashboards see it.

CREATE OR REPLACE FUNCTION analytics.now(chain_id bigint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE c.clock WHEN 'head' THEN c.head_time ELSE now() END
    FROM chain.chains c WHERE c.chain_id = $1
$$;
COMMENT ON FUNCTION analytics.now(bigint) IS
    'The time against which states that time alone changes are computed: wall clock, or the newest block''s time.';

CREATE OR REPLACE FUNCTION analytics.hex(value bytea) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT ('0x' || encode(value, 'hex')) COLLATE "C" $$;
COMMENT ON FUNCTION analytics.hex(bytea) IS 'Bytes as 0x and lower-case hexadecimal digits.';

CREATE OR REPLACE VIEW analytics.coverage AS
SELECT s.network,
       c.name AS chain,
       c.chain_id,
       analytics.hex(s.address) AS contract,
       s.role,
       greatest(v.from_block, s.from_block) AS from_block,
       v.to_block,
       v.to_block - greatest(v.from_block, s.from_block) + 1 AS blocks,
       v.evidence
FROM chain.sources s
JOIN chain.chains c USING (chain_id)
JOIN chain.coverage v ON v.group_id = s.group_id AND v.to_block >= s.from_block;
COMMENT ON VIEW analytics.coverage IS
    'One row per contract and unbroken stretch of blocks that was read, with how it is known to be complete.';

CREATE OR REPLACE VIEW analytics.freshness AS
SELECT s.network,
       c.name AS chain,
       analytics.hex(s.address) AS source,
       c.head_block,
       c.head_time,
       r.read_to,
       g.folded_to,
       CASE s.role
           WHEN 'engine' THEN arbius.to_enrich(s.chain_id, s.address)
           WHEN 'hub' THEN iexec.to_enrich(s.chain_id, s.address)
           ELSE 0
       END AS to_enrich,
       extract(epoch FROM analytics.now(c.chain_id) - v.to_time) AS lag_seconds
FROM chain.sources s
JOIN chain.chains c USING (chain_id)
LEFT JOIN LATERAL (
    SELECT upper(stretch) - 1 AS read_to
    FROM (SELECT unnest(range_agg(int8range(g.from_block, g.to_block, '[]'))) AS stretch
          FROM chain.coverage g WHERE g.group_id = s.group_id) AS stretches
    WHERE stretch @> s.from_block
) AS r ON true
LEFT JOIN chain.coverage v ON v.group_id = s.group_id AND v.to_block = r.read_to
JOIN chain.groups g ON g.group_id = s.group_id
WHERE s.active
UNION ALL
SELECT * FROM koii.v_freshness
UNION ALL
SELECT * FROM aidbox.v_freshness;
COMMENT ON VIEW analytics.freshness IS
    'How far each contract is read without a gap (read_to), and how many seconds that lies behind the chain''s clock.';

CREATE OR REPLACE VIEW analytics.incidents AS
SELECT c.name AS chain, i.kind, i.subject, i.message, i.times, i.first_at, i.last_at, i.incident_id
FROM chain.incidents i
JOIN chain.chains c USING (chain_id);
COMMENT ON VIEW analytics.incidents IS 'What went wrong, in words: faults of providers, contradictions, stops.';
