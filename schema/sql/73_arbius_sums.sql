-- What workers of Arbius lost, and what voters got, kept by triggers.

DROP FUNCTION IF EXISTS arbius.add_slashed(bigint, bytea, numeric); -- of earlier versions

CREATE OR REPLACE FUNCTION arbius.add_money(chain bigint, account bytea, earned numeric, slashed numeric) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO chain.worker_counts AS w (network, chain_id, worker, submitted, accepted, lost, earned, slashed)
    SELECT 'arbius', $1, $2, 0, 0, 0, coalesce($3, 0), coalesce($4, 0) WHERE $2 IS NOT NULL AND ($3 <> 0 OR $4 <> 0)
    ON CONFLICT (network, chain_id, worker) DO UPDATE
        SET earned = w.earned + excluded.earned, slashed = w.slashed + excluded.slashed
$$;
COMMENT ON FUNCTION arbius.add_money(bigint, bytea, numeric, numeric) IS
    'An account earned and lost so much, or less than thought.';

CREATE OR REPLACE FUNCTION arbius.slash_vote(vote arbius.votes, dispute arbius.contestations, sign integer)
RETURNS void
LANGUAGE sql
AS $$
    SELECT arbius.add_money(vote.chain_id, vote.voter, 0, sign * dispute.slash_amount)
    WHERE vote.yea <> (dispute.outcome = 'succeeded') AND dispute.slash_amount > 0
$$;
COMMENT ON FUNCTION arbius.slash_vote(arbius.votes, arbius.contestations, integer) IS
    'What a vote cost that lost its dispute.';

CREATE OR REPLACE FUNCTION arbius.slash() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    changed record := coalesce(NEW, OLD);
BEGIN
    -- One table changes at a time, and folds and facts of a chain take turns: the other one stands still.
    IF TG_TABLE_NAME = 'contestations' THEN
        PERFORM arbius.slash_vote(v, OLD, -1), arbius.slash_vote(v, NEW, 1)
        FROM arbius.votes v
        WHERE (v.chain_id, v.address, v.task_id) = (changed.chain_id, changed.address, changed.task_id);
    ELSIF TG_TABLE_NAME = 'votes' THEN
        PERFORM arbius.slash_vote(OLD, c, -1), arbius.slash_vote(NEW, c, 1)
        FROM arbius.contestations c
        WHERE (c.chain_id, c.address, c.task_id) = (changed.chain_id, changed.address, changed.task_id);
    ELSE
        IF TG_OP <> 'INSERT' AND OLD.outcome = 'succeeded' THEN
            PERFORM arbius.add_money(OLD.chain_id, OLD.validator, 0, -OLD.stake);
        END IF;
        IF TG_OP <> 'DELETE' AND NEW.outcome = 'succeeded' THEN
            PERFORM arbius.add_money(NEW.chain_id, NEW.validator, 0, NEW.stake);
        END IF;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.slash() IS
    'Trigger: stakes lost by a dispute, a vote or a solution, into chain.worker_counts. Most rows lose none: WHEN tells.';

CREATE OR REPLACE TRIGGER slash_inserted AFTER INSERT ON arbius.contestations
    FOR EACH ROW WHEN (NEW.slash_amount > 0 AND NEW.outcome IS NOT NULL) EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_deleted AFTER DELETE ON arbius.contestations
    FOR EACH ROW WHEN (OLD.slash_amount > 0 AND OLD.outcome IS NOT NULL) EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_updated AFTER UPDATE ON arbius.contestations
    FOR EACH ROW WHEN ((OLD.slash_amount > 0 OR NEW.slash_amount > 0)
        AND (OLD.slash_amount, OLD.outcome) IS DISTINCT FROM (NEW.slash_amount, NEW.outcome))
    EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_inserted AFTER INSERT ON arbius.votes FOR EACH ROW EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_deleted AFTER DELETE ON arbius.votes FOR EACH ROW EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_updated AFTER UPDATE ON arbius.votes
    FOR EACH ROW WHEN (OLD.yea <> NEW.yea) EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_truncated AFTER TRUNCATE ON arbius.votes
    FOR EACH STATEMENT EXECUTE FUNCTION analytics.recount_all();
CREATE OR REPLACE TRIGGER slash_inserted AFTER INSERT ON arbius.solutions
    FOR EACH ROW WHEN (NEW.stake > 0 AND NEW.outcome = 'succeeded') EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_deleted AFTER DELETE ON arbius.solutions
    FOR EACH ROW WHEN (OLD.stake > 0 AND OLD.outcome = 'succeeded') EXECUTE FUNCTION arbius.slash();
CREATE OR REPLACE TRIGGER slash_updated AFTER UPDATE ON arbius.solutions
    FOR EACH ROW WHEN ((OLD.stake > 0 OR NEW.stake > 0) AND (OLD.outcome = 'succeeded' OR NEW.outcome = 'succeeded')
        AND (OLD.stake, OLD.outcome, OLD.validator) IS DISTINCT FROM (NEW.stake, NEW.outcome, NEW.validator))
    EXECUTE FUNCTION arbius.slash();

CREATE OR REPLACE FUNCTION arbius.recount_slashed() RETURNS void
LANGUAGE sql
AS $$
    SELECT arbius.add_money(l.chain_id, l.account, 0, l.amount) FROM arbius.v_lost_stakes l
$$;
COMMENT ON FUNCTION arbius.recount_slashed() IS 'Add all stakes lost to counts that do not hold them.';

SELECT analytics.keep_counts('arbius.vote_payments', days => $$
    SELECT t.sign, t.chain_id, t.block_time AS at, 'reward' AS what, t.amount FROM changes t WHERE t.kind = 'award'
$$);

CREATE OR REPLACE FUNCTION arbius.award() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM arbius.add_money(t.chain_id, t.voter, CASE TG_OP WHEN 'INSERT' THEN sum(t.amount) ELSE -sum(t.amount) END, 0)
    FROM rows_changed t
    WHERE t.kind = 'award'
    GROUP BY t.chain_id, t.voter;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.award() IS 'Trigger: awards of arbius.vote_payments, whose rows come and go, into chain.worker_counts.';

CREATE OR REPLACE TRIGGER award_inserted AFTER INSERT ON arbius.vote_payments
    REFERENCING NEW TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION arbius.award();
CREATE OR REPLACE TRIGGER award_deleted AFTER DELETE ON arbius.vote_payments
    REFERENCING OLD TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION arbius.award();
