"""The roles of an instance: what each one reads, starts and needs. Nothing else knows them.

Which variables a role needs follows Airflow 3.3.2's configuration reference and source:
https://airflow.apache.org/docs/apache-airflow/3.3.2/configurations-ref.html
"""

from __future__ import annotations

from dataclasses import dataclass

COMMON = "common"
"""The folder every role reads first; a role's own parameter overrides it."""

DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
FERNET_KEY = "AIRFLOW__CORE__FERNET_KEY"
JWT_KEY = "AIRFLOW__API_AUTH__JWT_SECRET"
API_KEY = "AIRFLOW__API__SECRET_KEY"
EXECUTION_API = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
EXECUTOR = "AIRFLOW__CORE__EXECUTOR"
BROKER = "AIRFLOW__CELERY__BROKER_URL"
RESULT_BACKEND = "AIRFLOW__CELERY__RESULT_BACKEND"

WEBSERVER_UNIT = "airflow-webserver.service"
SCHEDULER_UNIT = "airflow-scheduler.service"
DAG_PROCESSOR_UNIT = "airflow-dag-processor.service"
TRIGGERER_UNIT = "airflow-triggerer.service"
WORKER_UNIT = "airflow-worker@1.service"
"""The worker's first generation, which a role's target starts; a reload starts the next one."""
WORKER_LOGS_UNIT = "airflow-worker-logs.service"
DATABASE_UNIT = "airkiln-database.service"
RETENTION_UNIT = "airkiln-retention.service"
LIFECYCLE_UNIT = "airkiln-lifecycle.service"
FAILOVER_UNIT = "airkiln-failover.service"
AUTOSCALE_UNIT = "airkiln-autoscale.service"
CONTROLLERS = (FAILOVER_UNIT, AUTOSCALE_UNIT)
"""Log in to the metadata database with what they read when they start."""
FOLLOWERS = (DAG_PROCESSOR_UNIT, AUTOSCALE_UNIT)
"""What the failover controller starts where its host leads, and stops where it no longer does."""
LEADER_UNITS = (SCHEDULER_UNIT, *FOLLOWERS)
"""What runs on the leader alone. The scheduler is started everywhere and waits at the gate."""
EFS_TUNNEL_UNIT = "airkiln-efs-tunnel.service"
"""On every role that runs Airflow; skipped where the environment names no file system."""


def worker_unit(generation: int | str) -> str:
    """The unit of one generation of the worker; of "*", the pattern of them all."""
    return f"airflow-worker@{generation}.service"


@dataclass(frozen=True)
class Role:
    """One role.

    `folders` are read in order and later ones win. `required` must be set by a parameter or by the image's
    own settings; `required_with_celery` too, when the executor is a Celery one. `units` are the Airflow units
    that a changed variable can restart; `steps` run and end, and read their variables each time.
    """

    name: str
    folders: tuple[str, ...]
    units: tuple[str, ...]
    required: tuple[str, ...]
    required_with_celery: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The systemd target that the boot path starts."""
        return f"airkiln-{self.name}.target"


_SCHEDULER_UNITS = (SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT)

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            "webserver",
            folders=(COMMON, "webserver"),
            units=(WEBSERVER_UNIT,),
            required=(DATABASE, FERNET_KEY, JWT_KEY, API_KEY),
        ),
        Role(
            "scheduler",
            folders=(COMMON, "scheduler"),
            units=_SCHEDULER_UNITS,
            required=(DATABASE, FERNET_KEY, JWT_KEY, API_KEY, EXECUTION_API),
            required_with_celery=(BROKER, RESULT_BACKEND),
            steps=(RETENTION_UNIT,),
        ),
        Role(
            # A worker talks to the task execution API with the token in each task: it needs neither the
            # metadata database nor the key that signs tokens, but the secret key with which it serves its
            # logs.
            "worker",
            folders=(COMMON, "worker"),
            units=(WORKER_UNIT, WORKER_LOGS_UNIT),
            required=(API_KEY, EXECUTION_API, BROKER, RESULT_BACKEND),
        ),
        Role(
            "database",
            folders=(COMMON, "database"),
            units=(),
            required=(DATABASE, FERNET_KEY),
            steps=(DATABASE_UNIT,),
        ),
        Role(
            "all",
            folders=(COMMON, "webserver", "scheduler", "worker", "all"),
            units=(WEBSERVER_UNIT, *_SCHEDULER_UNITS, WORKER_UNIT, WORKER_LOGS_UNIT),
            required=(DATABASE, FERNET_KEY, JWT_KEY, API_KEY, EXECUTION_API),
            required_with_celery=(BROKER, RESULT_BACKEND),
            steps=(DATABASE_UNIT, RETENTION_UNIT),
        ),
    )
}
