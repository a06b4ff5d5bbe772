-- Logs of Arbius as tests/bench/chain.py makes them, straight into event tables: of the steps :first to :last, STEPS a
-- block. In step n task n is submitted, n - 3 solved (and voted on), n - 300 settled. Statements end with a line `;`.

CREATE OR REPLACE FUNCTION pg_temp.h(kind text, n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE
AS $$ SELECT sha256(decode(md5(kind || n), 'hex')) $$
;
CREATE OR REPLACE FUNCTION pg_temp.a(kind text, n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE
AS $$ SELECT substr(sha256(decode(md5(kind || n), 'hex')), 1, 20) $$
;
CREATE OR REPLACE FUNCTION pg_temp.fate(n bigint) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE n % 100 WHEN 0 THEN 'wins' WHEN 1 THEN 'loses' WHEN 2 THEN 'retracted' WHEN 3 THEN 'open'
                          WHEN 4 THEN 'open' WHEN 5 THEN 'solved' ELSE 'claimed' END $$
;
DROP TABLE IF EXISTS pg_temp.steps
;
-- One row per step and kind of transaction: 0 submits task n, 1 solves n - 3, 2 settles n - 300.
CREATE TEMP TABLE steps ON COMMIT DROP AS
SELECT s.n, s.kind, s.task, pg_temp.fate(s.task) AS fate, s.block, pg_temp.h('task', s.task) AS id,
       pg_temp.h('model', s.task % 40) AS model, pg_temp.a('sender', s.task % 500) AS sender,
       pg_temp.a('solver', s.task % 200) AS solver, (s.task % 7919 + 1) * 1e15 AS fee,
       pg_temp.h('block', s.block) AS block_hash, to_timestamp(1700000000 + s.block * 24) AS block_time,
       pg_temp.h('tx' || s.kind, s.n) AS tx, (s.n % :steps) * 3 + s.kind AS tx_index, (s.n % :steps) * 20 AS place
FROM (SELECT n, k.kind, n - k.lag AS task, n / :steps AS block
      FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
      CROSS JOIN (VALUES (0, 0), (1, 3), (2, 300)) AS k (kind, lag)) AS s
WHERE s.task >= 0
;
INSERT INTO arbius.task_submitted
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, id, model, fee, sender)
SELECT :chain, block, place, block_hash, block_time, tx, tx_index, :engine, id, model, fee, sender
FROM steps WHERE kind = 0
;
INSERT INTO arbius.signal_commitment
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, commitment)
SELECT :chain, block, place + 1, block_hash, block_time, tx, tx_index, :engine, solver, pg_temp.h('commitment', task)
FROM steps WHERE kind = 1 AND fate NOT IN ('open', 'retracted')
;
INSERT INTO arbius.solution_submitted
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, task)
SELECT :chain, block, place + 2, block_hash, block_time, tx, tx_index, :engine, solver, id
FROM steps WHERE kind = 1 AND fate NOT IN ('open', 'retracted')
;
INSERT INTO arbius.contestation_submitted
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, task)
SELECT :chain, block, place + 3, block_hash, block_time, tx, tx_index, :engine, sender, id
FROM steps WHERE kind = 1 AND fate IN ('wins', 'loses')
;
INSERT INTO arbius.contestation_vote
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, task, yea)
SELECT :chain, block, place + 4 + v.n, block_hash, block_time, tx, tx_index, :engine,
       CASE v.n WHEN 0 THEN sender WHEN 1 THEN solver ELSE pg_temp.a('solver', task + v.n - 1) END, id,
       CASE v.n WHEN 0 THEN true WHEN 1 THEN false ELSE fate = 'wins' END
FROM steps CROSS JOIN generate_series(0, 4) AS v (n)
WHERE kind = 1 AND fate IN ('wins', 'loses')
;
INSERT INTO arbius.task_retracted
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, id)
SELECT :chain, block, place + 10, block_hash, block_time, tx, tx_index, :engine, id
FROM steps WHERE kind = 2 AND fate = 'retracted'
;
INSERT INTO arbius.solution_claimed
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, task)
SELECT :chain, block, place + 10, block_hash, block_time, tx, tx_index, :engine, solver, id
FROM steps WHERE kind = 2 AND fate = 'claimed'
;
INSERT INTO arbius.fees_paid
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address,
     model, task, validator, model_fee, treasury_fee, remaining_fee, validator_fee)
SELECT :chain, block, place + 11, block_hash, block_time, tx, tx_index, :engine,
       model, id, solver, trunc(fee / 10), trunc(fee / 20), trunc(fee / 2), trunc(fee / 3)
FROM steps WHERE kind = 2 AND fate IN ('claimed', 'loses')
;
INSERT INTO arbius.rewards_paid
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address,
     model, task, validator, total_rewards, treasury_reward, task_owner_reward, validator_reward)
SELECT :chain, block, place + 12, block_hash, block_time, tx, tx_index, :engine,
       model, id, solver, 1e18, 1e17, 2e17, 5e17
FROM steps WHERE kind = 2 AND fate = 'claimed' AND task % 5 = 0
;
INSERT INTO arbius.contestation_vote_finish
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, id, start_idx, end_idx)
SELECT :chain, block, place + 13, block_hash, block_time, tx, tx_index, :engine, id, 0, 2
FROM steps WHERE kind = 2 AND fate IN ('wins', 'loses')
;
INSERT INTO arbius.validator_deposit
    (chain_id, block_number, log_index, block_hash, block_time, tx_hash, tx_index, address, addr, validator, amount)
SELECT :chain, block, place + 14, block_hash, block_time, tx, tx_index, :engine, sender, solver, fee * 3
FROM steps WHERE kind = 2 AND task % 1000 = 0
;
