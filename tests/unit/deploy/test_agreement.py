"""Two roles that must read one value of a setting get one, or the deployment is refused."""

from __future__ import annotations

import pytest

from airkiln import roles
from airkiln.boot import changes
from airkiln.boot.changes import EVERY_UNIT
from airkiln.parameters import own
from airkiln.parameters.names import bad_name_reason
from airkiln_deploy.agreement import READ_BY, problems, readers
from airkiln_deploy.settings import DEPLOYED, FOLDERS
from airkiln_deploy.settings import problems as preflight

LONGER = {
    "AIRFLOW__WORKERS__": "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL",
    "AIRKILN_ADMIN_": "AIRKILN_ADMIN_EMAIL",
    "AIRKILN_WEB_": "AIRKILN_WEB_TRUSTED_PROXIES",
}
NAMES = [LONGER[entry] if entry.endswith("_") else entry for entry in READ_BY]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_for_all_and_the_same_value_in_each_folder_are_accepted(name: str) -> None:
    assert list(problems({"common": {name: "a"}})) == []
    assert list(problems({folder: {name: "a"} for folder in readers(name)})) == []
    assert list(problems({"common": {name: "b"}} | {each: {name: "a"} for each in readers(name)})) == []
    assert list(problems({})) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_one_of_the_readers_does_not_get_is_refused(name: str) -> None:
    for folder in readers(name) if len(readers(name)) > 1 else ():
        assert len(list(problems({folder: {name: "a"}}))) == 1
        assert len(list(problems({"common": {name: "b"}, folder: {name: "a"}}))) == 1
    for folder in set(FOLDERS) - {"common", *readers(name)}:
        assert len(list(problems({folder: {name: "a"}}))) == 1


@pytest.mark.parametrize("folder", ["scheduler", "webserver", "database"])
def test_the_heartbeat_of_a_task_belongs_to_workers_alone(folder: str) -> None:
    setting = {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "10"}
    assert preflight({"worker": setting}) == []
    assert preflight({folder: setting}) == [
        f"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL is given in {folder}, and only worker reads it: store it "
        "in the folder worker."
    ]


def test_a_setting_of_one_folder_names_the_folders_that_lack_it() -> None:
    name = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"
    assert preflight({"scheduler": {name: 60}}) == [
        f"{name} is given in scheduler, and scheduler and worker must read the same value: store it in the "
        "folder common."
    ]
    assert preflight({"scheduler": {name: 60}}, {"worker": {name: "60"}}) == []


def test_what_refers_to_one_secret_is_one_value() -> None:
    value = {"AIRKILN_LIFECYCLE_PASSWORD": "{secret:deploy/LIFECYCLE}"}
    assert preflight({"worker": value, "database": value}) == []


def test_a_setting_that_each_role_may_have_for_itself_is_accepted() -> None:
    assert preflight({"scheduler": {"AIRFLOW__CORE__LOAD_EXAMPLES": "True"}}) == []
    assert readers(roles.DATABASE) == ()
    assert readers("AIRFLOW__API__BASE_URL") == ()


def test_every_entry_may_be_a_parameter_and_names_roles_that_there_are() -> None:
    assert {name: reason for name in NAMES if (reason := bad_name_reason(name))} == {}
    assert {role for each in READ_BY.values() for role in each} <= {role.name for role in DEPLOYED}
    assert all(list(each) == [one for one in FOLDERS if one in each] for each in READ_BY.values())


def role_of(unit: str) -> set[str]:
    return {role.name for role in DEPLOYED if unit in (*role.units, *role.steps)}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in changes.READERS
        if not name.endswith("_") and changes.readers(name) not in (EVERY_UNIT, frozenset())
    ],
)
def test_what_restarts_units_of_two_roles_is_in_the_table_or_differs_by_its_nature(name: str) -> None:
    of_roles = set().union(*(role_of(unit) for unit in changes.readers(name)))
    differs = {roles.DATABASE, roles.RESULT_BACKEND, "AIRFLOW__CELERY__SYNC_PARALLELISM"}
    if len(of_roles) > 1 and name not in differs:
        assert set(readers(name)) & of_roles, name


def test_airkilns_own_parameters_are_in_the_table_but_for_what_every_boot_reads() -> None:
    assert {name for name in own.VALUES if not readers(name)} == {"AIRKILN_DATABASE_UNVERIFIED"}
