-- Per chain for `taskscan status`: its clock, and seconds per block, from the newest 200 blocks whose time is known.
WITH known AS (
    SELECT chain_id, block_number AS block, block_time AS at FROM chain.blocks
    UNION
    SELECT g.chain_id, v.to_block, v.to_time FROM chain.coverage v JOIN chain.groups g USING (group_id)
    WHERE v.to_time IS NOT NULL
    UNION
    SELECT chain_id, head_block, head_time FROM chain.chains WHERE head_block IS NOT NULL AND head_time IS NOT NULL
), newest AS (
    SELECT *, row_number() OVER (PARTITION BY chain_id ORDER BY block DESC) AS n FROM known
)
SELECT c.name AS chain,
       c.clock,
       extract(epoch FROM now() - c.head_time)::float8 AS head_age,
       (extract(epoch FROM max(p.at) - min(p.at)) / nullif(max(p.block) - min(p.block), 0))::float8 AS seconds_per_block
FROM chain.chains c
LEFT JOIN newest p ON p.chain_id = c.chain_id AND p.n <= 200
GROUP BY c.chain_id
ORDER BY c.name;
