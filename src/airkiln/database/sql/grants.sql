-- What the failover may read and mark in Airflow's own tables; run as airflow, after `airflow db migrate`.

GRANT SELECT (id, job_type, state, latest_heartbeat), UPDATE (state) ON public.job TO airkiln_job;
GRANT SELECT ON public.job, public.task_instance, public.dag_run, public.import_error, public.slot_pool,
    public.alembic_version
    TO airkiln_controller;
