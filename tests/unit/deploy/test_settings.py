"""Settings of the inventory reach Airflow as they are meant, or are refused before anything is changed."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airkiln import roles
from airkiln.parameters import rules
from airkiln.parameters.rules import Parameter
from airkiln_deploy import parameter_store
from airkiln_deploy.errors import DeployError
from airkiln_deploy.settings import PORTS, in_force, problems
from airkiln_deploy.yaml_values import text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("text", "text"),
        ("'017'", "017"),
        ("true", "True"),
        ("no", "False"),
        ("64", "64"),
        ("0.5", "0.5"),
        ("[a, 1, true]", '["a", 1, true]'),
        ("{a: [b]}", '{"a": ["b"]}'),
    ],
)
def test_a_value_of_yaml_is_what_airflow_reads(written: str, expected: str) -> None:
    assert text(yaml.safe_load(written)) == expected


def test_a_list_can_be_read_again() -> None:
    bundles = [{"name": "dags", "kwargs": {"aws_conn_id": None}}]
    assert json.loads(text(bundles)) == bundles


@pytest.mark.parametrize("value", [None, datetime.date(2026, 1, 1), [datetime.date(2026, 1, 1)]])
def test_a_value_without_such_a_form_is_refused_before_and_when_it_is_written(value: object) -> None:
    (problem,) = problems({"common": {"AIRFLOW__A__B": value}})
    assert problem.startswith("common/AIRFLOW__A__B ")
    with pytest.raises(DeployError, match="common/AIRFLOW__A__B"):
        parameter_store.composed({"common": {"AIRFLOW__A__B": value}}, {}, {})


@pytest.mark.parametrize(
    "name", ["AIRFLOW__CORE__DAEMON_UMASK", "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS"]
)
def test_an_octal_number_without_quotes_is_refused(name: str) -> None:
    (problem,) = problems({"common": {name: yaml.safe_load("0022")}})
    assert "octal" in problem
    assert problems({"common": {name: yaml.safe_load("'0022'")}}) == []


REFUSED: list[tuple[str, Any]] = [
    ("NOT-A-NAME", "x"),
    ("LD_PRELOAD", "/x"),
    ("AIRKILN_GATE", "open"),
    ("AIRFLOW__CORE__X", "line\nbreak"),
    ("AIRFLOW__CORE__X", "$HOME/dags"),
    ("AIRFLOW__CORE__X", "x" * 9000),
    ("AUTH_ROLE_PUBLIC", "Admin"),
    (roles.JWT_KEY, "a" * 16),
    (roles.DATABASE, "postgresql://a:pa#ss@db/airflow"),
    (f"{roles.DATABASE}_SECRET", "x"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
@pytest.mark.parametrize("secret", [False, True])
def test_what_the_boot_refuses_is_refused_in_preflight(name: str, value: str, secret: bool) -> None:
    given = ({}, {"common": {name: value}}) if secret else ({"common": {name: value}}, {})
    (problem,) = problems(*given)
    assert problem.startswith(f"common/{name}: ")
    assert rules.check([Parameter(name, value, name)], None, {})
    assert value not in problem or len(value) == 1


def test_an_empty_value_is_refused_and_an_empty_folder_is_not() -> None:
    assert problems({"common": {"A": ""}}) == [
        "common/A is empty, which Parameter Store does not take: leave it out."
    ]
    assert problems({"common": None}, {}) == []


def test_a_reference_to_a_secret_is_checked_as_the_drawn_secret() -> None:
    url = "postgresql+psycopg://airflow:{secret-in-url:deploy/PASSWORD}@db/airflow?sslmode=verify-full&sslrootcert=system"
    assert problems({"scheduler": {roles.DATABASE: url}}) == []


def test_a_folder_that_no_instance_reads_is_refused() -> None:
    (problem,) = problems({"schduler": {"AIRFLOW__CORE__X": "x"}, "scheduler": {"AIRFLOW__CORE__X": "x"}})
    assert problem == (
        "schduler: no instance reads a folder of this name: write one of common, webserver, scheduler, "
        "worker, database."
    )


def test_values_are_compared_for_each_role_as_its_boot_reads_them() -> None:
    of_tasks, of_all = {roles.API_KEY: "c2e8a7105f9b64d3"}, {"AIRKILN_ADMIN_PASSWORD": "c2e8a7105f9b64d3"}
    assert (
        len(problems({"common": of_tasks}, {"database": of_all})) == len(problems({"database": of_all})) + 1
    )
    assert problems({"common": of_tasks}, {"webserver": {"AIRKILN_LIFECYCLE_PASSWORD": "Tq7-xwRm41Kz"}})


def test_the_last_of_two_values_is_in_force() -> None:
    known, other = {roles.API_KEY: "c2e8a7105f9b64d3"}, {roles.JWT_KEY: "c2e8a7105f9b64d3"}
    assert len(problems({"common": known | other})) == 1
    assert problems({"common": known | other}, {"common": {roles.JWT_KEY: "d3f9b6410a5e72c8"}}) == []


def test_a_port_at_which_no_stack_reaches_the_server_is_refused() -> None:
    """A web server at another port is never healthy, and its stack rolls back an hour later."""
    for name, ports in PORTS.items():
        for port in ports:
            assert problems({"common": {name: port}}) == []
        assert problems({"common": {name: 9000}}) == [
            f"common/{name}: the stacks reach port {ports[0]} alone (cloudformation/firewall.yaml): remove "
            "the setting."
        ]


def test_the_ports_are_those_that_the_stacks_open() -> None:
    folder = Path(__file__).parents[3] / "cloudformation"
    text = (folder / "firewall.yaml").read_text(encoding="utf-8")
    opened = set(re.findall(r"FromPort: (8\d{3}), ToPort: (8\d{3})", text))
    assert opened == {(ports[0], ports[0]) for ports in PORTS.values()}
    assert f"Port: {PORTS['AIRFLOW__API__PORT'][0]}" in (folder / "edge.yaml").read_text(encoding="utf-8")
    assert f"Port: {PORTS['AIRKILN_WEB_PUBLIC_PORT'][0]}" in (folder / "public.yaml").read_text(
        encoding="utf-8"
    )


def test_a_permission_in_the_settings_holds_for_a_secret_setting() -> None:
    url = {"scheduler": {roles.DATABASE: "postgresql://airflow:Tq7-xwRm41@db/airflow"}}
    assert len(problems({}, url)) == 1
    assert problems({"common": {rules.UNVERIFIED: rules.ALLOWED}}, url) == []


SECRETS = {
    "database/AIRKILN_ADMIN_PASSWORD": "password",
    "database/AIRKILN_CONTROLLER_DATABASE_PASSWORD": "password",
    "deploy/FERNET_KEY": "fernet",
}


def test_an_administrator_in_part_is_refused_and_what_the_deployment_draws_counts() -> None:
    name, address = {"AIRKILN_ADMIN_USERNAME": "ada"}, {"AIRKILN_ADMIN_EMAIL": "ada@example.com"}
    (problem,) = problems({"database": name}, secrets=SECRETS)
    assert problem.startswith("AIRKILN_ADMIN_EMAIL: missing, and ")
    assert problems({"database": name}, {"common": address}, secrets=SECRETS) == []
    assert len(problems({"database": name | address})) == 1


DERIVED = {"common": {"A": "d", "B": "d"}, "scheduler": {"C": "d", "D": "d"}, "worker": {"C": "d"}}


def test_a_setting_overrides_what_the_deployment_derives_in_the_same_folder() -> None:
    assert in_force(DERIVED, {"scheduler": {"C": "s"}}, {}) == DERIVED | {"scheduler": {"C": "s", "D": "d"}}
    assert in_force(DERIVED, {"webserver": {"C": "s"}}, {}) == DERIVED | {"webserver": {"C": "s"}}


def test_a_setting_for_all_roles_overrides_what_is_derived_for_one_of_them() -> None:
    everywhere = {"common": {"A": "d", "B": "d", "C": "s"}, "scheduler": {"D": "d"}, "worker": {}}
    assert in_force(DERIVED, {"common": {"C": "s"}}, {}) == everywhere
    assert in_force(DERIVED, {}, {"common": {"C": "s"}}) == everywhere | {"common": DERIVED["common"]}
    own = in_force(DERIVED, {"common": {"C": "s"}, "worker": {"C": "w"}}, {})
    assert own == everywhere | {"worker": {"C": "w"}}


@pytest.mark.parametrize("nothing", [{}, {"common": None}, {"common": {}}])
def test_without_settings_what_is_derived_stands(nothing: dict[str, Any]) -> None:
    assert in_force(DERIVED, nothing, nothing) == DERIVED
