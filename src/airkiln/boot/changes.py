"""Which units a changed variable restarts. Pure.

A variable that only one component reads restarts that component; whatever is unknown or shared restarts every
Airflow unit of the role that receives it (`airkiln.receivers`). The controllers do not run Airflow: only
their database login restarts them, and the failover controller the scheduler's heartbeat. The table follows
Airflow 3.3.2's source (every `conf.get*` of the section). The longest matching entry decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airkiln.receivers import UNITS, receivers
from airkiln.roles import (
    API_KEY,
    CONTROLLERS,
    DAG_PROCESSOR_UNIT,
    EFS_TUNNEL_UNIT,
    FAILOVER_UNIT,
    SCHEDULER_UNIT,
    TRIGGERER_UNIT,
    WEBSERVER_UNIT,
    WORKER_LOGS_UNIT,
    WORKER_UNIT,
    Role,
)

EVERY_UNIT = frozenset({WEBSERVER_UNIT, SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT, WORKER_UNIT})
_LOG_SERVERS_TOO = EVERY_UNIT | {WORKER_LOGS_UNIT}
"""The worker's log server runs nobody's code and reads little: only this restarts it."""

READERS: dict[str, frozenset[str]] = {
    # [scheduler] belongs to the scheduler, but for what every job, DAG parser or task supervisor reads.
    "AIRFLOW__SCHEDULER__": frozenset({SCHEDULER_UNIT}),
    "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN": EVERY_UNIT,
    "AIRFLOW__SCHEDULER__CREATE_": EVERY_UNIT,
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": EVERY_UNIT,
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": EVERY_UNIT,
    "AIRFLOW__SCHEDULER__PARTITION_": EVERY_UNIT,
    # By it the failover controller knows when a heartbeat is late.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": EVERY_UNIT | {FAILOVER_UNIT},
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": frozenset({SCHEDULER_UNIT, WEBSERVER_UNIT}),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": EVERY_UNIT,
    "AIRFLOW__SCHEDULER__USE_ROW_LEVEL_LOCKING": EVERY_UNIT,
    # [dag_processor], but for the bundles, which every component that runs a DAG reads.
    "AIRFLOW__DAG_PROCESSOR__": frozenset({DAG_PROCESSOR_UNIT}),
    "AIRFLOW__DAG_PROCESSOR__DAG_": EVERY_UNIT,
    "AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": frozenset({DAG_PROCESSOR_UNIT, WEBSERVER_UNIT}),
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": EVERY_UNIT,
    "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_": EVERY_UNIT,
    # [triggerer]: the web server judges its health; the scheduler selects triggers by queue.
    "AIRFLOW__TRIGGERER__": frozenset({TRIGGERER_UNIT}),
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": frozenset({TRIGGERER_UNIT, WEBSERVER_UNIT}),
    "AIRFLOW__TRIGGERER__QUEUES_ENABLED": EVERY_UNIT,
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": frozenset({TRIGGERER_UNIT, WEBSERVER_UNIT}),
    # [celery]: the scheduler sends and the worker receives by the same settings.
    "AIRFLOW__CELERY__": frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__": frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    "AIRFLOW__CELERY__SYNC_PARALLELISM": frozenset({SCHEDULER_UNIT}),
    "AIRFLOW__CELERY__WORKER_": frozenset({WORKER_UNIT}),
    # What a worker takes is derived from its pool; none of Airflow's components reads the pools themselves.
    "AIRKILN_POOLS": frozenset(),
    "AIRKILN_QUEUES": frozenset({WORKER_UNIT}),
    # What only the web server reads. [api] base_url, secret_key and ssl_* are shared.
    "AIRFLOW__API__ACCESS_CONTROL_": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__DAG_CACHE_": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__ENABLE_SWAGGER_UI": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__EXPOSE_": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__FALLBACK_PAGE_LIMIT": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__GRID_VIEW_SORTING_ORDER": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__HOST": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__INSTANCE_NAME": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__PORT": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__THEME": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__API__WORKER": frozenset({WEBSERVER_UNIT}),
    "AIRFLOW__FAB__": frozenset({WEBSERVER_UNIT}),
    API_KEY: _LOG_SERVERS_TOO,
    "AIRFLOW__LOGGING__": _LOG_SERVERS_TOO,
    "AIRKILN_WEB_": frozenset({WEBSERVER_UNIT}),
    # The controllers take the address of the database from it, with a login of their own.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": EVERY_UNIT | frozenset(CONTROLLERS),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_": EVERY_UNIT,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_": EVERY_UNIT,
    "AIRKILN_CONTROLLER_": frozenset(CONTROLLERS),
    # The database step runs on an instance of its own; a drain reads its login when it needs it.
    "AIRKILN_ADMIN_": frozenset(),
    "AIRKILN_LIFECYCLE_": frozenset(),
    # Read by the boot alone.
    "AIRKILN_DATABASE_UNVERIFIED": frozenset(),
    # A timer starts its service.
    "AIRKILN_RETENTION_DAYS": frozenset(),
    # Which file system the host mounts; Airflow sees the mount and not the variable.
    "AIRKILN_EFS_": frozenset({EFS_TUNNEL_UNIT}),
}


def changed_names(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names that were added, removed or have another value, sorted."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def units_of(names: Iterable[str], role: Role) -> list[str]:
    """The units that read a changed variable: the role's in its order, then what is not Airflow."""
    affected: set[str] = set()
    for name in names:
        affected |= readers(name)
    controllers = CONTROLLERS if SCHEDULER_UNIT in role.units else ()
    return [unit for unit in (*role.units, EFS_TUNNEL_UNIT, *controllers) if unit in affected]


def readers(name: str) -> frozenset[str]:
    """Every unit that reads the variable `name`; of those with a file of their own, which receive it."""
    matching = [entry for entry in READERS if name.startswith(entry)]
    found = READERS[max(matching, key=len)] if matching else EVERY_UNIT
    return found - (frozenset(UNITS) - receivers(name))
