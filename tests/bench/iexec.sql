-- Logs of an iExec hub that move money, :steps blocks, straight into event tables. The two Seizes of a block are wholly
-- alike as payments. Statements end with a line `;`.

CREATE TEMP TABLE payers ON COMMIT DROP AS
SELECT n, to_timestamp(1700000000 + 24 * n) AS at, substr(sha256(('tx' || n)::bytea), 1, 32) AS tx,
       sha256(('task' || n / 2)::bytea) AS task, substr(sha256(('owner' || n % 100)::bytea), 1, 20) AS owner,
       substr(sha256('hub'::bytea), 1, 20) AS hub, 1000 + n % 7 AS amount, n % 100 = 0 AS seldom,
       decode(repeat('00', 20), 'hex') AS nobody
FROM generate_series(1, :steps) AS n
;
-- To the hub with a Lock, and from it; seldom a gift without a Lock, a deposit, a withdrawal, a transfer.
INSERT INTO iexec.transfer
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, "from", "to", value)
SELECT :chain, n, x.place, tx, at, tx, 0, hub, x."from", x."to", amount
FROM payers CROSS JOIN LATERAL (VALUES
    (0, owner, hub), (4, hub, owner), (20, owner, hub), (21, nobody, owner), (22, owner, nobody), (23, owner, tx)
) AS x (place, "from", "to")
WHERE x.place < 20 OR seldom
;
INSERT INTO iexec.lock
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, owner, amount)
SELECT :chain, n, 1, tx, at, tx, 0, hub, owner, amount FROM payers
;
INSERT INTO iexec.task_contribute
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, taskid, worker, hash)
SELECT :chain, n, 2, tx, at, tx, 0, hub, task, owner, tx FROM payers WHERE n % 2 = 0
;
INSERT INTO iexec.unlock
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, owner, amount)
SELECT :chain, n, 5, tx, at, tx, 0, hub, owner, amount FROM payers
;
INSERT INTO iexec.reward
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, owner, amount, ref)
SELECT :chain, n, 6, tx, at, tx, 0, hub, owner, amount, task FROM payers
;
INSERT INTO iexec.seize
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, owner, amount, ref)
SELECT :chain, n, 7 + x.twice, tx, at, tx, 0, hub, owner, amount, task
FROM payers, generate_series(0, 1) AS x (twice)
;
INSERT INTO iexec.task_finalize
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, taskid, results)
SELECT :chain, n, 9, tx, at, tx, 0, hub, task, '' FROM payers
;
