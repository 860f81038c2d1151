"""Which unit receives which secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airkiln import roles
from airkiln.host.files import Ownership
from airkiln.parameters import load
from airkiln.receivers import RECEIVERS, UNITS, environments, file_name, receivers
from airkiln.roles import ROLES
from airkiln.systemd import envfile

SECRETS = {
    roles.DATABASE: "database",
    f"{roles.DATABASE}_ASYNC": "database",
    roles.FERNET_KEY: "fernet",
    roles.JWT_KEY: "tokens",
    f"{roles.JWT_KEY}_CMD": "tokens",
    "AIRFLOW__API_AUTH__JWT_PRIVATE_KEY_PATH": "tokens",
    roles.API_KEY: "logs",
    roles.BROKER: "broker",
    roles.RESULT_BACKEND: "db+results",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS": "broker",
    "AIRFLOW_CONN_WAREHOUSE": "connections",
    "AIRFLOW__SECRETS__BACKEND_KWARG__TOKEN": "backend",
    "AIRFLOW__WORKERS__SECRETS_BACKEND_KWARGS": "worker's backend",
    "AIRKILN_ADMIN_PASSWORD": "root's",
    "AIRKILN_CONTROLLER_DATABASE_PASSWORD": "root's",
    "AIRKILN_LIFECYCLE_PASSWORD": "root's",
}
PLAIN = {"AIRFLOW__CORE__PARALLELISM": "64", "AWS_DEFAULT_REGION": "eu-west-1"}


def held(role: str) -> dict[str, set[str]]:
    """The kinds of secrets that each unit of a role receives."""
    found = environments({**SECRETS, **PLAIN}, ROLES[role])
    return {unit: set(values.values()) - set(PLAIN.values()) for unit, values in found.items()}


@pytest.mark.parametrize(
    ("unit", "secrets"),
    [
        (roles.WEBSERVER_UNIT, {"database", "fernet", "tokens", "logs", "connections", "backend"}),
        (
            roles.SCHEDULER_UNIT,
            {"database", "fernet", "tokens", "logs", "broker", "db+results", "connections", "backend"},
        ),
        (roles.DAG_PROCESSOR_UNIT, {"database", "fernet", "connections", "backend", "worker's backend"}),
        (roles.TRIGGERER_UNIT, {"database", "fernet", "logs", "connections", "backend", "worker's backend"}),
        (
            roles.WORKER_UNIT,
            {"logs", "broker", "db+results", "results", "connections", "backend", "worker's backend"},
        ),
        (roles.WORKER_LOGS_UNIT, {"logs"}),
        (roles.DATABASE_UNIT, {"database", "fernet", "root's"}),
        (roles.RETENTION_UNIT, {"database"}),
    ],
)
def test_a_unit_receives_these_secrets_on_a_host_that_has_them_all(unit: str, secrets: set[str]) -> None:
    assert held("all")[unit] == secrets


@pytest.mark.parametrize("name", [roles.DATABASE, f"{roles.DATABASE}_ASYNC"])
def test_a_worker_logs_in_with_its_own_login_and_not_with_the_owners(name: str) -> None:
    assert environments(SECRETS, ROLES["worker"])[roles.WORKER_UNIT][name] == "database"
    assert environments(SECRETS, ROLES["all"])[roles.WORKER_UNIT][name] == "results"
    elsewhere = {**SECRETS, roles.RESULT_BACKEND: "rediss://:token@redis/0"}
    assert name not in environments(elsewhere, ROLES["all"])[roles.WORKER_UNIT]


@pytest.mark.parametrize("unit", [roles.DAG_PROCESSOR_UNIT, roles.TRIGGERER_UNIT, roles.WORKER_UNIT])
def test_no_unit_that_runs_dag_code_can_sign_tokens(unit: str) -> None:
    assert "tokens" not in held("all")[unit]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_requires_no_secret_that_none_of_its_units_receives(role: str) -> None:
    units = {*ROLES[role].units, *ROLES[role].steps}
    for name in (*ROLES[role].required, *ROLES[role].required_with_celery):
        assert receivers(name) & units, name


@pytest.mark.parametrize("role", ROLES)
def test_what_is_no_secret_reaches_every_unit(role: str) -> None:
    for values in environments({**SECRETS, **PLAIN}, ROLES[role]).values():
        assert PLAIN.items() <= values.items()


def test_every_unit_of_a_role_has_an_entry_and_a_file_of_its_own() -> None:
    assert {unit for role in ROLES.values() for unit in (*role.units, *role.steps)} == set(UNITS)
    assert len({file_name(unit) for unit in UNITS}) == len(UNITS)
    assert file_name(roles.worker_unit(7)) == file_name(roles.WORKER_UNIT) == "airflow-worker.env"


@given(st.sampled_from(sorted(RECEIVERS)), st.sampled_from(["", "_CMD", "_SECRET"]))
def test_a_variant_goes_where_its_option_goes(name: str, suffix: str) -> None:
    assert receivers(name + suffix) == RECEIVERS[name]


@pytest.mark.parametrize("role", ROLES)
def test_the_boot_writes_one_file_for_each_unit_and_one_for_operators(tmp_path: Path, role: str) -> None:
    loaded = load.Loaded(
        airflow={name: value for name, value in SECRETS.items() if value != "root's"},
        admin={name: value for name, value in SECRETS.items() if value == "root's"},
    )
    instance = {tmp_path / "instance.json": ("{}", Ownership(0o644))}
    load.store(loaded, ROLES[role], tmp_path / "airflow.env", also=instance)
    written = {path.name: envfile.read(path) for path in tmp_path.glob("*.env")}
    assert written.pop("airflow.env") == loaded.airflow
    assert written.pop("admin.env") == loaded.admin
    wanted = environments({**loaded.airflow, **loaded.admin}, ROLES[role])
    assert written == {file_name(unit): values for unit, values in wanted.items()}
