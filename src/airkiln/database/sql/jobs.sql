-- What the failover does in Airflow's own table of jobs; run as airkiln_job, which can do nothing else.
--
-- A role of its own, because whoever owns a table may have code run by those who touch it (a trigger, a view in
-- its place): as airkiln_fence, that code could make and unmake roles.

CREATE OR REPLACE FUNCTION airkiln_job.heartbeat() RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
-- When the newest running scheduler last wrote that it lives, by its host's clock; null where none runs.
DECLARE
    beat timestamptz;
BEGIN
    IF to_regclass('public.job') IS NOT NULL
       AND has_column_privilege('public.job', 'latest_heartbeat', 'SELECT') THEN
        EXECUTE $q$
            SELECT latest_heartbeat FROM public.job
             WHERE job_type = 'SchedulerJob' AND state = 'running' ORDER BY id DESC LIMIT 1
        $q$ INTO beat;
    END IF;
    RETURN beat;
END
$$;

-- Who locks the table has 100 ms, and the caller tries again; a row that is locked is left out, and Airflow itself
-- adopts that scheduler's tasks when its heartbeat is old.
CREATE OR REPLACE FUNCTION airkiln_job.mark_failed() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    marked integer;
BEGIN
    UPDATE public.job SET state = 'failed'
     WHERE id IN (SELECT id FROM public.job WHERE job_type = 'SchedulerJob' AND state = 'running'
                  FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN marked;
END
$$;

-- A result is a pickle, and the scheduler loads it: what a worker wrote there would run in the scheduler.
-- Airflow needs the state of a task alone. The function is not airflow's: every scheduler may replace what is,
-- and could leave code of its own there that runs as airflow after its fence (SECURITY DEFINER).
CREATE OR REPLACE FUNCTION airkiln_job.empty_result() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.result := NULL;
    RETURN NEW;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA airkiln_job FROM PUBLIC;
GRANT USAGE ON SCHEMA airkiln_job TO airkiln_fence, airflow;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA airkiln_job TO airkiln_fence;
GRANT EXECUTE ON FUNCTION airkiln_job.empty_result() TO airflow;
