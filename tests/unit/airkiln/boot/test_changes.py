"""Which units a changed variable restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln.boot import changes
from airkiln.receivers import RECEIVERS, UNITS, receivers
from airkiln.roles import (
    CONTROLLERS,
    DAG_PROCESSOR_UNIT,
    EFS_TUNNEL_UNIT,
    FAILOVER_UNIT,
    ROLES,
    SCHEDULER_UNIT,
    TRIGGERER_UNIT,
    WEBSERVER_UNIT,
    WORKER_LOGS_UNIT,
    WORKER_UNIT,
)

ALL = ROLES["all"]
SERVERS = [WEBSERVER_UNIT, SCHEDULER_UNIT, DAG_PROCESSOR_UNIT, TRIGGERER_UNIT]
"""What logs in to the metadata database as Airflow."""


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE", [SCHEDULER_UNIT]),
        ("AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD", [WEBSERVER_UNIT, SCHEDULER_UNIT]),
        ("AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC", [*SERVERS, WORKER_UNIT, FAILOVER_UNIT]),
        ("AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES", [DAG_PROCESSOR_UNIT]),
        ("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", [*SERVERS, WORKER_UNIT]),
        ("AIRFLOW__TRIGGERER__CAPACITY", [TRIGGERER_UNIT]),
        ("AIRFLOW__CELERY__BROKER_URL", [SCHEDULER_UNIT, WORKER_UNIT]),
        ("AIRFLOW__CELERY__WORKER_CONCURRENCY", [WORKER_UNIT]),
        ("AIRKILN_QUEUES", [WORKER_UNIT]),
        ("AIRKILN_POOLS", []),
        ("AIRFLOW__API__WORKERS", [WEBSERVER_UNIT]),
        (
            "AIRFLOW__API__SECRET_KEY",
            [WEBSERVER_UNIT, SCHEDULER_UNIT, TRIGGERER_UNIT, WORKER_UNIT, WORKER_LOGS_UNIT],
        ),
        ("AIRFLOW__LOGGING__LOGGING_LEVEL", list(ALL.units)),
        ("AIRFLOW__API_AUTH__JWT_SECRET", [WEBSERVER_UNIT, SCHEDULER_UNIT]),
        ("AIRFLOW__API__BASE_URL", [*SERVERS, WORKER_UNIT]),
        ("AIRFLOW__FAB__SESSION_LIFETIME_MINUTES", [WEBSERVER_UNIT]),
        ("AIRFLOW__CORE__FERNET_KEY", SERVERS),
        ("SOMETHING_UNKNOWN", [*SERVERS, WORKER_UNIT]),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", [*SERVERS, WORKER_UNIT, *CONTROLLERS]),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", [*SERVERS, WORKER_UNIT]),
        ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS", [*SERVERS, WORKER_UNIT]),
        ("AIRKILN_CONTROLLER_DATABASE_PASSWORD", list(CONTROLLERS)),
        ("AIRKILN_LIFECYCLE_PASSWORD", []),
        ("AIRKILN_ADMIN_PASSWORD", []),
        ("AIRKILN_RETENTION_DAYS", []),
        ("AIRKILN_WEB_TRUSTED_PROXIES", [WEBSERVER_UNIT]),
    ],
)
def test_a_changed_variable_restarts_the_units_that_read_it(name: str, units: list[str]) -> None:
    assert changes.units_of([name], ALL) == units


def test_a_variable_of_another_role_restarts_nothing() -> None:
    assert changes.units_of(["AIRFLOW__TRIGGERER__CAPACITY"], ROLES["worker"]) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", RECEIVERS)
def test_a_changed_secret_restarts_no_unit_whose_file_does_not_change(name: str, role: str) -> None:
    restarted = set(changes.units_of([name], ROLES[role])) & set(UNITS)
    assert restarted <= receivers(name)


def test_changed_names_are_sorted() -> None:
    names = [f"V{number:02}" for number in range(40)]
    assert changes.changed_names({}, dict.fromkeys(reversed(names), "1")) == names


environments = st.dictionaries(
    st.sampled_from([*changes.READERS, "AIRFLOW__CORE__X", "Y"]), st.sampled_from(["1", "2"])
)


@given(environments)
def test_no_change_restarts_nothing(environment: dict[str, str]) -> None:
    assert changes.changed_names(environment, dict(environment)) == []


@given(environments, environments, st.sampled_from(list(ROLES)))
def test_only_the_roles_own_units_are_restarted_and_what_is_read_has_a_reader(
    old: dict[str, str], new: dict[str, str], role: str
) -> None:
    units = changes.units_of(changes.changed_names(old, new), ROLES[role])
    controllers = CONTROLLERS if role in ("scheduler", "all") else ()
    assert set(units) <= {*ROLES[role].units, EFS_TUNNEL_UNIT, *controllers}
    read = [name for name in changes.changed_names(old, new) if changes.readers(name)]
    assert bool(changes.units_of(changes.changed_names(old, new), ALL)) == bool(read)
