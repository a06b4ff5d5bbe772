-- The questions that people ask of live tasks, all networks in one view each.

CREATE OR REPLACE VIEW koii.v_idle AS
SELECT 'koii'::text AS network,
       (SELECT c.name FROM chain.chains c WHERE c.chain_id = b.chain_id) AS chain,
       b.chain_id,
       t.program AS contract,
       b.task_id,
       'claimable'::text AS reason,
       'worker'::text AS role,
       b.staker AS account,
       0::numeric AS stake,
       b.amount::numeric AS gain,
       koii.token(t.token_type) AS token,
       b.from_at AS begun_at,
       b.from_at AS since,
       NULL::timestamptz AS until,
       'claim'::text AS action,
       b.staker AS sender,
       NULL::text AS call_to,
       NULL::text AS call_data,
       'a transaction of K2, which the node''s own software makes'::text AS lacks
FROM koii.available_balances b
JOIN koii.tasks t USING (chain_id, task_id)
WHERE b.to_slot IS NULL AND b.listed AND b.amount > 0;
COMMENT ON VIEW koii.v_idle IS 'Balances that Koii nodes can claim, as in analytics.claimable.';

CREATE OR REPLACE VIEW analytics.claimable AS
SELECT i.network, i.chain, i.chain_id, i.contract, i.task_id, i.action, i.role, i.account, i.gain, i.token,
       i.begun_at, i.since, i.sender, i.call_to, i.call_data, i.lacks
FROM (
    SELECT * FROM arbius.v_idle
    UNION ALL
    SELECT * FROM iexec.v_idle
    UNION ALL
    SELECT * FROM koii.v_idle
) AS i
WHERE i.action IS NOT NULL;
COMMENT ON VIEW analytics.claimable IS
    'One row per account that a transaction would help now, with the transaction as chain_id, call_to and call_data.'
    ' Nothing is signed or sent.';
COMMENT ON COLUMN analytics.claimable.action IS
    'claim (a solution, a timed-out task, a balance), finish (count the votes), settle (pay more voters), withdraw (unlocked'
    ' stake), finalize, reopen';
COMMENT ON COLUMN analytics.claimable.role IS 'of the account: worker, requester, payer (where the requester does not pay), scheduler, voter, validator';
COMMENT ON COLUMN analytics.claimable.gain IS
    'smallest unit of the token: what the account gets at least; of an Arbius solution the task''s fee, of which the model''s goes off';
COMMENT ON COLUMN analytics.claimable.begun_at IS 'when the work or the task began: pages go by it';
COMMENT ON COLUMN analytics.claimable.since IS 'since when the transaction is possible';
COMMENT ON COLUMN analytics.claimable.sender IS 'who has to send it; NULL: anybody may';
COMMENT ON COLUMN analytics.claimable.lacks IS 'what the transaction still needs, in words; NULL: it is complete';

CREATE OR REPLACE VIEW analytics.stuck AS
SELECT i.network, i.chain, i.chain_id, i.contract, i.task_id, i.reason, i.role, i.account, i.stake, i.token,
       i.begun_at, i.since, i.until, i.action
FROM (
    SELECT * FROM arbius.v_idle
    UNION ALL
    SELECT * FROM iexec.v_idle
) AS i
WHERE i.stake IS DISTINCT FROM 0;
COMMENT ON VIEW analytics.stuck IS
    'One row per account whose money is locked in something that waiting alone does not bring forward.';
COMMENT ON COLUMN analytics.stuck.reason IS
    'claimable, awaiting_finish, unsettled, unlocked, finalizable, reopenable: a transaction frees it; contribution_closed: a'
    ' claim will, from `until` on; forfeited: nothing will';
COMMENT ON COLUMN analytics.stuck.stake IS 'smallest unit of the token; NULL: not known yet';
COMMENT ON COLUMN analytics.stuck.until IS 'when anybody may claim it, if nothing happens before; NULL: now, or never';
COMMENT ON COLUMN analytics.stuck.action IS 'as in analytics.claimable; NULL: the account can do nothing now';

CREATE OR REPLACE VIEW analytics.expiring AS
SELECT * FROM arbius.v_expiring
UNION ALL
SELECT * FROM iexec.v_expiring;
COMMENT ON VIEW analytics.expiring IS 'One row per live task with the next window that time will close.';
COMMENT ON COLUMN analytics.expiring."window" IS 'challenge, vote, contribution, reveal, final';
COMMENT ON COLUMN analytics.expiring.deadline IS 'when it closes; a vote moves on with every vote';
COMMENT ON COLUMN analytics.expiring.seconds_left IS 'by the chain''s clock';
COMMENT ON COLUMN analytics.expiring.becomes IS 'what the task is then, if nothing happens before';

CREATE OR REPLACE VIEW analytics.open_disputes AS
SELECT * FROM arbius.v_open_disputes;
COMMENT ON VIEW analytics.open_disputes IS 'One row per dispute that is not decided, with the side that would win now.';
COMMENT ON COLUMN analytics.open_disputes.adder IS 'yeas that the engine adds when it counts';
COMMENT ON COLUMN analytics.open_disputes.leading IS 'yeas (against the work) or nays, adder included; a tie is for the nays';
COMMENT ON COLUMN analytics.open_disputes.state IS 'voting, or awaiting_finish: anybody may have the votes counted';
COMMENT ON COLUMN analytics.open_disputes.seconds_left IS 'by the chain''s clock; negative once voting is over';
COMMENT ON COLUMN analytics.open_disputes.call_data IS 'of the transaction that counts the votes; NULL while they are cast';
