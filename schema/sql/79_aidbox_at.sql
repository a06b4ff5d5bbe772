-- Tasks of Aidbox as of a past version, a number of a transaction, from the versions that were read.

CREATE OR REPLACE FUNCTION aidbox.known(chain bigint)
RETURNS TABLE (first_version bigint, first_at timestamptz, last_version bigint, last_at timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT v.first_version,
           CASE k.mode WHEN 'history' THEN v.made_at ELSE v.read_at END,
           greatest(v.last_version, k.version),
           greatest(v.last_at, k.read_at, (SELECT max(a.found_at) FROM aidbox.absences a WHERE a.chain_id = chain))
    FROM aidbox.cursors k
    CROSS JOIN (
        SELECT min(x.version_number) AS first_version, max(x.version_number) AS last_version,
               min(coalesce(x.updated_at, x.read_at)) AS made_at, min(x.read_at) AS read_at, max(x.updated_at) AS last_at
        FROM aidbox.task_versions x WHERE x.chain_id = chain
    ) AS v
    WHERE k.chain_id = chain AND k.resource = 'AidboxTask'
$$;
COMMENT ON FUNCTION aidbox.known(bigint) IS
    'From when until when the tasks of an Aidbox are known: from their first version where it keeps histories, else from'
    ' the first pass that read them; up to the beginning of the last pass. No row before one has ended.';

CREATE OR REPLACE FUNCTION aidbox.version_at(chain bigint, at_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k record;
BEGIN
    SELECT * INTO k FROM aidbox.known(chain);
    IF at_time BETWEEN k.first_at AND k.last_at THEN
        RETURN coalesce((SELECT max(x.version_number) FROM aidbox.task_versions x
                         WHERE x.chain_id = chain AND x.updated_at <= at_time), 0);
    END IF;
    PERFORM analytics.refuse(
        format('what was true at %s on chain %s is not known', at_time, chain), k.first_at::text, k.last_at::text);
END
$$;
COMMENT ON FUNCTION aidbox.version_at(bigint, timestamptz) IS
    'The newest version of a task at a time, as analytics.block_at gives it. Raises an error for a time that is not read.';

CREATE OR REPLACE FUNCTION aidbox.moment(chain bigint, asked bigint, at_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    k record;
BEGIN
    SELECT * INTO k FROM aidbox.known(chain);
    IF at_time IS NOT NULL THEN
        PERFORM aidbox.version_at(chain, at_time);
        RETURN at_time;
    ELSIF asked = k.last_version THEN
        RETURN k.last_at;
    ELSIF asked BETWEEN k.first_version AND k.last_version THEN
        RETURN (SELECT max(x.updated_at) FROM aidbox.task_versions x
                WHERE x.chain_id = chain AND x.version_number <= asked);
    END IF;
    PERFORM analytics.refuse(
        format('version %s of chain %s is not covered', asked, chain), 'version ' || k.first_version, k.last_version::text);
END
$$;
COMMENT ON FUNCTION aidbox.moment(bigint, bigint, timestamptz) IS 'What analytics.moment tells of an Aidbox.';

CREATE OR REPLACE FUNCTION aidbox.tasks_at(chain_id bigint, version bigint, at_time timestamptz)
RETURNS SETOF analytics.tasks
LANGUAGE sql STABLE
AS $$
    SELECT 'aidbox'::text, c.name, t.chain_id, 'AidboxTask'::text COLLATE "C", t.task_id,
           CASE WHEN NOT s.gone OR v.status = 'done' THEN aidbox.status_of(v.status, v.outcome) END,
           CASE WHEN NOT s.gone OR v.status = 'done' THEN v.status ELSE 'cleaned-up' END COLLATE "C",
           v.requester_id, v.requester_id, v.definition,
           NULL::numeric, NULL::text, NULL::numeric,
           v.created_at, f.finished_at, f.created_version, v.version_number, 'final'::text
    FROM aidbox.tasks t
    JOIN chain.chains c ON c.chain_id = t.chain_id
    CROSS JOIN LATERAL (
        SELECT x.* FROM aidbox.task_versions x
        WHERE x.chain_id = t.chain_id AND x.task_id = t.task_id AND coalesce(x.version_number, 0) <= $2
          AND coalesce(x.updated_at, x.read_at) <= $3
        ORDER BY x.version_number DESC NULLS LAST, x.updated_at DESC NULLS LAST, x.read_at DESC, x.version
        LIMIT 1
    ) AS v
    CROSS JOIN LATERAL (
        SELECT min(x.updated_at) FILTER (WHERE x.status = 'done') AS finished_at,
               min(x.version_number) FILTER (WHERE x.updated_at = x.created_at) AS created_version
        FROM aidbox.task_versions x
        WHERE x.chain_id = t.chain_id AND x.task_id = t.task_id AND coalesce(x.version_number, 0) <= $2
          AND coalesce(x.updated_at, x.read_at) <= $3
    ) AS f
    CROSS JOIN LATERAL (
        SELECT v.deleted OR EXISTS (
            SELECT FROM aidbox.absences a
            WHERE a.chain_id = t.chain_id AND a.resource = 'AidboxTask' AND a.id = t.task_id
              AND a.after_version = v.version AND a.found_at <= $3) AS gone
    ) AS s
    WHERE t.chain_id = $1
$$;
COMMENT ON FUNCTION aidbox.tasks_at(bigint, bigint, timestamptz) IS
    'Tasks of Aidbox as their newest version up to this one and to this time shows them. Where Aidbox keeps no histories,'
    ' a version that came and went between two passes is not known.';
