-- What enrichment would have learned of the solutions of volume.sql: which commitment is whose. Statements end with a
-- line `;`. Row by row, as enrichment learns it, it would take as long as all the folds.

SET LOCAL session_replication_role = replica
;
INSERT INTO arbius.solution_facts
    (chain_id, address, task_id, tx_hash, cid, stake, commitment, enriched_from, commitment_age)
SELECT s.chain_id, s.address, s.task_id, s.submitted_tx, s.task_id, 0, x.commitment, 'bench',
       extract(epoch FROM s.blocktime - x.block_time)
FROM arbius.solutions s
JOIN arbius.solution_submitted e ON e.task = s.task_id AND e.address = s.address AND e.chain_id = s.chain_id
JOIN arbius.signal_commitment x
    ON x.chain_id = e.chain_id AND x.block_number = e.block_number AND x.log_index = e.log_index - 1
;
SET LOCAL session_replication_role = origin
;
SELECT arbius.recount_solution_facts()
