-- The contract with SQL users: all networks in one view each. Columns are only ever added, at the end.

CREATE OR REPLACE VIEW analytics.tasks AS
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality
FROM arbius.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality
FROM iexec.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality
FROM koii.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality
FROM aidbox.v_tasks t;
COMMENT ON VIEW analytics.tasks IS
    'One row per task of every network, with its state now in the same eight words for all (status) and in the network''s own (network_status).';

-- One stage with a collation of its own would give it to all, and then no filter on stages could use an index.
CREATE OR REPLACE VIEW analytics.tasks_by_stage AS
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality, t.stage, t.stage_number
FROM arbius.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality, t.stage, t.stage_number
FROM iexec.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality, t.stage COLLATE "default", t.stage_number
FROM koii.v_tasks t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.status, t.network_status, t.requester, t.submitter,
       t.subject, t.fee, t.fee_token, t.fee_amount, t.submitted_at, t.finished_at, t.submitted_block, t.last_block,
       t.finality, t.stage COLLATE "default", t.stage_number
FROM aidbox.v_tasks t;
COMMENT ON VIEW analytics.tasks_by_stage IS
    'analytics.tasks with what events alone tell of a task''s state, for filters by an index: stage (arbius), stage_number'
    ' (iexec).';

CREATE OR REPLACE VIEW analytics.work AS
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.worker, t.state, t.submitted_at, t.settled_at,
       t.reward, t.reward_token, t.round
FROM arbius.v_work t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.worker, t.state, t.submitted_at, t.settled_at,
       t.reward, t.reward_token, t.round
FROM iexec.v_work t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.worker, t.state, t.submitted_at, t.settled_at,
       t.reward, t.reward_token, t.round
FROM koii.v_work t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.worker, t.state, t.submitted_at, t.settled_at,
       t.reward, t.reward_token, t.round
FROM aidbox.v_work t;
COMMENT ON VIEW analytics.work IS
    'One row per unit of work that a worker handed in: an Arbius solution, an iExec contribution, a Koii'
    ' submission, an Aidbox execution.';

CREATE OR REPLACE VIEW analytics.payments AS
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.kind, t.from_address, t.to_address, t.amount,
       t.token, t.block, t.block_time, t.source_event
FROM arbius.v_payments t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.kind, t.from_address, t.to_address, t.amount,
       t.token, t.block, t.block_time, t.source_event
FROM iexec.v_payments t
UNION ALL
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.kind, t.from_address, t.to_address, t.amount,
       t.token, t.block, t.block_time, t.source_event
FROM koii.v_payments t;
COMMENT ON VIEW analytics.payments IS
    'One row per movement of money that an event or a difference of two snapshots tells of. Amounts are in the smallest unit of the token.';

CREATE OR REPLACE VIEW analytics.disputes AS
SELECT t.network, t.chain, t.chain_id, t.contract, t.task_id, t.opened_by, t.against, t.opened_at, t.yeas, t.nays,
       t.leading, t.deadline, t.outcome, t.settled_at
FROM arbius.v_disputes t;
COMMENT ON VIEW analytics.disputes IS
    'One row per contested piece of work, with the votes, who leads, and until when the vote runs.';

CREATE OR REPLACE VIEW analytics.workers AS
SELECT w.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = w.chain_id) AS chain,
       analytics.hex(w.worker) COLLATE "C" AS worker,
       w.submitted,
       w.accepted,
       w.lost + coalesce(f.solutions, 0) AS lost,
       w.earned,
       w.slashed,
       w.first_at,
       w.last_at
FROM chain.worker_counts w
LEFT JOIN (
    SELECT 'arbius' AS network, s.chain_id, s.solver, s.tasks AS solutions
    FROM arbius.solved_counts s
    WHERE s.network_status = 'forfeited'
) AS f ON f.network = w.network AND f.chain_id = w.chain_id AND f.solver = w.worker
WHERE w.submitted > 0
UNION ALL
SELECT * FROM koii.v_workers
UNION ALL
SELECT * FROM aidbox.v_workers;
COMMENT ON VIEW analytics.workers IS
    'One row per worker that handed in work: how often, with what success, what it earned and lost (smallest unit).';

CREATE OR REPLACE VIEW analytics.daily AS
SELECT d.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = d.chain_id) AS chain,
       d.day,
       coalesce(sum(d.n) FILTER (WHERE d.what = 'task'), 0)::bigint AS tasks,
       coalesce(sum(d.n) FILTER (WHERE d.what = 'succeeded'), 0)::bigint AS succeeded,
       coalesce(sum(d.n) FILTER (WHERE d.what = 'failed'), 0)::bigint AS failed,
       coalesce(sum(d.n) FILTER (WHERE d.what = 'dispute'), 0)::bigint AS disputed,
       coalesce(sum(d.n) FILTER (WHERE d.what = 'worker'), 0)::bigint AS workers,
       coalesce(sum(d.amount) FILTER (WHERE d.what = 'fee'), 0) AS fees,
       coalesce(sum(d.amount) FILTER (WHERE d.what = 'reward'), 0) AS rewards
FROM (
    SELECT c.network, c.chain_id, c.day, c.what, c.n, c.amount
    FROM chain.day_counts c
    WHERE c.n > 0 AND c.what IN ('task', 'succeeded', 'failed', 'dispute', 'work', 'fee', 'reward')
    UNION ALL
    SELECT w.network, w.chain_id, w.day, 'worker', count(*), 0
    FROM chain.worker_days w
    WHERE w.works > 0
    GROUP BY w.network, w.chain_id, w.day
    UNION ALL
    SELECT * FROM koii.v_days
    UNION ALL
    SELECT * FROM aidbox.v_days
) AS d
WHERE d.day > '-infinity'
GROUP BY d.network, d.chain_id, d.day;
COMMENT ON VIEW analytics.daily IS
    'One row per network, chain and day (UTC): tasks by their submission, outcomes by when they came, money by when it moved.';

CREATE OR REPLACE VIEW analytics.status_counts AS
SELECT s.network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = s.chain_id) AS chain,
       s.chain_id,
       s.status,
       sum(s.tasks)::bigint AS tasks
FROM (
    SELECT * FROM arbius.v_status_counts
    UNION ALL
    SELECT * FROM iexec.v_status_counts
    UNION ALL
    SELECT * FROM koii.v_status_counts
    UNION ALL
    SELECT * FROM aidbox.v_status_counts
) AS s
GROUP BY s.network, s.chain_id, s.status
HAVING sum(s.tasks) > 0;
COMMENT ON VIEW analytics.status_counts IS
    'How many tasks of each network and chain have which status, without counting them one by one.';
