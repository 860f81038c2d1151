-- The schema `airkiln`: the lease of the scheduler's leader, and the functions by which it changes hands.
--
-- `airkiln database prepare` runs this as airkiln_fence, which owns it all, in one transaction; run again it
-- changes nothing. Every function has its owner's rights (SECURITY DEFINER), trusts no search_path, and reads
-- the database's clock alone. Durations are in seconds.

CREATE TABLE IF NOT EXISTS airkiln.schema_version (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);

CREATE TABLE IF NOT EXISTS airkiln.lease (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT 'epoch',
    paused boolean NOT NULL DEFAULT false,
    switchover_to text,
    requested_at timestamptz,
    reason text NOT NULL DEFAULT ''
);
-- Since version 2: what the lease was last taken or renewed for; the connections of an epoch's role; and the
-- channel of its notifications, which only those can know who may read this table.
ALTER TABLE airkiln.lease
    ADD COLUMN IF NOT EXISTS ttl double precision NOT NULL DEFAULT 4,
    ADD COLUMN IF NOT EXISTS scheduler_connections integer NOT NULL DEFAULT 40,
    ADD COLUMN IF NOT EXISTS channel text NOT NULL
        DEFAULT 'airkiln_' || replace(gen_random_uuid()::text, '-', '');

CREATE TABLE IF NOT EXISTS airkiln.host (
    host text PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    ready boolean NOT NULL
);
-- Since version 2: for how long a host counts as present after it was seen.
ALTER TABLE airkiln.host ADD COLUMN IF NOT EXISTS fresh_for double precision NOT NULL DEFAULT 3;

INSERT INTO airkiln.schema_version (version) VALUES (2)
    ON CONFLICT (one) DO UPDATE SET version = excluded.version;
INSERT INTO airkiln.lease DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Another release's functions may take or return something else, which CREATE OR REPLACE refuses.
DO $$
DECLARE
    known regprocedure;
BEGIN
    FOR known IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'airkiln'::regnamespace LOOP
        EXECUTE format('DROP FUNCTION %s', known);
    END LOOP;
END
$$;

-- The epoch that a scheduler's role is named after; null for any other role.
CREATE FUNCTION airkiln.epoch_of(p_role name) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT substring(p_role::text FROM '^airflow_scheduler_([0-9]{1,18})$')::bigint
$$;

-- The host of a holder, which is `host/run`.
CREATE FUNCTION airkiln.host_of(p_holder text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT regexp_replace(p_holder, '/[^/]*$', '')
$$;

-- Seconds to the end of a lease, at most 0 where it is free. An end further away than the lease was ever taken
-- for was set by a clock that has gone back since: such a lease is free, or nobody could take it for as long.
CREATE FUNCTION airkiln.remaining(p_lease airkiln.lease) RETURNS double precision
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seconds double precision := extract(epoch FROM p_lease.expires_at - clock_timestamp());
BEGIN
    RETURN CASE WHEN seconds > p_lease.ttl + 1 THEN 0 ELSE seconds END;
END
$$;

-- Wake who listens. A full queue would refuse the commit of whoever notifies, and anybody may fill it: a host
-- that is not woken polls within a second.
CREATE FUNCTION airkiln.wake(p_what text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify(channel, p_what) FROM airkiln.lease;
    END IF;
END
$$;

-- Note that a host is here, and return what its controller decides by. `remaining` is as above; `standbys` are
-- the other hosts that are ready and were seen within the time that they named themselves.
CREATE FUNCTION airkiln.poll(p_host text, p_ready boolean, p_fresh_for double precision)
RETURNS TABLE (holder text, epoch bigint, seq bigint, remaining double precision, paused boolean,
               switchover_to text, standbys integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO airkiln.host AS h (host, seen_at, ready, fresh_for)
        VALUES (p_host, clock_timestamp(), p_ready, p_fresh_for)
        ON CONFLICT ON CONSTRAINT host_pkey DO UPDATE
            SET seen_at = excluded.seen_at, ready = excluded.ready, fresh_for = excluded.fresh_for;
    RETURN QUERY
    SELECT l.holder, l.epoch, l.seq, airkiln.remaining(l), l.paused, l.switchover_to,
           (SELECT count(*)::integer FROM airkiln.host o
             WHERE o.host <> p_host AND o.ready
               AND o.seen_at > clock_timestamp() - make_interval(secs => o.fresh_for))
      FROM airkiln.lease l;
END
$$;

-- Have the lease for another `p_ttl` seconds; `renewed` is false where it ended or is somebody else's. Nothing
-- here touches a table of Airflow's: whoever locks one of those does not end a leader.
CREATE FUNCTION airkiln.renew(p_host text, p_ready boolean, p_fresh_for double precision, p_holder text,
                              p_epoch bigint, p_ttl double precision)
RETURNS TABLE (renewed boolean, holder text, epoch bigint, seq bigint, remaining double precision,
               paused boolean, switchover_to text, standbys integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    done boolean;
BEGIN
    UPDATE airkiln.lease l
       SET seq = l.seq + 1, expires_at = clock_timestamp() + make_interval(secs => p_ttl), ttl = p_ttl
     WHERE l.holder = p_holder AND l.epoch = p_epoch AND l.expires_at > clock_timestamp();
    done := FOUND;
    RETURN QUERY SELECT done, seen.* FROM airkiln.poll(p_host, p_ready, p_fresh_for) seen;
END
$$;

-- What shows whether an epoch's scheduler makes progress: its heartbeat, and whether the server works for it.
-- `locked` is whether somebody's lock on Airflow's table of jobs hides the heartbeat, and keeps it from coming.
-- The DAG processor has the same role and a name of its own: what it asks for says nothing of the scheduler.
CREATE FUNCTION airkiln.progress(p_epoch bigint)
RETURNS TABLE (heartbeat timestamptz, locked boolean, busy boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    locked := false;
    BEGIN
        heartbeat := airkiln_job.heartbeat();
    EXCEPTION WHEN lock_not_available THEN
        locked := true;
    END;
    busy := EXISTS (SELECT FROM pg_stat_activity a
                     WHERE a.usename = ('airflow_scheduler_' || p_epoch)::name AND a.state = 'active'
                       AND a.application_name <> 'airflow-dag-processor');
    RETURN NEXT;
END
$$;

-- See that an older scheduler's role is no member of airflow any more. REVOKE takes back what airkiln_fence has
-- granted and only warns of what somebody else has; a role that is dropped loses it all.
CREATE FUNCTION airkiln.verify_fenced(p_role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(p_role, 'airflow', 'MEMBER') THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('DROP ROLE %I', p_role);
    EXCEPTION WHEN dependent_objects_still_exist OR object_in_use OR insufficient_privilege THEN
        RAISE 'role % can write as airflow by a grant that is not the fence''s (%): as an administrator, run '
              'REVOKE airflow FROM % or drop that role', p_role, SQLERRM, p_role USING ERRCODE = 'AK003';
    END;
END
$$;

-- Take a free lease: in this one transaction every older scheduler's role loses its login and its rights, and
-- the new epoch's role is made, with a password of which only the SCRAM verifier comes here. Returns the
-- epoch, or null where the lease is held, or the failover is paused and another host led last.
CREATE FUNCTION airkiln.acquire(p_holder text, p_ttl double precision, p_verifier text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held airkiln.lease;
    known record;
    taken bigint;
BEGIN
    IF p_verifier NOT LIKE 'SCRAM-SHA-256$%' THEN
        RAISE 'acquire takes a SCRAM verifier, never a password' USING ERRCODE = 'AK002';
    END IF;
    IF p_ttl IS NULL OR p_ttl NOT BETWEEN 1 AND 3600 OR p_holder !~ '^[!-~]{1,200}/[!-~]{1,64}$' THEN
        RAISE 'acquire takes a holder (host/run) and from 1 to 3600 seconds' USING ERRCODE = 'AK002';
    END IF;
    SELECT * INTO STRICT held FROM airkiln.lease FOR UPDATE;
    IF airkiln.remaining(held) > 0
       OR held.paused AND airkiln.host_of(held.holder) <> airkiln.host_of(p_holder) THEN
        RETURN NULL;
    END IF;
    -- A copy of the database may know roles that its lease does not know yet: no name is ever used twice.
    SELECT greatest(held.epoch, max(airkiln.epoch_of(rolname))) + 1 INTO taken FROM pg_roles;
    FOR known IN
        SELECT rolname, airkiln.epoch_of(rolname) AS number, pg_has_role(oid, 'MEMBER WITH ADMIN OPTION') AS own
          FROM pg_roles WHERE airkiln.epoch_of(rolname) IS NOT NULL
    LOOP
        -- A role of such a name that somebody else has made cannot be changed. What counts is what it may do.
        IF known.own THEN
            EXECUTE format('ALTER ROLE %I NOLOGIN', known.rolname);
            EXECUTE format('REVOKE airflow FROM %I', known.rolname);
        END IF;
        PERFORM airkiln.verify_fenced(known.rolname);
        IF known.own AND known.number < taken - 2 THEN
            BEGIN
                EXECUTE format('DROP ROLE IF EXISTS %I', known.rolname);
            EXCEPTION WHEN dependent_objects_still_exist OR object_in_use THEN
                RAISE WARNING 'role % stays, for it owns something: %', known.rolname, SQLERRM;
            END;
        END IF;
    END LOOP;
    EXECUTE format('CREATE ROLE %I LOGIN CONNECTION LIMIT %s PASSWORD %L', 'airflow_scheduler_' || taken,
                   held.scheduler_connections, p_verifier);
    EXECUTE format('GRANT airflow TO %I WITH INHERIT TRUE, SET FALSE', 'airflow_scheduler_' || taken);
    UPDATE airkiln.lease l
       SET holder = p_holder, epoch = taken, seq = 1, switchover_to = NULL, requested_at = NULL, reason = '',
           expires_at = clock_timestamp() + make_interval(secs => p_ttl), ttl = p_ttl;
    -- Instances that were replaced; who is here says so every second.
    DELETE FROM airkiln.host WHERE seen_at < clock_timestamp() - interval '1 hour';
    PERFORM airkiln.wake('acquired');
    RETURN taken;
END
$$;

-- Refuse what anybody but the leader of this very epoch asks for. The number alone would not do: a database that
-- went on from an older copy of itself can give it again, to another holder.
CREATE FUNCTION airkiln.require(p_holder text, p_epoch bigint) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held airkiln.lease;
BEGIN
    SELECT * INTO STRICT held FROM airkiln.lease;
    IF held.epoch <> p_epoch OR held.holder <> p_holder THEN
        RAISE 'epoch % of % is over: the lease is at epoch % of %', p_epoch, p_holder, held.epoch, held.holder
            USING ERRCODE = 'AK001';
    END IF;
END
$$;

-- End the sessions of older epochs' roles; returns how many there were. To be called until there is none.
-- A session outlives its role: three epochs that were taken and never fenced drop the first one's role, and what
-- its session did before the first of them it could still commit. Such a session has a user and no name.
CREATE FUNCTION airkiln.fence(p_holder text, p_epoch bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_sessions integer;
BEGIN
    PERFORM airkiln.require(p_holder, p_epoch);
    SELECT count(pg_terminate_backend(pid)) INTO found_sessions
      FROM pg_stat_activity
     WHERE airkiln.epoch_of(usename) < p_epoch OR usesysid IS NOT NULL AND usename IS NULL;
    RETURN found_sessions;
END
$$;

-- Mark the schedulers of older epochs as failed, so that the next one adopts their tasks at once; returns how
-- many there were, or null where somebody's lock on the table of jobs is in the way for now. To be called before
-- the gate opens: every scheduler that is running is an older one.
CREATE FUNCTION airkiln.adopt(p_holder text, p_epoch bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM airkiln.require(p_holder, p_epoch);
    RETURN airkiln_job.mark_failed();
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END
$$;

-- Give the lease up now, if it is still held, and wake who waits for it.
CREATE FUNCTION airkiln.release(p_holder text, p_epoch bigint, p_reason text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE airkiln.lease l SET expires_at = clock_timestamp(), reason = left(p_reason, 500)
     WHERE l.holder = p_holder AND l.epoch = p_epoch AND l.expires_at > clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM airkiln.wake('released');
    RETURN true;
END
$$;

-- Note what a person asks for: 'switchover' (to a host, or '*' for any), 'pause', 'resume', or 'free', which ends
-- the lease whoever holds it.
CREATE FUNCTION airkiln.request(p_what text, p_target text, p_by text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE p_what
        WHEN 'switchover' THEN
            UPDATE airkiln.lease SET switchover_to = p_target, requested_at = clock_timestamp(), reason = p_by;
        WHEN 'cancel' THEN
            UPDATE airkiln.lease SET switchover_to = NULL, requested_at = NULL, reason = p_by;
        WHEN 'pause' THEN
            UPDATE airkiln.lease SET paused = true, reason = p_by;
        WHEN 'resume' THEN
            UPDATE airkiln.lease SET paused = false, reason = p_by;
        WHEN 'free' THEN
            UPDATE airkiln.lease SET expires_at = clock_timestamp(), reason = p_by;
        ELSE
            RAISE 'unknown request %', p_what USING ERRCODE = 'AK002';
    END CASE;
    PERFORM airkiln.wake(p_what);
END
$$;

-- Sessions of others that hold what a scheduler needs: the lock of its critical section (Airflow's
-- DBLocks.SCHEDULER_CRITICAL_SECTION is 2), rows of slot_pool, the table of jobs, or anything that one of its
-- sessions waits for. Who only waits for the table of jobs is in the way of those behind it as well.
CREATE FUNCTION airkiln.blocking_locks(p_epoch bigint)
RETURNS TABLE (pid integer, usename text, held text, virtualtransaction text, details text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH holders AS (
        SELECT l.pid, l.virtualtransaction,
               CASE WHEN l.locktype = 'advisory' THEN 'critical section'
                    WHEN l.relation = to_regclass('public.job') THEN 'job' ELSE 'slot_pool' END AS held
          FROM pg_locks l
         WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.granted AND l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 2 AND l.objsubid = 1
                OR l.granted AND l.locktype = 'relation' AND l.relation = to_regclass('public.slot_pool')
                   AND l.mode <> 'AccessShareLock'
                OR l.locktype = 'relation' AND l.relation = to_regclass('public.job')
                   AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                                  'AccessExclusiveLock'))
        UNION
        SELECT b.pid, l.virtualtransaction, 'what it waits for'
          FROM pg_stat_activity s
         CROSS JOIN LATERAL unnest(pg_blocking_pids(s.pid)) AS b (pid)
          JOIN pg_locks l ON l.pid = b.pid AND l.locktype = 'virtualxid' AND l.granted
         WHERE airkiln.epoch_of(s.usename) = p_epoch
    )
    SELECT h.pid, a.usename::text, string_agg(DISTINCT h.held, ', '), h.virtualtransaction,
           concat_ws(', ', a.application_name, a.client_addr::text, a.state)
      FROM holders h JOIN pg_stat_activity a ON a.pid = h.pid
     WHERE a.usename IS DISTINCT FROM ('airflow_scheduler_' || p_epoch)::name
     GROUP BY h.pid, a.usename, h.virtualtransaction, a.application_name, a.client_addr, a.state
$$;

-- End a session, if it is still in that transaction; false also for a superuser's, which nobody else may end,
-- and while the failover is paused: a person works on the database then.
CREATE FUNCTION airkiln.end_session(p_holder text, p_epoch bigint, p_pid integer, p_virtualtransaction text)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM airkiln.require(p_holder, p_epoch);
    IF (SELECT paused FROM airkiln.lease) THEN
        RETURN false;
    END IF;
    RETURN (SELECT coalesce(bool_or(pg_terminate_backend(pid)), false)
              FROM (SELECT DISTINCT l.pid FROM pg_locks l
                     WHERE l.pid = p_pid AND l.virtualtransaction = p_virtualtransaction) AS it);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- Of tables without statistics the planner takes a million rows for one, and would have every poll of a new
-- database compiled: in a second and more of a busy core, and a controller waits no longer than that. The
-- poll is rolled back then, so that the statistics never come.
DO $$
DECLARE
    known regprocedure;
BEGIN
    FOR known IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'airkiln'::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET jit = off', known);
    END LOOP;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA airkiln FROM PUBLIC;
GRANT USAGE ON SCHEMA airkiln TO airkiln_controller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA airkiln TO airkiln_controller;
GRANT SELECT ON airkiln.lease, airkiln.host, airkiln.schema_version TO airkiln_controller;
