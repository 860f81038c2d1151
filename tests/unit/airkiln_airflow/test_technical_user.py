"""The workers' login, without an Airflow; that the user is made is tested where Airflow is."""

from __future__ import annotations

import pytest

from airkiln.lifecycle import airflow_api
from airkiln_airflow import technical_user
from airkiln_airflow.first_admin import FAILED, OK
from airkiln_airflow.technical_user import VARIABLE


def test_both_wheels_mean_the_same_user_and_variable() -> None:
    assert (technical_user.USER, VARIABLE) == (airflow_api.USER, airflow_api.PASSWORD)


def test_it_may_read_and_edit_three_things_and_nothing_else() -> None:
    assert {resource for _, resource in technical_user.PERMISSIONS} == {"DAGs", "DAG Runs", "Task Instances"}
    assert {action for action, _ in technical_user.PERMISSIONS} == {"can_read", "can_edit"}


def test_without_a_password_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(technical_user, "settled", lambda *_: pytest.fail("nothing is to be asked"))
    assert technical_user.main() == OK
    assert VARIABLE in capfd.readouterr().err


def test_one_who_has_the_password_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "KANARI")
    monkeypatch.setattr(technical_user, "settled", lambda password, _: password == "KANARI")
    monkeypatch.setattr(technical_user, "create", lambda _: pytest.fail("must not be made again"))
    assert technical_user.main() == OK


def test_a_failure_has_its_code_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: str) -> str:
        raise RuntimeError("KANARI")

    monkeypatch.setenv(VARIABLE, "KANARI")
    monkeypatch.setenv("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO")
    monkeypatch.setattr(technical_user, "settled", lambda *_: False)
    monkeypatch.setattr(technical_user, "create", fail)
    assert technical_user.main() == FAILED
    assert "KANARI" not in capfd.readouterr().err
