-- Deals in the order in which they took tasks of their request orders, for `taskscan verify`. Only blocks
-- before which nothing is unread. A copy of a deal is none.
SELECT m.chain_id, c.hub, m.request_hash, m.dealid, m.volume, m.block_number,
       d.dealid IS NOT NULL AS is_stored, d.bot_first
FROM iexec.orders_matched m
JOIN iexec.contracts c ON c.chain_id = m.chain_id AND c.address = m.address AND c.role = 'hub'
JOIN chain.sources s ON s.chain_id = m.chain_id AND s.address = m.address
JOIN chain.groups g ON g.group_id = s.group_id
LEFT JOIN iexec.deals d ON d.chain_id = m.chain_id AND d.address = c.hub AND d.dealid = m.dealid
WHERE m.block_number <= g.folded_to AND NOT EXISTS (
    SELECT FROM iexec.orders_matched o
    WHERE o.dealid = m.dealid AND o.chain_id = m.chain_id AND o.address = m.address
      AND (o.block_number, o.log_index) < (m.block_number, m.log_index))
ORDER BY m.chain_id, c.hub, m.request_hash, m.block_number, m.log_index;
