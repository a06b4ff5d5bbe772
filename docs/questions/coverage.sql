-- Which blocks of each contract are read, and how well known is that?
SELECT contract, from_block, to_block, evidence FROM analytics.coverage ORDER BY contract, from_block;

-- Which contracts have gaps?
SELECT chain, contract, count(*) - 1 AS gaps FROM (
    SELECT DISTINCT chain, contract, from_block, to_block,
           lag(to_block) OVER (PARTITION BY chain, contract ORDER BY from_block) IS DISTINCT FROM from_block - 1 AS after_gap
    FROM analytics.coverage) AS s
WHERE after_gap GROUP BY 1, 2 HAVING count(*) > 1;

-- How many blocks rest on one answer alone?
SELECT network, chain, contract, sum(blocks) AS blocks FROM analytics.coverage WHERE evidence = 'single' GROUP BY 1, 2, 3;
