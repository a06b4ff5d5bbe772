-- Which transactions would bring this account money, and what do they carry?
SELECT action, task_id, gain, token, chain_id, call_to, call_data FROM analytics.claimable
WHERE account = '0x2abff5d1bd116f021e09068f150c89d5f6957de7' AND lacks IS NULL;

-- How much lies unclaimed, by network and role?
SELECT network, role, token, count(*) AS claims, sum(gain) AS gain FROM analytics.claimable GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- Which solutions have waited longest to be claimed?
SELECT task_id, account, gain, since FROM analytics.claimable
WHERE network = 'arbius' AND action = 'claim' ORDER BY since LIMIT 10;
