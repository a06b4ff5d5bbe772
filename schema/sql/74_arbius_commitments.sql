-- How long after its commitment each Arbius solution came: kept beside the facts that prove the two to belong together,
-- and counted. Facts, solutions and commitments come and go in any order; whichever comes last finds the others.

CREATE OR REPLACE FUNCTION arbius.commitment_age(chain bigint, engine bytea, task bytea, tx bytea, hash bytea)
RETURNS TABLE (seconds bigint)
LANGUAGE sql STABLE
AS $$
    SELECT extract(epoch FROM s.blocktime - (
        SELECT min(x.block_time) FROM arbius.signal_commitment x
        WHERE x.commitment = hash AND x.address = engine AND x.chain_id = chain))::bigint
    FROM arbius.solutions s
    WHERE s.chain_id = chain AND s.address = engine AND s.task_id = task AND s.submitted_tx IS NOT DISTINCT FROM tx
$$;
COMMENT ON FUNCTION arbius.commitment_age(bigint, bytea, bytea, bytea, bytea) IS
    'How long after the first SignalCommitment with this hash a solution came, handed in by this transaction; NULL or no'
    ' row where one of them is not known.';

CREATE OR REPLACE FUNCTION arbius.age_commitments(chains bigint[], engines bytea[], tasks bytea[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE arbius.solution_facts f
    SET commitment_age = a.seconds
    FROM unnest(chains, engines, tasks) AS k (chain_id, address, task_id)
    JOIN arbius.solution_facts g USING (chain_id, address, task_id)
    LEFT JOIN LATERAL arbius.commitment_age(g.chain_id, g.address, g.task_id, g.tx_hash, g.commitment) AS a ON true
    WHERE f.chain_id = k.chain_id AND f.address = k.address AND f.task_id = k.task_id
      AND f.commitment_age IS DISTINCT FROM a.seconds
$$;
COMMENT ON FUNCTION arbius.age_commitments(bigint[], bytea[], bytea[]) IS
    'Find out anew how old the commitments of these tasks'' solutions were, whatever was found before.';

CREATE OR REPLACE FUNCTION arbius.age_fact() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.commitment_age := (
        SELECT a.seconds
        FROM arbius.commitment_age(NEW.chain_id, NEW.address, NEW.task_id, NEW.tx_hash, NEW.commitment) AS a);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION arbius.age_fact() IS 'Trigger: the age of the commitment that a fact tells of.';

CREATE OR REPLACE TRIGGER age_inserted BEFORE INSERT ON arbius.solution_facts
    FOR EACH ROW EXECUTE FUNCTION arbius.age_fact();
CREATE OR REPLACE TRIGGER age_updated BEFORE UPDATE ON arbius.solution_facts
    FOR EACH ROW WHEN ((OLD.commitment, OLD.tx_hash) IS DISTINCT FROM (NEW.commitment, NEW.tx_hash))
    EXECUTE FUNCTION arbius.age_fact();

CREATE OR REPLACE FUNCTION arbius.age_solutions() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- OFFSET 0: one look into an index per row, whatever the planner believes. A fact that is there before its solution
    -- has no age, and few have none: their index is small.
    IF TG_OP = 'INSERT' THEN
        PERFORM arbius.age_commitments(array_agg(f.chain_id), array_agg(f.address), array_agg(f.task_id))
        FROM rows_changed s
        CROSS JOIN LATERAL (
            SELECT g.* FROM arbius.solution_facts g
            WHERE g.chain_id = s.chain_id AND g.address = s.address AND g.task_id = s.task_id
              AND g.commitment_age IS NULL
            OFFSET 0) AS f
        HAVING count(*) > 0;
    ELSE
        PERFORM arbius.age_commitments(array_agg(s.chain_id), array_agg(s.address), array_agg(s.task_id))
        FROM rows_changed s
        HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.age_solutions() IS
    'Trigger: ages of commitments that solutions make or take away by coming or going, as after a rollback.';

CREATE OR REPLACE TRIGGER age_inserted AFTER INSERT ON arbius.solutions
    REFERENCING NEW TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION arbius.age_solutions();
CREATE OR REPLACE TRIGGER age_deleted AFTER DELETE ON arbius.solutions
    REFERENCING OLD TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION arbius.age_solutions();

CREATE OR REPLACE FUNCTION arbius.age_solution() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM arbius.age_commitments(ARRAY[NEW.chain_id], ARRAY[NEW.address], ARRAY[NEW.task_id]);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.age_solution() IS 'Trigger: the same of one whose submission another one took the place of.';

CREATE OR REPLACE TRIGGER age_updated AFTER UPDATE ON arbius.solutions
    FOR EACH ROW WHEN ((OLD.blocktime, OLD.submitted_tx) IS DISTINCT FROM (NEW.blocktime, NEW.submitted_tx))
    EXECUTE FUNCTION arbius.age_solution();

CREATE OR REPLACE FUNCTION arbius.age_removed() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    -- Facts that are being written may tell of what goes: a repair waits for them, as a rollback has.
    PERFORM FROM chain.chains c WHERE c.chain_id IN (SELECT x.chain_id FROM rows_changed x) FOR NO KEY UPDATE;
    PERFORM arbius.age_commitments(array_agg(f.chain_id), array_agg(f.address), array_agg(f.task_id))
    FROM rows_changed x
    CROSS JOIN LATERAL (
        SELECT g.* FROM arbius.solution_facts g
        WHERE g.commitment = x.commitment AND g.address = x.address AND g.chain_id = x.chain_id
        OFFSET 0) AS f
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.age_removed() IS 'Trigger: ages that SignalCommitments take away by going.';

CREATE OR REPLACE TRIGGER age_deleted AFTER DELETE ON arbius.signal_commitment
    REFERENCING OLD TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION arbius.age_removed();

CREATE OR REPLACE FUNCTION arbius.came_first(chain bigint, folded bigint, upto bigint) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT coalesce((SELECT max(e.block_number) FROM arbius.solution_submitted e WHERE e.chain_id = chain) <= upto, true)
       AND (SELECT count(*) FROM arbius.solution_submitted e
            WHERE e.chain_id = chain AND e.block_number > folded AND e.block_number <= upto)
         = (SELECT count(*) FROM arbius.solutions s
            WHERE s.chain_id = chain AND s.submitted_block > folded AND s.submitted_block <= upto AND s.cid IS NULL)
$$;
COMMENT ON FUNCTION arbius.came_first(bigint, bigint, bigint) IS
    'Whether there are no solutions above `upto`, and no facts are shown of those above `folded`, as at the head: then a'
    ' commitment in these blocks came before any solution that could have waited for it.';

CREATE OR REPLACE FUNCTION arbius.age_folded() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    folded bigint := coalesce(OLD.folded_to, -1);
BEGIN
    IF arbius.came_first(NEW.chain_id, folded, NEW.folded_to) THEN
        RETURN NULL;
    END IF;
    PERFORM arbius.age_commitments(array_agg(f.chain_id), array_agg(f.address), array_agg(f.task_id))
    FROM arbius.signal_commitment x
    CROSS JOIN LATERAL (
        SELECT g.* FROM arbius.solution_facts g
        WHERE g.commitment = x.commitment AND g.address = x.address AND g.chain_id = x.chain_id
        OFFSET 0) AS f
    WHERE x.chain_id = NEW.chain_id AND x.block_number > folded AND x.block_number <= NEW.folded_to
      AND x.address IN (SELECT s.address FROM chain.sources s WHERE s.group_id = NEW.group_id)
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.age_folded() IS
    'Trigger: ages that SignalCommitments bring whose solutions were known before them. It waits for the fold of their'
    ' blocks: no facts are written then, and neither of the two can miss the other.';

CREATE OR REPLACE TRIGGER age_folded AFTER UPDATE OF folded_to ON chain.groups
    FOR EACH ROW WHEN (NEW.folded_to > coalesce(OLD.folded_to, -1)) EXECUTE FUNCTION arbius.age_folded();

CREATE OR REPLACE FUNCTION arbius.age_all() RETURNS void
LANGUAGE sql
AS $$
    UPDATE arbius.solution_facts f
    SET commitment_age = a.seconds
    FROM arbius.solution_facts g
    LEFT JOIN LATERAL arbius.commitment_age(g.chain_id, g.address, g.task_id, g.tx_hash, g.commitment) AS a ON true
    WHERE f.chain_id = g.chain_id AND f.address = g.address AND f.task_id = g.task_id
      AND f.commitment_age IS DISTINCT FROM a.seconds
$$;
COMMENT ON FUNCTION arbius.age_all() IS 'Find out anew how old all commitments were.';

SELECT analytics.keep_counts('arbius.solution_facts', days => NULL, sums => $$
    SELECT t.sign, t.chain_id, t.address, 'commitment' AS what, ''::bytea AS who, t.commitment_age AS seconds, 0 AS amount
    FROM changes t
    WHERE t.commitment_age IS NOT NULL
$$);
