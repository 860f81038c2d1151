"""Which settings several roles must read alike, although each role has a folder of its own. Pure.

An instance reads its own folders only, so that its boot cannot compare; the preflight of a deployment can.
The table follows Airflow 3.3.2's source (every `conf.get*` of the setting) and Airkiln's programs. What has
to differ, such as the logins to the database, is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from airkiln.roles import API_KEY, BROKER, COMMON, EXECUTOR, FERNET_KEY, JWT_KEY

_WEB, _SCHEDULER, _WORKER, _DATABASE = "webserver", "scheduler", "worker", "database"

READ_BY: Mapping[str, tuple[str, ...]] = {
    # Tokens: schedulers make those of tasks, web servers check them, and a worker leaves expired ones.
    JWT_KEY: (_WEB, _SCHEDULER),
    "AIRFLOW__API_AUTH__JWT_ALGORITHM": (_WEB, _SCHEDULER),
    "AIRFLOW__API_AUTH__JWT_ISSUER": (_WEB, _SCHEDULER),
    "AIRFLOW__API_AUTH__JWT_LEEWAY": (_WEB, _WORKER),
    "AIRFLOW__EXECUTION_API__JWT_AUDIENCE": (_WEB, _SCHEDULER),
    "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME": (_WEB, _SCHEDULER),
    # What is stored: connections, variables, schemas, the form of XComs and the names of runs.
    FERNET_KEY: (_WEB, _SCHEDULER, _DATABASE),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_SCHEMA": (_WEB, _SCHEDULER, _DATABASE),
    "AIRFLOW__CORE__MULTI_TEAM": (_WEB, _SCHEDULER, _WORKER),
    "AIRFLOW__CORE__XCOM_BACKEND": (_WEB, _SCHEDULER, _WORKER),
    "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": (_WEB, _SCHEDULER),
    "AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS": (_WEB, _WORKER),
    "AIRFLOW__STATE_STORE__DEFAULT_RETENTION_DAYS": (_WEB, _WORKER),
    # Messages: where a scheduler sends them, a worker asks for them.
    BROKER: (_SCHEDULER, _WORKER),
    "AIRFLOW__CELERY__CELERY_APP_NAME": (_SCHEDULER, _WORKER),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": (_SCHEDULER, _WORKER),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__PREDEFINED_QUEUES": (_SCHEDULER, _WORKER),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__QUEUE_NAME_PREFIX": (_SCHEDULER, _WORKER),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION": (_SCHEDULER, _WORKER),
    EXECUTOR: (_SCHEDULER, _WORKER),
    "AIRFLOW__OPERATORS__DEFAULT_QUEUE": (_SCHEDULER, _WORKER),
    "AIRFLOW__TRIGGERER__QUEUES_ENABLED": (_SCHEDULER, _WORKER),
    # DAGs: a worker parses again what the DAG processor has parsed.
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": (_SCHEDULER, _WORKER),
    "AIRFLOW__CORE__DEFAULT_TIMEZONE": (_SCHEDULER, _WORKER),
    # Logs: web servers ask for what the others write.
    API_KEY: (_WEB, _SCHEDULER, _WORKER),
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": (_WEB, _SCHEDULER, _WORKER),
    "AIRFLOW__LOGGING__REMOTE_LOGGING": (_WEB, _SCHEDULER, _WORKER),
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": (_WEB, _SCHEDULER),
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": (_WEB, _WORKER),
    # Health: one writes its heartbeat, another judges it.
    "AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": (_WEB, _SCHEDULER),
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": (_WEB, _SCHEDULER),
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": (_WEB, _SCHEDULER),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": (_SCHEDULER, _WORKER),
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": (_WEB, _SCHEDULER),
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": (_WEB, _SCHEDULER),
    # A task's supervisor, which with Celery runs on workers alone.
    "AIRFLOW__WORKERS__": (_WORKER,),
    # Airkiln's own. What one role reads is followed by nobody in the folder of another.
    "AIRKILN_ADMIN_": (_DATABASE,),
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD": (_SCHEDULER, _DATABASE),
    "AIRKILN_EFS_HOST": (_SCHEDULER, _WORKER),
    "AIRKILN_EFS_ID": (_SCHEDULER, _WORKER),
    "AIRKILN_LIFECYCLE_PASSWORD": (_WORKER, _DATABASE),
    "AIRKILN_POOLS": (_SCHEDULER, _WORKER),
    "AIRKILN_RETENTION_DAYS": (_SCHEDULER,),
    "AIRKILN_WEB_": (_WEB,),
}
"""The roles that read a setting; a name that ends with _ stands for every setting that begins so."""


def readers(name: str) -> tuple[str, ...]:
    """The roles that must read one value of a setting; none where each may have its own."""
    sections = (roles for entry, roles in READ_BY.items() if entry.endswith("_") and name.startswith(entry))
    return READ_BY.get(name) or next(sections, ())


def problems(folders: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A sentence for each setting that its readers would read differently. No sentence holds a value.

    :param folders: the values that an environment's people give, by folder and name.
    """
    common = folders.get(COMMON, {})
    for name in sorted(set(chain.from_iterable(folders.values()))):
        alike = readers(name)
        own = {folder for folder, values in folders.items() if folder != COMMON and name in values}
        read = {folder: folders.get(folder, common).get(name, common.get(name)) for folder in {*alike, *own}}
        if alike and len(set(read.values())) > 1:
            folder = COMMON if len(alike) > 1 else alike[0]
            must = (
                f"{' and '.join(alike)} must read the same value" if alike[1:] else f"only {folder} reads it"
            )
            given = " and ".join(sorted(own))
            yield f"{name} is given in {given}, and {must}: store it in the folder {folder}"
