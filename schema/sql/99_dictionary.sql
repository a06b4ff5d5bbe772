-- What the columns of the analytics views hold: the data dictionary, as COMMENT ON COLUMN. A line with a view's name
-- counts before the line for all views. `make docs` writes docs/sql.md from it.

COMMENT ON SCHEMA chain IS 'What is read, how far, from whom, how well known; reorgs, incidents, and counts.';
COMMENT ON SCHEMA arbius IS 'Arbius: one table per event, the entities that are folds of them, and facts from calls.';
COMMENT ON SCHEMA iexec IS 'iExec: one table per event, the entities that are folds of them, and facts from calls.';
COMMENT ON SCHEMA koii IS 'Koii: what snapshots of tasks show, with when it was first and last seen.';
COMMENT ON SCHEMA aidbox IS 'Aidbox: versions of tasks, workflows and task logs, and the state that follows from them.';
COMMENT ON SCHEMA work IS 'The job queue of block ranges, and the fences under which workers write them.';

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        WITH words (view, name, said) AS (VALUES
            ('', 'network', 'arbius, iexec, koii or aidbox'),
            ('', 'chain', 'name of the chain, as configured'),
            ('', 'chain_id', 'number of the chain; negative for one that is not EVM'),
            ('', 'contract', 'engine (Arbius), hub (iExec), program that owns the task (Koii), AidboxTask'),
            ('', 'task_id', 'id of the task: 0x… (Arbius, iExec), base58 (Koii), Aidbox''s own'),
            ('', 'worker', 'who did the work: solver, worker, node; executors'' pool or definition (Aidbox)'),
            ('', 'status', 'open, running, review, disputed, claimable, succeeded, failed or cancelled'),
            ('', 'network_status', 'the network''s own word for its state'),
            ('', 'submitted_at', 'when it was submitted (UTC)'),
            ('', 'first_at', 'when it was first seen (UTC)'),
            ('', 'last_at', 'when it was last seen (UTC)'),
            ('', 'block', 'number of the block; the slot for Koii'),
            ('', 'block_time', 'time of the block (UTC)'),
            ('', 'submitted', 'units of work handed in'),
            ('', 'accepted', 'of these accepted'),
            ('', 'lost', 'of these rejected or lost'),
            ('', 'deadline', 'when the present stage ends (UTC)'),
            ('claimable', 'account', 'whose money it is'),
            ('claimable', 'token', 'of the amount: AIUS (18 decimals), RLC (9), KOII (9) or the mint of a token'),
            ('stuck', 'account', 'whose money it is'),
            ('stuck', 'token', 'of the amount: AIUS (18 decimals), RLC (9), KOII (9) or the mint of a token'),
            ('claimable', 'call_to', 'contract to which the transaction goes; NULL where lacks says what is missing, or no chain with calldata'),
            ('claimable', 'call_data', 'calldata of the transaction; NULL like call_to'),
            ('stuck', 'role', 'of the account: worker, requester, payer, scheduler, voter or validator'),
            ('stuck', 'begun_at', 'when the work or the task began (UTC): pages go by it'),
            ('stuck', 'since', 'since when waiting does not help (UTC)'),
            ('expiring', 'requester', 'whose task it is'),
            ('expiring', 'worker', 'whose solution it is (Arbius); NULL for iExec, where a task has several'),
            ('open_disputes', 'opened_by', 'who contested the work'),
            ('open_disputes', 'against', 'whose work is contested'),
            ('open_disputes', 'opened_at', 'when it was contested (UTC)'),
            ('open_disputes', 'yeas', 'votes for the contestation'),
            ('open_disputes', 'nays', 'votes for the work'),
            ('open_disputes', 'call_to', 'the engine, once the votes can be counted; NULL before'),
            ('worker_records', 'p90_seconds', 'nine of ten of its works took no longer, from the task''s submission on'),
            ('worker_records', 'p99_seconds', '99 of 100 of its works took no longer, from the task''s submission on'),
            ('subjects', 'subject', 'the model or app'),
            ('subjects', 'contract', 'the engine or hub'),
            ('subjects', 'tasks', 'tasks that ask for it'),
            ('subjects', 'succeeded', 'of these'),
            ('subjects', 'failed', 'of these'),
            ('subjects', 'cancelled', 'of these, retracted'),
            ('subjects', 'first_at', 'when its first task was submitted (UTC)'),
            ('subjects', 'last_at', 'when its newest task was submitted (UTC)'),
            ('pool_depth', 'day', 'the day (UTC)'),
            ('pool_depth', 'submitted', 'tasks submitted on this day'),
            ('latencies', 'p90_seconds', 'nine of ten of them took no longer'),
            ('latencies', 'p99_seconds', '99 of 100 of them took no longer'),
            ('latencies', 'max_seconds', 'all of them took no longer'),
            ('parameter_history', 'parameter', 'name of the parameter, as in arbius.parameters or iexec.workerpools'),
            ('parameter_history', 'previous', 'the value before; NULL: none is known'),
            ('parameter_history', 'since_block', 'block from whose end on it holds'),
            ('parameter_history', 'since_at', 'time of that block (UTC)'),
            ('tasks', 'requester', 'whose task it is: owner (Arbius, NULL until enriched), requester (iExec); user or workflow (Aidbox)'),
            ('tasks', 'submitter', 'who sent it: sender (Arbius), payer (iExec), manager (Koii)'),
            ('tasks', 'subject', 'what is run: model (Arbius), app (iExec), name of the task (Koii), definition (Aidbox)'),
            ('tasks', 'fee', 'what is paid for it, in the smallest unit of fee_token'),
            ('tasks', 'fee_token', 'AIUS, RLC, KOII or the mint of the task''s own token'),
            ('tasks', 'fee_amount', 'fee in whole tokens'),
            ('tasks', 'finished_at', 'when its last stage began, if it has ended (UTC)'),
            ('tasks', 'submitted_block', 'block in which it was submitted; the slot for Koii, the version for Aidbox'),
            ('tasks', 'last_block', 'block of its newest event; slot of its newest snapshot for Koii, newest version for Aidbox'),
            ('tasks', 'finality', 'final, or pending: its newest event can still be undone by a reorg'),
            ('tasks_by_stage', 'stage', 'its state by events alone, in words; NULL where stage_number tells it'),
            ('tasks_by_stage', 'stage_number', 'its state by events alone, as the number the contract keeps'),
            ('work', 'state', 'submitted, accepted, rejected, lost or expired'),
            ('work', 'settled_at', 'when it was accepted, rejected or lost (UTC)'),
            ('work', 'reward', 'what the worker got for it, in the smallest unit of reward_token'),
            ('work', 'reward_token', 'token of the reward'),
            ('work', 'round', 'number of the round (Koii), of the attempt (Aidbox); NULL elsewhere'),
            ('payments', 'task_id', 'the task for which money moved; NULL where it moved for none'),
            ('payments', 'kind', 'fee, reward, refund, slash, award (of slashed stakes, to who won a contestation on Arbius), stake, unstake, deposit, withdraw, or transfer (of RLC held by an iExec hub)'),
            ('payments', 'from_address', 'who paid; NULL: new tokens, or not told'),
            ('payments', 'to_address', 'who got it; NULL: not told'),
            ('payments', 'amount', 'in the smallest unit of token'),
            ('payments', 'token', 'AIUS (18 decimals), RLC (9), KOII (9) or the mint of a token'),
            ('payments', 'source_event', 'event, or difference of snapshots, that tells of it'),
            ('disputes', 'opened_by', 'who contested the work'),
            ('disputes', 'against', 'whose work is contested'),
            ('disputes', 'opened_at', 'when it was contested (UTC)'),
            ('disputes', 'yeas', 'votes for the contestation'),
            ('disputes', 'nays', 'votes for the work'),
            ('disputes', 'leading', 'the side that would win now'),
            ('disputes', 'deadline', 'when voting ends; each vote may move it (UTC)'),
            ('disputes', 'outcome', 'how it ended; NULL as long as it has not'),
            ('disputes', 'settled_at', 'when it ended (UTC)'),
            ('workers', 'earned', 'payments of kind fee, reward and award (what votes on contestations won) to it, in the smallest unit of the network''s token'),
            ('workers', 'slashed', 'what was taken from its stake, in the smallest unit'),
            ('workers', 'first_at', 'first unit of work (UTC)'),
            ('workers', 'last_at', 'newest unit of work, handed in or settled (UTC)'),
            ('daily', 'day', 'day in UTC'),
            ('daily', 'tasks', 'tasks submitted on that day'),
            ('daily', 'succeeded', 'tasks that succeeded on that day'),
            ('daily', 'failed', 'tasks that failed on that day'),
            ('daily', 'disputed', 'disputes opened on that day'),
            ('daily', 'workers', 'workers that handed in work on that day'),
            ('daily', 'fees', 'payments of kind fee, in the smallest unit of the network''s token'),
            ('daily', 'rewards', 'payments of kind reward and award, in the smallest unit of the network''s token'),
            ('status_counts', 'tasks', 'how many tasks have the status'),
            ('freshness', 'source', 'contract, Koii task or type of Aidbox resource that is read'),
            ('freshness', 'head_block', 'newest block that a provider has told of'),
            ('freshness', 'head_time', 'its time (UTC)'),
            ('freshness', 'read_to', 'last block up to which it is read without a gap'),
            ('freshness', 'folded_to', 'last block whose events are in the entities'),
            ('freshness', 'to_enrich', 'facts that no event tells and that are still to be asked for'),
            ('freshness', 'lag_seconds', 'seconds between read_to and analytics.now(chain_id)'),
            ('coverage', 'role', 'engine, hub, workerpool …'),
            ('coverage', 'from_block', 'first block of the stretch'),
            ('coverage', 'to_block', 'last block of the stretch'),
            ('coverage', 'blocks', 'blocks in the stretch'),
            ('coverage', 'evidence', 'how it is known to be complete: single, head-bound, bloom …; the weakest counts'),
            ('providers', 'provider', 'host and port'),
            ('providers', 'calls', 'JSON-RPC calls, each of a batch'),
            ('providers', 'answer_bytes', 'bytes of its answers'),
            ('providers', 'latency_mean_ms', 'milliseconds per post, mean of the last 200'),
            ('providers', 'logs_omitted', 'of logs_compared, those not in its first answer'),
            ('providers', 'last_ok_at', 'last good answer (UTC)'),
            ('providers', 'last_error', 'last error, in words'),
            ('providers', 'last_error_at', 'when it was (UTC)'),
            ('providers', 'distrusted_at', 'since when it is distrusted (UTC); NULL: it is trusted'),
            ('providers', 'profiled_at', 'when `taskscan doctor` looked at it (UTC)'),
            ('incidents', 'kind', 'class of the error'),
            ('incidents', 'subject', 'provider, range or contract concerned'),
            ('incidents', 'message', 'what happened and what to do, in words'),
            ('incidents', 'times', 'how often, from first_at to last_at'),
            ('incidents', 'first_at', 'when it first happened (UTC)'),
            ('incidents', 'last_at', 'when it last happened (UTC)'),
            ('incidents', 'incident_id', 'its number')
        )
        SELECT c.relname, a.attname,
               coalesce(own.said, CASE WHEN c.relname = 'tasks_by_stage' THEN same.said END, shared.said) AS said
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN words own ON own.view = c.relname AND own.name = a.attname
        LEFT JOIN words same ON same.view = 'tasks' AND same.name = a.attname
        LEFT JOIN words shared ON shared.view = '' AND shared.name = a.attname
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
    LOOP
        IF found.said IS NOT NULL THEN
            EXECUTE format('COMMENT ON COLUMN analytics.%I.%I IS %L', found.relname, found.attname, found.said);
        END IF;
    END LOOP;
END
$$;
