-- Accounts that pay or are paid, with when: what a beginning or a range of accounts comes down to is looked up here, for
-- each `what` can be read by an index on accounts and times (contested: on accounts alone). `pays`: whether the row is a
-- payment. A row that is none may stand here, too, but no payment is missing.

CREATE OR REPLACE VIEW arbius.v_payers AS
SELECT 'submitted'::text AS what, analytics.hex(t.sender) COLLATE "C" AS account, t.blocktime AS block_time,
       t.fee > 0 AS pays
FROM arbius.tasks t
UNION ALL
SELECT 'solved'::text, analytics.hex(t.validator) COLLATE "C", t.blocktime, t.stake > 0
FROM arbius.solutions t
UNION ALL
SELECT 'slashed'::text, analytics.hex(t.validator) COLLATE "C", t.finished_at, true
FROM arbius.solutions t
WHERE t.outcome = 'succeeded' AND t.stake > 0
UNION ALL
SELECT 'voted'::text, analytics.hex(t.voter) COLLATE "C", t.block_time, true
FROM arbius.vote_payments t
WHERE t.kind = 'stake'
UNION ALL
SELECT 'vote_lost'::text, analytics.hex(t.voter) COLLATE "C", t.block_time, true
FROM arbius.vote_payments t
WHERE t.kind = 'slash'
UNION ALL
SELECT 'deposited'::text, analytics.hex(t.addr) COLLATE "C", t.block_time, true
FROM arbius.validator_deposit t
UNION ALL
SELECT 'withdrawn'::text, analytics.hex(t.addr) COLLATE "C", t.block_time, true
FROM arbius.validator_withdraw t;
COMMENT ON VIEW arbius.v_payers IS 'Accounts that may have paid in Arbius, and when; not engines.';

CREATE OR REPLACE VIEW arbius.v_payees AS
SELECT 'released'::text AS what, analytics.hex(t.validator) COLLATE "C" AS account,
       coalesce(t.paid_at, t.claimed_at, t.finished_at) AS block_time,
       t.validator_fee > 0 OR t.validator_reward > 0 OR (t.claimed AND t.stake > 0) AS pays
FROM arbius.solutions t
UNION ALL
SELECT 'defended'::text, analytics.hex(t.validator) COLLATE "C", coalesce(t.paid_at, t.claimed_at, t.finished_at), true
FROM arbius.solutions t
WHERE t.stake > 0 AND NOT t.claimed AND (t.paid_at IS NOT NULL OR t.outcome = 'failed')
UNION ALL
SELECT 'refunded'::text, analytics.hex(t.owner) COLLATE "C", t.finished_at, t.fee > 0
FROM arbius.tasks t
WHERE t.outcome = 'succeeded'
UNION ALL
SELECT 'retracted'::text, analytics.hex(t.owner) COLLATE "C", t.retracted_at, t.fee > 0
FROM arbius.tasks t
WHERE t.retracted_at IS NOT NULL
UNION ALL
SELECT 'contested'::text, analytics.hex(t.validator) COLLATE "C", t.finished_at, t.outcome = 'succeeded'
FROM arbius.contestations t
UNION ALL
SELECT 'vote_back'::text, analytics.hex(t.voter) COLLATE "C", t.block_time, true
FROM arbius.vote_payments t
WHERE t.kind = 'unstake'
UNION ALL
SELECT 'vote_won'::text, analytics.hex(t.voter) COLLATE "C", t.block_time, true
FROM arbius.vote_payments t
WHERE t.kind = 'award'
UNION ALL
SELECT 'deposited'::text, analytics.hex(t.validator) COLLATE "C", t.block_time, true
FROM arbius.validator_deposit t
UNION ALL
SELECT 'withdrawn'::text, analytics.hex(t."to") COLLATE "C", t.block_time, true
FROM arbius.validator_withdraw t;
COMMENT ON VIEW arbius.v_payees IS 'Accounts that may have been paid in Arbius, and when; neither engines nor treasuries.';

CREATE OR REPLACE VIEW iexec.v_payers AS
SELECT 'burned'::text AS what, analytics.hex(t."from") COLLATE "C" AS account, t.block_time, t.value > 0 AS pays
FROM iexec.transfer t
WHERE iexec.is_zero(t."to")
UNION ALL
SELECT 'moved'::text, analytics.hex(t."from") COLLATE "C", t.block_time, t.value > 0
FROM iexec.transfer t
WHERE NOT iexec.is_zero(t."from") AND NOT iexec.is_zero(t."to") AND t."from" <> t.address AND t."to" <> t.address
UNION ALL
SELECT 'given'::text, analytics.hex(t."from") COLLATE "C", t.block_time, true
FROM iexec.gifts t
UNION ALL
SELECT 'locked'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, t.amount > 0
FROM iexec.lock t
UNION ALL
SELECT 'seized'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, t.amount > 0
FROM iexec.seize t
UNION ALL
SELECT 'deposited_for'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, true
FROM iexec.deposit_for t
UNION ALL
SELECT 'withdrawn'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, true
FROM iexec.withdraw t;
COMMENT ON VIEW iexec.v_payers IS 'Accounts that may have paid in iExec, and when; not hubs.';

CREATE OR REPLACE VIEW iexec.v_payees AS
SELECT 'minted'::text AS what, analytics.hex(t."to") COLLATE "C" AS account, t.block_time, t.value > 0 AS pays
FROM iexec.transfer t
WHERE iexec.is_zero(t."from")
UNION ALL
SELECT 'moved'::text, analytics.hex(t."to") COLLATE "C", t.block_time, t.value > 0
FROM iexec.transfer t
WHERE NOT iexec.is_zero(t."from") AND NOT iexec.is_zero(t."to") AND t."from" <> t.address AND t."to" <> t.address
UNION ALL
SELECT 'unlocked'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, t.amount > 0
FROM iexec.unlock t
UNION ALL
SELECT 'rewarded'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, t.amount > 0
FROM iexec.reward t
UNION ALL
SELECT 'deposited'::text, analytics.hex(t.owner) COLLATE "C", t.block_time, true
FROM iexec.deposit t
UNION ALL
SELECT 'deposited_for'::text, analytics.hex(t.target) COLLATE "C", t.block_time, true
FROM iexec.deposit_for t;
COMMENT ON VIEW iexec.v_payees IS 'Accounts that may have been paid in iExec, and when; not hubs.';
