"""The controller's login: from a unit's environment, or from the boot path's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from airkiln.database import controller
from airkiln.errors import NotReadyError, RefusedError
from airkiln.host.layout import Layout
from airkiln.roles import DATABASE

VARIABLES = {
    DATABASE: "postgresql+psycopg://airflow:own@127.0.0.1:1/the-database?sslmode=disable",
    controller.PASSWORD: "p@ss: w'ö\"rd",
}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv(controller.PASSWORD, raising=False)
    found = Layout(tmp_path)
    found.run_env.parent.mkdir(parents=True)
    return found


def test_the_controllers_login_is_airflows_server_with_its_own_user() -> None:
    assert controller.keywords(VARIABLES) == {
        "host": "127.0.0.1",
        "port": "1",
        "dbname": "the-database",
        "sslmode": "disable",
        "require_auth": "scram-sha-256",
        "user": "airkiln_controller",
        "password": VARIABLES[controller.PASSWORD],
    }


def test_what_is_missing_is_named_all_at_once() -> None:
    with pytest.raises(RefusedError) as refused:
        controller.keywords({controller.PASSWORD: ""})
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        DATABASE,
        controller.PASSWORD,
    ]


def test_a_person_has_the_variables_from_the_boot_paths_files(layout: Layout) -> None:
    layout.run_env.write_text(f'{DATABASE}="postgresql://a@b/c"\n')
    layout.admin_env.write_text(f'{controller.PASSWORD}="sesame"\n')
    found = controller.variables(layout)
    assert (found[DATABASE], found[controller.PASSWORD]) == ("postgresql://a@b/c", "sesame")


def test_a_unit_has_them_already(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(controller.PASSWORD, "of the unit")
    assert controller.variables(layout)[controller.PASSWORD] == "of the unit"


def test_before_the_boot_path_they_are_not_there_yet(layout: Layout) -> None:
    with pytest.raises(NotReadyError, match=r"airflow\.env is not there"):
        controller.variables(layout)
