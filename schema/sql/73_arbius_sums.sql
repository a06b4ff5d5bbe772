-- Sums of Arbius tasks by model, how long they took by solver, and what workers lost, kept by triggers.

CREATE OR REPLACE FUNCTION arbius.summed_task(
    stage text, model bytea, fee numeric, submitted timestamptz, contested timestamptz, settled timestamptz,
    solver bytea, solved timestamptz
) RETURNS TABLE (what text, who bytea, seconds bigint, amount numeric)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT v.what, coalesce(v.who, ''), v.seconds, v.amount
    FROM (VALUES
        ('task', model, 0::bigint, coalesce(fee, 0)),
        (arbius.counted_as(stage), model, 0, 0),
        (CASE WHEN contested IS NOT NULL THEN 'disputed' END, model, 0, 0),
        ('work', solver, extract(epoch FROM solved - submitted)::bigint, 0),
        ('finish', NULL, extract(epoch FROM settled - submitted)::bigint, 0)
    ) AS v (what, who, seconds, amount)
    WHERE v.what IN ('task', 'succeeded', 'failed', 'cancelled', 'disputed', 'work', 'finish') AND v.seconds IS NOT NULL
$$;
COMMENT ON FUNCTION arbius.summed_task(
    text, bytea, numeric, timestamptz, timestamptz, timestamptz, bytea, timestamptz
) IS 'As what a task counts in chain.task_sums.';

DO $make$
DECLARE
    adding text := $add$
        INSERT INTO chain.task_sums AS s (network, chain_id, what, who, seconds, address, n, amount)
        SELECT 'arbius', t.chain_id, c.what, c.who, c.seconds, t.address, sum(t.sign), sum(t.sign * c.amount)
        FROM (%s) AS t
        CROSS JOIN LATERAL arbius.summed_task(
            t.stage, t.model, t.fee, t.blocktime, t.contested_at,
            coalesce(t.finished_at, t.claimed_at, t.retracted_at), t.solution_validator, t.solution_blocktime) AS c
        GROUP BY t.chain_id, c.what, c.who, c.seconds, t.address
        HAVING sum(t.sign) <> 0 OR sum(t.sign * c.amount) <> 0
        ON CONFLICT (network, chain_id, what, who, seconds, address) DO UPDATE
            SET n = s.n + excluded.n, amount = s.amount + excluded.amount;
    $add$;
    came text := 'SELECT 1 AS sign, n.* FROM new_rows n';
    went text := 'SELECT -1 AS sign, o.* FROM old_rows o';
    new_rows text := 'NEW TABLE AS new_rows';
    old_rows text := 'OLD TABLE AS old_rows';
    made record;
BEGIN
    FOR made IN
        SELECT * FROM (VALUES
            ('insert', new_rows, 'new_rows', came),
            ('update', old_rows || ' ' || new_rows, 'new_rows', came || ' UNION ALL ' || went),
            ('delete', old_rows, 'old_rows', went)
        ) AS v (event, tables, changed, changes)
    LOOP
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION arbius.sum_at_%1$s() RETURNS trigger LANGUAGE plpgsql AS $body$
            BEGIN
                IF EXISTS (SELECT FROM %3$s) THEN
                    %4$s
                END IF;
                RETURN NULL;
            END
            $body$;
            COMMENT ON FUNCTION arbius.sum_at_%1$s() IS 'Trigger: what a statement changes in arbius.tasks, into chain.task_sums.';
            CREATE OR REPLACE TRIGGER sum_at_%1$s AFTER %1$s ON arbius.tasks
                REFERENCING %2$s FOR EACH STATEMENT EXECUTE FUNCTION arbius.sum_at_%1$s();
        $function$, made.event, made.tables, made.changed, format(adding, made.changes));
    END LOOP;
    EXECUTE format('CREATE OR REPLACE FUNCTION arbius.recount_sums() RETURNS void LANGUAGE sql AS $body$ %s $body$',
                   format(adding, 'SELECT 1 AS sign, t.* FROM arbius.tasks t'));
END
$make$;
COMMENT ON FUNCTION arbius.recount_sums() IS 'Add all tasks to sums that are empty.';

CREATE OR REPLACE FUNCTION arbius.add_slashed(chain bigint, account bytea, amount numeric) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO chain.worker_counts AS w (network, chain_id, worker, submitted, accepted, lost, earned, slashed)
    SELECT 'arbius', $1, $2, 0, 0, 0, 0, $3 WHERE $2 IS NOT NULL AND $3 <> 0
    ON CONFLICT (network, chain_id, worker) DO UPDATE SET slashed = w.slashed + excluded.slashed
$$;
COMMENT ON FUNCTION arbius.add_slashed(bigint, bytea, numeric) IS 'An account lost so much, or less than thought.';

CREATE OR REPLACE FUNCTION arbius.slash_votes(dispute arbius.contestations, sign integer) RETURNS void
LANGUAGE sql
AS $$
    SELECT arbius.add_slashed(v.chain_id, v.voter, sign * dispute.slash_amount)
    FROM arbius.votes v
    WHERE v.chain_id = dispute.chain_id AND v.address = dispute.address AND v.task_id = dispute.task_id
      AND v.yea <> (dispute.outcome = 'succeeded') AND dispute.slash_amount > 0
$$;
COMMENT ON FUNCTION arbius.slash_votes(arbius.contestations, integer) IS 'What the votes that lost a dispute cost.';

CREATE OR REPLACE FUNCTION arbius.slash_vote(vote arbius.votes, sign integer) RETURNS void
LANGUAGE sql
AS $$
    SELECT arbius.add_slashed(c.chain_id, vote.voter, sign * c.slash_amount)
    FROM arbius.contestations c
    WHERE c.chain_id = vote.chain_id AND c.address = vote.address AND c.task_id = vote.task_id
      AND vote.yea <> (c.outcome = 'succeeded') AND c.slash_amount > 0
$$;
COMMENT ON FUNCTION arbius.slash_vote(arbius.votes, integer) IS 'What a vote that lost cost.';

CREATE OR REPLACE FUNCTION arbius.slash() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- One table changes at a time, and folds and facts of a chain take turns: the other one stands still.
    IF TG_TABLE_NAME = 'contestations' THEN
        PERFORM arbius.slash_votes(OLD, -1) WHERE TG_OP <> 'INSERT';
        PERFORM arbius.slash_votes(NEW, 1) WHERE TG_OP <> 'DELETE';
    ELSIF TG_TABLE_NAME = 'votes' THEN
        PERFORM arbius.slash_vote(OLD, -1) WHERE TG_OP <> 'INSERT';
        PERFORM arbius.slash_vote(NEW, 1) WHERE TG_OP <> 'DELETE';
    ELSE
        IF TG_OP <> 'INSERT' AND OLD.outcome = 'succeeded' THEN
            PERFORM arbius.add_slashed(OLD.chain_id, OLD.validator, -OLD.stake);
        END IF;
        IF TG_OP <> 'DELETE' AND NEW.outcome = 'succeeded' THEN
            PERFORM arbius.add_slashed(NEW.chain_id, NEW.validator, NEW.stake);
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
    SELECT arbius.add_slashed(l.chain_id, l.account, l.amount) FROM arbius.v_lost_stakes l
$$;
COMMENT ON FUNCTION arbius.recount_slashed() IS 'Add all stakes lost to counts that do not hold them.';
