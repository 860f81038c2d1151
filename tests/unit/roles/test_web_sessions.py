"""What decides who is logged in: the file that FAB reads in the image, and where Airflow looks for it."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from airkiln_airflow.web_session import session_key
from tests.unit.roles.rendering import render, variables

FILE = "/etc/airkiln/webserver_config.py"
OPTIONS = {
    ("api", "secret_key"): "what every worker reads as well",
    ("api_auth", "jwt_secret"): "what signs tokens",
}


def get(section: str, key: str, fallback: str | None = None) -> str | None:
    """What stands in for airflow.configuration.conf.get."""
    return OPTIONS.get((section, key), fallback)


@pytest.fixture
def _airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow and FAB, as far as the file needs them."""
    configuration, constants = ModuleType("airflow.configuration"), ModuleType("flask_appbuilder.const")
    configuration.__dict__["conf"] = type("Configuration", (), {"get": staticmethod(get)})
    constants.__dict__["AUTH_DB"] = 1
    for module in (configuration, constants):
        monkeypatch.setitem(sys.modules, module.__name__.partition(".")[0], ModuleType("package"))
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("_airflow")
@pytest.mark.parametrize("team", ["", 'SECRET_KEY = "known"', "AUTH_TYPE = 4\nSECRET_KEY = None"])
def test_sessions_have_the_derived_key_whatever_a_team_sets(team: str) -> None:
    settings: dict[str, object] = {}
    exec(render("airflow", FILE, airflow_webserver_config=team), settings)
    assert settings["SECRET_KEY"] == session_key(get)
    assert settings["AUTH_TYPE"] == (4 if "AUTH_TYPE" in team else 1)


def test_airflow_reads_the_file_that_root_owns() -> None:
    assert f"'AIRFLOW__FAB__CONFIG_FILE': '{FILE}'" in variables("airflow")["__airflow_configuration"]
