"""Which unit receives which secret. Pure.

The boot path writes one environment file for each unit, and a secret stands in the files of the units listed
here and in no other. A variable that no entry matches is not known to be a secret and goes to every unit. The
longest matching entry decides, so that an entry holds for its `_CMD` and `_SECRET` variants too.

The table follows Airflow 3.3.2's source: every option that Airflow or one of the shipped providers marks as
`sensitive`, and what reads it (`tests/image/test_secrets.py` compares the list with the installed one). The
entries of the DAG processor and the triggerer count most: they run code of DAG authors, serve the task
execution API to it inside their own process and without tokens, and so need no key that signs tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

from airkiln.roles import (
    API_KEY,
    BROKER,
    DAG_PROCESSOR_UNIT,
    DATABASE,
    DATABASE_UNIT,
    FERNET_KEY,
    JWT_KEY,
    RESULT_BACKEND,
    RETENTION_UNIT,
    SCHEDULER_UNIT,
    TRIGGERER_UNIT,
    WEBSERVER_UNIT,
    WORKER_LOGS_UNIT,
    WORKER_UNIT,
    Role,
)

UNITS = (
    WEBSERVER_UNIT,
    SCHEDULER_UNIT,
    DAG_PROCESSOR_UNIT,
    TRIGGERER_UNIT,
    WORKER_UNIT,
    WORKER_LOGS_UNIT,
    DATABASE_UNIT,
    RETENTION_UNIT,
)
"""Every unit with a file of its own."""

_SERVERS = frozenset({WEBSERVER_UNIT, SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT})
"""What logs in to the metadata database as Airflow."""
_DAG_CODE = _SERVERS | {WORKER_UNIT}
"""What runs DAG code, or hands its connections out."""
_LOGS = frozenset({WEBSERVER_UNIT, SCHEDULER_UNIT, TRIGGERER_UNIT, WORKER_UNIT, WORKER_LOGS_UNIT})
"""What asks for logs of running tasks, or serves them."""

RECEIVERS: dict[str, frozenset[str]] = {
    # What a worker receives of it is never the owner's login: `environments`.
    DATABASE: _SERVERS | {WORKER_UNIT, DATABASE_UNIT, RETENTION_UNIT},
    "AIRFLOW__CORE__SQL_ALCHEMY_CONN": _SERVERS | {DATABASE_UNIT},  # its former name
    "AIRFLOW__DATABASE__SQL_ALCHEMY_ENGINE_ARGS": _SERVERS | {DATABASE_UNIT},
    # Decrypts connections, variables and the arguments of triggers.
    FERNET_KEY: _SERVERS | {DATABASE_UNIT},
    # Signs the tokens of users and tasks: who has it can be anybody. A private key does the same.
    JWT_KEY: frozenset({WEBSERVER_UNIT, SCHEDULER_UNIT}),
    "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH": frozenset({WEBSERVER_UNIT, SCHEDULER_UNIT}),
    # Signs requests for logs: the web server asks, the others serve (the scheduler with LocalExecutor).
    API_KEY: _LOGS,
    "AIRFLOW__WEBSERVER__SECRET_KEY": _LOGS,  # its former name
    BROKER: frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    RESULT_BACKEND: frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS": frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    "AIRFLOW__CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS__": frozenset({SCHEDULER_UNIT, WORKER_UNIT}),
    # No unit runs Flower.
    "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": frozenset(),
    # The web server resolves connections for tasks as well as workers do for themselves.
    "AIRFLOW_CONN_": _DAG_CODE,
    "AIRFLOW_VAR_": _DAG_CODE,
    "AIRFLOW__ATLAS__PASSWORD": _DAG_CODE,
    "AIRFLOW__OPENSEARCH__PASSWORD": _DAG_CODE,
    "AIRFLOW__CORE__ASSET_MANAGER_KWARGS": _SERVERS,
    "AIRFLOW__LOGGING__REMOTE_TASK_HANDLER_KWARGS": _DAG_CODE,
    # As one JSON object, ..._KWARGS, or one by one, ..._KWARG__NAME.
    "AIRFLOW__SECRETS__BACKEND_KWARG": _DAG_CODE,
    "AIRFLOW__SENTRY__SENTRY_DSN": _DAG_CODE,
    "AIRFLOW__SMTP__": _DAG_CODE,
    "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARG": frozenset({WORKER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT}),
    # Root's programs read these from admin.env themselves.
    "AIRKILN_ADMIN_": frozenset({DATABASE_UNIT}),
    "AIRKILN_CONTROLLER_": frozenset({DATABASE_UNIT}),
    "AIRKILN_LIFECYCLE_": frozenset({DATABASE_UNIT}),
}

_IN_DATABASE = "db+"
"""Begins the URL of results that Celery stores through SQLAlchemy."""


def receivers(name: str) -> frozenset[str]:
    """The units in whose environment the variable `name` stands."""
    matching = [entry for entry in RECEIVERS if name.startswith(entry)]
    return RECEIVERS[max(matching, key=len)] if matching else frozenset(UNITS)


def environments(variables: Mapping[str, str], role: Role) -> dict[str, dict[str, str]]:
    """What each unit of a role receives, by the unit's name.

    Where a worker shares its host with what owns the metadata database, its database is that of its results:
    Airflow's tasks need none, and Celery's result tables are all that a worker writes to.
    """
    found = {
        unit: {name: value for name, value in variables.items() if unit in receivers(name)}
        for unit in (*role.units, *role.steps)
    }
    if _SERVERS & set(role.units) and WORKER_UNIT in found:
        worker, results = found[WORKER_UNIT], variables.get(RESULT_BACKEND, "")
        for name in [name for name in worker if name.startswith(DATABASE)]:
            del worker[name]
        if results.startswith(_IN_DATABASE):
            worker |= dict.fromkeys((DATABASE, f"{DATABASE}_ASYNC"), results.removeprefix(_IN_DATABASE))
    return found


def file_name(unit: str) -> str:
    """The unit's environment file, `%p.env` in a unit: the generations of a worker share one."""
    return f"{unit.removesuffix('.service').partition('@')[0]}.env"
