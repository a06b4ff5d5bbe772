-- What payments are made of that no single event tells, kept by triggers.

CREATE OR REPLACE FUNCTION arbius.settle(chains bigint[], engines bytea[], tasks bytea[]) RETURNS void
LANGUAGE sql
AS $$
    DELETE FROM arbius.vote_payments s
    USING unnest(chains, engines, tasks) AS k (chain_id, address, task_id)
    WHERE s.chain_id = k.chain_id AND s.address = k.address AND s.task_id = k.task_id;
    INSERT INTO arbius.vote_payments
        (chain_id, address, task_id, voter, kind, block_number, log_index, block_time, amount)
    SELECT chain_id, address, task_id, voter, kind, block_number, log_index, block_time, amount
    FROM arbius.paid_by_votes(chains, engines, tasks);
$$;
COMMENT ON FUNCTION arbius.settle(bigint[], bytea[], bytea[]) IS
    'Find out anew what votes about these tasks cost and brought, whatever was found before.';

CREATE OR REPLACE FUNCTION arbius.settle_changed() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    changed record := coalesce(NEW, OLD);
BEGIN
    PERFORM arbius.settle(ARRAY[changed.chain_id], ARRAY[changed.address], ARRAY[changed.task_id])
    WHERE EXISTS (SELECT FROM arbius.contestations c
                  WHERE c.chain_id = changed.chain_id AND c.address = changed.address AND c.task_id = changed.task_id
                    AND c.slash_amount > 0)
       OR EXISTS (SELECT FROM arbius.vote_payments s
                  WHERE s.chain_id = changed.chain_id AND s.address = changed.address AND s.task_id = changed.task_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION arbius.settle_changed() IS
    'Trigger: what a dispute or a vote changes in arbius.vote_payments. The last one of them sees all.';

-- Not on finishes: who writes events has no lock of the folds, so that he and who learns of a dispute would not see each
-- other. The fold that counts a finish in its dispute comes after both.
DROP TRIGGER IF EXISTS settle_changed ON arbius.contestation_vote_finish;
CREATE OR REPLACE TRIGGER settle_inserted AFTER INSERT ON arbius.contestations
    FOR EACH ROW WHEN (NEW.slash_amount > 0) EXECUTE FUNCTION arbius.settle_changed();
CREATE OR REPLACE TRIGGER settle_deleted AFTER DELETE ON arbius.contestations
    FOR EACH ROW WHEN (OLD.slash_amount > 0) EXECUTE FUNCTION arbius.settle_changed();
CREATE OR REPLACE TRIGGER settle_updated AFTER UPDATE ON arbius.contestations
    FOR EACH ROW WHEN ((OLD.slash_amount > 0 OR NEW.slash_amount > 0)
        AND (OLD.slash_amount, OLD.outcome, OLD.yeas, OLD.nays, OLD.vote_adder, OLD.submitted_block, OLD.finished_block,
             OLD.finished_log_index, OLD.finishes, OLD.finish_start_index, OLD.last_block)
            IS DISTINCT FROM (NEW.slash_amount, NEW.outcome, NEW.yeas, NEW.nays, NEW.vote_adder, NEW.submitted_block,
                              NEW.finished_block, NEW.finished_log_index, NEW.finishes, NEW.finish_start_index,
                              NEW.last_block))
    EXECUTE FUNCTION arbius.settle_changed();
CREATE OR REPLACE TRIGGER settle_changed AFTER INSERT OR DELETE ON arbius.votes
    FOR EACH ROW EXECUTE FUNCTION arbius.settle_changed();
CREATE OR REPLACE TRIGGER settle_updated AFTER UPDATE ON arbius.votes
    FOR EACH ROW WHEN ((OLD.yea, OLD.block_number, OLD.log_index)
        IS DISTINCT FROM (NEW.yea, NEW.block_number, NEW.log_index))
    EXECUTE FUNCTION arbius.settle_changed();

CREATE OR REPLACE FUNCTION arbius.settle_all() RETURNS void
LANGUAGE sql
AS $$
    SELECT arbius.settle(array_agg(c.chain_id), array_agg(c.address), array_agg(c.task_id))
    FROM arbius.contestations c
    WHERE c.slash_amount > 0
$$;
COMMENT ON FUNCTION arbius.settle_all() IS 'Find out anew what all votes cost and brought, and count it.';

-- Gifts to the hub are Transfers to it that no Lock follows: no index on one of the two tables knows of the other.

CREATE OR REPLACE FUNCTION iexec.is_gift(moved iexec.transfer) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT moved.value > 0 AND moved."to" = moved.address AND moved."from" <> moved.address
       AND NOT iexec.is_zero(moved."from") AND NOT iexec.is_zero(moved."to")
       AND NOT EXISTS (
           SELECT FROM iexec.lock l
           WHERE l.chain_id = moved.chain_id AND l.block_number = moved.block_number
             AND l.log_index = moved.log_index + 1 AND l.owner = moved."from")
$$;
COMMENT ON FUNCTION iexec.is_gift(iexec.transfer) IS 'Whether a Transfer gives to the hub without a Lock.';

CREATE OR REPLACE FUNCTION iexec.give() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'transfer' THEN
        DELETE FROM iexec.gifts g USING rows_changed t
        WHERE g.chain_id = t.chain_id AND g.block_number = t.block_number AND g.log_index = t.log_index;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' AND TG_TABLE_NAME = 'lock' THEN
        DELETE FROM iexec.gifts g USING rows_changed l
        WHERE g.chain_id = l.chain_id AND g.block_number = l.block_number AND g.log_index = l.log_index - 1
          AND g."from" = l.owner;
        RETURN NULL;
    END IF;
    INSERT INTO iexec.gifts (chain_id, block_number, log_index, address, block_time, "from", value)
    SELECT t.chain_id, t.block_number, t.log_index, t.address, t.block_time, t."from", t.value
    FROM rows_changed x
    JOIN iexec.transfer t ON t.chain_id = x.chain_id AND t.block_number = x.block_number
        AND t.log_index = x.log_index - CASE TG_TABLE_NAME WHEN 'lock' THEN 1 ELSE 0 END
    WHERE iexec.is_gift(t)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION iexec.give() IS 'Trigger: gifts to the hub that Transfers and Locks make, or take away, by coming or going.';

CREATE OR REPLACE TRIGGER give_inserted AFTER INSERT ON iexec.transfer
    REFERENCING NEW TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION iexec.give();
CREATE OR REPLACE TRIGGER give_deleted AFTER DELETE ON iexec.transfer
    REFERENCING OLD TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION iexec.give();
CREATE OR REPLACE TRIGGER give_inserted AFTER INSERT ON iexec.lock
    REFERENCING NEW TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION iexec.give();
CREATE OR REPLACE TRIGGER give_deleted AFTER DELETE ON iexec.lock
    REFERENCING OLD TABLE AS rows_changed FOR EACH STATEMENT EXECUTE FUNCTION iexec.give();

CREATE OR REPLACE FUNCTION iexec.find_gifts() RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO iexec.gifts (chain_id, block_number, log_index, address, block_time, "from", value)
    SELECT t.chain_id, t.block_number, t.log_index, t.address, t.block_time, t."from", t.value
    FROM iexec.transfer t
    WHERE iexec.is_gift(t)
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION iexec.find_gifts() IS 'All gifts among the Transfers that are there.';
