-- Accounts whose stored balance is not what the events up to the hub's fold give, or whose running sums fall below
-- zero, for `taskscan verify`. Written without the functions that fold accounts.
-- Since v5 Transfer tells of every change of a stake. The clerk of v3 (not itself a hub of tasks) has no Transfer.
WITH ledgers AS (
    SELECT c.chain_id, c.hub, c.address, c.address <> c.hub AS clerk, coalesce(g.folded_to, -1) AS folded_to
    FROM iexec.contracts c
    JOIN chain.sources s ON s.chain_id = c.chain_id AND s.address = c.address
    JOIN chain.groups g ON g.group_id = s.group_id
    WHERE c.role = 'hub'
), changes AS (
    SELECT chain_id, address, block_number, log_index, "from" AS owner, -value AS free, 0 AS frozen, 0 AS clerk_free
    FROM iexec.transfer
    UNION ALL
    SELECT chain_id, address, block_number, log_index, "to", value, 0, 0 FROM iexec.transfer
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, 0, amount, -amount FROM iexec.lock
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, 0, -amount, amount FROM iexec.unlock
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, 0, -amount, 0 FROM iexec.seize
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, 0, 0, amount FROM iexec.reward
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, amount, 0, 0 FROM iexec.deposit
    UNION ALL
    SELECT chain_id, address, block_number, log_index, target, amount, 0, 0 FROM iexec.deposit_for
    UNION ALL
    SELECT chain_id, address, block_number, log_index, owner, -amount, 0, 0 FROM iexec.withdraw
), running AS (
    SELECT l.chain_id, l.hub, e.owner, e.block_number, e.block_number > l.folded_to AS waiting,
           sum(e.free + CASE WHEN l.clerk THEN e.clerk_free ELSE 0 END) OVER account AS stake,
           sum(e.frozen) OVER account AS locked,
           row_number() OVER (PARTITION BY l.chain_id, l.hub, e.owner
                              ORDER BY e.block_number DESC, e.log_index DESC) AS from_last
    FROM ledgers l
    JOIN changes e ON e.chain_id = l.chain_id AND e.address = l.address
    WHERE e.owner <> decode(repeat('00', 20), 'hex')
    WINDOW account AS (PARTITION BY l.chain_id, l.hub, e.owner ORDER BY e.block_number, e.log_index)
), computed AS (
    SELECT r.chain_id, r.hub, r.owner,
           max(r.stake) FILTER (WHERE r.from_last = 1) AS stake,
           max(r.locked) FILTER (WHERE r.from_last = 1) AS locked,
           max(r.block_number) AS last_block,
           bool_or(r.waiting) AS waiting,
           min(r.block_number) FILTER (WHERE NOT r.waiting AND (r.stake < 0 OR r.locked < 0)) AS negative_from
    FROM running r
    GROUP BY r.chain_id, r.hub, r.owner
)
SELECT coalesce(c.chain_id, a.chain_id) AS chain_id,
       coalesce(c.hub, a.address) AS hub,
       coalesce(c.owner, a.owner) AS owner,
       c.stake, c.locked, a.stake AS stored_stake, a.locked AS stored_locked,
       greatest(c.last_block, a.last_block) AS last_block,
       c.negative_from,
       NOT coalesce(c.waiting, false) AND (c.stake IS DISTINCT FROM a.stake OR c.locked IS DISTINCT FROM a.locked)
           AS differs
FROM computed c
FULL JOIN iexec.accounts a ON a.chain_id = c.chain_id AND a.address = c.hub AND a.owner = c.owner
WHERE c.negative_from IS NOT NULL
   OR NOT coalesce(c.waiting, false) AND (c.stake IS DISTINCT FROM a.stake OR c.locked IS DISTINCT FROM a.locked)
ORDER BY 1, 2, 3;
