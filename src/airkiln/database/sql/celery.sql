-- Celery's result tables, as its database backend would make them (celery/backends/database/models.py of the
-- lock), run as airflow. Workers report here and reach nothing else; the scheduler reads.

CREATE SEQUENCE IF NOT EXISTS public.task_id_sequence;
CREATE SEQUENCE IF NOT EXISTS public.taskset_id_sequence;

CREATE TABLE IF NOT EXISTS public.celery_taskmeta (
    id integer NOT NULL PRIMARY KEY,
    task_id varchar(155) UNIQUE,
    status varchar(50),
    result bytea,
    date_done timestamp without time zone,
    traceback text,
    name varchar(155),
    args bytea,
    kwargs bytea,
    worker varchar(155),
    retries integer,
    queue varchar(155)
);
CREATE INDEX IF NOT EXISTS ix_celery_taskmeta_date_done ON public.celery_taskmeta (date_done);

CREATE TABLE IF NOT EXISTS public.celery_tasksetmeta (
    id integer NOT NULL PRIMARY KEY,
    taskset_id varchar(155) UNIQUE,
    result bytea,
    date_done timestamp without time zone
);
CREATE INDEX IF NOT EXISTS ix_celery_tasksetmeta_date_done ON public.celery_tasksetmeta (date_done);

-- jobs.sql says what it is for, and why it is not airflow's own.
CREATE OR REPLACE TRIGGER airkiln_empty_result BEFORE INSERT OR UPDATE ON public.celery_taskmeta
    FOR EACH ROW EXECUTE FUNCTION airkiln_job.empty_result();
CREATE OR REPLACE TRIGGER airkiln_empty_result BEFORE INSERT OR UPDATE ON public.celery_tasksetmeta
    FOR EACH ROW EXECUTE FUNCTION airkiln_job.empty_result();
DROP FUNCTION IF EXISTS public.airkiln_empty_result();

GRANT SELECT, INSERT, UPDATE ON public.celery_taskmeta, public.celery_tasksetmeta TO airflow_worker;
GRANT USAGE ON SEQUENCE public.task_id_sequence, public.taskset_id_sequence TO airflow_worker;
